"""Reads a response body of raw PCM as whole samples, and rejects what is not speech."""

from app.audio import pcm16_size, whole_samples
from app.errors import VoiceErrorKind
from app.wires.voices.voice import LONGEST_MAGIC_BYTES, file_in

#: Seconds of sound for one text. A body that is longer is not speech.
LONGEST_SOUND_S = 120


class NotSpeech(Exception):
    """The body is not raw PCM, is empty, or is too long. `kind`: as `VoiceError.kind`."""

    def __init__(self, what: str, kind: VoiceErrorKind) -> None:
        super().__init__(what)
        self.kind = kind


class RawPcm:
    """Reassembles samples of 2 bytes from chunks of any size. `feed` every chunk, then `finish`."""

    def __init__(self, rate_hz: int) -> None:
        #: Bytes received so far.
        self.size_bytes = 0
        self._limit_bytes = pcm16_size(rate_hz, LONGEST_SOUND_S * 1000)
        self._held = b""
        self._checked = False

    @property
    def ended_odd(self) -> bool:
        """Whether the body ended within a sample."""
        return self.size_bytes % 2 == 1

    def feed(self, chunk: bytes) -> bytes:
        """The samples that are complete by now, perhaps none. Raises NotSpeech."""
        self.size_bytes += len(chunk)
        if self.size_bytes > self._limit_bytes:
            raise NotSpeech(f"more than {LONGEST_SOUND_S} s of sound came for one text", "text")
        data = self._held + chunk
        if not self._checked and len(data) < LONGEST_MAGIC_BYTES:
            self._held = data
            return b""
        self._check(data)
        samples, self._held = whole_samples(data)
        return samples

    def finish(self) -> bytes:
        """The samples still held. Raises NotSpeech if the body had none at all."""
        if self.size_bytes < 2:
            raise NotSpeech("the answer had no sound in it", "passing")
        self._check(self._held)
        return whole_samples(self._held)[0]

    def _check(self, data: bytes) -> None:
        if not self._checked and (found := file_in(data)):
            raise NotSpeech(f"the server returned {found} in place of raw PCM", "fatal")
        self._checked = True
