"""The input audio buffer: appended audio, its clock, and turn detection."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from app.audio import pcm16_dbfs
from app.simulator.realtime.config import AudioFormat

_WINDOW_MS = 20
_SEMANTIC_SILENCE_MS = 600  # semantic_vad is played as a plain wait, whatever its eagerness


@dataclass(frozen=True, slots=True)
class SpeechEdge:
    """The caller started or stopped speaking."""

    started: bool
    #: Of appended audio: a start is earlier than the speech by the prefix padding, an end later by
    #: the silence.
    at_ms: int


class Detector(Protocol):
    """Detects speech in the audio of one session, window by window.

    It runs on the event loop, so it must be quick.
    """

    @property
    def onset_ms(self) -> int:
        """How much speech without a gap starts a turn; a multiple of 20."""
        ...

    def is_speech(self, pcm16: bytes, hz: int, threshold: float) -> bool:
        """Whether this window of 20 ms is speech.

        `threshold`: of the session's `turn_detection`, 0 to 1; a higher one needs louder or clearer
        speech.
        """
        ...

    def reset(self) -> None:
        """Forget the audio so far: the next window does not continue it."""
        ...


class Loudness:
    """Takes loud windows for speech: above -50 dBFS at threshold 0, above -30 dBFS at 1."""

    onset_ms = 60  # longer than a click on the line

    def is_speech(self, pcm16: bytes, hz: int, threshold: float) -> bool:
        return pcm16_dbfs(pcm16) > -50 + 20 * threshold

    def reset(self) -> None:
        pass


class InputBuffer:
    """Appended audio that is not committed yet, and turn detection over it.

    The detector judges windows of 20 ms; this class finds where turns start and end.
    """

    def __init__(self, detector: Callable[[], Detector] = Loudness) -> None:
        #: How much audio was appended in all.
        self.end_ms = 0.0
        self._detector = detector()
        self._format = AudioFormat("audio/pcm")
        self._detection: dict[str, Any] | None = None
        self._pending = bytearray()
        self._window = bytearray()
        self._windows_end_ms = 0.0
        self._speaking = self._by_hand = False
        self._run = 0  # consecutive windows that contradict `_speaking`

    def configure(self, audio_format: AudioFormat, detection: dict[str, Any] | None) -> None:
        """Take the session's input format and `turn_detection`."""
        if audio_format != self._format:
            self.clear()
        self._format = audio_format
        self._detection = detection
        if detection is None:
            self._speaking = self._by_hand = False
            self._detector.reset()

    def append(self, data: bytes) -> Iterator[SpeechEdge]:
        """Add audio. At each edge that is an end, call `take` before asking for the next edge."""
        self._pending += data
        self.end_ms += len(data) / self._format.bytes_per_ms
        if self._detection is None:
            return
        self._window += data
        size = _WINDOW_MS * self._format.bytes_per_ms
        while len(self._window) >= size:
            window = bytes(self._window[:size])
            del self._window[:size]
            self._windows_end_ms += _WINDOW_MS
            edge = self._judge(window)
            if edge is not None:
                yield edge
        if not self._speaking:
            # Drop silence that is too old for the padding of the next turn.
            self._keep_from(self.end_ms - self._prefix_ms - self._detector.onset_ms - _WINDOW_MS)

    def begin_by_hand(self) -> int:
        """Start speech here, whatever the audio, until `end_by_hand`. Returns where, in ms."""
        self._speaking = self._by_hand = True
        return self._start(self.end_ms)

    def end_by_hand(self) -> int:
        """End speech here, detected or begun by hand. Returns where, in ms."""
        self._speaking = self._by_hand = False
        self._run = 0
        return round(self.end_ms)

    def pending_ms(self) -> float:
        """How much audio a commit would take."""
        return len(self._pending) / self._format.bytes_per_ms

    def take(self, until_ms: float | None = None) -> bytes:
        """Remove and return the pending audio up to `until_ms`, in the session's input format."""
        later_ms = max(0.0, self.end_ms - until_ms) if until_ms is not None else 0.0
        size = max(0, len(self._pending) - round(later_ms) * self._format.bytes_per_ms)
        taken = bytes(self._pending[:size])
        del self._pending[:size]
        return taken

    def clear(self) -> None:
        """Drop the pending audio; the clock keeps its time."""
        self._pending.clear()
        self._window.clear()
        self._windows_end_ms = self.end_ms
        self._speaking = self._by_hand = False
        self._run = 0
        self._detector.reset()

    @property
    def _prefix_ms(self) -> int:
        return int((self._detection or {}).get("prefix_padding_ms", 300))

    def _judge(self, window: bytes) -> SpeechEdge | None:
        detection = self._detection or {}
        if self._by_hand:
            return None
        pcm16 = self._format.to_pcm16(window)
        hz = len(pcm16) // 2 * 1000 // _WINDOW_MS
        spoken = self._detector.is_speech(pcm16, hz, detection.get("threshold", 0.5))
        self._run = self._run + 1 if spoken != self._speaking else 0
        silence_ms = detection.get("silence_duration_ms", _SEMANTIC_SILENCE_MS)
        if not self._speaking and self._run * _WINDOW_MS >= self._detector.onset_ms:
            self._speaking, onset_ms = True, self._windows_end_ms - self._run * _WINDOW_MS
            self._run = 0
            return SpeechEdge(True, self._start(onset_ms))
        if self._speaking and self._run and self._run * _WINDOW_MS >= silence_ms:
            self._speaking, self._run = False, 0
            return SpeechEdge(False, round(self._windows_end_ms))
        return None

    def _start(self, onset_ms: float) -> int:
        """Keep the pending audio from the padded onset on. Returns where that is, in ms."""
        self._keep_from(onset_ms - self._prefix_ms)
        return max(0, round(self.end_ms - self.pending_ms()))

    def _keep_from(self, from_ms: float) -> None:
        kept = max(0, round(self.end_ms - from_ms)) * self._format.bytes_per_ms
        if kept < len(self._pending):
            del self._pending[: len(self._pending) - kept]
