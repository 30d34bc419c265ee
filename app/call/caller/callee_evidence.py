"""Evidence that a person or a phone menu answered an outbound call: turns, keys, digits.

An answered turn is one that the other side let end and then answered:

- The agent answers the callee, and is heard to its end or for `HEARD_MS`.
- The callee answers what they heard of the agent to its end, in no more than `FIRST_WORDS_MS`.

A machine's greeting is no turn: it is long, and talks over the agent after each of its pauses. So
the callee's first words, with every resumption that cuts the agent short, count only up to
`FIRST_WORDS_MS`.
"""

from collections.abc import Iterable, Mapping

from app.call import prompts
from app.call.caller.answering_machine import Shown
from app.call.deadlines import NEVER
from app.call.events import SpeechStopped
from app.call.exits.exits import Exits
from app.call.exits.tones import SEND_DIGITS
from app.call.heard.agent_audio import AgentAudio
from app.call.heard.conversation import Conversation, Turn

#: Longer speech after the answer is a machine's greeting. (Twilio: MachineDetectionSpeechThreshold,
#: default 2400)
FIRST_WORDS_MS = 2400.0
#: So much of an answer is heard only by a callee who listens: a greeting's pauses are shorter.
HEARD_MS = 2000


class CalleeEvidence:
    """Pass on what the callee does. `shown` then says what the whole call so far is evidence of."""

    def __init__(
        self, conversation: Conversation, audio: AgentAudio, exits: Exits, *, transcribes: bool
    ) -> None:
        """
        Args:
            transcribes: The model transcribes the callee, so a sound without words has no text.
        """
        #: What the call's earlier legs have shown.
        self.earlier = Shown.NOTHING
        self._conversation = conversation
        self._audio = audio
        self._exits = exits
        self._transcribes = transcribes
        self._key_pressed = False
        self._from: dict[str, int] = {}  # by item id: `SpeechStarted.audio_start_ms`
        self._ended_ms: dict[str, float] = {}  # by item id: when the callee's turn ended

    def speech_started(self, item_id: str, audio_start_ms: int) -> None:
        """The callee begins to speak."""
        self._from[item_id] = audio_start_ms

    def speech_stopped(self, event: SpeechStopped, now_ms: float) -> None:
        """The callee stopped. Turn detection says so after it has waited, and names the sound."""
        turn = self._conversation.find(event.item_id)
        length_ms = event.audio_end_ms - self._from.get(event.item_id, event.audio_end_ms)
        by_sound_ms = turn.at_ms + length_ms if turn is not None and length_ms > 0 else NEVER
        self._ended_ms[event.item_id] = min(now_ms, by_sound_ms)

    def committed(self, item_id: str, now_ms: float) -> None:
        """The callee's turn is over."""
        self._ended_ms.setdefault(item_id, now_ms)

    def key_pressed(self) -> None:
        """The callee pressed a key."""
        self._key_pressed = True

    def shown(self, now_ms: float) -> Shown:
        """The evidence by now: KEY, DIGITS, TURN, or NOTHING."""
        turns = self._conversation.heard(self._audio.ledger, now_ms)
        if self._key_pressed:
            return Shown.KEY
        if self._exits.pressing_keys or any(map(sent_digits, turns)):
            return Shown.DIGITS
        if self.earlier is Shown.NOTHING and answered_turn(
            turns, self._ended_ms, transcribes=self._transcribes
        ):
            return Shown.TURN
        return self.earlier


def answered_turn(
    turns: Iterable[Turn], ended_ms: Mapping[str, float], *, transcribes: bool
) -> bool:
    """Whether one of these turns is an answered one.

    Args:
        turns: As heard by now, in the order of the conversation.
        ended_ms: By item id: when the callee's turn ended. A turn that is missing goes on.
        transcribes: See `CalleeEvidence`.
    """
    first, heard_to_end = True, False
    begun = ended = NEVER  # of the callee's words since the agent was heard, in ms
    for turn in turns:
        if turn.role == "user":
            begun, ended = min(begun, turn.at_ms), ended_ms.get(turn.item_id, NEVER)
            worded = bool(turn.text) or not transcribes
            counts = ended - begun <= FIRST_WORDS_MS or (ended != NEVER and not first)
            if heard_to_end and worded and counts:
                return True
        elif turn.role == "assistant":
            if turn.cut and turn.heard_ms < HEARD_MS:
                heard_to_end = False  # talked over: the callee's words go on
                continue
            if ended - begun <= FIRST_WORDS_MS or (ended != NEVER and not first):
                return True
            first = first and begun == NEVER
            begun = ended = NEVER
            heard_to_end = not turn.cut
    return False


def sent_digits(turn: Turn) -> bool:
    """Whether this turn is the answer of a send_digits whose keys were pressed."""
    if turn.role != "tool" or turn.detail["name"] != SEND_DIGITS:
        return False
    return turn.text == prompts.DIGITS_SENT
