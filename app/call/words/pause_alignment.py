"""Which pause in a sound stands behind which word of its text: the likeliest match of all.

A text is parts of words, each so many letters long; a sound is runs between pauses. Dynamic
programming over pauses and parts finds the match that costs least. A cost is -ln of how likely a
thing is: that a voice pauses behind this word, or does not; that a pause lies within a part; that
words of so many letters take so long. The chances are those of espeak-ng's voices in four
languages, made a little blunter for voices that nobody measured.

Lengths are bytes of µ-law: 8 are a millisecond.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import median

from app.call.words.word_lengths import LONG_MARK, MARK, WEAK_MARK, Word

Pause = tuple[int, int]
Anchor = tuple[int, int]  # behind this run of sound ends this part

USUAL_RATE = 49.0 * 8  # bytes a letter: a voice that nobody has heard yet
TEMPO_UNKNOWN, TEMPO_KNOWN = 0.2, 0.08  # how far off a rate is, as a share: a standard deviation
_WORD_LETTERS = 1.5  # what every word takes, however short
_FINAL_LETTERS = 1.7  # how much longer a word sounds before a mark or the end
_NUMBERS_VARY = 0.4  # how far off the length of a number is, as a share

_SHORTEST_RUN = 40 * 8  # between two pauses: less is a breath or a click
_LONG_PAUSE = 100 * 8
_ALIKE = 30 * 8  # pauses that differ by no more

_PAUSES_BEHIND = {LONG_MARK: 0.96, MARK: 0.85, WEAK_MARK: 0.35, 0: 0.06}
_PAUSES_BETWEEN_PARTS = 0.1  # as in "$12.50"
_PAUSES_BEHIND_EACH = 0.98  # a voice that speaks word by word ...
_SPEAKS_WORD_BY_WORD = 3.0  # ... and what it costs to think it one
_STRAY = math.log(1500 * 8)  # a pause within a part: a short one comes once in so many bytes ...
_LONG_STRAY = math.log(60_000 * 8)
_MOST_STRAYS = 4  # in a row

_SPREAD = 0.12  # how much a part's length differs from what it should be: as a share of it ...
_JITTER = 60 * 8.0  # ... and in bytes
_DRIFT = 0.08  # how much the tempo of a whole run differs, as a share
_OUTLIER = 8.0  # the cost from which on it hardly matters how far off a length is
_WIDEST, _SLACK = 2.2, 3.0  # a run is at most so many times off, and so many letters more
_HOPELESS = 8.0  # what costs so much more than another way is not followed
_BEAM = 6  # how many ways to go on are kept at each pause


@dataclass(frozen=True, slots=True)
class Pace:
    """What is known of how a voice speaks, from texts that it said before. `rates`: of the last
    few, in bytes a letter; `numbers`: how long its numbers sound beside what is expected of them;
    `word_by_word`: it pauses behind every word."""

    rates: tuple[float, ...] = ()
    numbers: float = 1.0
    word_by_word: bool = False

    @property
    def rate(self) -> float | None:
        return median(self.rates) if self.rates else None


class Script:
    """A text as parts of words. Index i in its lists stands for the place behind the first i parts;
    `word_ends`: the places behind words."""

    def __init__(self, said: tuple[Word, ...]) -> None:
        self.words = said
        self.word_ends: list[int] = []
        self._parts: list[float] = []
        self._numbers: list[int] = []
        pausing = [0.5]
        for word in said:
            of_each = _WORD_LETTERS / len(word.letters)
            if any(map(str.isdigit, word.text)):
                self._numbers += range(len(self._parts), len(self._parts) + len(word.letters))
            self._parts += [each + of_each for each in word.letters]
            if word.mark >= MARK or word is said[-1]:
                self._parts[-1] += _FINAL_LETTERS
            pausing += [_PAUSES_BETWEEN_PARTS] * (len(word.letters) - 1)
            pausing.append(_PAUSES_BEHIND[word.mark])
            self.word_ends.append(len(self._parts))
        self.size = len(self._parts)
        self._sum()
        self._expect(pausing)

    def stretch_numbers(self, by: float) -> None:
        """Numbers sound so many times longer than expected."""
        for each in self._numbers:
            self._parts[each] *= by
        self._sum()

    def numbers_to_fit(self, letters: float) -> float:
        """How many times longer the numbers probably sound, when the whole text is so long."""
        numbers = sum(self._parts[each] for each in self._numbers)
        if not numbers:
            return 1.0
        missing = (letters - self.letters[-1]) / numbers
        doubt = TEMPO_KNOWN * letters / numbers
        stretch = 1 + missing * _NUMBERS_VARY**2 / (_NUMBERS_VARY**2 + doubt**2)
        return min(max(stretch, 0.15), 2.5)

    def speak_word_by_word(self) -> None:
        """Take it for the words of a voice that pauses behind each."""
        pausing = [_PAUSES_BETWEEN_PARTS] * (self.size + 1)
        for end in self.word_ends:
            pausing[end] = _PAUSES_BEHIND_EACH
        self._expect(pausing)

    def _sum(self) -> None:
        self.letters = [0.0, *accumulate(self._parts)]
        self.squares = [0.0, *accumulate(each * each for each in self._parts)]

    def _expect(self, pausing: Sequence[float]) -> None:
        self.pause = [-math.log(each) for each in pausing]
        self.no_pause = [0.0, *accumulate(-math.log(1 - each) for each in pausing)]


class SoundRuns:
    """A sound as runs without a pause in them. `voiced`: how much of it was no pause before each
    run, and in all; `ended`: it is whole."""

    def __init__(self, size_bytes: int, pauses: Sequence[Pause], *, ended: bool) -> None:
        edges = [0]
        for start, end in pauses:
            if start - edges[-1] < _SHORTEST_RUN:
                edges[-1] = min(end, size_bytes)
            else:
                edges += [min(start, size_bytes), min(end, size_bytes)]
        edges.append(size_bytes)
        if ended and len(edges) > 2 and edges[-1] - edges[-2] < _SHORTEST_RUN:
            del edges[-2:]
        self.ended = ended
        self.runs = list(zip(edges[::2], edges[1::2], strict=True))
        self.voiced = [0, *accumulate(end - begin for begin, end in self.runs)]
        self._gaps = [b[0] - a[1] for a, b in zip(self.runs, self.runs[1:], strict=False)]
        self.strays = [
            0.0, *accumulate(_LONG_STRAY if gap >= _LONG_PAUSE else _STRAY for gap in self._gaps)
        ]  # fmt: skip

    def at(self, voiced: float, *, begins: bool) -> int:
        """The place behind so much sound; where a pause is, its end for what begins there, its
        start for what ends."""
        run = 0
        while run + 1 < len(self.runs) and (
            self.voiced[run + 1] < voiced or (begins and self.voiced[run + 1] == voiced)
        ):
            run += 1
        return round(self.runs[run][0] + voiced - self.voiced[run])

    def paces(self, script: Script, pace: Pace) -> bool:
        """Whether there surely is a pause behind every word, and nowhere else: as many as words,
        and all alike that are behind no mark. When it has not ended, enough of them must be there,
        unless the voice is known for it, and about as fast as the voice is."""
        pauses = len(self._gaps)
        # A pause that still goes on is as long as it will be only by chance.
        whole = self._gaps[:-1] if self.runs[-1][0] == self.runs[-1][1] else self._gaps
        pairs = zip(script.words, whole, strict=False)
        plain = [gap for word, gap in pairs if word.mark < WEAK_MARK]
        if plain and max(plain) - min(plain) > _ALIKE:
            return False
        if self.ended:
            return pauses + 1 == len(script.words) > 2 and bool(plain or pace.word_by_word)
        enough = pace.word_by_word or (pauses > 2 and len(plain) > 1)
        if not enough or not 0 < pauses <= len(script.words):
            return False
        off = self.voiced[pauses] / script.letters[script.word_ends[pauses - 1]]
        off /= pace.rate or USUAL_RATE
        return pace.word_by_word or (1 / 1.7 < off < 1.7 if pace.rate else 0.4 < off < 2.5)


def match(script: Script, sound: SoundRuns, pace: Pace) -> tuple[float, list[Anchor]]:
    """The rate that fits best, in bytes a letter, and the likeliest match, in order, from (0, 0):
    to the end when the sound has ended."""
    rate = pace.rate
    if not sound.voiced[-1]:
        return 0.0 if sound.ended else rate or USUAL_RATE, [(0, 0)]
    if sound.paces(script, pace):
        pauses = len(sound.runs) - (not sound.ended)
        paced = [(0, 0), *enumerate(script.word_ends[:pauses], 1)]
        return rate or sound.voiced[pauses] / script.letters[paced[-1][1]], paced
    best = _fit(script, sound, rate)
    if sound.ended and len(sound.runs) > max(2, 0.6 * len(script.words)):
        script.speak_word_by_word()
        other = _fit(script, sound, rate)
        if other[0] + _SPEAKS_WORD_BY_WORD < best[0]:
            best = other
    return best[1], best[2]


def _fit(script: Script, sound: SoundRuns, rate: float | None) -> tuple[float, float, list[Anchor]]:
    """The least cost, with the rate and the match that have it."""
    if sound.ended:
        measured = sound.voiced[-1] / script.letters[-1]
        cost, anchors = _align(script, sound, measured)
        return cost, measured, anchors
    doubt = TEMPO_KNOWN if rate else TEMPO_UNKNOWN

    def fit(deviations: float) -> tuple[float, float, list[Anchor]]:
        guess = (rate or USUAL_RATE) * math.exp(deviations * doubt)
        cost, anchors = _align(script, sound, guess)
        return cost + deviations**2 / 2, guess, anchors

    tried = {deviations: fit(deviations) for deviations in (-1.4, -0.7, 0.0, 0.7, 1.4)}
    best = min(tried, key=lambda each: tried[each][0])
    if abs(best) > 1:
        tried[best * 1.5] = fit(best * 1.5)
    return min(tried.values(), key=lambda each: each[0])


_Ways = list[dict[int, tuple[float, Anchor]]]
"""For each pause, the parts that may end there: at what cost, and after which anchor."""


def _align(script: Script, sound: SoundRuns, rate: float) -> tuple[float, list[Anchor]]:
    """The likeliest match at this rate, and its cost."""
    last = len(sound.runs)
    ways: _Ways = [{0: (0.0, (0, 0))}]
    for run in range(1, last):
        found = _ways_to(script, sound, rate, ways, run)
        if len(found) > _BEAM:
            kept = sorted(found, key=lambda part: found[part][0])[:_BEAM]
            found = {part: found[part] for part in kept}
        ways.append(found)
    if sound.ended:
        ways.append(_ways_to(script, sound, rate, ways, last))
        cost, at = ways[last][script.size][0], (last, script.size)
    else:
        cost, at = _open_end(script, sound, rate, ways)
    anchors = []
    while at != (0, 0):
        anchors.append(at)
        at = ways[at[0]][at[1]][1]
    return cost, [(0, 0), *reversed(anchors)]


def _ways_to(
    script: Script, sound: SoundRuns, rate: float, ways: _Ways, run: int
) -> dict[int, tuple[float, Anchor]]:
    """What may end where this run does, after at most so many pauses that end nothing."""
    letters, squares = script.letters, script.squares
    pause, no_pause, log = script.pause, script.no_pause, math.log
    own = (_SPREAD * rate) ** 2
    at_end = sound.ended and run == len(sound.runs)
    # A run that is still to come must find words:
    last = script.size - (sound.ended and not at_end)
    found: dict[int, tuple[float, Anchor]] = {}
    least = math.inf
    for before in range(run - 1, -1 if at_end else max(-1, run - 2 - _MOST_STRAYS), -1):
        lasted = sound.voiced[run] - sound.voiced[before]
        strays = sound.strays[run - 1] - sound.strays[before]
        low, high = lasted / rate / _WIDEST - _SLACK, lasted / rate * _WIDEST + _SLACK
        for begin, (cost, _) in ways[before].items():
            so_far = cost + strays - no_pause[begin + 1] + 0.92  # ln of the root of 2 pi
            if so_far > least + _HOPELESS and not at_end:
                continue
            for end in range(script.size if at_end else begin + 1, last + 1):
                length = letters[end] - letters[begin]
                if length > high and not at_end:
                    break
                if length < low and not at_end:
                    continue
                expected = length * rate
                variance = (
                    (squares[end] - squares[begin]) * own
                    + (end - begin) * _JITTER**2
                    + (_DRIFT * expected) ** 2
                )
                off = (lasted - expected) ** 2 / (2 * variance)
                if off > _OUTLIER:
                    off = _OUTLIER + 0.1 * (off - _OUTLIER)
                total = so_far + no_pause[end] + off + 0.5 * log(variance)
                if not at_end:
                    total += pause[end]
                if end not in found or total < found[end][0]:
                    found[end] = total, (before, begin)
                    least = min(least, total)
    return found


def _open_end(script: Script, sound: SoundRuns, rate: float, ways: _Ways) -> tuple[float, Anchor]:
    """The last pause that ends a part, when the sound goes on behind it."""
    best = math.inf, (0, 0)
    for run, found in enumerate(ways):
        strays = sound.strays[-1] - sound.strays[run]
        reach = (sound.voiced[-1] - sound.voiced[run]) / rate
        for part, (cost, _) in found.items():
            behind = script.letters[part] + reach
            passed = part
            while passed < script.size and script.letters[passed + 1] <= behind - _SLACK:
                passed += 1
            total = cost + strays + script.no_pause[passed + 1] - script.no_pause[part + 1]
            if behind > script.letters[-1]:
                over = (behind - script.letters[-1]) * rate
                total += over**2 / (2 * (_JITTER**2 + (_SPREAD * reach * rate) ** 2))
            best = min(best, (total, (run, part)))
    return best
