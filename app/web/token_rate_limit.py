"""A rate limit on wrong tokens, against guessing.

It only counts failures. The right token is never refused, even from an address that sent wrong
ones: behind a proxy, all clients have the same address.
"""

import math
from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network, ip_address
from time import monotonic

MOST_FAILURES = 30
WINDOW_S = 60.0
MOST_PEERS = 10_000
_IPV6_PREFIX = 64  # the network of one subscriber


class TokenRateLimit:
    """Counts wrong tokens by peer, `MOST_PEERS` at most. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._failures: dict[str, tuple[float, int]] = {}  # by network: window start, count

    def failed(self, peer: str) -> int:
        """Count a wrong token. Returns 0, or the seconds until the peer may try again.

        Answer 429 with Retry-After if it is not 0.
        """
        now_s, key = self._clock(), _network(peer)
        since_s, count = self._failures.pop(key, (now_s, 0))
        if now_s - since_s >= WINDOW_S:
            since_s, count = now_s, 0
        while len(self._failures) >= MOST_PEERS:
            del self._failures[next(iter(self._failures))]
        self._failures[key] = since_s, count + 1  # now the newest entry: removed last
        return math.ceil(since_s + WINDOW_S - now_s) if count >= MOST_FAILURES else 0


def _network(peer: str) -> str:
    """What counts as one peer: an IPv4 address, or an IPv6 network."""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return peer[:64]
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(IPv6Network((address, _IPV6_PREFIX), strict=False))
    return peer
