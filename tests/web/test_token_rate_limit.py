"""Wrong tokens are counted by peer, for a minute, in bounded memory."""

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


def test_past_the_first_failures_a_peer_waits_for_the_end_of_the_minute(
    clock: Clock,
) -> None:
    rate_limit = TokenRateLimit(clock)
    assert guesses(rate_limit, "203.0.113.1", MOST_FAILURES) == [0] * MOST_FAILURES
    clock.now_s = 20.5
    assert rate_limit.failed("203.0.113.1") == WINDOW_S - 20
    clock.now_s = WINDOW_S
    assert rate_limit.failed("203.0.113.1") == 0


def test_an_ipv4_address_is_a_peer_and_so_is_an_ipv6_network(clock: Clock) -> None:
    rate_limit = TokenRateLimit(clock)
    guesses(rate_limit, "203.0.113.1", MOST_FAILURES)
    assert rate_limit.failed("203.0.113.2") == 0
    guesses(rate_limit, "2001:db8:1:2::1", MOST_FAILURES)
    assert rate_limit.failed("2001:db8:1:2:ffff::9") > 0
    assert rate_limit.failed("2001:db8:1:3::1") == 0
    guesses(rate_limit, "::ffff:198.51.100.1", MOST_FAILURES)
    assert rate_limit.failed("::ffff:198.51.100.2") == 0


@pytest.mark.parametrize("peer", ["", "no address", "fe80::1%eth0", "x" * 10_000])
def test_any_text_is_counted_as_a_peer(clock: Clock, peer: str) -> None:
    rate_limit = TokenRateLimit(clock)
    assert any(guesses(rate_limit, peer, MOST_FAILURES + 1))


def test_memory_is_bounded_and_the_latest_failures_are_kept(clock: Clock) -> None:
    rate_limit = TokenRateLimit(clock)
    guesses(rate_limit, "203.0.113.1", MOST_FAILURES)
    for number in range(MOST_PEERS + 100):
        rate_limit.failed(f"peer {number}")
        if number % 1000 == 0:
            assert rate_limit.failed("203.0.113.1") > 0
    assert len(rate_limit._failures) == MOST_PEERS
