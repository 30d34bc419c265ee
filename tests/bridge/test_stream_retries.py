"""When a line that fails is tried again, and when it is given up."""

from app.bridge.stream_retries import RetryLimits, StreamRetries

MINUTE_S = 60.0


def pauses(tries: StreamRetries, *failures: tuple[float, float]) -> list[int | None]:
    """What follows each failure, given as its time and how long its stream had carried the call."""
    return [tries.failed(at_s, carried_s) for at_s, carried_s in failures]


def test_a_line_that_broke_once_is_tried_again_at_once() -> None:
    assert pauses(StreamRetries(), (100, 95)) == [0]
    assert pauses(StreamRetries(), (100, 0.2)) == [0]


def test_a_handshake_that_is_refused_is_tried_again_with_growing_pauses() -> None:
    assert pauses(StreamRetries(), (0, 0), (2, 0), (5, 0), (10, 0)) == [1, 2, 4, 6]


def test_the_fifth_handshake_in_a_row_is_the_last() -> None:
    assert pauses(StreamRetries(), *((0.1 * n, 0) for n in range(5)))[-1] is None


def test_a_handshake_that_hangs_is_given_up_before_the_caller_has_waited_for_half_a_minute() -> (
    None
):
    """Each takes 5 s to fail, with a second of words before it; so does one that takes 10."""
    for hangs_s in (0.0, 1.0, 5.0, 10.0):
        tries, now_s, pause_s = StreamRetries(), hangs_s, 0
        while (pause := tries.failed(now_s, 0)) is not None:
            pause_s = pause
            now_s += 1.5 + pause_s + hangs_s
        assert now_s < 30


def test_streams_that_close_as_soon_as_they_begin_are_spaced_and_given_up() -> None:
    found = pauses(StreamRetries(), (0, 0.2), (0.5, 0.2), (3, 0.2), (7, 0.2), (14, 0.2))
    assert found == [0, 2, 4, 6, None]


def test_a_call_of_twelve_minutes_with_twelve_cuts_goes_on() -> None:
    tries = StreamRetries()
    assert pauses(tries, *((n * MINUTE_S, 59.5) for n in range(1, 13))) == [0] * 12


def test_five_cuts_within_a_minute_are_too_many() -> None:
    assert pauses(StreamRetries(), *((n * 10.0, 9.5) for n in range(1, 6))) == [0, 0, 0, 0, None]


def test_a_minute_that_went_well_makes_up_for_what_was_before() -> None:
    tries = StreamRetries()
    assert pauses(tries, *((n * 10.0, 9.5) for n in range(1, 5))) == [0] * 4
    assert pauses(tries, (101, 60), (102, 0), (900, 0)) == [0, 1, 1]


def test_a_stream_that_works_ends_a_row_of_failures() -> None:
    tries = StreamRetries()
    assert pauses(tries, (0, 0), (2, 0), (5, 0), (10, 0), (14, 4), (15, 0)) == [1, 2, 4, 6, 0, 1]


def test_what_the_media_door_said_is_told_of_one_failure_only() -> None:
    tries = StreamRetries(RetryLimits(), cause="it is not signed")
    tries.failed(0, 0)
    assert tries.cause == ""
