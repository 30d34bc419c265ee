"""What was said, as it was heard: the transcript of a leg, and the seed of the next session."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from app.call.heard.ledger import BYTES_PER_MS, PlaybackLedger
from app.call.words.utterance import Utterance, heard_text

Role = Literal["user", "assistant", "tool"]

# Where text and audio come in step, the first word comes before any sound and the last with its
# own, give or take a word. A short turn, or one whose text came in few pieces, proves nothing.
A_WORD_BYTES = 600 * BYTES_PER_MS
TELLING_BYTES, TELLING_KNOTS = 2500 * BYTES_PER_MS, 5


@dataclass(slots=True)
class Turn:
    """One thing said, or one thing a tool answered.

    `role`: user, assistant or tool. `text`: all of it, as the model wrote it; what was heard of it
    is `heard_text`. `heard_bytes` of `generated_bytes`: how much of an agent's turn was heard, set
    once it was cut or complete. Where the text of native audio is cut is an estimate, for its
    transcript has no times. `knots`: (characters, bytes) that had come before a piece of the text;
    they make the estimate better where text and audio come `in_step`. `unfinished`: the model was
    still at it when it was cut. `utterances`: of a turn that an external voice says, whose text is
    cut where the words of each end; None for native audio.
    """

    role: Role
    item_id: str
    at_ms: float
    text: str = ""
    finished: bool = False
    cut: bool = False
    heard_bytes: int = 0
    generated_bytes: int = 0
    knots: list[tuple[int, int]] = field(default_factory=list)
    in_step: bool = False
    unfinished: bool = False
    detail: dict[str, str] = field(default_factory=dict)
    utterances: list[Utterance] | None = None

    @property
    def heard_ms(self) -> int:
        return self.heard_bytes // 8

    @property
    def heard_text(self) -> str:
        """The text in proportion to the heard audio, down to a whole word."""
        if not self.cut:
            return self.text
        if self.utterances is not None:
            return heard_text(self.utterances, self.heard_bytes)
        if not self.generated_bytes:
            return ""
        before, after = (0, 0), (len(self.text), self.generated_bytes)
        for knot in self.knots if self.in_step else ():
            if knot[1] > self.heard_bytes:
                after = knot
                break
            before = knot
        share = (self.heard_bytes - before[1]) / max(1, after[1] - before[1])
        last_word_ends = len(self.text[: after[0]].rstrip())
        length = int(before[0] + share * (last_word_ends - before[0]))
        if self.unfinished:  # what came last is perhaps not in step: claim no more than a share
            length = min(length, int(len(self.text) * self.heard_bytes / self.generated_bytes))
        return whole_words(self.text, length)

    def append(self, text: str, generated_bytes: int) -> None:
        """More of what an agent's turn says has come, behind so much of its audio."""
        if not self.text:
            text = text.lstrip()
        if not self.knots or generated_bytes > self.knots[-1][1]:
            self.knots.append((len(self.text), generated_bytes))
        self.text += text

    def complete(self, text: str) -> None:
        """This is all that the turn says, if it speaks for itself."""
        if self.utterances is not None:
            return
        if text.strip() != self.text.strip():
            self.knots.clear()
        self.text = text.strip()


def whole_words(text: str, length: int) -> str:
    """The first `length` characters of a text, cut down to a whole word. Scripts without spaces are
    cut at the character."""
    if length >= len(text):
        return text
    head = text[:length]
    if " " not in text.strip() or text[length : length + 1].isspace():
        return head.rstrip()
    return head.rpartition(" ")[0].rstrip()


