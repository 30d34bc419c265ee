"""The conversation, as heard: the transcript of a leg, and what the next session is seeded with.

What was not heard because of a barge-in, or because the call ended, is cut off.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from app.call.heard.ledger import BYTES_PER_MS, PlaybackLedger
from app.call.words.spoken_places import spoken_places
from app.call.words.utterance import Utterance, heard_text

Role = Literal["user", "assistant", "tool"]

# Text and audio come in step if the first word comes at the beginning of the audio and the last one
# at its end, give or take one word.
#: The length of a word.
WORD_BYTES = 600 * BYTES_PER_MS
#: A finished turn with so many behind it does not change any more.
SETTLED_BEFORE = 40
#: A shorter turn, or one whose text came in fewer pieces, does not show whether they are in step.
IN_STEP_LEAST_BYTES, IN_STEP_LEAST_KNOTS = 2500 * BYTES_PER_MS, 5


@dataclass(slots=True)
class Turn:
    """One turn of the caller or the agent, or the answer of a tool."""

    role: Role
    #: The model's item; of a tool's answer, the id of the tool call.
    item_id: str
    #: When it began, in monotonic ms.
    at_ms: float
    #: All of it, heard or not. See `heard_text`.
    text: str = ""
    #: Nothing is added to it any more.
    finished: bool = False
    #: The caller did not hear all of it: interrupted, or the call ended.
    cut: bool = False
    #: How much of the agent's turn was heard, of `generated_bytes`; set when it is cut or finished.
    heard_bytes: int = 0
    #: The audio of the agent's turn, as far as it was generated.
    generated_bytes: int = 0
    #: Of native audio: the characters and the bytes that had come before each piece of the text,
    #: one after the other.
    knots: "array[int]" = field(default_factory=lambda: array("Q"))
    #: The text comes in step with the audio: `knots` say where it was when it was cut.
    in_step: bool = False
    #: It was cut before the model had completed it.
    unfinished: bool = False
    #: name: of the tool. by: keypad, when the caller typed it.
    detail: dict[str, str] = field(default_factory=dict)
    #: Another session hears it again, under another item: it is no turn.
    withdrawn: bool = False
    #: What an external voice says of it, with the times of its words; None: native audio.
    utterances: list[Utterance] | None = None
    #: What was heard of it, once that is settled: `knots` and `utterances` are empty then.
    settled_text: str | None = None

    @property
    def heard_ms(self) -> int:
        return self.heard_bytes // BYTES_PER_MS

    @property
    def heard_text(self) -> str:
        """What was heard of the text, cut down to a whole word.

        Of native audio this is an estimate in proportion to the heard audio and to how long the
        characters take to say, because the transcript has no times.
        """
        if not self.cut:
            return self.text
        if self.settled_text is not None:
            return self.settled_text
        if self.utterances is not None:
            return heard_text(self.utterances, self.heard_bytes)
        if not self.generated_bytes:
            return ""
        before, after = (0, 0), (len(self.text), self.generated_bytes)
        knots = zip(self.knots[::2], self.knots[1::2], strict=True)
        for knot in knots if self.in_step else ():
            if knot[1] > self.heard_bytes:
                after = knot
                break
            before = knot
        places = spoken_places(self.text)
        share = (self.heard_bytes - before[1]) / max(1, after[1] - before[1])
        begins = places[len(self.text[: before[0]])]
        ends = places[len(self.text[: after[0]].rstrip())]
        heard = begins + share * (ends - begins)
        if self.unfinished:  # its last piece may not be in step: claim no more than a share
            heard = min(heard, places[-1] * self.heard_bytes / self.generated_bytes)
        return whole_words(self.text, sum(place <= heard for place in places[1:]))

    def settle(self) -> None:
        """Forget where each word sounds: the turn is long over. Ignored until it is finished."""
        if not self.finished:
            return
        if self.cut:
            self.settled_text = self.heard_text
        self.knots = array("Q")
        if self.utterances:
            self.utterances = []

    def append(self, text: str, generated_bytes: int) -> None:
        """More text of the agent's turn came. `generated_bytes`: its audio that came before."""
        if not self.text:
            text = text.lstrip()
        if not self.knots or generated_bytes > self.knots[-1]:
            self.knots.extend((len(self.text), generated_bytes))
        self.text += text

    def complete(self, text: str) -> None:
        """The whole text of the turn came. Ignored if an external voice says the turn, or if it is
        empty: a server that leaves it out takes back no word that was heard."""
        if self.utterances is not None or not text.strip():
            return
        if text.strip() != self.text.strip():
            self.knots = array("Q")
        self.text = text.strip()


@dataclass(frozen=True, slots=True)
class TurnChange:
    """A turn that may have changed since the last `Conversation.take_changes`."""

    item_id: str
    #: The turn as heard by now; None: the transcript leaves it out.
    turn: Turn | None
    #: It has another place in the order of the conversation.
    moved: bool


