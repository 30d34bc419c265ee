"""The digest of a call that was held, and the words that a search finds it by."""

from dataclasses import replace
from datetime import UTC, datetime
from statistics import median

from app.records.digests.digest import LONGEST_WORDS, digest_of, words_of
from app.records.digests.statistics import by_day, percentile
from app.records.record import TurnRow
from tests.records.report.recorded_call import pizza_call, transferred_call


def test_a_call_that_was_held_is_told_at_a_glance() -> None:
    story = pizza_call()
    digest = digest_of(story.call(), story.turns(), story.timeline())
    assert len(digest.responses_ms) == 2
    assert digest.response_ms == round(median(digest.responses_ms))
    assert all(0 < waited < 3000 for waited in digest.responses_ms)
    assert digest.interruptions == 1 and digest.false_interruptions == 0
    assert digest.transfers == [] and round(digest.cost_usd, 4) == 0.0185


def test_a_call_is_found_by_number_word_outcome_and_destination() -> None:
    story = transferred_call()
    words = digest_of(story.call(), story.turns(), story.timeline()).words
    for part in ("15550109999", "pizzeria", "status=completed", "transfer=completed", "support"):
        assert f"{part} " in words, part
    assert words.startswith(" ") and words.count(" pizzeria ") == 1


def test_what_no_human_took_is_among_the_outcomes() -> None:
    story = transferred_call()
    digest = digest_of(story.call(), story.turns(), story.timeline())
    assert digest.transfers == ["no-answer", "busy", "completed"]


def test_a_call_of_one_endless_word_has_bounded_words() -> None:
    story = pizza_call()
    turns = [TurnRow(0, "user", " ".join(f"word{n}" for n in range(100_000)))]
    assert len(digest_of(story.call(), turns, ()).words) == LONGEST_WORDS + 2


def test_words_have_no_case_and_no_punctuation() -> None:
    assert words_of("Straße, DON’T! ada@example.com 4071#") == [
        "strasse", "don’t", "ada@example.com", "4071",
    ]  # fmt: skip


def test_a_call_without_anything_has_a_digest() -> None:
    digest = digest_of(replace(pizza_call().call(), from_number="", cost={}), (), ())
    assert digest.response_ms is None and digest.cost_usd == 0.0


def test_the_p95_is_the_value_that_95_of_100_do_not_exceed() -> None:
    ordered = list(range(1, 101))
    assert (percentile(ordered, 50), percentile(ordered, 95)) == (50, 95)
    assert percentile([7], 95) == 7 and percentile([], 50) is None


def test_calls_are_added_up_by_the_day_of_the_time_zone() -> None:
    story = transferred_call()
    digest = digest_of(story.call(), story.turns(), story.timeline())
    late, early = datetime(2026, 11, 30, 23, 30, tzinfo=UTC), datetime(2026, 12, 1, 1, tzinfo=UTC)
    first, second = by_day([(early, digest), (late, digest)], UTC)
    assert (str(first.day), first.calls, str(second.day)) == ("2026-11-30", 1, "2026-12-01")
    assert first.transfers == {"no-answer": 1, "busy": 1, "completed": 1}
    assert first.answers == len(digest.responses_ms)
