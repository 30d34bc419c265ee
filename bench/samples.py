"""Latency samples and their summary."""

from array import array
from collections.abc import Iterable, Sequence
from math import ceil

import msgspec


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of sorted values, at least one."""
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]


class Summary(msgspec.Struct, frozen=True):
    """Milliseconds. All zero when nothing was measured (`count` 0)."""

    count: int = 0
    p50: float = 0.0
    p99: float = 0.0
    p999: float = 0.0
    max: float = 0.0


class Samples:
    """Collects values in milliseconds."""

    def __init__(self, values: Iterable[float] = ()) -> None:
        self._values = array("d", values)
        self.add = self._values.append

    def summary(self) -> Summary:
        """The summary of the values, rounded to a microsecond."""
        ordered = sorted(self._values)
        if not ordered:
            return Summary()
        p50, p99, p999, most = (percentile(ordered, percent) for percent in (50, 99, 99.9, 100))
        return Summary(len(ordered), round(p50, 3), round(p99, 3), round(p999, 3), round(most, 3))
