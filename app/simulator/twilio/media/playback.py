"""Twilio's playback buffer: what the caller hears and when, with time as an argument.

Audio is µ-law at 8000 Hz, 8 bytes per millisecond, and plays first in, first out in real time.
Times are milliseconds of one monotonic clock; they never decrease from one method call to the next.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from app.audio import ULAW_BYTES_PER_MS

BYTES_PER_MS = ULAW_BYTES_PER_MS
BUFFER_LIMIT_MS = 10 * 60_000


@dataclass(slots=True)
class PlayedMedia:
    """A `media` message in the buffer."""

    payload: bytes
    arrived_ms: float
    starts_ms: float
    #: How much of the payload plays: all of it, or less after a `clear` or the end of the stream.
    kept_bytes: int

    @property
    def ends_ms(self) -> float:
        """When the last kept byte has played."""
        return self.starts_ms + self.kept_bytes / BYTES_PER_MS

    def heard_bytes(self, at_ms: float) -> int:
        """How much of it was heard by `at_ms`, in whole bytes."""
        # The small addition corrects rounding of float sums: 20 ms are 160 bytes, not 159.
        elapsed = int((at_ms - self.starts_ms) * BYTES_PER_MS + 1e-4)
        return max(0, min(self.kept_bytes, elapsed))


@dataclass(slots=True)
class PlayedMark:
    """A `mark` message in the buffer."""

    name: str
    arrived_ms: float
    #: When the media before it has played.
    due_ms: float
    #: None: it is pending, or the stream ended first.
    echoed_ms: float | None = None
    #: A `clear` echoed it before its media had played.
    flushed: bool = False


@dataclass(frozen=True, slots=True)
class Cleared:
    """A `clear` message, and what it removed from the buffer."""

    at_ms: float
    dropped_bytes: int
    flushed_marks: tuple[str, ...]


class PlaybackClock:
    """The playback buffer of one call, and the log of everything that it received."""

    def __init__(self) -> None:
        #: Every media message that was buffered, in order; so are `marks` and `clears`.
        self.media: list[PlayedMedia] = []
        self.marks: list[PlayedMark] = []
        self.clears: list[Cleared] = []
        #: Payloads dropped because more than ten minutes were buffered (31931).
        self.discarded: list[bytes] = []
        self._outstanding: deque[PlayedMark] = deque()
        self._plays_until_ms = float("-inf")
        self._kept_bytes = 0

    @property
    def plays_until_ms(self) -> float:
        """When the buffer is empty if no media follow; minus infinity if none ever arrived."""
        return self._plays_until_ms

    @property
    def next_mark_ms(self) -> float | None:
        """When the next pending mark is due; None: no mark is pending."""
        return self._outstanding[0].due_ms if self._outstanding else None

    def play(self, payload: bytes, at_ms: float) -> bool:
        """Buffer a media message. False: the buffer is full, and the message is discarded."""
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
        """Buffer a mark behind the media before it. `due_marks` or `clear` returns its name."""
        mark = PlayedMark(name, at_ms, max(at_ms, self._plays_until_ms))
        self.marks.append(mark)
        self._outstanding.append(mark)

    def due_marks(self, at_ms: float) -> list[str]:
        """The names of marks that became due since the last call. Echo them to the bridge."""
        due = []
        while self._outstanding and self._outstanding[0].due_ms <= at_ms:
            mark = self._outstanding.popleft()
            mark.echoed_ms = at_ms
            due.append(mark.name)
        return due

    def clear(self, at_ms: float) -> list[str]:
        """Empty the buffer. Returns the names of all pending marks, in order. Echo them too."""
        echoed = self.due_marks(at_ms)
        flushed = []
        for mark in self._outstanding:
            mark.echoed_ms, mark.flushed = at_ms, True
            flushed.append(mark.name)
        self._outstanding.clear()
        self.clears.append(Cleared(at_ms, self._cut(at_ms), tuple(flushed)))
        return echoed + flushed

    def end(self, at_ms: float) -> None:
        """The stream has ended: drop buffered media and pending marks."""
        self._outstanding.clear()
        self._cut(at_ms)

    def heard_bytes(self, at_ms: float) -> int:
        """How much the caller heard by `at_ms`, over all streams of the call."""
        unheard = 0
        for media in self._playing_after(at_ms):
            unheard += media.kept_bytes - media.heard_bytes(at_ms)
        return self._kept_bytes - unheard

    def heard(self, at_ms: float) -> bytes:
        """Exactly what the caller heard by `at_ms`, without the silence between messages."""
        return b"".join(media.payload[: media.heard_bytes(at_ms)] for media in self.media)

    def heard_at_ms(self, size_bytes: int) -> float | None:
        """When the caller has heard `size_bytes`, or None if that much has not arrived."""
        before = self._kept_bytes
        if before < size_bytes:
            return None
        for media in reversed(self.media):
            before -= media.kept_bytes
            if before < size_bytes:
                return media.starts_ms + (size_bytes - before) / BYTES_PER_MS
        return float("-inf")

    def spans(self, at_ms: float) -> list[tuple[float, float]]:
        """When media played by `at_ms`: begin and end of each span without a gap."""
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
