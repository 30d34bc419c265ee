"""Aligns the pauses in an utterance's audio with the words of its text: finds the likeliest match.

The text is a list of parts of words, with a length in letters each; the audio is a list of runs of
sound between pauses. Dynamic programming over pauses and parts finds the match of lowest cost. A
cost is -ln of a probability: that a voice pauses behind this word, or does not; that a pause lies
within a part; that a run of sound of this length holds words of so many letters. The probabilities
were measured with espeak-ng's voices in four languages, and widened a little for other voices.

Lengths of audio are bytes of µ-law: 8 are a millisecond.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import median

from app.audio import ULAW_BYTES_PER_MS
from app.call.words.word_lengths import LONG_MARK, MARK, WEAK_MARK, Word

Pause = tuple[int, int]
Anchor = tuple[int, int]  # (run, part): the first `run` runs hold the first `part` parts

USUAL_RATE = 49.0 * ULAW_BYTES_PER_MS  # bytes per letter, for a voice that has not spoken yet
TEMPO_UNKNOWN, TEMPO_KNOWN = 0.2, 0.08  # the standard deviation of a rate, as a share of it
_WORD_LETTERS = 1.5  # added to every word, however short
_FINAL_LETTERS = 1.7  # added to a word before a punctuation mark or the end
_NUMBERS_VARY = 0.4  # the standard deviation of the length of a number, as a share of it

_SHORTEST_RUN = 40 * ULAW_BYTES_PER_MS  # a shorter run between two pauses is a breath or a click
_LONG_PAUSE = 100 * ULAW_BYTES_PER_MS
_ALIKE = 30 * ULAW_BYTES_PER_MS  # pauses that differ by no more are equal

# How likely a voice pauses.
_PAUSES_BEHIND = {LONG_MARK: 0.96, MARK: 0.85, WEAK_MARK: 0.35, 0: 0.06}
_PAUSES_BETWEEN_PARTS = 0.1  # as in "$12.50"
_PAUSES_BEHIND_EACH = 0.98  # for a voice that speaks word by word
_SPEAKS_WORD_BY_WORD = 3.0  # the cost of assuming such a voice
# The cost of a pause within a part: one in so many bytes of sound.
_STRAY = math.log(1500 * ULAW_BYTES_PER_MS)
_LONG_STRAY = math.log(60_000 * ULAW_BYTES_PER_MS)
_MOST_STRAYS = 4  # in a row

_SPREAD = 0.12  # the standard deviation of a part's length: as a share of it ...
_JITTER = 60.0 * ULAW_BYTES_PER_MS  # ... and in bytes
_DRIFT = 0.08  # the standard deviation of the tempo of a whole run, as a share
_OUTLIER = 8.0  # a deviation in length that costs more than this grows slowly
_WIDEST, _SLACK = 2.2, 3.0  # a run is off by this factor at most, and by this many letters
_HOPELESS = 8.0  # an alignment that costs so much more than the best one is not continued
_BEAM = 6  # how many alignments are kept at each pause


@dataclass(frozen=True, slots=True)
class Pace:
    """How a voice speaks, learned from earlier utterances."""

    #: The rates of the last few utterances, in bytes per letter.
    rates: tuple[float, ...] = ()
    #: How long its numbers sound, as a factor of the expected length.
    numbers: float = 1.0
    #: It pauses behind every word.
    word_by_word: bool = False

    @property
    def rate(self) -> float | None:
        """Its usual rate in bytes per letter; None if it has not spoken yet."""
        return median(self.rates) if self.rates else None


class Script:
    """A text as parts of words, with how long each part is and how likely a pause follows it.

    Index i of its lists is the place behind the first i parts.
    """

    #: The length of the text up to each place, in letters.
    letters: list[float]
    #: The same sum of the squares of the parts.
    squares: list[float]
    #: The cost of a pause at each place.
    pause: list[float]
    #: The cost of no pause at any place before this one.
    no_pause: list[float]

    def __init__(self, said: tuple[Word, ...]) -> None:
        self.words = said
        #: The places behind words.
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
        """Multiply the length of the numbers."""
        for each in self._numbers:
            self._parts[each] *= by
        self._sum()

    def number_stretch(self, letters: float) -> float:
        """By which factor the numbers are probably longer, if the whole text is `letters` long."""
        numbers = sum(self._parts[each] for each in self._numbers)
        if not numbers:
            return 1.0
        missing = (letters - self.letters[-1]) / numbers
        doubt = TEMPO_KNOWN * letters / numbers
        stretch = 1 + missing * _NUMBERS_VARY**2 / (_NUMBERS_VARY**2 + doubt**2)
        return min(max(stretch, 0.15), 2.5)

    def speak_word_by_word(self) -> None:
        """Expect a pause behind every word."""
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
    """The audio of an utterance as runs of sound between pauses."""

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
        #: The audio is complete.
        self.ended = ended
        #: Where each run starts and ends.
        self.runs = list(zip(edges[::2], edges[1::2], strict=True))
        #: How much sound, without the pauses, comes before each run; last, all of it.
        self.voiced = [0, *accumulate(end - begin for begin, end in self.runs)]
        self._gaps = [b[0] - a[1] for a, b in zip(self.runs, self.runs[1:], strict=False)]
        #: The cost of all pauses before each run, if each lies within a part.
        self.strays = [
            0.0, *accumulate(_LONG_STRAY if gap >= _LONG_PAUSE else _STRAY for gap in self._gaps)
        ]  # fmt: skip

    def at(self, voiced: float, *, begins: bool) -> int:
        """The position in the audio behind this much sound. At a pause, that is the end of the
        pause for a word that `begins` there, and its start for a word that ends."""
        run = 0
        while run + 1 < len(self.runs) and (
            self.voiced[run + 1] < voiced or (begins and self.voiced[run + 1] == voiced)
        ):
            run += 1
        return round(self.runs[run][0] + voiced - self.voiced[run])

    def is_word_by_word(self, script: Script, pace: Pace) -> bool:
        """Whether there surely is one pause behind every word, and no other.

        It needs a pause between each two words, of equal length where there is no punctuation.
        While the audio still arrives, it needs several pauses and a plausible rate, unless the
        voice is known to speak word by word.
        """
        pauses = len(self._gaps)
        # A pause at the end of audio that still arrives may not be over.
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


def align(script: Script, sound: SoundRuns, pace: Pace) -> tuple[float, list[Anchor]]:
    """Returns the rate that fits best, in bytes per letter, and the likeliest anchors: in order,
    from (0, 0), and up to the end of the text if the audio is complete."""
    rate = pace.rate
    if not sound.voiced[-1]:
        return 0.0 if sound.ended else rate or USUAL_RATE, [(0, 0)]
    if sound.is_word_by_word(script, pace):
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
    """The lowest cost, with its rate and its anchors."""
    if sound.ended:
        measured = sound.voiced[-1] / script.letters[-1]
        cost, anchors = _align_at(script, sound, measured)
        return cost, measured, anchors
    doubt = TEMPO_KNOWN if rate else TEMPO_UNKNOWN

    def fit(deviations: float) -> tuple[float, float, list[Anchor]]:
        guess = (rate or USUAL_RATE) * math.exp(deviations * doubt)
        cost, anchors = _align_at(script, sound, guess)
        return cost + deviations**2 / 2, guess, anchors

    tried = {deviations: fit(deviations) for deviations in (-1.4, -0.7, 0.0, 0.7, 1.4)}
    best = min(tried, key=lambda each: tried[each][0])
    if abs(best) > 1:
        tried[best * 1.5] = fit(best * 1.5)
    return min(tried.values(), key=lambda each: each[0])


_Ways = list[dict[int, tuple[float, Anchor]]]
"""For each run, the places in the text where it may end: the cost, and the anchor before it."""


def _align_at(script: Script, sound: SoundRuns, rate: float) -> tuple[float, list[Anchor]]:
    """The lowest cost at this rate, and its anchors."""
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
    """The places in the text where this run may end. Up to `_MOST_STRAYS` pauses before it may lie
    within parts."""
    letters, squares = script.letters, script.squares
    pause, no_pause, log = script.pause, script.no_pause, math.log
    own = (_SPREAD * rate) ** 2
    at_end = sound.ended and run == len(sound.runs)
    # Leave words for the runs that follow:
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
    """The likeliest last anchor of audio that still arrives: sound follows behind it."""
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
