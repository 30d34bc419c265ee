"""The input audio buffer: what the client appended, its clock, and who speaks in it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from app.audio import pcm16_dbfs
from app.simulator.realtime.config import AudioFormat

_WINDOW_MS = 20
_SEMANTIC_SILENCE_MS = 600  # semantic_vad is played as a plain wait, whatever its eagerness


@dataclass(frozen=True, slots=True)
class SpeechEdge:
    """Somebody began or finished to speak. `at_ms` counts appended audio: a start lies before the
    speech by the prefix padding, an end after it by the silence."""

    started: bool
    at_ms: int


class Detector(Protocol):
    """Tells speech from all else, for one session: it is told every window of its audio in turn.

    It is asked on the event loop, so it must be quick. `onset_ms`: so much speech without a gap
    begins a turn; a multiple of 20.
    """

    @property
    def onset_ms(self) -> int: ...

    def is_speech(self, pcm16: bytes, hz: int, threshold: float) -> bool:
        """Whether somebody speaks in this window of 20 ms. `threshold`: of the session's
        `turn_detection`, 0 to 1; the higher, the surer it must be."""
        ...

    def reset(self) -> None:
        """What comes next does not follow on what came before."""
        ...


class Loudness:
    """Takes what is loud for speech: above -50 dBFS at threshold 0, above -30 dBFS at 1."""

    onset_ms = 60  # a click on the line is no speech

    def is_speech(self, pcm16: bytes, hz: int, threshold: float) -> bool:
        return pcm16_dbfs(pcm16) > -50 + 20 * threshold

    def reset(self) -> None:
        pass


class InputBuffer:
    """Appended audio that no item holds yet, and turn detection over it.

    `detector` says of each window of 20 ms whether it is speech; what makes a turn of it is here.
    """

    def __init__(self, detector: Callable[[], Detector] = Loudness) -> None:
        self.end_ms = 0.0
        self._detector = detector()
        self._format = AudioFormat("audio/pcm")
        self._detection: dict[str, Any] | None = None
        self._pending = bytearray()
        self._window = bytearray()
        self._windows_end_ms = 0.0
        self._speaking = self._by_hand = False
        self._run = 0  # windows in a row that speak for the other state

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
        """Add audio. Take every edge, and commit at an end, before asking for the next one."""
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
            # silence that no turn will hold is not kept
            self._keep_from(self.end_ms - self._prefix_ms - self._detector.onset_ms - _WINDOW_MS)

    def begin_by_hand(self) -> int:
        """Speech starts here whatever it sounds like, until `end_by_hand`. Returns where, in ms."""
        self._speaking = self._by_hand = True
        return self._start(self.end_ms)

    def end_by_hand(self) -> int:
        """Speech that was begun by hand, or heard, ends here. Returns where, in ms."""
        self._speaking = self._by_hand = False
        self._run = 0
        return round(self.end_ms)

    def pending_ms(self) -> float:
        return len(self._pending) / self._format.bytes_per_ms

    def take(self, until_ms: float | None = None) -> bytes:
        """Commit: the pending audio up to `until_ms`, in the session's input format."""
        later_ms = max(0.0, self.end_ms - until_ms) if until_ms is not None else 0.0
        size = max(0, len(self._pending) - round(later_ms) * self._format.bytes_per_ms)
        taken = bytes(self._pending[:size])
        del self._pending[:size]
        return taken

    def clear(self) -> None:
        """Forget what is pending; the clock runs on."""
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
        """Keep the pending audio from the padded onset on; says where that is."""
        self._keep_from(onset_ms - self._prefix_ms)
        return max(0, round(self.end_ms - self.pending_ms()))

    def _keep_from(self, from_ms: float) -> None:
        kept = max(0, round(self.end_ms - from_ms)) * self._format.bytes_per_ms
        if kept < len(self._pending):
            del self._pending[: len(self._pending) - kept]
