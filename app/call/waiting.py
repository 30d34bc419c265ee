"""Whether the caller waits, and for what: an answer, a tool, a session, an exit."""

from app.call.caller.digit_entries import DigitEntries
from app.call.caller.floor import Floor
from app.call.caller.pause import CONFIRMED_MS
from app.call.commands import Cause
from app.call.deadlines import NEVER
from app.call.exits.exits import Exits
from app.call.heard.agent_audio import AgentAudio
from app.call.model.model import Model


class Waiting:
    """Answers from the state of the other parts; has none of its own."""

    def __init__(
        self,
        audio: AgentAudio,
        model: Model,
        exits: Exits,
        entries: DigitEntries,
        floor: Floor,
    ) -> None:
        self._audio = audio
        self._link = model.link
        self._responses = model.responses
        self._tools = model.tools
        self._exits = exits
        self._entries = entries
        self._floor = floor

    @property
    def caller_acts(self) -> bool:
        """Whether the caller speaks, types, or may take their time to type. Without a model, speech
        and keys reach no one: the caller waits."""
        return self._link.ready and (
            self._floor.caller_acts or (self._entries.keypad.touched and self._may_type)
        )

    @property
    def _may_type(self) -> bool:
        """Whether the caller heard the prompt of an entry. During a secret one they are muted, and
        would wait in silence: they count as waiting."""
        if not self._entries.keypad.asked or self._entries.keypad.secret_entry:
            return False
        return self._responses.idle and not self._exits.under_way

    @property
    def for_tool_or_redirect(self) -> bool:
        """Whether the model could say that it is still working on it."""
        busy = bool(self._tools.working()) or self._exits.redirect_ordered
        return self._link.ready and busy

    @property
    def for_response(self) -> bool:
        """Whether a response is in flight, queued, or due from turn detection."""
        return not self._responses.idle or self._floor.answer_by_ms != NEVER

    def for_response_alone(self, *, retried: bool) -> bool:
        """Whether the caller waits for a response of the model, and for nothing else.

        Args:
            retried: The response was requested again, perhaps from a new session: waiting for that
                session is a part of waiting for the response.
        """
        if not self.for_response or not (self._link.ready or retried):
            return False
        return not (self._floor.caller_acts or self._floor.pause.active or self._exits.ordered)

    @property
    def for_anything(self) -> bool:
        """Whether the caller waits for the agent, a tool, a transfer or a session, or is muted for
        a secret entry."""
        return (
            not self._link.ready
            or self.for_response
            or self._audio.synthesizing
            or bool(self._tools.working())
            or self._exits.caller_waits
            or (self._entries.keypad.touched and bool(self._entries.keypad.secret_entry))
        )

    @property
    def for_caller_from_ms(self) -> float:
        """When the agent has been silent for as long as a sound must last that counts, so that its
        own echo on the line does not. NEVER: the caller speaks, or waits for something."""
        if (
            self._floor.caller_acts
            or self._floor.voicemail
            or self._floor.pause.awaited_sound
            or self.for_anything
            or self._exits.ordered
            or self._exits.pressing_keys
            or self._entries.keypad.asked
            or self._audio.waiting
        ):
            return NEVER
        return self._audio.ledger.ends_ms + CONFIRMED_MS

    @property
    def voice_ended_ms(self) -> float:
        """When the caller's voice ended last."""
        return self._floor.voice_ended_ms

    @property
    def types(self) -> bool:
        """Whether the caller presses keys."""
        return self._floor.keypad.typing

    @property
    def cause(self) -> Cause | None:
        """Why the caller hears nothing, if they do: caller, model, tool or redirect. None: they
        speak or type, so that they do not wait."""
        if self._exits.ordered:
            return "redirect"
        if not self._link.ready:
            return "model"
        if self._floor.caller_acts or self._floor.pause.active:
            return None
        if self._entries.keypad.touched and self._may_type:
            return "caller"
        if self._responses.in_flight or self._floor.answer_by_ms != NEVER:
            return "model"
        if self._tools.working():
            return "tool"
        return "model" if self.for_anything else "caller"