def whole_words(text: str, length: int) -> str:
    """The first `length` characters of a text, cut down to a whole word; to the character in
    scripts without spaces."""
    if length >= len(text):
        return text
    head = text[:length]
    if " " not in text.strip() or text[length : length + 1].isspace():
        return head.rstrip()
    return head.rpartition(" ")[0].rstrip()


class Conversation:
    """The turns of one leg, in the order of the conversation.

    That is not the order of the events: a transcription may come before or after the response to
    it.
    """

    def __init__(self) -> None:
        self._turns: list[Turn] = []
        self._by_item: dict[str, Turn] = {}
        self._untranscribed: dict[str, None] = {}  # the caller's turns without text
        self._changed: dict[str, Turn] = {}  # since `take_changes`, or not surely heard so far
        self._moved: dict[str, None] = {}
        self._removed: dict[str, None] = {}  # since `take_changes`
        self._in_step: bool | None = None  # whether text comes in step with audio; None: unknown
        #: Grows with every change that is worth storing.
        self.revision = 0

    def __iter__(self) -> Iterator[Turn]:
        return iter(self._turns)

    def __len__(self) -> int:
        return len(self._turns)

    def turn(self, role: Role, item_id: str, now_ms: float) -> Turn:
        """The turn of this item, in order to change it; a new one if there is none."""
        turn = self._by_item.get(item_id)
        if turn is None:
            turn = self._by_item[item_id] = Turn(role, item_id, now_ms)
            self._turns.append(turn)
            if len(self._turns) > SETTLED_BEFORE:
                self._turns[-1 - SETTLED_BEFORE].settle()
            if role == "user":
                self._untranscribed[item_id] = None
        self._changed[item_id] = turn
        return turn

    def find(self, item_id: str) -> Turn | None:
        """The turn of this item, to read it. `turn` is for changes."""
        return self._by_item.get(item_id)

    def before(self, item_id: str) -> Iterator[str]:
        """The item ids of the turns before this one, the nearest first."""
        for place in range(self._place(self._by_item[item_id]) - 1, -1, -1):
            yield self._turns[place].item_id

    def _place(self, turn: Turn) -> int:
        """The index of a turn. Searched from the end, where nearly all changes are."""
        return next(i for i in range(len(self._turns) - 1, -1, -1) if self._turns[i] is turn)

    def latest(self, role: Role) -> str:
        """The item id of the newest turn of this role; empty: there is none."""
        return next((turn.item_id for turn in reversed(self._turns) if turn.role == role), "")

    def latest_heard(self, role: Role, ledger: PlaybackLedger, now_ms: float) -> Turn | None:
        """The newest turn of this role of which anything was heard, as heard by now."""
        for turn in reversed(self._turns):
            if turn.role == role and (shown := self._shown(turn, ledger, now_ms)) is not None:
                return shown
        return None

    def judged(self, item_id: str, *, interrupts: bool) -> None:
        """The caller's sound was an interruption, or it was none and the agent goes on."""
        if (turn := self._by_item.get(item_id)) is not None:
            turn.detail = {} if interrupts else {"interruption": "false"}
            self._changed[item_id] = turn
            self.revision += 1

    def withdraw(self, item_id: str) -> None:
        """Take the caller's turn out of the transcript."""
        if (turn := self._by_item.get(item_id)) is not None:
            turn.withdrawn = True
            self._untranscribed.pop(item_id, None)
            self._changed[item_id] = turn
            self.revision += 1

    @property
    def untranscribed(self) -> str:
        """The item id of the caller's newest turn without text; empty: there is none. For servers
        that leave out the item id."""
        return next(reversed(self._untranscribed), "")

    def committed(self, item_id: str, previous_item_id: str | None, now_ms: float) -> None:
        """The caller's turn was committed: put it behind its previous item."""
        turn = self.turn("user", item_id, now_ms)
        previous = self._by_item.get(previous_item_id or "")
        if previous is not None and previous is not turn:
            here, there = self._place(turn), self._place(previous) + 1
            if here != there:
                del self._turns[here]
                self._turns.insert(there if there < here else there - 1, turn)
                self._moved[item_id] = None
        turn.finished = True
        self.revision += 1

    def transcribed(self, item_id: str, text: str, now_ms: float) -> None:
        """The caller's turn was transcribed."""
        self._set_text(self.turn("user", item_id, now_ms), text.strip())
        self.revision += 1

    def typed(self, item_id: str, text: str, now_ms: float, replaces: str = "") -> None:
        """The caller typed an entry that is for the agent. `replaces`: the turn whose place it
        takes; empty: none."""
        self.remove(replaces)
        turn = self.turn("user", item_id, now_ms)
        self._set_text(turn, text)
        turn.finished, turn.detail = True, {"by": "keypad"}
        self.revision += 1

    def remove(self, item_id: str) -> None:
        """Remove the turn of an entry that another one replaces, or that a tool took. Ignored if
        there is no such turn."""
        removed = self._by_item.pop(item_id, None)
        if removed is not None:
            del self._turns[self._place(removed)]
            self._changed.pop(item_id, None)
            self._removed[item_id] = None
            self.revision += 1

    def _set_text(self, turn: Turn, text: str) -> None:
        """Set the text of the caller's turn."""
        turn.text = text
        if text:
            self._untranscribed.pop(turn.item_id, None)
        else:
            self._untranscribed.setdefault(turn.item_id)

    def tool_answered(self, call_id: str, name: str, output: str, now_ms: float) -> None:
        """A tool returned. Its answer is a turn, so that a new session is seeded with it."""
        turn = self.turn("tool", call_id, now_ms)
        turn.text, turn.finished, turn.detail = output, True, {"name": name}
        self.revision += 1

    def was_cut(self, item_id: str, heard_bytes: int, generated_bytes: int) -> None:
        """The agent's turn was interrupted by a barge-in, or by the end of the call."""
        turn = self._by_item.get(item_id)
        if turn is not None:
            turn.unfinished = not turn.finished
            turn.cut, turn.finished = True, True
            turn.heard_bytes, turn.generated_bytes = heard_bytes, generated_bytes
            turn.in_step = bool(self._in_step)
            self._changed[item_id] = turn
            self.revision += 1

    def was_finished(self, item_id: str, generated_bytes: int) -> None:
        """The agent's turn is complete, though it may still be playing."""
        turn = self._by_item.get(item_id)
        if turn is not None and not turn.finished:
            turn.finished = True
            turn.heard_bytes = turn.generated_bytes = generated_bytes
            self._compare(turn)
            self._changed[item_id] = turn
            self.revision += 1

    def _compare(self, turn: Turn) -> None:
        """Learn from a complete turn whether this model's text comes in step with its audio. With
        most models the text is ahead, and then it does not show where a word sounds."""
        if not turn.knots or turn.generated_bytes < IN_STEP_LEAST_BYTES:
            return
        first_bytes, last_bytes = turn.knots[1], turn.generated_bytes - turn.knots[-1]
        if max(first_bytes, last_bytes) > WORD_BYTES:
            self._in_step = False
        elif len(turn.knots) >= 2 * IN_STEP_LEAST_KNOTS and self._in_step is None:
            self._in_step = True

    def heard(self, ledger: PlaybackLedger, now_ms: float) -> list[Turn]:
        """The turns as heard by now. What still plays is cut where it is; turns of the agent of
        which nothing was heard are left out."""
        return list(self._heard(ledger, now_ms))

    def anything_heard(self, ledger: PlaybackLedger, now_ms: float) -> bool:
        """Whether the caller or the agent has said anything by now."""
        return any(turn.role != "tool" for turn in self._heard(ledger, now_ms))

    def take_changes(self, ledger: PlaybackLedger, now_ms: float) -> list[TurnChange]:
        """The turns that may have changed since the last call of this, in no order. A turn of the
        agent is among them until it is cut, or surely heard to its end."""
        changes = [
            TurnChange(item_id, self._shown(turn, ledger, now_ms), item_id in self._moved)
            for item_id, turn in self._changed.items()
        ]
        changes += [TurnChange(item_id, None, moved=False) for item_id in self._removed]
        self._moved.clear()
        self._removed.clear()
        self._changed = {
            item_id: turn
            for item_id, turn in self._changed.items()
            if turn.role == "assistant"
            and not turn.cut
            and not (turn.finished and ledger.surely_heard(item_id))
        }
        return changes

    def _heard(self, ledger: PlaybackLedger, now_ms: float) -> Iterator[Turn]:
        for turn in self._turns:
            shown = self._shown(turn, ledger, now_ms)
            if shown is not None:
                yield shown

    def _shown(self, turn: Turn, ledger: PlaybackLedger, now_ms: float) -> Turn | None:
        """The turn as heard by now; None: the transcript leaves it out."""
        if turn.role == "assistant":
            turn = self._as_heard(turn, ledger, now_ms)
            if turn.cut and not turn.heard_bytes:
                return None
        return turn if turn.text or (turn.role == "user" and not turn.withdrawn) else None

    def _as_heard(self, turn: Turn, ledger: PlaybackLedger, now_ms: float) -> Turn:
        generated = ledger.generated_bytes(turn.item_id)
        heard = ledger.heard_bytes(turn.item_id, now_ms)
        if turn.cut or (turn.generated_bytes and not generated):
            return turn  # its end is known: cut, or heard to its end and dropped by the ledger
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
