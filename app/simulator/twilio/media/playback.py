"""What the caller hears and when: Twilio's playback buffer, with time as an argument.

Audio is µ-law at 8000 Hz, 8 bytes a millisecond, and plays first in, first out in real time. Times
are milliseconds of one monotonic clock and never run backwards from call to call.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

BYTES_PER_MS = 8
BUFFER_LIMIT_MS = 10 * 60_000


@dataclass(slots=True)
class PlayedMedia:
    """A media message: when it came, when it begins to play, how much of it a clear left over."""

    payload: bytes
    arrived_ms: float
    starts_ms: float
    kept_bytes: int

    @property
    def ends_ms(self) -> float:
        """When the last byte that is not cut has been played."""
        return self.starts_ms + self.kept_bytes / BYTES_PER_MS

    def heard_bytes(self, at_ms: float) -> int:
        """How much of it was heard by then, in whole bytes."""
        # The tiny addition undoes the rounding of sums of floats: 20 ms are 160 bytes, not 159.
        elapsed = int((at_ms - self.starts_ms) * BYTES_PER_MS + 1e-4)
        return max(0, min(self.kept_bytes, elapsed))


@dataclass(slots=True)
class PlayedMark:
    """A mark: reached at `due_ms`, unless flushed by a clear. `echoed_ms`: None while it waits, or
    for ever if the stream ended first."""

    name: str
    arrived_ms: float
    due_ms: float
    echoed_ms: float | None = None
    flushed: bool = False


@dataclass(frozen=True, slots=True)
class Cleared:
    """A clear that took effect, and what it took away."""

    at_ms: float
    dropped_bytes: int
    flushed_marks: tuple[str, ...]


class PlaybackClock:
    """Twilio's buffer of one call, and the log of all that ever went through it.

    `media`, `marks`, `clears`: everything received, in order. `discarded`: messages thrown away
    because more than ten minutes were buffered (31931).
    """

    def __init__(self) -> None:
        self.media: list[PlayedMedia] = []
        self.marks: list[PlayedMark] = []
        self.clears: list[Cleared] = []
        self.discarded: list[bytes] = []
        self._outstanding: deque[PlayedMark] = deque()
        self._plays_until_ms = float("-inf")
        self._kept_bytes = 0

    @property
    def plays_until_ms(self) -> float:
        """When the buffer runs dry if nothing more comes; minus infinity if nothing ever came."""
        return self._plays_until_ms

    @property
    def next_mark_ms(self) -> float | None:
        """When `due_marks` has something to give, or None."""
        return self._outstanding[0].due_ms if self._outstanding else None

    def play(self, payload: bytes, at_ms: float) -> bool:
        """Takes a media message. False: the buffer is full and the message was discarded."""
        starts_ms = max(at_ms, self._plays_until_ms)
        media = PlayedMedia(payload, at_ms, starts_ms, len(payload))
        if media.ends_ms - at_ms > BUFFER_LIMIT_MS:
            self.discarded.append(payload)
            return False
        self.media.append(media)
        self._kept_bytes += len(payload)
        self._plays_until_ms = media.ends_ms
        return True

    def mark(self, name: str, at_ms: float) -> None:
        """Takes a mark, behind all media before it. `due_marks` and `clear` give it back."""
        mark = PlayedMark(name, at_ms, max(at_ms, self._plays_until_ms))
        self.marks.append(mark)
        self._outstanding.append(mark)

    def due_marks(self, at_ms: float) -> list[str]:
        """The marks that were reached by now and not yet given: Twilio echoes them."""
        due = []
        while self._outstanding and self._outstanding[0].due_ms <= at_ms:
            mark = self._outstanding.popleft()
            mark.echoed_ms = at_ms
            due.append(mark.name)
        return due

    def clear(self, at_ms: float) -> list[str]:
        """Empties the buffer. Gives every outstanding mark, in order: Twilio echoes those too."""
        echoed = self.due_marks(at_ms)
        flushed = []
        for mark in self._outstanding:
            mark.echoed_ms, mark.flushed = at_ms, True
            flushed.append(mark.name)
        self._outstanding.clear()
        self.clears.append(Cleared(at_ms, self._cut(at_ms), tuple(flushed)))
        return echoed + flushed

    def end(self, at_ms: float) -> None:
        """The stream is over: what is buffered is lost, and no mark is echoed any more."""
        self._outstanding.clear()
        self._cut(at_ms)

    def heard_bytes(self, at_ms: float) -> int:
        """How much the caller heard by then, over all streams of the call."""
        unheard = 0
        for media in self._playing_after(at_ms):
            unheard += media.kept_bytes - media.heard_bytes(at_ms)
        return self._kept_bytes - unheard

    def heard(self, at_ms: float) -> bytes:
        """Exactly what the caller heard by then, without the pauses in between."""
        return b"".join(media.payload[: media.heard_bytes(at_ms)] for media in self.media)

    def heard_at_ms(self, size_bytes: int) -> float | None:
        """When the caller has heard this much, or None if that much has not come yet."""
        before = self._kept_bytes
        if before < size_bytes:
            return None
        for media in reversed(self.media):
            before -= media.kept_bytes
            if before < size_bytes:
                return media.starts_ms + (size_bytes - before) / BYTES_PER_MS
        return float("-inf")

    def spans(self, at_ms: float) -> list[tuple[float, float]]:
        """When there was sound by then: the begin and end of each uninterrupted stretch."""
        spans: list[tuple[float, float]] = []
        for media in self.media:
            begin, end = media.starts_ms, min(media.ends_ms, at_ms)
            if end <= begin:
                continue
            if spans and begin <= spans[-1][1]:
                begin = spans.pop()[0]
            spans.append((begin, end))
        return spans

    def _playing_after(self, at_ms: float) -> Iterator[PlayedMedia]:
        for media in reversed(self.media):
            if media.ends_ms <= at_ms:
                return
            yield media

    def _cut(self, at_ms: float) -> int:
        dropped = 0
        for media in self._playing_after(at_ms):
            heard = media.heard_bytes(at_ms)
            dropped += media.kept_bytes - heard
            media.kept_bytes = heard
        self._kept_bytes -= dropped
        self._plays_until_ms = min(self._plays_until_ms, at_ms)
        return dropped
