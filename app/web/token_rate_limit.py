"""A rate_limit on guesses: whoever sends wrong tokens again and again is asked to wait.

It is for failures only. The right token is never held up, though it comes from the same address as
a stranger's guesses: behind a proxy all do.
"""

import math
from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network, ip_address
from time import monotonic

MOST_FAILURES = 30
WINDOW_S = 60.0
MOST_PEERS = 10_000
_IPV6_PREFIX = 64  # what one subscriber has


class TokenRateLimit:
    """Counts wrong tokens by peer. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._failures: dict[str, tuple[float, int]] = {}  # by peer: since when, and how many

    def failed(self, peer: str) -> int:
        """A wrong token came. Returns how many seconds the peer has to wait; 0 for not at all."""
        now_s, key = self._clock(), _network(peer)
        since_s, count = self._failures.pop(key, (now_s, 0))
        if now_s - since_s >= WINDOW_S:
            since_s, count = now_s, 0
        while len(self._failures) >= MOST_PEERS:
            del self._failures[next(iter(self._failures))]
        self._failures[key] = since_s, count + 1  # the last to be forgotten
        return math.ceil(since_s + WINDOW_S - now_s) if count >= MOST_FAILURES else 0


def _network(peer: str) -> str:
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return peer[:64]
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(IPv6Network((address, _IPV6_PREFIX), strict=False))
    return peer
