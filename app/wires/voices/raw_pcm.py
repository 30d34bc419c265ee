"""Reads a response body of raw PCM as whole samples, and rejects what is not speech."""

import codecs
import re

from app.audio import pcm16_size, whole_samples
from app.errors import VoiceErrorKind
from app.wires.voices.voice import LONGEST_MAGIC_BYTES, file_in

#: Seconds of sound for one text. A body that is longer is not speech.
LONGEST_SOUND_S = 120
#: So many bytes tell text from sound.
TEXT_BYTES = 32

_TEXT_TYPE = re.compile(r"text/.*|application/(.*\+)?(json|xml)|application/.*javascript")
# HTML, XML or JSON in any encoding that has ASCII. As sound it would begin with a loud crack.
_MARKUP = re.compile(rb"\s*[<{\[]\s*[!-~]")


class NotSpeech(Exception):
    """The body is not raw PCM, is empty, or is too long. `kind`: as `VoiceError.kind`."""

    def __init__(self, what: str, kind: VoiceErrorKind) -> None:
        super().__init__(what)
        self.kind = kind


class RawPcm:
    """Reassembles samples of 2 bytes from chunks of any size. `feed` every chunk, then `finish`.

    Args:
        rate_hz: The sample rate.
        content_type: As the server labels the body. Content types are unreliable: the sample of the
            HTTP standard labels its PCM audio/mpeg, and frameworks label bytes text/html. So that
            of a text only means that the body is rejected if it is one.
    """

    def __init__(self, rate_hz: int, content_type: str = "") -> None:
        #: Bytes received so far.
        self.size_bytes = 0
        self._limit_bytes = pcm16_size(rate_hz, LONGEST_SOUND_S * 1000)
        self._text_type = content_type if _TEXT_TYPE.fullmatch(content_type) else ""
        self._decisive_bytes = TEXT_BYTES if self._text_type else LONGEST_MAGIC_BYTES
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
        if not self._checked and len(data) < self._decisive_bytes:
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
        if not self._checked:
            if found := file_in(data):
                raise NotSpeech(f"the server returned {found} in place of raw PCM", "fatal")
            if self._text_type and _is_text(data[:TEXT_BYTES]):
                what = f"expected audio, got a text of the content type {self._text_type}"
                raise NotSpeech(what, "fatal")
        self._checked = True


def _is_text(data: bytes) -> bool:
    """Whether a body that begins with `data` is a text."""
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(data)
    except UnicodeDecodeError:
        text = ""
    printable = bool(text) and all(each.isprintable() or each.isspace() for each in text)
    return printable or bool(_MARKUP.match(data))
