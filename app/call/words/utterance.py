"""An utterance: a piece of the agent's text that an external voice speaks in one request."""

from dataclasses import dataclass, field

from app.call.words.word_places import words
from app.call.words.word_times import UNKNOWN, Pace, Pause, TimedWord, WordTimes, word_times

#: Audio is padded to whole frames of 20 ms behind its last pause.
_FRAME_BYTES = 160


@dataclass(slots=True)
class Utterance:
    """A text, and how much of its audio has arrived and was played. Sizes are bytes of µ-law."""

    id: str
    item_id: str
    #: The text for the voice. It gets shorter when the utterance is cut.
    text: str
    #: What separates it from the utterance before: a space, or nothing.
    before: str = ""
    #: How much audio has arrived.
    size_bytes: int = 0
    #: How much of that was passed on to be played.
    released_bytes: int = 0
    #: All of its audio has arrived.
    complete: bool = False
    #: How its voice spoke earlier utterances.
    pace: Pace = UNKNOWN
    #: The silences in its audio, in order: start and end in bytes.
    pauses: list[Pause] = field(default_factory=list)
    #: Its words as the voice timed them, in order; empty if the voice sends no times.
    timed: list[TimedWord] = field(default_factory=list)
    _times: tuple[tuple[str, int, bool, int], WordTimes] | None = None

    @property
    def end_pause_bytes(self) -> int:
        """How long the silence at the end of its audio is."""
        if not self.pauses or self.pauses[-1][1] <= self.size_bytes - _FRAME_BYTES:
            return 0
        return self.size_bytes - self.pauses[-1][0]

    def word_times(self) -> WordTimes:
        """When each of its words sounds, by what has arrived so far."""
        known = self.text, self.size_bytes, self.complete, len(self.timed)
        if self._times is None or self._times[0] != known:
            times = word_times(
                self.text,
                self.size_bytes,
                self.pauses,
                complete=self.complete,
                pace=self.pace,
                timed=self.timed,
            )
            self._times = known, times
        return self._times[1]

    def first_words(self, count: int) -> str:
        """The text up to the end of its first `count` words."""
        return self.text[: words(self.text)[count - 1].end] if count else ""

    def heard_text(self, heard_bytes: int) -> str:
        """The words that a caller heard who heard this much of the audio."""
        if self.complete and heard_bytes >= self.size_bytes:
            return self.text
        if heard_bytes <= 0 or not self.text:
            return ""
        return self.first_words(self.word_times().words_heard(heard_bytes))


def text_of(utterances: list[Utterance]) -> str:
    """The text of all utterances of an item."""
    return "".join(each.before + each.text for each in utterances).lstrip()


def heard_text(utterances: list[Utterance], heard_bytes: int) -> str:
    """The words of an item that a caller heard who heard this much of its audio."""
    heard_texts: list[str] = []
    begins = 0
    for each in utterances:
        heard = each.heard_text(heard_bytes - begins)
        if heard:
            heard_texts.append(each.before + heard)
        if heard != each.text:
            break
        begins += each.released_bytes
    return "".join(heard_texts).lstrip()
