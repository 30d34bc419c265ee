"""Exponential back-off: how long to wait before a retry, in whatever unit the waits have."""

import math

_MOST_DOUBLINGS = 1000  # 2.0 to the power of 1024 raises OverflowError


def backoff(first: float, failures: int, longest: float = math.inf) -> float:
    """The wait after this many failures in a row: `first`, doubled by each failure after the first
    one, `longest` at most. Callers that retry at the same time add jitter."""
    return min(longest, first * 2.0 ** min(max(0, failures - 1), _MOST_DOUBLINGS))
