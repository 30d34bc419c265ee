"""When a stream that failed is retried, and when it is given up."""

from app.bridge.stream_retries import RetryLimits, StreamRetries

MINUTE_S = 60.0


def pauses(retries: StreamRetries, *failures: tuple[float, float]) -> list[int | None]:
    """The answer to each failure, given as its time and how long its stream carried the call."""
    return [retries.failed(at_s, carried_s) for at_s, carried_s in failures]


def test_a_stream_that_was_lost_once_is_retried_at_once() -> None:
    assert pauses(StreamRetries(), (100, 95)) == [0]
    assert pauses(StreamRetries(), (100, 0.2)) == [0]


def test_a_refused_handshake_is_retried_with_growing_pauses() -> None:
    assert pauses(StreamRetries(), (0, 0), (2, 0), (5, 0), (10, 0)) == [1, 2, 4, 6]


def test_the_fifth_handshake_in_a_row_is_the_last() -> None:
    assert pauses(StreamRetries(), *((0.1 * n, 0) for n in range(5)))[-1] is None


def test_a_handshake_that_hangs_is_given_up_within_half_a_minute() -> None:
    """Each takes 5 s to fail, with a second of words before it; so does one that takes 10."""
    for hangs_s in (0.0, 1.0, 5.0, 10.0):
        retries, now_s, pause_s = StreamRetries(), hangs_s, 0
        while (pause := retries.failed(now_s, 0)) is not None:
            pause_s = pause
            now_s += 1.5 + pause_s + hangs_s
        assert now_s < 30


def test_streams_that_close_at_once_are_retried_with_pauses_and_given_up() -> None:
    found = pauses(StreamRetries(), (0, 0.2), (0.5, 0.2), (3, 0.2), (7, 0.2), (14, 0.2))
    assert found == [0, 2, 4, 6, None]


def test_a_stream_that_is_lost_once_a_minute_is_never_given_up() -> None:
    retries = StreamRetries()
    assert pauses(retries, *((n * MINUTE_S, 59.5) for n in range(1, 13))) == [0] * 12


def test_five_lost_streams_within_a_minute_are_given_up() -> None:
    assert pauses(StreamRetries(), *((n * 10.0, 9.5) for n in range(1, 6))) == [0, 0, 0, 0, None]


def test_a_minute_without_a_failure_clears_those_before() -> None:
    retries = StreamRetries()
    assert pauses(retries, *((n * 10.0, 9.5) for n in range(1, 5))) == [0] * 4
    assert pauses(retries, (101, 60), (102, 0), (900, 0)) == [0, 1, 1]


def test_a_stream_that_works_clears_the_failures_in_a_row() -> None:
    retries = StreamRetries()
    assert pauses(retries, (0, 0), (2, 0), (5, 0), (10, 0), (14, 4), (15, 0)) == [1, 2, 4, 6, 0, 1]


def test_the_cause_of_a_refused_handshake_is_used_once() -> None:
    retries = StreamRetries(RetryLimits(), cause="it is not signed")
    retries.failed(0, 0)
    assert retries.cause == ""
