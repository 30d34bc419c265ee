"""When each word of a text sounds, estimated from the pauses in its audio.

Some speech services can send word timestamps (Volcengine: `request.with_timestamp`), others cannot,
and this project asks none of them. It knows the text, the length of the audio, and its pauses. The
pauses are matched with ends of words; between two of them, the words share the time in proportion
to their letters. The estimate is mostly right to the word, and exact if a pause follows every word.

All positions and lengths are bytes of µ-law (8 are a millisecond) from the start of the utterance's
audio. A `Pause` is the (start, end) of a silence in it; they come in order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.audio import ULAW_BYTES_PER_MS
from app.call.words.pause_alignment import Pace, Pause, Script, SoundRuns, align
from app.call.words.word_lengths import MARK, Word, words

UNKNOWN = Pace()  # of a voice that has not spoken yet
LEAST_WORDS = 4  # a shorter text says nothing about its voice
MOST_RATES = 5  # how many of the latest rates of a voice are kept
_HEARD = 0.45  # the share of a word that counts as heard
_MOST = 0.75  # the share of a word that another voice does not repeat
# The first end of a word behind a position is mostly estimated too early (measured: 30 to 75 ms).
_LATE = 60 * ULAW_BYTES_PER_MS


@dataclass(frozen=True, slots=True)
class WordBoundary:
    """Where to cut an utterance."""

    #: How many words come before the cut.
    words: int
    #: Where the cut is in the audio.
    at_byte: int


@dataclass(frozen=True, slots=True)
class WordTimes:
    """When each word of a text sounds: in order, never overlapping. One value per word each."""

    words: tuple[Word, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]
    #: Whether a pause was found behind the word.
    paused: tuple[bool, ...]

    def words_heard(self, heard_bytes: float) -> int:
        """How many words a caller heard who heard this much audio: a word counts when about half of
        it was heard."""
        return self._words_over(heard_bytes, _HEARD)

    def _words_over(self, heard_bytes: float, share: float) -> int:
        return sum(
            begin + share * (end - begin) < heard_bytes
            for begin, end in zip(self.begins, self.ends, strict=True)
        )

    def boundary(self, from_byte: int, to_byte: int) -> WordBoundary:
        """The best place between `from_byte` and `to_byte` to cut the utterance.

        It is the last pause behind a punctuation mark, because there it is sure which word was
        spoken. Without one: before the first word of the text, if that begins in this range. Else
        behind the first word that ends in it, because the estimate gets worse with the length of
        the audio. If no word ends in it, the word at `to_byte` is cut in two; it counts as spoken
        if most of it was.
        """
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
    """When each word sounds in the complete audio of a text."""
    script = Script(words(text))
    sound = SoundRuns(total_bytes, pauses, ended=True)
    if script.words and pace.rate:
        script.stretch_numbers(script.number_stretch(sound.voiced[-1] / pace.rate))
    return _times(script, sound, pace)


def so_far(
    text: str, received_bytes: int, pauses: Sequence[Pause], pace: Pace = UNKNOWN
) -> WordTimes:
    """When each word sounds while the audio still arrives. Words that have not arrived are placed
    behind `received_bytes`, at the rate of those that have.

    `pauses`: including the one at the end, if the audio is silent there so far.
    """
    return _times(_script(text, pace), SoundRuns(received_bytes, pauses, ended=False), pace)


def learn(pace: Pace, text: str, total_bytes: int, pauses: Sequence[Pause]) -> Pace:
    """What is known about a voice after it spoke this text, too. `pace`: what was known before."""
    script = _script(text, pace)
    sound = SoundRuns(total_bytes, pauses, ended=True)
    if len(script.words) < LEAST_WORDS or not sound.voiced[-1]:
        return pace
    pace = replace(pace, word_by_word=sound.is_word_by_word(script, pace))
    if not any(map(str.isdigit, text)):
        rate = sound.voiced[-1] / script.letters[-1]
        return replace(pace, rates=(*pace.rates, rate)[-MOST_RATES:])
    if pace.rate is None:
        return pace
    stretch = script.number_stretch(sound.voiced[-1] / pace.rate)
    # Only a part of the stretch, because numbers differ.
    return replace(pace, numbers=pace.numbers * stretch**0.5)


def _script(text: str, pace: Pace) -> Script:
    script = Script(words(text))
    script.stretch_numbers(pace.numbers)
    return script


def _times(script: Script, sound: SoundRuns, pace: Pace) -> WordTimes:
    """Places each word by its letters, between the anchors around it."""
    if not script.words:
        return WordTimes((), (), (), ())
    rate, anchors = align(script, sound, pace)
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
    """Where the parts from `begin` to `end` end, in bytes of sound without pauses."""
    return [
        start + (script.letters[part] - script.letters[begin]) * rate
        for part in range(begin + 1, end + 1)
    ]
