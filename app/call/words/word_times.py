"""When each word of a text sounds, estimated from the pauses in its sound.

External voices give sound and no word times. What is known is the text, how long the sound is, and
where it pauses. Pauses are matched with ends of words; between two of them the words share the time
by their letters. That is mostly right to the word, and exact where a pause follows every word.

All places and lengths are bytes of µ-law (8 are a millisecond) from the beginning of the text's
sound; a `Pause` is (start, end) of a silence in it, and they come in order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.call.words.pause_alignment import Pace, Pause, Script, SoundRuns, match
from app.call.words.word_lengths import MARK, Word, words

UNKNOWN = Pace()  # of a voice that nobody has heard yet
SHORTEST_TELLING = 4  # words: a shorter text tells nothing of a voice ...
LESSONS = 5  # ... and so many of the last ones are kept
_HEARD = 0.45  # of a word, when it counts as heard
_MOST = 0.75  # ... and when it need not be said again
# The first end behind a place is mostly one that was estimated too early (measured: 30 to 75 ms).
_LATE = 60 * 8


@dataclass(frozen=True, slots=True)
class WordBoundary:
    """A place to end a text: after its first `words` words, at `at_byte` of its sound."""

    words: int
    at_byte: int


@dataclass(frozen=True, slots=True)
class WordTimes:
    """When each word of a text sounds: in order, never overlapping. `paused`: whether a pause was
    found behind it."""

    words: tuple[Word, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]
    paused: tuple[bool, ...]

    def words_heard(self, heard_bytes: float) -> int:
        """How many words somebody heard who heard so much: those that were about half over."""
        return self._words_over(heard_bytes, _HEARD)

    def _words_over(self, heard_bytes: float, share: float) -> int:
        return sum(
            begin + share * (end - begin) < heard_bytes
            for begin, end in zip(self.begins, self.ends, strict=True)
        )

    def boundary(self, from_byte: int, to_byte: int) -> WordBoundary:
        """The best place from `from_byte` to `to_byte` to end the text. At the last pause behind a
        mark, for there it is sure which word was said; else where the first word ends, for the
        longer the sound, the less sure it is; before the first word, if that begins there. If there
        is no such place, the word at `to_byte` is cut, and counts as said when most of it was."""
        places = [
            (WordBoundary(number, end), paused and word.mark >= MARK)
            for number, (word, end, paused) in enumerate(
                zip(self.words, self.ends, self.paused, strict=True), 1
            )
            if from_byte <= end <= to_byte
        ]
        if sure := [cut for cut, is_sure in places if is_sure]:
            return sure[-1]
        if self.begins and from_byte <= self.begins[0] <= to_byte:
            return WordBoundary(0, self.begins[0])
        if not places:
            return WordBoundary(self._words_over(to_byte, _MOST), to_byte)
        first = places[0][0]
        return WordBoundary(first.words, min(first.at_byte + _LATE, to_byte))


def complete(
    text: str, total_bytes: int, pauses: Sequence[Pause], pace: Pace = UNKNOWN
) -> WordTimes:
    """The words of a text that was said to its end in so many bytes."""
    script = Script(words(text))
    sound = SoundRuns(total_bytes, pauses, ended=True)
    if script.words and pace.rate:
        script.stretch_numbers(script.numbers_to_fit(sound.voiced[-1] / pace.rate))
    return _times(script, sound, pace)


def so_far(
    text: str, received_bytes: int, pauses: Sequence[Pause], pace: Pace = UNKNOWN
) -> WordTimes:
    """The words of a text of which so much has come and more will. Those to come follow behind
    `received_bytes`, at the rate of those that did. `pauses`: the one at the end too, if it is
    silent there."""
    return _times(_script(text, pace), SoundRuns(received_bytes, pauses, ended=False), pace)


def learn(pace: Pace, text: str, total_bytes: int, pauses: Sequence[Pause]) -> Pace:
    """What is known of a voice after it said this text, too, to its end."""
    script = _script(text, pace)
    sound = SoundRuns(total_bytes, pauses, ended=True)
    if len(script.words) < SHORTEST_TELLING or not sound.voiced[-1]:
        return pace
    pace = replace(pace, word_by_word=sound.paces(script, pace))
    if not any(map(str.isdigit, text)):
        rate = sound.voiced[-1] / script.letters[-1]
        return replace(pace, rates=(*pace.rates, rate)[-LESSONS:])
    if pace.rate is None:
        return pace
    stretch = script.numbers_to_fit(sound.voiced[-1] / pace.rate)
    return replace(
        pace, numbers=pace.numbers * stretch**0.5
    )  # half of it: no two numbers are alike


def _script(text: str, pace: Pace) -> Script:
    script = Script(words(text))
    script.stretch_numbers(pace.numbers)
    return script


def _times(script: Script, sound: SoundRuns, pace: Pace) -> WordTimes:
    """Each word by its letters, between the anchors around it."""
    if not script.words:
        return WordTimes((), (), (), ())
    rate, anchors = match(script, sound, pace)
    voiced = [0.0]
    for (before, begin), (run, end) in zip(anchors, anchors[1:], strict=False):
        bytes_each = (sound.voiced[run] - sound.voiced[before]) / (
            script.letters[end] - script.letters[begin]
        )
        voiced += _spread(script, sound.voiced[before], begin, end, bytes_each)
    run, part = anchors[-1]
    voiced += _spread(script, sound.voiced[run], part, script.size, rate)
    matched = {end for _, end in anchors}
    return WordTimes(
        script.words,
        tuple(sound.at(voiced[part], begins=True) for part in [0, *script.word_ends[:-1]]),
        tuple(sound.at(voiced[part], begins=False) for part in script.word_ends),
        tuple(part in matched for part in script.word_ends),
    )


def _spread(script: Script, start: float, begin: int, end: int, rate: float) -> list[float]:
    """Where the parts behind `begin` end, up to `end`, in voiced bytes."""
    return [
        start + (script.letters[part] - script.letters[begin]) * rate
        for part in range(begin + 1, end + 1)
    ]
