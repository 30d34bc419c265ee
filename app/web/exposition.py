"""Counters and histograms in Prometheus' text format, cheap to show.

Making hundreds of series anew for each scrape would hold up the audio of calls, so each series
keeps its lines until it changes.
"""

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from prometheus_client.utils import floatToGoString

_Values = tuple[str, ...]


class Family(ABC):
    """The series of one metric. All are shown from the start, so that the first count is an
    increase too. Not for threads.

    Args:
        labels: the values of each label, by its name.
    """

    def __init__(
        self, name: str, kind: str, documentation: str, labels: Mapping[str, Sequence[str]]
    ) -> None:
        self._head = f"# HELP {name} {documentation}\n# TYPE {name} {kind}\n"
        self._labels = tuple(labels)
        #: The values of the labels of each series.
        self._series = tuple(dict.fromkeys(product(*labels.values())))
        # Of series that have not changed since.
        self._lines: dict[_Values, str] = {}

    def text(self) -> str:
        """All series."""
        lines = self._lines
        for values in self._series:
            if values not in lines:
                lines[values] = "".join(f"{each}\n" for each in self._lines_of(values))
        return self._head + "".join([lines[values] for values in self._series])

    @abstractmethod
    def _lines_of(self, values: _Values) -> Iterator[str]: ...

    def _line(self, name: str, values: _Values, number: float, **others: str) -> str:
        labels = sorted({**dict(zip(self._labels, values, strict=True)), **others}.items())
        shown = ",".join(f'{label}="{_escaped(value)}"' for label, value in labels)
        return f"{name}{{{shown}}} {_number(number)}" if shown else f"{name} {_number(number)}"


class Counter(Family):
    """A metric that only rises. `name`: without `_total`."""

    def __init__(
        self, name: str, documentation: str, labels: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self._name = f"{name}_total"
        super().__init__(self._name, "counter", documentation, labels or {})
        self._counts = dict.fromkeys(self._series, 0.0)

    def inc(self, *values: str, by: float = 1.0) -> None:
        """Raise the series of these values of the labels, in the order of their names."""
        self._counts[values] += by
        self._lines.pop(values, None)

    def _lines_of(self, values: _Values) -> Iterator[str]:
        yield self._line(self._name, values, self._counts[values])


class Histogram(Family):
    """How many observations were at most as large as each bound, and their sum.

    `buckets`: the bounds, in their order.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Mapping[str, Sequence[str]] | None = None,
        *,
        buckets: Sequence[float],
    ) -> None:
        self._name, self._bounds = name, (*buckets, float("inf"))
        super().__init__(name, "histogram", documentation, labels or {})
        self._counts = {values: [0] * len(self._bounds) for values in self._series}
        self._sums = dict.fromkeys(self._series, 0.0)

    def observe(self, *values: str, amount: float) -> None:
        """Count an observation in the series of these values of the labels."""
        self._counts[values][bisect_left(self._bounds, amount)] += 1
        self._sums[values] += amount
        self._lines.pop(values, None)

    def _lines_of(self, values: _Values) -> Iterator[str]:
        count = 0
        for bound, more in zip(self._bounds, self._counts[values], strict=True):
            count += more
            yield self._line(f"{self._name}_bucket", values, count, le=_number(bound))
        yield self._line(f"{self._name}_count", values, count)
        yield self._line(f"{self._name}_sum", values, self._sums[values])


def _number(value: float) -> str:
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