class Conversation:
    """The turns of one leg, in the order of the conversation and not of arrival: transcriptions may
    come before or after the answers to them (OpenAI: input_audio_transcription.completed)."""

    def __init__(self) -> None:
        self._turns: list[Turn] = []
        self._by_item: dict[str, Turn] = {}
        self._in_step: bool | None = None  # whether text comes in step with audio; None: who knows
        self.revision = 0  # grows with every change worth storing

    def __iter__(self) -> Iterator[Turn]:
        return iter(self._turns)

    def __len__(self) -> int:
        return len(self._turns)

    def turn(self, role: Role, item_id: str, now_ms: float) -> Turn:
        """The turn of this item, begun now if it is new."""
        turn = self._by_item.get(item_id)
        if turn is None:
            turn = self._by_item[item_id] = Turn(role, item_id, now_ms)
            self._turns.append(turn)
        return turn

    def find(self, item_id: str) -> Turn | None:
        return self._by_item.get(item_id)

    def latest(self, role: Role, *, without_text: bool = False) -> str:
        """The item of the newest turn of this role, or of the newest that has no text yet; empty
        when there is none. For servers that leave out which item they mean."""
        for turn in reversed(self._turns):
            if turn.role == role and not (without_text and turn.text):
                return turn.item_id
        return ""

    def committed(self, item_id: str, previous_item_id: str | None, now_ms: float) -> None:
        """The caller's turn has its place in the conversation."""
        turn = self.turn("user", item_id, now_ms)
        previous = self._by_item.get(previous_item_id or "")
        if previous is not None and previous is not turn:
            self._turns.remove(turn)
            self._turns.insert(self._turns.index(previous) + 1, turn)
        turn.finished = True
        self.revision += 1

    def transcribed(self, item_id: str, text: str, now_ms: float) -> None:
        """The caller's words are known."""
        self.turn("user", item_id, now_ms).text = text.strip()
        self.revision += 1

    def typed(self, item_id: str, text: str, now_ms: float) -> None:
        """The caller's keys, which mean something to the agent."""
        turn = self.turn("user", item_id, now_ms)
        turn.text, turn.finished, turn.detail = text, True, {"by": "keypad"}
        self.revision += 1

    def tool_answered(self, call_id: str, name: str, output: str, now_ms: float) -> None:
        """A tool's answer, kept so that a new session knows it too."""
        turn = self.turn("tool", call_id, now_ms)
        turn.text, turn.finished, turn.detail = output, True, {"name": name}
        self.revision += 1

    def was_cut(self, item_id: str, heard_bytes: int, generated_bytes: int) -> None:
        """An agent's turn was interrupted, or ended with the call before it was heard out."""
        turn = self._by_item.get(item_id)
        if turn is not None:
            turn.unfinished = not turn.finished
            turn.cut, turn.finished = True, True
            turn.heard_bytes, turn.generated_bytes = heard_bytes, generated_bytes
            turn.in_step = bool(self._in_step)
            self.revision += 1

    def was_finished(self, item_id: str, generated_bytes: int) -> None:
        """An agent's turn is complete, though perhaps not heard yet."""
        turn = self._by_item.get(item_id)
        if turn is not None and not turn.finished:
            turn.finished = True
            turn.heard_bytes = turn.generated_bytes = generated_bytes
            self._compare(turn)
            self.revision += 1

    def _compare(self, turn: Turn) -> None:
        """Learn from a complete turn whether this model's text comes in step with its audio. Most
        models are ahead with the text, and then it tells nothing about where a word sounds."""
        if not turn.knots or turn.generated_bytes < TELLING_BYTES:
            return
        first_bytes, last_bytes = turn.knots[0][1], turn.generated_bytes - turn.knots[-1][1]
        if max(first_bytes, last_bytes) > A_WORD_BYTES:
            self._in_step = False
        elif len(turn.knots) >= TELLING_KNOTS and self._in_step is None:
            self._in_step = True

    def heard(self, ledger: PlaybackLedger, now_ms: float) -> list[Turn]:
        """The turns as heard until now: what still plays is cut where it is, and what nobody heard
        anything of is left out."""
        turns = []
        for turn in self._turns:
            if turn.role == "assistant":
                turn = self._as_heard(turn, ledger, now_ms)
                if turn.cut and not turn.heard_bytes:
                    continue
            if turn.text or turn.role == "user":
                turns.append(turn)
        return turns

    def _as_heard(self, turn: Turn, ledger: PlaybackLedger, now_ms: float) -> Turn:
        generated = ledger.generated_bytes(turn.item_id)
        heard = ledger.heard_bytes(turn.item_id, now_ms)
        if turn.cut or (turn.generated_bytes and not generated):
            return turn  # its end is known: cut, or heard out and forgotten by the ledger
        if generated and heard >= generated and (turn.finished or turn.utterances is None):
            return turn
        in_step = bool(self._in_step)
        return replace(
            turn,
            cut=True,
            heard_bytes=heard,
            generated_bytes=generated,
            in_step=in_step,
            unfinished=not turn.finished,
        )
