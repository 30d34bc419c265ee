"""Gaps in the agent's audio, from the times at both ends. Pure."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

Span = tuple[float, float]


class Stalls:
    """When the load itself did not run, from timers that fired late: delays at these times are not
    the service's. Times are in ms, in order."""

    def __init__(self) -> None:
        self._spans: list[Span] = []

    def late(self, at_ms: float, late_ms: float) -> None:
        """Record a timer that fired `late_ms` late, at `at_ms`."""
        start_ms = at_ms - late_ms
        if self._spans and start_ms <= self._spans[-1][1]:
            start_ms = min(start_ms, self._spans.pop()[0])
        self._spans.append((start_ms, at_ms))

    def within(self, from_ms: float, to_ms: float) -> float:
        """How long the load did not run in this span."""
        total_ms = 0.0
        for start_ms, end_ms in self._spans[bisect_left(self._spans, from_ms, key=_end) :]:
            if start_ms >= to_ms:
                break
            total_ms += min(end_ms, to_ms) - max(start_ms, from_ms)
        return total_ms

    def longest_ms(self, from_ms: float, to_ms: float) -> float:
        """The longest stall that overlaps this span."""
        spans = [each for each in self._spans if each[1] > from_ms and each[0] < to_ms]
        return max((end - start for start, end in spans), default=0.0)


def _end(span: Span) -> float:
    return span[1]


def gap_ms(
    sent_ms: Sequence[float], arrived_ms: Sequence[float], stalls: Stalls, window: Span
) -> float:
    """The longest wait of a caller for the next frame of one answer, beyond the time that the model
    took to send it.

    `sent_ms`, `arrived_ms`: of each frame, in order. Frames that have not arrived are missing at
    the end of `arrived_ms`: the wait for them lasts until the end of the window. Only waits that
    end in the window count.
    """
    start_ms, end_ms = window
    # The first frame is measured from the time at which it was sent.
    arrived = [sent_ms[0], *arrived_ms] if sent_ms else []
    sent = [sent_ms[0], *sent_ms] if sent_ms else []
    if len(arrived) < len(sent) and sent[len(arrived)] < end_ms:
        arrived.append(end_ms)
    longest_ms = 0.0
    for number, (before_ms, at_ms) in enumerate(pairwise(arrived), 1):
        if not start_ms <= at_ms <= end_ms:
            continue
        took_ms = sent[number] - sent[number - 1]
        held_ms = at_ms - before_ms - took_ms - stalls.within(before_ms, at_ms)
        longest_ms = max(longest_ms, held_ms)
    return longest_ms
