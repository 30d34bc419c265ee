"""The ledger: what it measures from both ends of a call."""

import pytest

from bench.ledger import Answer, Call, Ledger


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger(calls=2)
    ledger.start_ms, ledger.end_ms = 0, 10_000
    return ledger


def answer(ledger: Ledger, call: Call, deltas: int = 10, at_ms: float = 0) -> Answer:
    """An answer that is sent at once and arrives a millisecond later."""
    answer = ledger.answer_begun(f"item_{len(ledger.answers)}", call)
    for number in range(deltas):
        answer.sent_ms.append(at_ms)
        ledger.delta_arrived(call, answer, number, at_ms + 1)
    return answer


def test_a_frame_that_never_arrives_is_lost(ledger: Ledger) -> None:
    call = ledger.calls[0]
    for at_ms in (0, 20, 40, 20_000):
        ledger.frame_sent(call, at_ms)
    ledger.frame_arrived(call, 0, 0.5)
    ledger.frame_arrived(call, 2, 41.5)
    assert ledger.lost() == (3, 1, 0)
    summary = ledger.uplink_ms.summary()
    assert (summary.count, summary.p50, summary.max) == (2, 0.5, 1.5)


def test_a_delta_is_lost_unless_its_answer_was_interrupted(ledger: Ledger) -> None:
    first, second = ledger.calls
    heard, cut = answer(ledger, first), answer(ledger, second)
    ledger.speech_started(second, 500)
    heard.sent_ms.append(600)
    cut.sent_ms.append(600)
    assert ledger.lost() == (0, 0, 1)


def test_the_error_of_a_truncation_is_its_distance_from_what_played(ledger: Ledger) -> None:
    call = ledger.calls[0]
    cut = answer(ledger, call)
    ledger.speech_started(call, 301)
    assert ledger.truncated(call, cut.item_id, 290, 302)
    ledger.cleared(call, 302)
    call.playback.clear(302)
    errors_ms, missing = ledger.judge_truncations()
    assert errors_ms.summary().max == pytest.approx(11)
    assert missing == 0
    assert ledger.clear_ms.summary().max == 1
    assert (ledger.interruptions, ledger.missing_clears, ledger.needless_clears) == (1, 0, 0)


def test_an_interruption_without_clear_and_truncate_counts_as_two_misses(ledger: Ledger) -> None:
    call = ledger.calls[0]
    answer(ledger, call)
    ledger.speech_started(call, 301)
    _, missing = ledger.judge_truncations()
    assert (missing, ledger.missing_clears) == (1, 1)


def test_an_answer_heard_to_its_end_needs_neither_clear_nor_truncate(ledger: Ledger) -> None:
    call = ledger.calls[0]
    heard = answer(ledger, call)
    ledger.speech_started(call, 2000)
    ledger.cleared(call, 2001)
    assert ledger.truncated(call, heard.item_id, 1000, 2001)
    assert (ledger.needless_clears, ledger.needless_truncates) == (1, 1)
    assert ledger.interruptions == 0


def test_at_the_very_end_of_an_answer_both_are_right(ledger: Ledger) -> None:
    call = ledger.calls[0]
    heard = answer(ledger, call)
    ledger.speech_started(call, 990)
    ledger.cleared(call, 991)
    assert ledger.truncated(call, heard.item_id, 989, 991)
    assert (ledger.needless_clears, ledger.needless_truncates) == (0, 0)
    assert ledger.clear_ms.summary().count == 0


def test_a_truncation_beyond_the_audio_is_refused(ledger: Ledger) -> None:
    call = ledger.calls[0]
    cut = answer(ledger, call)
    assert not ledger.truncated(call, cut.item_id, 1001, 10)
    assert not ledger.truncated(call, "item_unknown", 0, 10)
    assert ledger.truncated(call, cut.item_id, 500, 10)
    assert not ledger.truncated(call, cut.item_id, 501, 10)
    assert ledger.refused_truncates == 3


def test_what_happens_outside_the_window_is_not_counted(ledger: Ledger) -> None:
    call = ledger.calls[0]
    answer(ledger, call, at_ms=10_000)
    ledger.speech_started(call, 10_300)
    _, missing = ledger.judge_truncations()
    assert (missing, ledger.missing_clears, ledger.interruptions) == (0, 0, 0)
    assert ledger.downlink_ms.summary().count == 0
