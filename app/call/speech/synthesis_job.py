"""One utterance on its way from a voice to the caller: its audio held, released, or cut.

Audio is held until it has to play soon. If the voice fails, the utterance is cut at the end of a
word in the audio that is held, and another voice speaks the rest.
"""

import base64
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from app.audio import fade_out
from app.call.speech.voice_choice import Attempts
from app.call.words.utterance import Utterance
from app.call.words.word_places import words

FADE_MS = 5  # at the end of a chunk that is cut


class Chunk(NamedTuple):
    """A piece of an utterance's audio."""

    #: base64 of µ-law.
    payload: str
    #: The length of the decoded audio.
    size_bytes: int


@dataclass(slots=True)
class SynthesisJob:
    """An utterance and the state of its synthesis.

    Call `receive` for each chunk that arrives, and play what `release` and `break_off` return.
    """

    utterance: Utterance
    #: Which voices tried this text, and how they failed.
    attempts: Attempts = field(default_factory=Attempts)
    #: When the voice was asked, monotonic ms.
    asked_ms: float = 0.0
    #: When the voice last sent anything about it, monotonic ms.
    moved_ms: float = 0.0
    _held: deque[Chunk] = field(default_factory=deque)

    @property
    def next_bytes(self) -> int | None:
        """The size of the next chunk to release; None if none is held."""
        return self._held[0].size_bytes if self._held else None

    def receive(self, payload: str, size_bytes: int) -> None:
        """A chunk arrived: hold it."""
        self.utterance.size_bytes += size_bytes
        self._held.append(Chunk(payload, size_bytes))

    def release(self, up_to_bytes: int) -> list[Chunk]:
        """Returns the held chunks to play next: whole ones, up to this place in the utterance."""
        utterance, chunks = self.utterance, []
        while self._held and utterance.released_bytes + self._held[0].size_bytes <= up_to_bytes:
            chunks.append(self._held.popleft())
            utterance.released_bytes += chunks[-1].size_bytes
        return chunks

    def restart(self) -> None:
        """Forget what arrived. Nothing was released, so another try speaks the whole text."""
        self._held.clear()
        self.utterance.pauses.clear()
        self.utterance.timed.clear()
        self.utterance.size_bytes = 0

    def break_off(self, new_id: Callable[[], str]) -> tuple[list[Chunk], "SynthesisJob | None"]:
        """The voice failed after audio was released: cut the utterance at the end of a word.

        Returns the chunks to play up to the cut, and a job for the rest of the text, with an id
        from `new_id`; None if nothing is left to speak.
        """
        utterance = self.utterance
        boundary = utterance.word_times().boundary(utterance.released_bytes, utterance.size_bytes)
        cut, count = boundary.at_byte, boundary.words
        chunks = self.release(cut)
        short = cut - utterance.released_bytes
        if short > 0 and self._held:
            chunks.append(Chunk(_beginning(self._held[0].payload, short), short))
            utterance.released_bytes = cut
        self._held.clear()
        whole, found = utterance.text, words(utterance.text)
        utterance.text, utterance.size_bytes = utterance.first_words(count), cut
        utterance.pauses = [each for each in utterance.pauses if each[1] <= cut]
        utterance.timed = [each for each in utterance.timed if each[2] <= cut]
        utterance.complete = True
        if count >= len(found):
            return chunks, None
        ends, begins = len(utterance.text), found[count].start
        before = whole[ends:begins] if count else ""
        rest = Utterance(new_id(), utterance.item_id, whole[begins:], before)
        return chunks, SynthesisJob(rest, self.attempts)

    def stop(self) -> None:
        """End the utterance where it was released to: its text keeps the words that sounded."""
        utterance = self.utterance
        count = utterance.word_times().words_heard(utterance.released_bytes)
        utterance.text = utterance.first_words(count)
        utterance.size_bytes, utterance.complete = utterance.released_bytes, True


def _beginning(payload: str, size_bytes: int) -> str:
    """The first bytes of base64 µ-law, faded out at their end."""
    ulaw = base64.b64decode(payload)[:size_bytes]
    return base64.b64encode(fade_out(ulaw, FADE_MS)).decode("ascii")
