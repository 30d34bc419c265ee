"""Who has the floor: the caller who speaks or types, the agent who answers, or a machine's tape."""

from app.call.caller.digit_entries import DigitEntries
from app.call.commands import CancelResponse, Command
from app.call.deadlines import NEVER
from app.call.exits.exits import Exits
from app.call.ids import Ids
from app.call.model.responses import Responses, Wish
from app.call.model.session_items import SessionItems
from app.call.speech.agent_speech import AgentSpeech

ANSWER_MS = 4000.0  # the model's own turn detection asks for an answer well within this
SPEAKS_MS = 60_000.0  # a caller who is said to speak for longer has stopped, and it was not told


class Floor:
    """`interruptible`: whether the caller may take the floor while the agent has it.

    `answer_by_ms`: the caller's turn is over, and the model owes an answer until then. `records`:
    an answering machine listens, and is not to be listened to.
    """

    def __init__(
        self,
        out: list[Command],
        items: SessionItems,
        speech: AgentSpeech,
        responses: Responses,
        exits: Exits,
        entries: DigitEntries,
        ids: Ids,
        *,
        interruptible: bool,
    ) -> None:
        self.caller_speaks = False
        self.answer_by_ms = NEVER
        self.voicemail = False
        self._speaks_until_ms = NEVER
        self._answer_pending = False  # the caller spoke again before the answer to a turn began
        self._out = out
        self._items = items
        self._speech = speech
        self._responses = responses
        self._exits = exits
        self._entries = entries
        self._ids = ids
        self._interruptible = interruptible

    @property
    def caller_acts(self) -> bool:
        """Whether the caller speaks or types."""
        return not self.voicemail and (self.caller_speaks or self._entries.keypad.typing)

    @property
    def listens(self) -> bool:
        """Whether nothing of the agent's may begin now."""
        return self.caller_acts and self._may_be_interrupted

    @property
    def _may_be_interrupted(self) -> bool:
        uninterrupted = self._exits.decided or self._exits.tones.sounding or self.voicemail
        return self._interruptible and not uninterrupted

    @property
    def owes_answer(self) -> bool:
        """Whether the caller said something that is not answered."""
        return self.caller_speaks or self.answer_by_ms != NEVER

    # --- the caller -----------------------------------------------------------------------------

    def speech_started(self, now_ms: float) -> None:
        if not self.caller_speaks:
            self._answer_pending = self.answer_by_ms != NEVER
        self.caller_speaks, self.answer_by_ms = True, NEVER
        self._speaks_until_ms = now_ms + SPEAKS_MS
        if self.listens:
            # The response is cancelled by the model's turn detection (interrupt_response).
            self._speech.interrupt(self._responses.active_id, now_ms)
            self._exits.caller_spoke(now_ms)

    def speech_stopped(self, now_ms: float) -> None:
        self.caller_speaks, self._speaks_until_ms = False, NEVER
        self.answer_by_ms = NEVER if self.voicemail else now_ms + ANSWER_MS

    def settle(self, now_ms: float) -> None:
        """Do what is due."""
        if now_ms >= self._speaks_until_ms:
            self.speech_stopped(now_ms)

    def next_ms(self) -> float:
        return min(self._speaks_until_ms, self.answer_by_ms)

    def key_pressed(self, digit: str, now_ms: float) -> None:
        if self._exits.transfer.under_way or self._exits.decided or self.voicemail:
            return
        keypad = self._entries.keypad
        if self._may_be_interrupted and not keypad.ignores(digit, now_ms):
            self.interrupt_agent(now_ms)
            self._exits.caller_spoke(now_ms)
        keypad.pressed(digit, now_ms)

    def voicemail_reached(self, message: str, now_ms: float) -> None:
        """An answering machine records: say what it is to keep, without minding its noises."""
        if not self._exits.farewell.hanging_up and not self.voicemail:
            self.interrupt_agent(now_ms)
            self.voicemail, self.caller_speaks, self.answer_by_ms = True, False, NEVER
            self._exits.leave_message(message, now_ms)

    def session_lost(self) -> None:
        """Whoever spoke, the session that heard it is gone."""
        self.caller_speaks, self.answer_by_ms = False, NEVER
        self._speaks_until_ms = NEVER

    # --- the agent ------------------------------------------------------------------------------

    def interrupt_agent(self, now_ms: float) -> None:
        """Stop what the agent says, where no turn detection does it."""
        active_id = self._responses.active_id
        if active_id is not None and not self._items.is_muted(active_id):
            self._cancel(active_id)
        self._speech.interrupt(active_id, now_ms)

    def response_moved(self, response_id: str) -> None:
        """Something came of a response."""
        if self.listens:
            self._items.mute_response(response_id)

    def response_began(self, response_id: str, *, answers_all: bool) -> None:
        """`answers_all`: it knows every tool's answer."""
        ours = self._responses.requested
        if ours is None and not self._answer_pending:
            # Turn detection asks for an answer when a turn is over, told or not.
            self.caller_speaks, self._speaks_until_ms = False, NEVER
        self.answer_by_ms = NEVER
        self.response_moved(response_id)
        self._items.response_created()
        self._responses.created(response_id, answers_all=answers_all)
        if self.voicemail and (ours is None or ours.wish not in (Wish.GOODBYE, Wish.UNSPOKEN)):
            # to the machine's own words, or to what was said before it
            self._items.mute_response(response_id)
            self._cancel(response_id)
        elif self.listens:  # asked for before the caller began, created after: nobody stops it
            self._cancel(response_id)

    def response_ended(self, now_ms: float) -> None:
        if self.answer_by_ms != NEVER:  # an answer could not be begun while this one lasted
            self.answer_by_ms = min(self.answer_by_ms, now_ms + ANSWER_MS / 4)

    def _cancel(self, response_id: str) -> None:
        self._out.append(CancelResponse(self._ids.event(), response_id))
