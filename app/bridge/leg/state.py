"""What the end of a leg means for its call, and what is known of the leg's media stream."""

import asyncio
from dataclasses import dataclass

from app.call import commands as do
from app.call import events as ev
from app.call.machine import CallMachine

_LINE_LOST = ("line", "unclaimed", "stuck")  # what a leg ended by whose caller may still be there


@dataclass(slots=True)
class LineState:
    """Told of every event of its leg."""

    #: A media socket proved that it is this call's.
    claimed: bool = False
    #: Of the stream that carries the leg, or did.
    stream_sid: str = ""
    #: Why the stream ended.
    lost_because: str = ""
    #: Twilio said that the call is over, or that it ends it.
    ended_by_twilio: bool = False
    _from_ms: float | None = None
    _to_ms: float | None = None

    def take(self, event: ev.Event, now_ms: float) -> None:
        match event:
            case ev.StreamStarted(stream_sid):
                self.stream_sid, self._from_ms = stream_sid, now_ms
            case ev.StreamEnded(reason, lost):
                self.lost_because, self._to_ms = reason, now_ms
                self.ended_by_twilio = self.ended_by_twilio or not lost
            case ev.HangUpConfirmed():
                self.ended_by_twilio = True

    def carried_s(self, now_ms: float) -> float:
        """How long a stream carried the leg; 0 if none ever did."""
        if self._from_ms is None:
            return 0.0
        to_ms = now_ms if self._to_ms is None else self._to_ms
        return max(0.001, (to_ms - self._from_ms) / 1000)


class LegState:
    """`redirected`: Twilio took the order that ends this leg and not the call. `left_with`: that
    order. `rescued`: Twilio was told to hand the caller to a human, without the agent. `given_up`:
    what the call ended by, as its record says, once its line is given up."""

    def __init__(self, machine: CallMachine) -> None:
        self.line = LineState()
        self.redirect_command: do.TransferCall | do.PlayDigits | None = None
        self.redirect_confirmed = False
        self.fallback_transfer = False
        self.given_up = ""
        self._machine = machine
        self._over = asyncio.Event()

    @property
    def over(self) -> bool:
        return self._over.is_set()

    async def wait_over(self) -> None:
        await self._over.wait()

    @property
    def needs_fallback(self) -> bool:
        """Whether the caller has to be helped without the agent: no model or no line to be had, or
        a fault."""
        machine = self._machine
        return bool(self.given_up) or machine.without_model or machine.ended_by == "error"

    @property
    def ended_by(self) -> str:
        """Who or what ended the leg, once it is over."""
        return self.given_up or self._machine.ended_by

    @property
    def line_lost(self) -> bool:
        """Whether the stream never came, or ended at our end: the caller may still be there."""
        return self._machine.ended_by in _LINE_LOST

    @property
    def past_goodbye(self) -> bool:
        """Whether the agent was past its goodbye: the call ends, and does not go on."""
        return self._machine.hanging_up and not self.needs_fallback

    @property
    def last_words(self) -> str:
        """What Twilio has to say before it hangs up, because the model did not; usually empty."""
        return self._machine.last_words

    @property
    def redirecting(self) -> bool:
        """Whether Twilio has been told, or is being told, to go on with other TwiML."""
        return self._machine.redirecting

    @property
    def leaving(self) -> bool:
        """Whether the agent is letting go of the caller: nothing else may be asked of it."""
        return self._machine.leaving

    @property
    def on_other_twiml(self) -> bool:
        """Whether the leg ended because its call goes on with other TwiML."""
        return self.over and (self.redirecting or self.fallback_transfer)

    @property
    def call_continues(self) -> bool:
        """Whether the leg's end is not the call's, as far as is known: Twilio will ask."""
        if self.needs_fallback or self.line_lost or self.on_other_twiml or self.last_words:
            return True
        return self.past_goodbye and not self.line.ended_by_twilio
