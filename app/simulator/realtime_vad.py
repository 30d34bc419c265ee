"""The input audio buffer: what the client appended, its clock, and who speaks in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.audio import pcm16_dbfs
from app.simulator.realtime_config import AudioFormat

_WINDOW_MS = 20
_ONSET_WINDOWS = 3  # 60 ms of sound: a click on the line is no speech
_SEMANTIC_SILENCE_MS = 600  # semantic_vad is played as a plain wait, whatever its eagerness


@dataclass(frozen=True, slots=True)
class SpeechEdge:
    """Somebody began or finished to speak. `at_ms` counts appended audio: a start lies before the
    speech by the prefix padding, an end after it by the silence."""

    started: bool
    at_ms: int


class InputBuffer:
    """Appended audio that no item holds yet, and turn detection by loudness over it.

    A window of 20 ms is loud above -50 dBFS at threshold 0 and above -30 dBFS at threshold 1.
    """

    def __init__(self) -> None:
        self.end_ms = 0.0
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
            edge = self._judge(pcm16_dbfs(self._format.to_pcm16(window)))
            if edge is not None:
                yield edge
        if not self._speaking:
            # silence that no turn will hold is not kept
            self._keep_from(self.end_ms - self._prefix_ms - (_ONSET_WINDOWS + 1) * _WINDOW_MS)

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

    @property
    def _prefix_ms(self) -> int:
        return int((self._detection or {}).get("prefix_padding_ms", 300))

    def _judge(self, level_dbfs: float) -> SpeechEdge | None:
        detection = self._detection or {}
        if self._by_hand:
            return None
        loud = level_dbfs > -50 + 20 * detection.get("threshold", 0.5)
        self._run = self._run + 1 if loud != self._speaking else 0
        silence_ms = detection.get("silence_duration_ms", _SEMANTIC_SILENCE_MS)
        if not self._speaking and self._run >= _ONSET_WINDOWS:
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
