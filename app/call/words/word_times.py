"""When each word of a text sounds.

A voice that sends the times of its words (Volcengine: `with_timestamp`) says it. For any other, the
text is laid over its sound in proportion to the characters, the pauses left out. Measured against
espeak-ng's word times, that is right for two interruptions of three, and off by one word for nearly
all others.

All positions and lengths are bytes of µ-law (8 are a millisecond) from the start of the utterance's
audio. A `Pause` is the (start, end) of a silence in it; they come in order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from statistics import median

from app.audio import ULAW_BYTES_PER_MS
from app.call.words.word_places import Word, words

Pause = tuple[int, int]
#: A word as a voice spoke it: its text, and where it begins and ends.
TimedWord = tuple[str, int, int]

USUAL_RATE = 58.0 * ULAW_BYTES_PER_MS  # bytes per character, for a voice that has not spoken yet
LEAST_WORDS = 4  # a shorter text says nothing about its voice
MOST_RATES = 5  # how many of the latest rates of a voice are kept
_HEARD = 0.5  # the share of a word that counts as heard
_MOST = 0.75  # the share of a word that another voice does not repeat


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a voice speaks, learned from earlier utterances."""

    #: The rates of the last few utterances: bytes per character, pauses left out.
    rates: tuple[float, ...] = ()

    @property
    def rate(self) -> float:
        """Its usual rate in bytes per character."""
        return median(self.rates) if self.rates else USUAL_RATE


UNKNOWN = Pace()  # of a voice that has not spoken yet


def learn(pace: Pace, text: str, total_bytes: int, pauses: Sequence[Pause]) -> Pace:
    """What is known about a voice after it spoke this text, too. `pace`: what was known before."""
    sound_bytes = _voiced(total_bytes, pauses)
    if len(words(text)) < LEAST_WORDS or not sound_bytes:
        return pace
    return Pace((*pace.rates, sound_bytes / len(text))[-MOST_RATES:])


@dataclass(frozen=True, slots=True)
class WordBoundary:
    """Where to cut an utterance."""

    #: How many words come before the cut.
    words: int
    #: Where the cut is in the audio.
    at_byte: int


@dataclass(frozen=True, slots=True)
class WordTimes:
    """When each word of a text sounds, in order. One value per word each."""

    words: tuple[Word, ...]
    begins: tuple[float, ...]
    ends: tuple[float, ...]
    pauses: tuple[Pause, ...]

    def words_heard(self, heard_bytes: float) -> int:
        """How many words a caller heard who heard this much audio: a word counts when half of it
        was heard."""
        return self._words_over(heard_bytes, _HEARD)

    def _words_over(self, heard_bytes: float, share: float) -> int:
        return sum(
            begin + share * (end - begin) < heard_bytes
            for begin, end in zip(self.begins, self.ends, strict=True)
        )

    def boundary(self, from_byte: int, to_byte: int) -> WordBoundary:
        """The best place between `from_byte` and `to_byte` to cut the utterance.

        It is the last pause, which is mostly behind punctuation: the word before it is the nearest
        one that ends a clause, if one of its neighbours does. Without a pause: before the first
        word of the text, if that begins in this range, else behind the first word that ends in it.
        If no word ends in it, the word at `to_byte` is cut in two; it counts as spoken if most of
        it was.
        """
        paused = [start for start, _ in self.pauses if max(1, from_byte) <= start <= to_byte]
        if paused:
            count = self._words_over(paused[-1], _HEARD)
            near = (count, count - 1, count + 1)
            ends = [n for n in near if 0 < n <= len(self.words) and self.words[n - 1].ends_clause]
            return WordBoundary(ends[0] if ends else count, paused[-1])
        if self.begins and from_byte <= self.begins[0] <= to_byte:
            return WordBoundary(0, int(self.begins[0]))
        for count, end in enumerate(self.ends, 1):
            if from_byte <= end <= to_byte:
                return WordBoundary(count, int(end))
        return WordBoundary(self._words_over(to_byte, _MOST), to_byte)


def word_times(
    text: str,
    received_bytes: int,
    pauses: Sequence[Pause],
    *,
    complete: bool,
    pace: Pace = UNKNOWN,
    timed: Sequence[TimedWord] = (),
) -> WordTimes:
    """When each word of a text sounds.

    Args:
        text: What the voice was asked to say.
        received_bytes: How much of its audio has arrived.
        pauses: Those in it.
        complete: All of its audio has arrived. Otherwise `pace` says how long the rest will be.
        pace: How the voice speaks.
        timed: The times that the voice sent, perhaps of other words than those of the text: "two
            thousand" for "2000". A word without a time shares what is between its neighbours.
    """
    said = words(text)
    known = _known_times(said, timed)
    sound_bytes = float(_voiced(received_bytes, pauses))
    if known:
        end = known[-1][1] + (len(text) - known[-1][0]) * pace.rate
        known += [(len(text), max(known[-1][1], received_bytes) if complete else end)]
        pauses_between: Sequence[Pause] = ()
    else:
        if not complete:
            sound_bytes = max(sound_bytes, len(text) * pace.rate)
        known = [(len(text), sound_bytes)]
        pauses_between = pauses
    begins = (_interpolated(known, word.start, begins=True) for word in said)
    ends = (_interpolated(known, word.end, begins=False) for word in said)
    return WordTimes(
        said,
        tuple(_with_pauses(at, pauses_between, begins=True) for at in begins),
        tuple(_with_pauses(at, pauses_between, begins=False) for at in ends),
        tuple(pauses),
    )


def _known_times(said: Sequence[Word], timed: Sequence[TimedWord]) -> list[tuple[int, float]]:
    """(character, byte) at both ends of each word of the text whose time the voice sent; empty if
    they are fewer than half of the words."""
    spoken = [_bare(text) for text, _, _ in timed]
    matcher = SequenceMatcher(None, [_bare(word.text) for word in said], spoken, autojunk=False)
    found: list[tuple[int, float]] = []
    for place, other, size in matcher.get_matching_blocks():
        for word, (_, begin, end) in zip(
            said[place : place + size], timed[other : other + size], strict=True
        ):
            found += [(word.start, float(begin)), (word.end, float(end))]
    in_order = all(a[1] <= b[1] for a, b in zip(found, found[1:], strict=False))
    return found if in_order and len(found) >= len(said) else []


def _bare(word: str) -> str:
    return "".join(filter(str.isalnum, word)).casefold()


def _interpolated(known: Sequence[tuple[int, float]], at: int, *, begins: bool) -> float:
    """The byte at a character of the text. `known`: pairs of both, in order; of two for the same
    character, the latter is for a word that `begins` there."""
    exact = [byte for character, byte in known if character == at]
    if exact:
        return exact[-1 if begins else 0]
    before = (0, 0.0)
    for each in known:
        if each[0] > at:
            share = (at - before[0]) / (each[0] - before[0])
            return before[1] + share * (each[1] - before[1])
        before = each
    return before[1]


def _voiced(size_bytes: int, pauses: Sequence[Pause]) -> int:
    """How much of so much audio is no pause."""
    return size_bytes - sum(max(0, min(end, size_bytes) - start) for start, end in pauses)


def _with_pauses(voiced: float, pauses: Sequence[Pause], *, begins: bool) -> float:
    """The position behind so much sound. At a pause, that is its end for a word that `begins`
    there, and its start for a word that ends."""
    at = voiced
    for start, end in pauses:
        if at < start or (at == start and not begins):
            break
        at += end - start
    return at
