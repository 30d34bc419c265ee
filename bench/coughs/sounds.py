"""What callers do while the agent speaks: coughs, bangs and "mm-hm"; words and sentences.

All sounds are synthesized, and no two are the same: µ-law at 8000 Hz, with a little noise.
"""

from dataclasses import dataclass
from enum import Enum
from functools import cache
from random import Random

import numpy as np
from numpy.typing import NDArray

from app.audio import ULAW_HZ, ulaw_decode, ulaw_encode
from app.simulator.speech import speak

Samples = NDArray[np.float64]


class Kind(Enum):
    """What a sound is."""

    COUGH = "cough"
    BANG = "bang"
    MM_HM = "mm-hm"
    #: One or two words, shorter than `CONFIRMED_MS`.
    WORD = "word"
    #: Longer than `CONFIRMED_MS`.
    SENTENCE = "sentence"


#: Kinds that interrupt.
INTERRUPTING = (Kind.WORD, Kind.SENTENCE)

SHORTEST_MS, LONGEST_MS = 80, 500  # of a sound that does not interrupt
WORD_MS = 520  # the longest word: shorter than 600 ms of voice
SENTENCE_MS = 900  # the shortest sentence
VOICES = ("en-us", "en-gb-x-rp", "en-gb-scotland", "de", "fr")
MM_HMS = ("mm hm", "mhm", "uh huh", "hm")
WORDS = ("Wait.", "No.", "Stop.", "Hold on.", "Hello?")
SENTENCES = (
    "That is not what I asked for.",
    "Could you say the price again?",
    "I would like to change my order, please.",
    "Sorry, I have to go now, call me tomorrow.",
    "Is there anything without cheese on it?",
    "My address has changed since last week.",
)
_LEVEL_DBFS = (-26.0, -14.0)
_NOISE = 6.0  # amplitude; far below what counts as voice
_QUIET = 0.05  # of the loudest sample: the edges of speech below it are cut off
_SLOWEST, _FASTEST = 150, 260  # words a minute


@dataclass(frozen=True, slots=True)
class Sound:
    """One sound of a caller."""

    kind: Kind
    #: What a transcript of it says; empty: nothing.
    text: str
    #: 8000 Hz.
    ulaw: bytes

    @property
    def interrupts(self) -> bool:
        """Whether the caller means to interrupt."""
        return self.kind in INTERRUPTING

    @property
    def ms(self) -> float:
        return len(self.ulaw) * 1000 / ULAW_HZ


def make(kind: Kind, random: Random) -> Sound:
    """A new sound of this kind, the same one for the same state of `random`."""
    text, wave = _MAKERS[kind](random)
    noise = np.random.default_rng(random.getrandbits(32))
    level = 32768 * 10 ** (random.uniform(*_LEVEL_DBFS) / 20)
    loud = wave * (level / max(1e-9, float(np.sqrt(np.mean(wave**2)))))
    heard = np.clip(loud + noise.normal(0, _NOISE, len(wave)), -32000, 32000)
    return Sound(kind, text, ulaw_encode(heard.astype("<i2").tobytes()))


def _length(random: Random) -> int:
    return round(random.uniform(SHORTEST_MS, LONGEST_MS) * ULAW_HZ / 1000)


def _cough(random: Random) -> tuple[str, Samples]:
    """One or two bursts of breath, each with a sharp begin."""
    size, noise = _length(random), np.random.default_rng(random.getrandbits(32))
    breath = noise.normal(0, 1, size + 8)
    breath = np.convolve(breath, np.ones(random.randint(2, 5)), "same")[:size]
    bursts = random.choice((1, 2)) if size > 200 * ULAW_HZ // 1000 else 1
    place = np.arange(size) * bursts / size % 1
    return "", breath * np.exp(-random.uniform(0.8, 1.8) * place)


def _bang(random: Random) -> tuple[str, Samples]:
    """A door or a cup: a low tone in noise that dies away."""
    size, noise = _length(random), np.random.default_rng(random.getrandbits(32))
    at_s = np.arange(size) / ULAW_HZ
    tone = np.sin(2 * np.pi * random.uniform(90, 400) * at_s)
    knock = tone + random.uniform(0.3, 1.5) * noise.normal(0, 1, size)
    return "", knock * np.exp(-random.uniform(1, 2.5) * np.arange(size) / size)


def _mm_hm(random: Random) -> tuple[str, Samples]:
    text = random.choice(MM_HMS)
    wave = _said(text, random.choice(VOICES), random.randrange(_FASTEST, 360, 20))
    return f"{text.capitalize()}.", wave[: LONGEST_MS * ULAW_HZ // 1000]


def _word(random: Random) -> tuple[str, Samples]:
    while True:
        text, voice = random.choice(WORDS), random.choice(VOICES)
        wave = _said(text, voice, random.randrange(_SLOWEST, _FASTEST, 20))
        if len(wave) <= WORD_MS * ULAW_HZ // 1000:
            return text, wave


def _sentence(random: Random) -> tuple[str, Samples]:
    while True:
        text, voice = random.choice(SENTENCES), random.choice(VOICES)
        wave = _said(text, voice, random.randrange(_SLOWEST, _FASTEST, 20))
        if len(wave) >= SENTENCE_MS * ULAW_HZ // 1000:
            return text, wave


@cache
def _said(text: str, voice: str, words_per_minute: int) -> Samples:
    """A text said by espeak-ng, without quiet edges."""
    said = ulaw_decode(speak(text, voice=voice, words_per_minute=words_per_minute))
    wave = np.frombuffer(said, "<i2").astype(np.float64)
    loud = np.flatnonzero(np.abs(wave) > _QUIET * np.abs(wave).max(initial=1.0))
    return wave[loud[0] : loud[-1] + 1]


_MAKERS = {
    Kind.COUGH: _cough,
    Kind.BANG: _bang,
    Kind.MM_HM: _mm_hm,
    Kind.WORD: _word,
    Kind.SENTENCE: _sentence,
}
