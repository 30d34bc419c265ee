"""An utterance: a piece of what the agent says, as an external voice says it."""

from dataclasses import dataclass, field

from app.call.words.pause_alignment import Pace
from app.call.words.word_lengths import words
from app.call.words.word_times import UNKNOWN, WordTimes, complete, so_far


@dataclass(slots=True)
class Utterance:
    """`text`: what a voice is to say. `before`: what stands between it and the utterance before.
    `size_bytes` of µ-law came of it so far, `given_bytes` of these were given to be played;
    `pauses`: where the voice pauses in them. `pace`: how its voice spoke
    before.
    """

    id: str
    item_id: str
    text: str
    before: str = ""
    size_bytes: int = 0
    given_bytes: int = 0
    complete: bool = False
    pace: Pace = UNKNOWN
    pauses: list[tuple[int, int]] = field(default_factory=list)
    _times: tuple[tuple[str, int, bool], WordTimes] | None = None

    def word_times(self) -> WordTimes:
        """Where each of its words sounds, as far as can be told."""
        known = self.text, self.size_bytes, self.complete
        if self._times is None or self._times[0] != known:
            estimate = complete if self.complete else so_far
            self._times = known, estimate(self.text, self.size_bytes, self.pauses, self.pace)
        return self._times[1]

    def heard_text(self, heard_bytes: int) -> str:
        """What was heard of it, to the word."""
        if self.complete and heard_bytes >= self.size_bytes:
            return self.text
        if heard_bytes <= 0 or not self.text:
            return ""
        count = self.word_times().words_heard(heard_bytes)
        return self.text[: words(self.text)[count - 1].end] if count else ""


def text_of(utterances: list[Utterance]) -> str:
    """What they say together."""
    return "".join(each.before + each.text for each in utterances).lstrip()


def heard_text(utterances: list[Utterance], heard_bytes: int) -> str:
    """What was heard of them, one after the other, when so much of their sound was."""
    said: list[str] = []
    begins = 0
    for each in utterances:
        heard = each.heard_text(heard_bytes - begins)
        if heard:
            said.append(each.before + heard)
        if heard != each.text:
            break
        begins += each.given_bytes
    return "".join(said).lstrip()
