"""The agent's answers: their audio tells the place of each byte in it.

An answer's audio is made of its text, sentence by sentence, so that it is known whether the model
speaks it or an external voice does.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import count
from random import Random
from typing import NamedTuple

from app.audio import ulaw_decode
from app.simulator.realtime import Reply, Turn
from app.simulator.speech import Word
from app.simulator.voices.mouth import Spoken
from bench.voices.stories import pieces

WORD_BYTES = 400 * 8
SENTENCE_WORDS = 8
SENTENCES = 6
_NAMES = (
    "apple", "bread", "candle", "door", "engine", "flower", "garden", "harbour", "island",
    "jacket", "kettle", "ladder", "mirror", "needle", "orange", "pepper", "quarry", "river",
    "saddle", "table",
)  # fmt: skip
#: Enough of a payload to find its place.
KEY_BYTES = 24
# µ-law has two zeros, of which a decoder and encoder keep one; silence would have no place.
_PLACEABLE = bytes.maketrans(b"\x7f\xff", b"\x7e\xfe")


class Place(NamedTuple):
    """A byte of an answer."""

    #: From 0, in the order in which a session's answers were told.
    answer: int
    #: From the answer's first byte.
    byte: int


@dataclass(frozen=True)
class Answer:
    """One answer of the model."""

    text: str

    @cached_property
    def audio(self) -> bytes:
        """All of it, 8000 Hz."""
        return b"".join(_coded(piece) for piece in pieces(self.text))


class Teller:
    """The model: each answer is another one.

    `sentences`: the length of an answer; a sentence has 3.2 s.
    """

    def __init__(self, seed: int, sentences: int = SENTENCES) -> None:
        #: The answers of each session, in order.
        self.told: defaultdict[str, list[Answer]] = defaultdict(list)
        self._sentences = sentences
        self._numbers = count(seed * 1_000_000)

    def answer(self, turn: Turn) -> Reply:
        text = " ".join(_sentence(next(self._numbers)) for _ in range(self._sentences))
        answer = Answer(text)
        self.told[turn.session_id].append(answer)
        return Reply(text, audio=answer.audio)


def mouth(text: str, hz: int) -> Spoken:
    """Says the sentences of the answers. `hz`: 8000; another rate would lose the places."""
    if hz != 8000:
        raise ValueError(f"the answers are known at 8000 Hz only, not at {hz}")
    pcm = ulaw_decode(_coded(text.strip()))
    said = text.split()
    size = len(pcm) // len(said) & ~1
    return Spoken(pcm, tuple(Word(f"{word} ", n * size) for n, word in enumerate(said)))


@cache
def _coded(piece: str) -> bytes:
    return Random(piece).randbytes(len(piece.split()) * WORD_BYTES).translate(_PLACEABLE)


def _sentence(number: int) -> str:
    """Eight words, which differ from those of each other number."""
    words = []
    for _ in range(SENTENCE_WORDS - 1):
        number, word = divmod(number, len(_NAMES))
        words.append(_NAMES[word])
    return f"The {' '.join(words)}."


class Finder:
    """Finds the places of what was played, in the order in which it was played."""

    def __init__(self, answers: list[Answer]) -> None:
        self._answers = answers
        self._at = Place(0, 0)

    def find(self, payload: bytes) -> Place | None:
        """Where this payload begins; None: in no answer."""
        key = payload[:KEY_BYTES]
        answer, byte = self._at
        if not self._begins(key, answer, byte):
            places = ((n, self._answers[n].audio.find(key)) for n in self._near(answer))
            found = next(((n, byte) for n, byte in places if byte >= 0), None)
            if found is None:
                return None
            answer, byte = found
        self._at = Place(answer, byte + len(payload))
        return Place(answer, byte)

    def _near(self, answer: int) -> Iterator[int]:
        """The answers from this one on, then the earlier ones."""
        yield from range(answer, len(self._answers))
        yield from range(min(answer, len(self._answers)))

    def _begins(self, key: bytes, answer: int, byte: int) -> bool:
        known = answer < len(self._answers)
        return known and self._answers[answer].audio.startswith(key, byte)
