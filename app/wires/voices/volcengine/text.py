"""What is done to a text before Volcengine gets it, and to the sound that comes back."""

import re
from collections.abc import Iterator

from app.errors import VoiceError
from app.wires.voices.voice import LONGEST_MAGIC_BYTES, file_in

LARGEST_TEXT_BYTES = 1024  # UTF-8; more is refused with 3010

_TAG = re.compile(r"<[^>]*>")
# Where a text may be cut, from the best place to the worst: all behind what is matched.
_CUTS = (
    re.compile(r"[.!?…]+[\"'”’»)]*\s+|[。！？।؟]+[”’」』）]*\s*"),
    re.compile(r"[,;:]\s+|[，、；：،]\s*"),
    re.compile(r"\s+"),
)
# The first bytes of MP3 with tags, WAV and Ogg. Sound begins with silence, not with letters.


def speakable(text: str) -> bool:
    """Whether there is a letter or a digit in it, outside of SSML's tags."""
    return any(character.isalnum() for character in _TAG.sub("", text))


def portions(text: str) -> Iterator[str]:
    """The text in pieces that Volcengine takes, none longer than `LARGEST_TEXT_BYTES`: cut behind a
    sentence, else behind a clause, else behind a word, else between two characters. Together they
    are the text, except for pieces with nothing to say, which are left out."""
    while len(text.encode()) > LARGEST_TEXT_BYTES:
        # as many whole characters as fit
        fitting = text.encode()[:LARGEST_TEXT_BYTES].decode("utf-8", "ignore")
        ends = (_last_end(cut, fitting) for cut in _CUTS)
        at = next((end for end in ends if end), len(fitting))
        if speakable(text[:at]):
            yield text[:at]
        text = text[at:]
    if speakable(text):
        yield text


def _last_end(cut: re.Pattern[str], text: str) -> int:
    """Where the last match ends that is followed by something; 0 if there is none."""
    return max((match.end() for match in cut.finditer(text) if match.end() < len(text)), default=0)


class Samples:
    """Makes whole samples of one text's sound as it comes in. `piece_bytes`: the longest to give
    out at once, an even number."""

    def __init__(self, piece_bytes: int) -> None:
        self._piece_bytes = piece_bytes
        self._kept = b""
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What can be played now, in pieces. An odd byte waits for its other half.

        Raises:
            VoiceError: fatal; it is not PCM.
        """
        data = self._kept + data
        if not self._begun:
            if len(data) < LONGEST_MAGIC_BYTES:
                self._kept = data
                return
            self._begun = True
            if found := file_in(data):
                raise VoiceError(
                    f"volcengine sent {found} although PCM was asked for; its sound cannot be "
                    "played, choose another voice",
                    kind="fatal",
                )
        yield from self._pieces(data)

    def finish(self) -> Iterator[bytes]:
        """What is left of a sound too short to have been told from a container."""
        if not self._begun:
            yield from self._pieces(self._kept)

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        whole = len(data) & ~1
        self._kept = data[whole:]
        for at in range(0, whole, self._piece_bytes):
            yield data[at : min(whole, at + self._piece_bytes)]
