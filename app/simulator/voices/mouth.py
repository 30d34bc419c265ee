"""What the stand-ins for voice providers say, how fast, and with which faults."""

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
    """The sound of a text."""

    #: Mono, 16 bits, little-endian.
    pcm: bytes
    #: In order, together the text; their offsets count bytes of `pcm`.
    words: tuple[Word, ...]


Mouth = Callable[[str, int], Spoken]
"""Synthesizes a text at a rate in Hz."""


def espeak(text: str, hz: int, *, voice: str = "en-us") -> Spoken:
    """The text said by espeak-ng. Raises as `speech.utter` does."""
    utterance = utter(text, voice=voice)
    pcm = resample_pcm16(ulaw_decode(utterance.ulaw), ULAW_HZ, hz)
    per_ms = hz * 2 / 1000
    words = tuple(
        Word(word.text, min(len(pcm), round(word.offset_bytes / ULAW_BYTES_PER_MS * per_ms) & ~1))
        for word in utterance.words
    )
    return Spoken(pcm, words)


def tones(text: str, hz: int, *, ms_per_character: int = 60, gap_ms: int = 0) -> Spoken:
    """A sine for each word, 300 to 1500 Hz, so that a test can tell which words were heard.

    `ms_per_character`: the length of a word's tone. `gap_ms`: of silence after each word.
    """
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
    """The frequency of a word's tone, by the number of the word. It repeats after forty words."""
    return 300.0 + 30.0 * (number % 40)


@dataclass(frozen=True, slots=True)
class Plan:
    """How a text is said, and what goes wrong."""

    #: Before the first sound.
    delay_ms: float = 0
    #: How many times faster than real time; infinite: at once.
    speed: float = math.inf
    #: The length of one chunk.
    chunk_ms: int = 100
    #: refuse: an error before any sound. After `fault_after_bytes`: error, the provider's own
    #: message; drop, the connection breaks; stall, nothing more is sent.
    fault: Literal["", "refuse", "error", "drop", "stall"] = ""
    fault_after_bytes: int = 0


@dataclass(slots=True)
class Said:
    """A text that a client sent, and how much of its sound was sent back."""

    text: str
    spoken: Spoken
    hz: int
    #: How much of `spoken.pcm` was sent.
    sent_bytes: int = 0
    #: All of it was sent.
    whole: bool = False
    #: The client cancelled or left before the end.
    dropped: bool = False


PlanFor = Callable[[str], Plan]
"""Chooses the plan of a text."""


def always(_text: str) -> Plan:
    """The plan of every text: at once, without a fault."""
    return Plan()


@dataclass(slots=True)
class Heard:
    """What a stand-in received: its texts, in order, and the number of connections."""

    said: list[Said] = field(default_factory=list)
    connections: int = 0
