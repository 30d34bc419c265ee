"""The waits between retries."""

from app.call.backoff import backoff


def test_each_failure_doubles_the_wait_up_to_the_longest() -> None:
    assert [backoff(0.5, failures, 3.0) for failures in range(6)] == [0.5, 0.5, 1, 2, 3, 3]


def test_without_a_longest_wait_it_doubles_on() -> None:
    assert backoff(250, 4) == 2000


def test_the_wait_stays_the_longest_however_many_failures() -> None:
    assert backoff(0.05, 1_000_000, 2.0) == 2.0
