"""What the end of a leg means for its call, and the state of the leg's media stream."""

from dataclasses import dataclass
from time import monotonic

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.events import ResumeCause
from app.call.exits.tones import SEND_DIGITS
from app.call.machine import CallMachine
from app.wires.flag import Flag

_LINE_LOST = ("line", "unclaimed", "stuck")  # causes after which the caller may still be there


#: The events that change a `LineState`.
LINE_EVENTS = frozenset((ev.StreamStarted, ev.StreamEnded, ev.HangUpConfirmed))


@dataclass(slots=True)
class LineState:
    """The media stream of one leg. Give it the `LINE_EVENTS` with `take`."""

    #: A media socket has claimed the leg with a ticket.
    claimed: bool = False
    #: Of the stream that carries the leg, or carried it.
    stream_sid: str = ""
    #: Why the stream ended.
    lost_because: str = ""
    #: Twilio reported that the call is over, or confirmed the hang-up.
    ended_by_twilio: bool = False
    _from_ms: float | None = None
    _to_ms: float | None = None

    def claim(self) -> None:
        """A media socket takes the leg with its ticket."""
        self.claimed = True

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
        """How long a stream carried the leg; 0 if none started."""
        if self._from_ms is None:
            return 0.0
        to_ms = now_ms if self._to_ms is None else self._to_ms
        return max(0.001, (to_ms - self._from_ms) / 1000)


class RedirectState:
    """Whether a leg's call goes on with other TwiML. Only the methods of this class change it."""

    def __init__(self) -> None:
        self._command: do.TransferCall | do.PlayDigits | None = None
        self._confirmed = False
        self._fallback = False

    @property
    def command(self) -> do.TransferCall | do.PlayDigits | None:
        """What replaced the call's TwiML, or was to; None: the machine ordered no redirect."""
        return self._command

    @property
    def confirmed(self) -> bool:
        """Whether Twilio accepted the redirect, or was seen to run its TwiML."""
        return self._confirmed

    @property
    def fallback(self) -> bool:
        """Whether the service transfers the caller, because the agent could not go on."""
        return self._fallback

    def order(self, command: do.TransferCall | do.PlayDigits) -> None:
        """The machine orders a redirect."""
        self._command = command

    def confirm(self) -> None:
        """Twilio accepted the redirect, or requests a URL of its TwiML."""
        self._confirmed = True

    def begin_fallback(self) -> None:
        """Twilio requests TwiML, and gets that of a transfer: there is nothing to confirm."""
        self._fallback = self._confirmed = True

    def take_confirmation(self) -> bool:
        """Whether it was confirmed since this was last called."""
        confirmed, self._confirmed = self._confirmed, False
        return confirmed


class LegState:
    """Read by the switchboard, transfers and webhooks to decide what follows the leg."""

    def __init__(self, machine: CallMachine, began_s: float) -> None:
        self.line = LineState()
        self.redirect = RedirectState()
        #: What the record's `ended_by` says once the service gave the agent up; empty: it did not.
        self.given_up = ""
        #: Another replica has the call: nothing that follows is this leg's any more.
        self.lost = False
        #: This process stops, and ended the leg for another replica to go on with the call.
        self.handed_over = False
        #: Set when the session is configured, or cannot be opened.
        self.ready = Flag()
        self._machine = machine
        self._began_s = began_s  # see `LegSeed`
        self._failed = False
        self._cancelled = False
        self._over = Flag()

    @property
    def over(self) -> bool:
        """Whether the leg has ended."""
        return self._over.is_set()

    async def wait_over(self) -> None:
        await self._over.wait()

    @property
    def needs_fallback(self) -> bool:
        """Whether the call must go on without the agent: no model session or no stream can be had,
        or the leg failed. Then transfer the caller, or apologise and hang up."""
        machine = self._machine
        return bool(self.given_up) or machine.without_model or self._failed

    @property
    def ended_by(self) -> str:
        """The record's `ended_by`, once the leg is over. The machine has none of a leg that a bug
        or the end of the process stopped."""
        if self.given_up or self._failed:
            return self.given_up or "error"
        return self._machine.ended_by or ("shutdown" if self._cancelled else "")

    @property
    def line_lost(self) -> bool:
        """Whether the stream never came, or was lost: the caller may still be there."""
        return self._machine.ended_by in _LINE_LOST

    @property
    def past_goodbye(self) -> bool:
        """Whether the agent was hanging up, its goodbye said: the call must not be resumed."""
        return self._machine.hanging_up and not self.needs_fallback

    @property
    def last_words(self) -> str:
        """What Twilio must say before it hangs up, because the model did not; usually empty."""
        return self._machine.last_words

    @property
    def redirecting(self) -> bool:
        """Whether a redirect was ordered: the call goes on with other TwiML."""
        return self._machine.redirecting

    def refusal(self, order: ev.SayRequested | ev.TransferRequested) -> str:
        """Why the machine refuses this order of an operator now; empty: `feed` carries it out."""
        return self._machine.refusal(order)

    @property
    def at_rest(self) -> bool:
        """Whether its stream has come, and the next leg can go on from here with nothing lost."""
        return bool(self.line.stream_sid) and self._machine.is_at_rest(self._now_ms())

    @property
    def leaving(self) -> bool:
        """Whether a transfer or the end of the call is under way."""
        return self._machine.leaving

    @property
    def on_other_twiml(self) -> bool:
        """Whether the leg is over because its call goes on with other TwiML."""
        return self.over and (self.redirecting or self.redirect.fallback)

    @property
    def keys_played(self) -> ResumeCause | None:
        """What the next leg's agent learns when this one ended for Twilio to play keys. None: it
        did not."""
        command = self.redirect.command if self.on_other_twiml else None
        if not isinstance(command, do.PlayDigits):
            return None
        return ResumeCause(SEND_DIGITS, command.call_id, prompts.DIGITS_SENT)

    @property
    def call_continues(self) -> bool:
        """Whether the call goes on after this leg, as far as is known: Twilio will request TwiML
        for it."""
        if self.needs_fallback or self.line_lost or self.on_other_twiml or self.last_words:
            return True
        return self.past_goodbye and not self.line.ended_by_twilio

    def _now_ms(self) -> float:
        """Milliseconds since the first leg of the call was opened."""
        return round((monotonic() - self._began_s) * 1_000_000) / 1000  # faster than round(ms, 3)
