"""The playback ledger: what was heard, from what was sent, when, and which marks came back."""

import pytest

from app.call.heard.ledger import HeardPart, PlaybackLedger

SECOND = 8000  # bytes


@pytest.fixture
def ledger() -> PlaybackLedger:
    return PlaybackLedger()


def say(ledger: PlaybackLedger, item_id: str, size_bytes: int, now_ms: float) -> None:
    ledger.generated(item_id, size_bytes)
    ledger.sent(item_id, size_bytes, now_ms)


def round_trip(ledger: PlaybackLedger, ms: float, now_ms: float = 0.0) -> None:
    """A mark on an empty buffer that came back after so long."""
    assert ledger.echoed(ledger.mark_sent(now_ms), now_ms + ms)


def test_what_was_sent_plays_from_then_on_in_real_time(ledger: PlaybackLedger) -> None:
    say(ledger, "a", SECOND, now_ms=100)
    assert ledger.position(100) == 0
    assert ledger.heard_bytes("a", 350) == 2000
    assert ledger.playing(1099)
    assert ledger.heard_bytes("a", 5000) == SECOND and not ledger.playing(5000)
    assert (ledger.sent_bytes("a"), ledger.generated_bytes("a")) == (SECOND, SECOND)
    assert ledger.ends_ms == 1100


def test_nothing_is_known_of_an_item_that_never_came(ledger: PlaybackLedger) -> None:
    ledger.completed("ghost")
    assert ledger.generated_bytes("ghost") == ledger.sent_bytes("ghost") == 0
    assert ledger.heard_bytes("ghost", 100) == 0


def test_the_second_item_is_heard_after_the_first(ledger: PlaybackLedger) -> None:
    say(ledger, "a", SECOND, now_ms=0)
    say(ledger, "b", SECOND, now_ms=10)
    assert ledger.heard_bytes("b", 999) == 0
    assert ledger.heard_bytes("b", 1500) == 4000
    assert ledger.heard_bytes("a", 1500) == SECOND


def test_playback_that_ran_dry_starts_again_with_what_comes_next(ledger: PlaybackLedger) -> None:
    say(ledger, "a", SECOND, now_ms=0)
    say(ledger, "a", SECOND, now_ms=3000)
    assert ledger.heard_bytes("a", 3000) == SECOND
    assert ledger.heard_bytes("a", 3500) == SECOND + 4000


def test_a_mark_that_came_back_makes_it_sure(ledger: PlaybackLedger) -> None:
    say(ledger, "a", SECOND, now_ms=0)
    name = ledger.mark_sent(0)
    assert not ledger.all_surely_heard and ledger.unmarked_bytes == 0
    ledger.echoed(name, 400)  # a clock that runs fast: the mark knows better
    assert ledger.heard_bytes("a", 400) == SECOND and ledger.all_surely_heard


def test_marks_are_unique_and_an_echo_counts_once(ledger: PlaybackLedger) -> None:
    say(ledger, "a", SECOND, now_ms=0)
    first, second = ledger.mark_sent(0), ledger.mark_sent(0)
    assert first != second
    assert ledger.echoed(first, 1000)
    assert not ledger.echoed(first, 1000)
    assert not ledger.echoed("never sent", 1000)


def test_marks_echoed_by_a_clear_are_not_heard(ledger: PlaybackLedger) -> None:
    say(ledger, "a", 10 * SECOND, now_ms=0)
    ledger.completed("a")
    flushed = ledger.mark_sent(0)
    assert ledger.cleared(1000) == [HeardPart("a", SECOND, 10 * SECOND)]
    say(ledger, "b", 5 * SECOND, now_ms=1010)
    behind_b = ledger.mark_sent(1010)
    assert flushed != behind_b
    assert not ledger.echoed(flushed, 1050)
    assert ledger.heard_bytes("b", 1050) == 320


def test_a_clear_returns_the_interrupted_items_and_only_those(ledger: PlaybackLedger) -> None:
    say(ledger, "heard out", SECOND, now_ms=0)
    ledger.completed("heard out")
    say(ledger, "playing", SECOND, now_ms=0)
    ledger.completed("playing")
    say(ledger, "waiting", SECOND, now_ms=0)
    ledger.generated("held back", SECOND)
    assert ledger.interrupts(1500)
    assert ledger.cleared(1500) == [
        HeardPart("playing", 4000, SECOND),
        HeardPart("waiting", 0, SECOND),
        HeardPart("held back", 0, SECOND),
    ]
    assert not ledger.interrupts(1500) and ledger.cleared(1500) == []


def test_an_incomplete_item_is_interrupted_though_all_its_audio_was_heard(
    ledger: PlaybackLedger,
) -> None:
    say(ledger, "a", SECOND, now_ms=0)
    assert not ledger.playing(2000) and ledger.interrupts(2000)
    assert [cut.heard_ms for cut in ledger.cleared(2000)] == [1000]


def test_a_mark_on_an_empty_buffer_measures_the_round_trip(ledger: PlaybackLedger) -> None:
    assert ledger.round_trip_ms == 0
    for ms in (80, 300, 90):
        round_trip(ledger, ms)
    assert ledger.round_trip_ms == 90  # the median: one slow trip changes little


