"""Evidence that a person or a phone menu answered an outbound call: turns, keys, digits.

An answered turn is one that the other side let end and then answered:

- The agent answers the callee, and is heard to its end or for `HEARD_MS`.
- The callee answers what they heard of the agent to its end, in no more than `FIRST_WORDS_MS`.

A machine's greeting is no turn: it is long, and talks over the agent after each of its pauses. So
the callee's first words, with every resumption, count only up to `FIRST_WORDS_MS`. An answer to the
agent counts until the callee goes on.

A sound whose transcript has no words is no speech: a click, a beep. Without a transcript, because
the transcription is off, refused or failed, every sound is speech, but for one that was no
interruption: the agent went on after it. While a transcript is pending, the evidence may depend on
it: see `CalleeEvidence.pending`.
"""

from collections.abc import Callable, Iterable, Mapping

from app.call import prompts
from app.call.caller.answering_machine import Shown
from app.call.deadlines import NEVER
from app.call.events import (
    CallerTranscribed,
    CallerTranscriptionFailed,
    CallerTurnCommitted,
    Event,
    SpeechStarted,
    SpeechStopped,
)
from app.call.exits.exits import Exits
from app.call.exits.tones import SEND_DIGITS
from app.call.heard.agent_audio import AgentAudio
from app.call.heard.conversation import Conversation, Turn
from app.call.model.settings import SessionSettings
from app.call.words.backchannels import normalized

#: Longer speech after the answer is a machine's greeting. (Twilio: MachineDetectionSpeechThreshold,
#: default 2400)
FIRST_WORDS_MS = 2400.0
#: So much of an answer is heard only by a callee who listens: a greeting's pauses are shorter.
HEARD_MS = 2000


HasWords = Callable[[Turn], bool | None]
"""Whether a turn of the callee's has words; None: its transcript is pending."""


class CalleeEvidence:
    """Pass on what the callee does. `shown` then says what the whole call so far is evidence of."""

    def __init__(
        self,
        conversation: Conversation,
        audio: AgentAudio,
        exits: Exits,
        settings: SessionSettings,
    ) -> None:
        #: What the call's earlier legs have shown.
        self.earlier = Shown.NOTHING
        self._conversation = conversation
        self._audio = audio
        self._exits = exits
        self._settings = settings
        self._key_pressed = False
        self._from: dict[str, int] = {}  # by item id: `SpeechStarted.audio_start_ms`
        self._ended_ms: dict[str, float] = {}  # by item id: when the callee's turn ended
        self._words: dict[str, bool] = {}  # by item id, once its transcript came or failed

    def take(self, event: Event, now_ms: float) -> None:
        """What turn detection and the transcription report of the callee."""
        match event:
            case SpeechStarted(item_id, audio_start_ms):
                self._from[item_id] = audio_start_ms
            case SpeechStopped():
                self._speech_stopped(event, now_ms)
            case CallerTurnCommitted(item_id):
                self._ended_ms.setdefault(item_id, now_ms)
            case CallerTranscribed(item_id, text):
                self._words[item_id] = bool(normalized(text))
            case CallerTranscriptionFailed(item_id):
                self._words[item_id] = True

    def _speech_stopped(self, event: SpeechStopped, now_ms: float) -> None:
        # Turn detection says so after it has waited, and names the sound.
        turn = self._conversation.find(event.item_id)
        length_ms = event.audio_end_ms - self._from.get(event.item_id, event.audio_end_ms)
        by_sound_ms = turn.at_ms + length_ms if turn is not None and length_ms > 0 else NEVER
        self._ended_ms[event.item_id] = min(now_ms, by_sound_ms)

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
        if self.earlier is Shown.NOTHING and answered_turn(turns, self._ended_ms, self._has_words):
            return Shown.TURN
        return self.earlier

    def pending(self, now_ms: float) -> bool:
        """Whether a transcript that is pending may turn `shown` from NOTHING into TURN."""
        if self.shown(now_ms) is not Shown.NOTHING:
            return False
        turns = self._conversation.heard(self._audio.ledger, now_ms)

        def if_pending(words: bool) -> HasWords:
            return lambda turn: words if (known := self._has_words(turn)) is None else known

        return any(
            answered_turn(turns, self._ended_ms, if_pending(words)) for words in (True, False)
        )

    def _has_words(self, turn: Turn) -> bool | None:
        if turn.text:
            return bool(normalized(turn.text))
        words = self._words.get(turn.item_id, None if self._settings.transcribes else True)
        if turn.item_id not in self._ended_ms:
            words = True  # a sound that goes on is no click, whatever its transcript will be
        return False if words and _went_on_after(turn) else words


def answered_turn(
    turns: Iterable[Turn], ended_ms: Mapping[str, float], has_words: HasWords
) -> bool:
    """Whether one of these turns is an answered one.

    Args:
        turns: As heard by now, in the order of the conversation.
        ended_ms: By item id: when the callee's turn ended. A turn that is missing goes on.
        has_words: A turn without words is no turn. One whose transcript is pending is a turn that
            the agent can answer, but no answer to the agent.
    """
    first, heard_to_end = True, False
    begun = ended = NEVER  # of the callee's words since the agent was heard, in ms
    worded = answers = False  # these words; whether they answer the agent, as far as they go
    for turn in turns:
        if turn.role == "user":
            words = has_words(turn)
            if words is False or (words is None and _went_on_after(turn)):
                continue
            begun, ended = min(begun, turn.at_ms), ended_ms.get(turn.item_id, NEVER)
            worded = worded or bool(words)
            answers = heard_to_end and worded and _is_turn(begun, ended, first=first)
        elif turn.role == "assistant":
            if turn.cut and turn.heard_ms < HEARD_MS:
                heard_to_end = False  # talked over: the callee's words go on
                continue
            if _is_turn(begun, ended, first=first):
                return True
            first = first and begun == NEVER
            begun = ended = NEVER
            worded = answers = False
            heard_to_end = not turn.cut
    return answers


def _went_on_after(turn: Turn) -> bool:
    """Whether the agent went on after this sound, because it was no interruption."""
    return turn.detail.get("interruption") == "false"


def _is_turn(begun: float, ended: float, *, first: bool) -> bool:
    """Whether the callee's words ended, and the first ones soon enough."""
    return ended != NEVER and (not first or ended - begun <= FIRST_WORDS_MS)


def sent_digits(turn: Turn) -> bool:
    """Whether this turn is the answer of a send_digits whose keys were pressed."""
    if turn.role != "tool" or turn.detail["name"] != SEND_DIGITS:
        return False
    return turn.text == prompts.DIGITS_SENT
