"""Exponential back-off: how long to wait before a retry, in whatever unit the waits have."""

import math


def backoff(first: float, failures: int, longest: float = math.inf) -> float:
    """The wait after this many failures in a row: `first`, doubled by each failure after the first
    one, `longest` at most. Callers that retry at the same time add jitter."""
    return min(longest, first * 2.0 ** max(0, failures - 1))
