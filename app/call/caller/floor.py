"""The floor: who may speak, and what happens when the caller takes it from the agent (barge-in)."""

from app.call.caller.digit_entries import DigitEntries
from app.call.commands import CancelResponse, Command
from app.call.deadlines import NEVER
from app.call.exits.exits import Exits
from app.call.ids import Ids
from app.call.model.responses import Responses, Wish
from app.call.model.session_items import SessionItems
from app.call.speech.agent_speech import AgentSpeech

#: Turn detection requests the response to a turn well within this; past it the machine does.
ANSWER_MS = 4000.0
#: Speech that lasts longer has ended, and the model did not report its end.
SPEAKS_MS = 60_000.0


class Floor:
    """Who has the floor: the caller, the agent, or an answering machine that records.

    Barge-in is here. `speech_started` and `key_pressed` cause it, `barge_in` performs it.
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
        """
        Args:
            interruptible: `TurnTaking.interruptible`: whether the caller may barge in.
        """
        #: Between `SpeechStarted` and `SpeechStopped`.
        self.caller_speaks = False
        #: The caller's turn is over: deadline for turn detection to request the response.
        self.answer_by_ms = NEVER
        #: An answering machine records: its sounds are no speech, and cannot interrupt the message.
        self.voicemail = False
        self._speaks_until_ms = NEVER
        self._answer_pending = False  # the caller spoke again before the response to a turn began
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
        """Whether the caller has the floor: whatever the agent begins now is muted."""
        return self.caller_acts and self._may_be_interrupted

    @property
    def _may_be_interrupted(self) -> bool:
        uninterrupted = self._exits.ordered or self._exits.tones.sounding or self.voicemail
        return self._interruptible and not uninterrupted

    @property
    def owes_answer(self) -> bool:
        """Whether the caller says or said something to which no response began."""
        return self.caller_speaks or self.answer_by_ms != NEVER

    # --- barge-in -------------------------------------------------------------------------------

    def speech_started(self, now_ms: float) -> None:
        """The caller begins to speak: a barge-in, unless the agent may not be interrupted now."""
        if not self.caller_speaks:
            self._answer_pending = self.answer_by_ms != NEVER
        self.caller_speaks, self.answer_by_ms = True, NEVER
        self._speaks_until_ms = now_ms + SPEAKS_MS
        if self.listens:
            # Turn detection cancels the response itself.
            self.barge_in(now_ms, cancel=False)

    def key_pressed(self, digit: str, now_ms: float) -> None:
        """The caller presses a key: a barge-in, unless the agent may not be interrupted now or the
        key is the rest of an entry that is over."""
        if self._exits.transfer.under_way or self._exits.ordered or self.voicemail:
            return
        keypad = self._entries.keypad
        if self._may_be_interrupted and not keypad.ignores(digit, now_ms):
            self.barge_in(now_ms, cancel=True)
        keypad.pressed(digit, now_ms)

    def barge_in(self, now_ms: float, *, cancel: bool) -> None:
        """Barge-in: stop what plays, and tell the model how much of it the caller heard.

        Clears Twilio's buffer, truncates each interrupted item at its heard length, deletes those
        that were not heard at all, and mutes the active response, so that its late deltas are
        dropped. Takes back a goodbye, and suspends a transfer, whose words were not heard out.

        Args:
            cancel: Cancel the active response too. False when turn detection does it.
        """
        self.interrupt_agent(now_ms, cancel=cancel)
        self._exits.barge_in(now_ms)

    def interrupt_agent(self, now_ms: float, *, cancel: bool = True) -> None:
        """Stop what plays, and truncate it to what was heard. The part of a barge-in that an
        answering machine needs as well."""
        active_id = self._responses.active_id
        if cancel and active_id is not None and not self._items.is_muted(active_id):
            self._cancel(active_id)
        self._speech.interrupt(active_id, now_ms)

    # --- the caller -----------------------------------------------------------------------------

    def speech_stopped(self, now_ms: float) -> None:
        """The caller stopped speaking, or their turn was committed: a response is due."""
        self.caller_speaks, self._speaks_until_ms = False, NEVER
        self.answer_by_ms = NEVER if self.voicemail else now_ms + ANSWER_MS

    def settle(self, now_ms: float) -> None:
        """End speech whose end the model did not report."""
        if now_ms >= self._speaks_until_ms:
            self.speech_stopped(now_ms)

    def next_ms(self) -> float:
        return min(self._speaks_until_ms, self.answer_by_ms)

    def voicemail_reached(self, message: str, now_ms: float) -> None:
        """An answering machine records: interrupt the agent, leave the message, ignore its sounds.

        Args:
            message: What the agent says; empty: hang up.
        """
        if not self._exits.farewell.hanging_up and not self.voicemail:
            self.interrupt_agent(now_ms)
            self.voicemail, self.caller_speaks, self.answer_by_ms = True, False, NEVER
            self._exits.leave_message(message, now_ms)

    def session_lost(self) -> None:
        """The model's session is gone, and with it the speech that it was hearing."""
        self.caller_speaks, self.answer_by_ms = False, NEVER
        self._speaks_until_ms = NEVER

    # --- the agent ------------------------------------------------------------------------------

    def response_progressed(self, response_id: str) -> None:
        """An event of a response came: mute the response while the caller has the floor."""
        if self.listens:
            self._items.mute_response(response_id)

    def response_created(self, response_id: str, *, answers_all: bool) -> None:
        """A response began, requested by the machine or by turn detection.

        Args:
            answers_all: The model had every tool's answer when it began.
        """
        requested = self._responses.requested
        if requested is None and not self._answer_pending:
            # Turn detection requests a response when a turn is over: the caller has stopped, even
            # if no `SpeechStopped` came.
            self.caller_speaks, self._speaks_until_ms = False, NEVER
        self.answer_by_ms = NEVER
        self.response_progressed(response_id)
        self._items.response_created()
        self._responses.created(response_id, answers_all=answers_all)
        if self.voicemail and (
            requested is None or requested.wish not in (Wish.GOODBYE, Wish.UNSPOKEN)
        ):
            # It answers the answering machine's own words, or something from before them.
            self._items.mute_response(response_id)
            self._cancel(response_id)
        elif self.listens:
            # Requested before the barge-in and created after it: turn detection does not cancel it.
            self._cancel(response_id)

    def response_ended(self, now_ms: float) -> None:
        """A response ended. Turn detection could not get another one meanwhile: request it soon."""
        if self.answer_by_ms != NEVER:
            self.answer_by_ms = min(self.answer_by_ms, now_ms + ANSWER_MS / 4)

    def _cancel(self, response_id: str) -> None:
        self._out.append(CancelResponse(self._ids.event(), response_id))
