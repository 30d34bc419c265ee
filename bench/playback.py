"""Twilio's playback buffer: what a caller has really heard, time as a number.

It plays 8 bytes per millisecond, says when a mark was reached, and drops the rest on `clear`,
echoing every outstanding mark (Twilio: media streams websocket messages).
"""

from collections import deque
from math import inf

BYTES_PER_MS = 8


class PlaybackBuffer:
    """One caller's ear. `now_ms`: monotonic milliseconds, never going back."""

    def __init__(self) -> None:
        self.end_ms = -inf  # when all that was sent will have played
        self._spans: dict[int, list[tuple[float, float]]] = {}
        self._marks: deque[tuple[float, str]] = deque()

    def play(self, answer: int, size_bytes: int, now_ms: float) -> None:
        """Queue audio of an answer (any number of ours for audio that belongs to none)."""
        start_ms = max(now_ms, self.end_ms)
        self.end_ms = start_ms + size_bytes / BYTES_PER_MS
        self._spans.setdefault(answer, []).append((start_ms, self.end_ms))

    def heard_ms(self, answer: int, now_ms: float = inf) -> float:
        """How much of an answer has played by `now_ms`; without it: will have played."""
        spans = self._spans.get(answer, ())
        return sum(min(end, now_ms) - start for start, end in spans if start < now_ms)

    def ended_ms(self, answer: int) -> float:
        """When an answer fell silent, or will; minus infinity when none of it came."""
        spans = self._spans.get(answer)
        return spans[-1][1] if spans else -inf

    def mark(self, name: str, now_ms: float) -> None:
        """Take a mark; it is due once everything before it has played."""
        self._marks.append((max(now_ms, self.end_ms), name))

    @property
    def next_mark_ms(self) -> float:
        """When the next mark is due, or infinity."""
        return self._marks[0][0] if self._marks else inf

    def reached_marks(self, now_ms: float) -> list[str]:
        """Take out the marks that are due."""
        names = []
        while self._marks and self._marks[0][0] <= now_ms:
            names.append(self._marks.popleft()[1])
        return names

    def clear(self, now_ms: float) -> list[str]:
        """Drop what has not played; gives the marks that are echoed for it."""
        if self.end_ms > now_ms:
            for answer, spans in self._spans.items():
                if spans[-1][1] > now_ms:
                    kept = [(start, min(end, now_ms)) for start, end in spans if start < now_ms]
                    self._spans[answer] = kept or [(now_ms, now_ms)]
            self.end_ms = now_ms
        return self.reached_marks(inf)
