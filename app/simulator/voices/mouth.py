"""What the stand-ins of voice providers say, how fast, and what goes wrong with it."""

import math
import re
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from app.audio import ULAW_BYTES_PER_MS, ULAW_HZ, resample_pcm16, ulaw_decode
from app.simulator.speech import Word, utter

_PIECE = re.compile(r"\s*\S+\s*")
_WORDLIKE = re.compile(r"\w")


@dataclass(frozen=True, slots=True)
class Spoken:
    """A text as it sounds. `pcm`: mono, 16 bits, little-endian. `words`: in order, together the
    text; their offsets count bytes of `pcm`."""

    pcm: bytes
    words: tuple[Word, ...]


Mouth = Callable[[str, int], Spoken]
"""Says a text at a rate in Hz."""


def espeak(text: str, hz: int, *, voice: str = "en-us") -> Spoken:
    """As espeak-ng says it. Raises as `speech.utter` does."""
    utterance = utter(text, voice=voice)
    pcm = resample_pcm16(ulaw_decode(utterance.ulaw), ULAW_HZ, hz)
    per_ms = hz * 2 / 1000
    words = tuple(
        Word(word.text, min(len(pcm), round(word.offset_bytes / ULAW_BYTES_PER_MS * per_ms) & ~1))
        for word in utterance.words
    )
    return Spoken(pcm, words)


def tones(text: str, hz: int, *, ms_per_character: int = 60, gap_ms: int = 0) -> Spoken:
    """A sine for each word, as long as it is written, higher from word to word: 300 to 1500 Hz, so
    that it can be told which words were heard. `gap_ms`: of silence after each."""
    pcm, words = array("h"), []
    pieces = [piece[0] for piece in _PIECE.finditer(text)]
    for number, piece in enumerate(pieces):
        words.append(Word(piece, len(pcm) * 2))
        if _WORDLIKE.search(piece):
            step = 2 * math.pi * tone_hz(number) / hz
            length = len(piece.strip()) * ms_per_character * hz // 1000
            pcm.extend(round(8000 * math.sin(step * n)) for n in range(length))
            pcm.extend([0] * (gap_ms * hz // 1000))
    return Spoken(pcm.tobytes(), tuple(words))


def tone_hz(number: int) -> float:
    """How high the word of this number is; the same again after forty."""
    return 300.0 + 30.0 * (number % 40)


@dataclass(frozen=True, slots=True)
class Plan:
    """How a text is said. `delay_ms`: before the first sound. `speed`: how many times faster than
    it plays, infinite for at once. `chunk_ms`: how much of it comes in one piece. `fault`, behind
    `fault_after_bytes` of sound: error (the provider's own message), drop (the connection breaks),
    stall (nothing more comes); refuse is an error at the door."""

    delay_ms: float = 0
    speed: float = math.inf
    chunk_ms: int = 100
    fault: Literal["", "refuse", "error", "drop", "stall"] = ""
    fault_after_bytes: int = 0


@dataclass(slots=True)
class Said:
    """What came of a text. `sent_bytes` of `spoken.pcm` went out; `whole`: to its end; `dropped`:
    the client went away before."""

    text: str
    spoken: Spoken
    hz: int
    sent_bytes: int = 0
    whole: bool = False
    dropped: bool = False


PlanFor = Callable[[str], Plan]
"""How each text is to be said."""


def always(_text: str) -> Plan:
    """At once, and nothing goes wrong."""
    return Plan()


@dataclass(slots=True)
class Heard:
    """What a stand-in remembers: the texts in their order, and how often it was connected to."""

    said: list[Said] = field(default_factory=list)
    connections: int = 0
