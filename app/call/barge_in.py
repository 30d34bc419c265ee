"""Barge-in: the caller begins to speak or presses a key while the agent speaks.

The agent falls silent at once, and the model learns how much of it the caller heard.
"""

from app.call.caller.digit_entries import DigitEntries
from app.call.caller.floor import Floor
from app.call.exits.exits import Exits
from app.call.model.model import Model
from app.call.model.responses import Wish
from app.call.prompts import TakenBack
from app.call.speech.agent_speech import AgentSpeech


class BargeIn:
    """Everything that happens when the caller barges in.

    `speech_started` and `key_pressed` take the same road, `_barge_in`. While the caller has the
    floor (`Floor.listens`), every response that begins or goes on is muted: `response_created` and
    `response_progressed`.
    """

    def __init__(
        self,
        floor: Floor,
        speech: AgentSpeech,
        model: Model,
        exits: Exits,
        entries: DigitEntries,
    ) -> None:
        self._floor = floor
        self._speech = speech
        self._model = model
        self._requests = model.requests
        self._items = model.items
        self._responses = model.responses
        self._exits = exits
        self._entries = entries
        self._outdated = ""  # the request for a reply that the caller's keys have overtaken

    # --- the caller -----------------------------------------------------------------------------

    def speech_started(self, now_ms: float) -> None:
        """The caller begins to speak: a barge-in, unless the agent may not be interrupted now."""
        self._model.tools.limits.caller_acted()
        self._floor.speech_started(now_ms)
        if self._floor.listens:
            # Turn detection cancels the response itself.
            self._barge_in(TakenBack.CALLER_SPOKE, now_ms, cancel=False)

    def drops_keys(self, now_ms: float) -> bool:
        """Whether a key pressed now has no effect: it belongs to no entry. While a transfer is
        announced, only the rest of an entry has one: callers in a hurry press 0 or # for the human
        that they are about to reach."""
        if self._exits.ordered or self._floor.voicemail:
            return True
        return self._exits.transferring and not self._entries.keypad.has_begun(now_ms)

    def key_pressed(self, digit: str, now_ms: float) -> None:
        """The caller presses a key: a barge-in, unless the agent may not be interrupted now or the
        key is the rest of an entry that is over."""
        self._model.tools.limits.caller_acted()
        keypad = self._entries.keypad
        if self.drops_keys(now_ms):
            keypad.dropped(now_ms)
            return
        if self._floor.may_be_interrupted and not keypad.ignores(digit, now_ms):
            requested = self._responses.requested
            if requested is not None and requested.wish is Wish.REPLY:
                self._outdated = self._responses.request_id
            self._barge_in(TakenBack.KEY_PRESSED, now_ms, cancel=True)
        keypad.pressed(digit, now_ms)

    def _barge_in(self, why: TakenBack, now_ms: float, *, cancel: bool) -> None:
        """Interrupt the agent. Takes back a goodbye, and suspends a transfer, whose words were not
        heard out.

        Args:
            cancel: Cancel the active response too. False when turn detection does it.
        """
        self.interrupt_agent(now_ms, cancel=cancel)
        self._exits.barge_in(why, now_ms)

    def interrupt_agent(self, now_ms: float, *, cancel: bool = True) -> None:
        """Stop what plays, and tell the model how much of it was heard.

        Clears Twilio's buffer, truncates each interrupted item at its heard length, deletes those
        that were not heard at all, and mutes the active response, so that its late deltas are
        dropped.

        Args:
            cancel: Cancel the active response too.
        """
        active_id = self._responses.active_id
        if cancel and active_id is not None and not self._items.is_muted(active_id):
            self._requests.cancel_response(active_id)
        self._speech.interrupt(active_id, now_ms)

    def voicemail_reached(self, message: str, now_ms: float) -> None:
        """An answering machine records: interrupt the agent, leave the message, ignore its sounds.

        Args:
            message: What the agent says; empty: hang up.
        """
        if not self._exits.hanging_up and not self._floor.voicemail:
            self.interrupt_agent(now_ms)
            self._floor.machine_records()
            self._exits.leave_message(message, now_ms)

    # --- responses that the caller must not hear --------------------------------------------------

    def response_created(self, response_id: str) -> None:
        """A response began. Mute and cancel it if the caller has the floor: it was requested before
        the barge-in and created after it, so turn detection does not cancel it. The same holds for
        a reply that was requested before the caller's keys: they get a reply of their own."""
        requested = self._responses.requested
        outdated = bool(self._outdated) and self._responses.request_id == self._outdated
        self._floor.response_created(requested=requested is not None)
        self.response_progressed(response_id)
        self._items.response_created()
        self._responses.created(response_id, answers_all=self._model.answers.all_taken)
        if self._floor.voicemail and (
            requested is None or requested.wish not in (Wish.GOODBYE, Wish.UNSPOKEN)
        ):
            # It answers the answering machine's own words, or something from before them.
            self._items.mute_response(response_id)
            self._requests.cancel_response(response_id)
        elif self._floor.listens or outdated:
            self._items.mute_response(response_id)
            self._requests.cancel_response(response_id)

    def response_progressed(self, response_id: str) -> None:
        """An event of a response came: mute the response while the caller has the floor."""
        if self._floor.listens:
            self._items.mute_response(response_id)
