"""Wrong tokens are counted by peer, for a minute, within bounds."""

import pytest

from app.web.token_rate_limit import MOST_FAILURES, MOST_PEERS, WINDOW_S, TokenRateLimit


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def guesses(rate_limit: TokenRateLimit, peer: str, count: int) -> list[int]:
    return [rate_limit.failed(peer) for _ in range(count)]


def test_the_first_failures_are_free_and_the_next_one_waits_for_the_minutes_end(
    clock: Clock,
) -> None:
    rate_limit = TokenRateLimit(clock)
    assert guesses(rate_limit, "203.0.113.1", MOST_FAILURES) == [0] * MOST_FAILURES
    clock.now_s = 20.5
    assert rate_limit.failed("203.0.113.1") == WINDOW_S - 20
    clock.now_s = WINDOW_S
    assert rate_limit.failed("203.0.113.1") == 0


def test_each_peer_has_its_own_and_a_subscribers_ipv6_network_is_one(clock: Clock) -> None:
    rate_limit = TokenRateLimit(clock)
    guesses(rate_limit, "203.0.113.1", MOST_FAILURES)
    assert rate_limit.failed("203.0.113.2") == 0
    guesses(rate_limit, "2001:db8:1:2::1", MOST_FAILURES)
    assert rate_limit.failed("2001:db8:1:2:ffff::9") > 0
    assert rate_limit.failed("2001:db8:1:3::1") == 0
    guesses(rate_limit, "::ffff:198.51.100.1", MOST_FAILURES)
    assert rate_limit.failed("::ffff:198.51.100.2") == 0


@pytest.mark.parametrize("peer", ["", "no address", "fe80::1%eth0", "x" * 10_000])
def test_whatever_a_peer_is_called_it_is_counted(clock: Clock, peer: str) -> None:
    rate_limit = TokenRateLimit(clock)
    assert any(guesses(rate_limit, peer, MOST_FAILURES + 1))


def test_memory_is_bounded_and_the_last_to_fail_are_kept(clock: Clock) -> None:
    rate_limit = TokenRateLimit(clock)
    guesses(rate_limit, "203.0.113.1", MOST_FAILURES)
    for number in range(MOST_PEERS + 100):
        rate_limit.failed(f"peer {number}")
        if number % 1000 == 0:
            assert rate_limit.failed("203.0.113.1") > 0
    assert len(rate_limit._failures) == MOST_PEERS
