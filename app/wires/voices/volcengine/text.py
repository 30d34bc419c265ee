"""Splits texts for Volcengine's limit, and reassembles samples from its sound."""

import re
from collections.abc import Iterator

from app.audio import whole_samples
from app.errors import VoiceError
from app.wires.voices.voice import LONGEST_MAGIC_BYTES, file_in

#: UTF-8. The service rejects a longer text with code 3010.
LARGEST_TEXT_BYTES = 1024

_TAG = re.compile(r"<[^>]*>")
# Where a text may be split, in order of preference, each at the end of the match: after a
# sentence, after a clause, after a word.
_CUTS = (
    re.compile(r"[.!?…]+[\"'”’»)]*\s+|[。！？।؟]+[”’」』）]*\s*"),
    re.compile(r"[,;:]\s+|[，、；：،]\s*"),
    re.compile(r"\s+"),
)


def speakable(text: str) -> bool:
    """Whether the text has a letter or a digit outside of SSML tags."""
    return any(character.isalnum() for character in _TAG.sub("", text))


def portions(text: str) -> Iterator[str]:
    """Splits a text into portions of at most `LARGEST_TEXT_BYTES`.

    A portion ends after a sentence if possible, else after a clause, a word, or any character.
    Portions without anything speakable are omitted.
    """
    while len(text.encode()) > LARGEST_TEXT_BYTES:
        fitting = text.encode()[:LARGEST_TEXT_BYTES].decode("utf-8", "ignore")
        ends = (_last_end(cut, fitting) for cut in _CUTS)
        at = next((end for end in ends if end), len(fitting))
        if speakable(text[:at]):
            yield text[:at]
        text = text[at:]
    if speakable(text):
        yield text


def _last_end(cut: re.Pattern[str], text: str) -> int:
    """The end of the last match before the end of the text; 0 if there is none."""
    return max((match.end() for match in cut.finditer(text) if match.end() < len(text)), default=0)


class Samples:
    """Reassembles one text's samples of 2 bytes from chunks of any size. `feed` every chunk, then
    `finish`. `piece_bytes`: the longest piece to return, an even number."""

    def __init__(self, piece_bytes: int) -> None:
        self._piece_bytes = piece_bytes
        self._kept = b""
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The samples that are complete by now, in pieces.

        Raises:
            VoiceError: of kind fatal, if the sound is an audio file instead of PCM.
        """
        data = self._kept + data
        if not self._begun:
            if len(data) < LONGEST_MAGIC_BYTES:
                self._kept = data
                return
            self._begun = True
            if found := file_in(data):
                raise VoiceError(
                    f"volcengine sent {found} in place of PCM; choose another voice",
                    kind="fatal",
                )
        yield from self._pieces(data)

    def finish(self) -> Iterator[bytes]:
        """The remaining samples, of a sound too short to be checked for an audio file."""
        if not self._begun:
            yield from self._pieces(self._kept)

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        samples, self._kept = whole_samples(data)
        for at in range(0, len(samples), self._piece_bytes):
            yield samples[at : at + self._piece_bytes]