def test_a_mark_after_audio_does_not_measure_the_round_trip(ledger: PlaybackLedger) -> None:
    say(ledger, "a", SECOND, now_ms=0)
    ledger.echoed(ledger.mark_sent(0), 1040)
    assert ledger.round_trip_ms == 0


def test_the_round_trip_does_not_count_as_lag(ledger: PlaybackLedger) -> None:
    round_trip(ledger, 100)
    say(ledger, "a", 2 * SECOND, now_ms=1000)
    half = ledger.mark_sent(1000)
    say(ledger, "a", 2 * SECOND, now_ms=1000)
    ledger.echoed(half, 3100)
    assert ledger.heard_bytes("a", 3600) == 2600 * 8


def test_a_mark_that_comes_much_later_moves_the_clock_at_once(ledger: PlaybackLedger) -> None:
    round_trip(ledger, 40)
    say(ledger, "a", SECOND, now_ms=0)
    mark = ledger.mark_sent(0)
    say(ledger, "a", 9 * SECOND, now_ms=0)
    ledger.echoed(mark, 1000 + 40 + 500)  # Twilio plays half a second late
    assert ledger.heard_bytes("a", 2000) == 1500 * 8
    assert ledger.ends_ms == 10_500


def test_a_lag_seen_three_times_is_expected_of_the_next_answer(ledger: PlaybackLedger) -> None:
    round_trip(ledger, 40)
    for turn in range(3):
        at_ms = 10_000.0 * turn
        item_id = f"item_{turn}"
        say(ledger, item_id, SECOND, at_ms)
        ledger.completed(item_id)
        ledger.echoed(ledger.mark_sent(at_ms), at_ms + 1000 + 40 + 50)
        # Less than the slack, and too few to be sure: the clock stays.
        assert ledger.ends_ms == at_ms + 1000
    say(ledger, "next", SECOND, 50_000)
    assert ledger.heard_bytes("next", 50_500) == 450 * 8


def test_a_mark_sent_after_its_audio_was_over_is_no_lag(ledger: PlaybackLedger) -> None:
    """The end of an item sometimes comes long after its last audio."""
    round_trip(ledger, 40)
    for turn in range(3):
        at_ms = 10_000.0 * turn
        say(ledger, "a", SECOND, at_ms)
        ledger.echoed(ledger.mark_sent(at_ms + 3000), at_ms + 3040)
    say(ledger, "next", SECOND, 50_000)
    assert ledger.heard_bytes("next", 50_500) == 500 * 8


def test_a_mark_that_is_overdue_stops_the_clock(ledger: PlaybackLedger) -> None:
    round_trip(ledger, 40)
    say(ledger, "a", SECOND, now_ms=0)
    ledger.mark_sent(0)
    say(ledger, "a", 9 * SECOND, now_ms=0)
    assert ledger.heard_bytes("a", 1100) == 1100 * 8
    assert ledger.heard_bytes("a", 9000) == (1000 + 40 + 120) * 8


def test_a_lost_mark_does_not_stop_the_clock_for_ever(ledger: PlaybackLedger) -> None:
    round_trip(ledger, 40)
    say(ledger, "a", SECOND, now_ms=0)
    lost = ledger.mark_sent(0)
    say(ledger, "a", SECOND, now_ms=0)
    second = ledger.mark_sent(0)
    say(ledger, "a", 8 * SECOND, now_ms=0)
    ledger.echoed(second, 2040)
    assert ledger.heard_bytes("a", 6000) == 6 * SECOND
    assert not ledger.echoed(lost, 6000)


def test_items_heard_to_their_end_are_dropped(ledger: PlaybackLedger) -> None:
    say(ledger, "a", SECOND, now_ms=0)
    ledger.completed("a")
    ledger.echoed(ledger.mark_sent(0), 1000)
    say(ledger, "b", SECOND, now_ms=5000)
    assert ledger.generated_bytes("a") == ledger.heard_bytes("a", 5000) == 0
    assert ledger.cleared(5500) == [HeardPart("b", 4000, SECOND)]


def test_a_pause_in_the_middle_of_an_item_loses_nothing_of_it(ledger: PlaybackLedger) -> None:
    """A slow model: its first second was surely heard before the next one came."""
    say(ledger, "a", SECOND, now_ms=0)
    ledger.echoed(ledger.mark_sent(0), 1000)
    say(ledger, "a", SECOND, now_ms=2000)
    assert ledger.heard_bytes("a", 2500) == SECOND + 4000
    assert ledger.cleared(2500) == [HeardPart("a", SECOND + 4000, 2 * SECOND)]


def test_a_sound_in_the_middle_of_an_item_is_no_part_of_it(ledger: PlaybackLedger) -> None:
    """The model fell silent within an answer, and a tone told the caller to wait."""
    say(ledger, "a", SECOND, now_ms=0)
    say(ledger, "tone", SECOND, now_ms=5000)
    ledger.completed("tone")
    ledger.echoed(ledger.mark_sent(5000), 6000)
    say(ledger, "a", SECOND, now_ms=7000)
    assert ledger.heard_bytes("a", 7500) == SECOND + 4000
