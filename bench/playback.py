"""Twilio's playback buffer: what a caller has heard, with time as a number.

It plays 8 bytes per millisecond, echoes a mark when the media before it have played, and on `clear`
drops the rest and echoes all pending marks. (Twilio: Media Streams, WebSocket messages)
"""

from collections import deque
from math import inf

BYTES_PER_MS = 8


class PlaybackBuffer:
    """One caller's playback buffer. `now_ms`: monotonic milliseconds, never decreasing."""

    def __init__(self) -> None:
        #: When all buffered audio will have played.
        self.end_ms = -inf
        self._spans: dict[int, list[tuple[float, float]]] = {}
        self._marks: deque[tuple[float, str]] = deque()

    def play(self, answer: int, size_bytes: int, now_ms: float) -> None:
        """Queue audio. `answer`: the number of its answer, or another number for other audio."""
        start_ms = max(now_ms, self.end_ms)
        self.end_ms = start_ms + size_bytes / BYTES_PER_MS
        self._spans.setdefault(answer, []).append((start_ms, self.end_ms))

    def heard_ms(self, answer: int, now_ms: float = inf) -> float:
        """How much of an answer has played by `now_ms`; by default, how much will have played."""
        spans = self._spans.get(answer, ())
        return sum(min(end, now_ms) - start for start, end in spans if start < now_ms)

    def ended_ms(self, answer: int) -> float:
        """When the last audio of an answer ends; minus infinity if none arrived."""
        spans = self._spans.get(answer)
        return spans[-1][1] if spans else -inf

    def mark(self, name: str, now_ms: float) -> None:
        """Queue a mark: it is due when all audio before it has played."""
        self._marks.append((max(now_ms, self.end_ms), name))

    @property
    def next_mark_ms(self) -> float:
        """When the next mark is due, or infinity."""
        return self._marks[0][0] if self._marks else inf

    def reached_marks(self, now_ms: float) -> list[str]:
        """Remove the marks that are due, and return their names."""
        names = []
        while self._marks and self._marks[0][0] <= now_ms:
            names.append(self._marks.popleft()[1])
        return names

    def clear(self, now_ms: float) -> list[str]:
        """Drop audio that has not played. Returns the names of all pending marks."""
        if self.end_ms > now_ms:
            for answer, spans in self._spans.items():
                if spans[-1][1] > now_ms:
                    kept = [(start, min(end, now_ms)) for start, end in spans if start < now_ms]
                    self._spans[answer] = kept or [(now_ms, now_ms)]
            self.end_ms = now_ms
        return self.reached_marks(inf)
