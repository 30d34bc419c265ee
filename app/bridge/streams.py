"""Media streams: their tickets, and the legs that they claim, on whichever replica they reach."""

import asyncio
from collections.abc import Awaitable, Callable

from app.bridge.announcements import Announced, Announcements
from app.bridge.arrivals import Arrivals
from app.bridge.leg.leg import Leg
from app.bridge.leg.seed import LegSeed
from app.bridge.legs import Legs
from app.bridge.services import Services
from app.bridge.stream_retries import RetryLimits, StreamRetries
from app.bridge.tickets import TICKET_S, USED, Tickets
from app.call import prompts
from app.call.agent import Agent
from app.call.commands import PlayDigits
from app.call.events import STREAM_LOST, ResumeCause, StreamEnded
from app.call.exits.tones import SEND_DIGITS
from app.errors import BridgeError
from app.records.stored_call import CallIsOver
from app.wires.twilio.call import CallInfo
from app.wires.twilio.twiml import stream_urls

WRITTEN_S = 0.5  # a webhook waits this long for the writes of this process
STOPPING = "this replica stops; another one takes the stream"
OTHER_CALL = "the start names another call, or one that is over"


class StreamRefused(BridgeError):
    """A media stream may not have a leg."""


async def _no_owner(call_sid: str) -> bool:
    """In place of `Streams.release` until it is set."""
    return False


class Streams:
    """The media streams of this process.

    Args:
        start: begins and runs a leg that `Arrivals` made the seed of.
        start_next: begins and runs the leg after another one, with why the caller left the agent.
        lose: another replica had the call after the leg of this process: end and forget that leg.
        has_ended: whether Twilio reported the end of a call.
        on_freed: called when an announced call does not count any more.
    """

    def __init__(
        self,
        services: Services,
        legs: Legs,
        *,
        start: Callable[[LegSeed], Leg],
        start_next: Callable[[Leg, ResumeCause], Leg],
        lose: Callable[[str], None],
        has_ended: Callable[[str], bool],
        on_freed: Callable[[], None],
    ) -> None:
        #: Has the owner of a call write its record and let go of it, before this process adopts it.
        self.release: Callable[[str], Awaitable[bool]] = _no_owner
        #: How often a call may open another stream.
        self.retry_limits = RetryLimits()
        #: This process stops, and other replicas get its calls: no stream is taken any more.
        self.handing_over = False
        #: Streams that may reach any replica.
        self.announcements = Announcements(services.bus, on_freed, lambda: services.bus.now_s)
        self.arrivals = Arrivals(services)
        self._services = services
        self._legs = legs
        self._start = start
        self._start_next = start_next
        self._lose = lose
        self._has_ended = has_ended
        self._tickets = Tickets(services.tickets, services.bus, of_softphone=services.softphone.has)
        self._retries: dict[str, StreamRetries] = {}

    def come_back(self, call_sid: str) -> bool:
        """Whether streams of this call reach the process that made their tickets. Then the leg and
        its session are opened ahead, at the webhook; otherwise announce the stream. A softphone
        opens them where its page is served: at any replica."""
        if not self._services.bus.shared:
            return True
        if self._services.softphone.has(call_sid):
            return False
        return bool(self._services.replica_url) and not self.handing_over

    # --- tickets --------------------------------------------------------------------------------

    def ticket(self, leg: Leg, before_s: float = 0.0) -> str:
        """A ticket for a stream of this leg, or of the one after it. `before_s`: how long Twilio
        runs other verbs before it opens the stream."""
        # A second for each character: the longest is `W`, a pause of 1000 ms.
        keys = leg.redirect.command
        keys_s = len(keys.digits) if isinstance(keys, PlayDigits) else 0
        return self._tickets.give(leg.call.call_sid, before_s + keys_s)

    def knows(self, ticket: str) -> bool:
        """Whether a media socket may be opened with this ticket."""
        return self._tickets.is_good(ticket)

    def is_probe(self, ticket: str) -> bool:
        """Whether a media socket with this ticket only shows that it can be opened: close it."""
        return self._tickets.is_probe(ticket)

    def ticket_fault(self, ticket: str) -> str:
        """Why this ticket is refused; empty: it is good."""
        if self.knows(ticket):
            return ""
        return self._tickets.why_not(ticket)

    def handshake_refused(self, ticket: str, cause: str) -> str:
        """A media socket with this ticket was refused, or closed before its `start`, which is to be
        logged. The record of the call gets the cause, if the call is live in this process. Returns
        the SID of the call; empty: none is known."""
        call_sid = self._tickets.call_of(ticket)
        leg = self._legs.last(call_sid)
        if leg is not None:
            self.retries(call_sid).cause = cause
            leg.record_decision("media socket refused", cause, logged=True)
        return call_sid

    def is_softphone(self, ticket: str) -> bool:
        """Whether a ticket is for the stream of a softphone, which carries no signature."""
        return self._services.tickets.read(ticket, "softphone") is not None

    def retries(self, call_sid: str) -> StreamRetries:
        """How often the stream of a live call of this process failed lately."""
        return self._retries.setdefault(call_sid, StreamRetries(self.retry_limits))

    def forget(self, call_sid: str) -> None:
        """The call has ended, or another replica has it."""
        self._retries.pop(call_sid, None)
        self.arrivals.forget(call_sid)
        self.announcements.free(call_sid)

    def urls(self, base_url: str, ticket: str, after: str = "") -> dict[str, str]:
        """See `stream_urls`: with this replica's own address, if it has one and its stream shall
        come back."""
        announced = self._tickets.call_of(ticket) in self.announcements.call_sids
        return stream_urls(base_url, ticket, after, "" if announced else self._services.replica_url)

    async def aclose(self) -> None:
        """Forget the announced streams, and give up the calls that are over."""
        self.announcements.close()
        await self.arrivals.aclose()

    # --- streams that may reach any replica -----------------------------------------------------

    async def announce(
        self,
        call: CallInfo,
        base_url: str,
        *,
        resume_cause: ResumeCause = STREAM_LOST,
        agent: Agent | None = None,
        is_new: bool = False,
        before_s: float = 0.0,
    ) -> str:
        """Write down all that the replica needs which gets the call's next stream. Returns the
        ticket for it.

        Args:
            resume_cause: why the caller left the agent.
            agent: of an outbound call that begins; None: as the record says.
            is_new: no leg of the call was opened before.
            before_s: see `ticket`.
        """
        greeting, instructions = (agent.greeting, agent.instructions) if agent else ("", "")
        announced = Announced(call, base_url, is_new, resume_cause, greeting, instructions)
        if is_new:
            self.arrivals.save_row(call)
        await asyncio.gather(
            self.announcements.announce(announced, TICKET_S + before_s), self._written()
        )
        return self._tickets.give(call.call_sid, before_s)

    async def is_announced(self, call: CallInfo) -> bool:
        """Whether any replica announced a stream of this call."""
        return await self.announcements.get(call.call_sid) is not None

    async def ticket_after_keys(self, leg: Leg, keys: PlayDigits) -> str:
        """A ticket for the stream after the keys that Twilio plays now."""
        if not self.come_back(leg.call.call_sid):
            pressed = ResumeCause(SEND_DIGITS, keys.call_id, prompts.DIGITS_SENT)
            await self.announce(leg.call, leg.base_url, resume_cause=pressed)
        return self.ticket(leg)

    async def opened_ahead(self, leg: Leg) -> None:
        """The webhook opened the first leg of a call: write the call's row, and adopt it, so that
        another replica which gets a repeated webhook can take it over."""
        if self._services.bus.shared:
            await self._written()
            await self.arrivals.adopt(leg.call.call_sid, is_new=True)
            if self._legs.last(leg.call.call_sid) is None:  # ended, or lost, meanwhile
                self.arrivals.forget(leg.call.call_sid)

    async def adopt_ahead(self, call_sid: str) -> None:
        """A webhook is about to open the next leg of a call that this process did not have. A leg
        that is opened at its stream's start adopts the call then."""
        if self._services.bus.shared and self.come_back(call_sid):
            await self.arrivals.adopt(call_sid)

    async def _written(self) -> None:
        """Wait for the writes of this process, unless the database is known to be away."""
        if self._services.store.available:
            await self._services.store.flush(WRITTEN_S)

    async def open_to_give_up(self, call: CallInfo, base_url: str) -> Leg | None:
        """The leg of a call whose streams all failed: give it up, for what the service has in place
        of an agent. None: the call has ended."""
        announced = await self.announcements.get(call.call_sid)
        await self.release(call.call_sid)
        await self.arrivals.adopt(call.call_sid)
        leg = await self._open(call, announced, base_url, None)
        if leg is None:
            self.forget(call.call_sid)
        return leg

    # --- claims ---------------------------------------------------------------------------------

    async def claim(self, ticket: str, call: CallInfo, base_url: str) -> Leg:
        """Use up a ticket: the leg for the stream whose `start` named this call. Then `attach` the
        socket.

        Args:
            base_url: where Twilio reaches this service, if nothing else says so.

        Raises:
            StreamRefused: the ticket is not good, or for another call, or the call has ended.
        """
        if self.handing_over:
            raise StreamRefused(STOPPING)
        call_sid = call.call_sid
        fault, of_call = self.ticket_fault(ticket), self._tickets.call_of(ticket)
        if of_call and of_call != call_sid:
            self.handshake_refused(ticket, "the stream's start names another call")
        if not self._tickets.take(ticket) or of_call != call_sid:
            raise StreamRefused(fault or OTHER_CALL)
        if not self._services.bus.shared:
            leg = self._claim_here(call_sid)
        else:
            is_first, announced = await asyncio.gather(
                self._tickets.spend(ticket), self.announcements.get(call_sid)
            )
            if not is_first:
                raise StreamRefused(USED)
            leg = await self._claim_anywhere(call, announced, base_url)
        if leg is None:
            raise StreamRefused(OTHER_CALL)
        leg.line.claim()
        if self.handing_over:  # since the claim began
            leg.feed(StreamEnded(STOPPING, lost=True))
        return leg

    def _claim_here(self, call_sid: str, resume_cause: ResumeCause = STREAM_LOST) -> Leg | None:
        """The leg that this process has for a stream. `resume_cause`: of the next leg, if this one
        did not end for Twilio to play keys."""
        leg = self._legs.last(call_sid)
        if leg is None or (leg.over and (leg.needs_fallback or not leg.call_continues)):
            return None
        if leg.line.claimed or leg.over:
            if leg.past_goodbye:  # nothing takes back a hang-up that is ordered
                return None
            leg.feed(StreamEnded("another stream took the call over", lost=True))
            leg = self._start_next(leg, leg.keys_played or resume_cause)
        return leg

    async def _claim_anywhere(
        self, call: CallInfo, announced: Announced | None, base_url: str
    ) -> Leg | None:
        call_sid, before = call.call_sid, self._legs.last(call.call_sid)
        if before is not None and not (before.over or before.line.claimed):
            return before  # opened ahead for this stream
        if self._has_ended(call_sid):
            return None
        is_new = announced is not None and announced.is_new
        if before is None and not is_new:
            await self.release(call_sid)
        is_newest = await self.arrivals.adopt(call_sid, is_new=is_new) and before is not None
        if is_newest:
            leg = self._claim_here(call_sid, announced.resume_cause if announced else STREAM_LOST)
        else:
            leg = await self._open(call, announced, base_url, before)
        if leg is not None:
            begun = announced or Announced(leg.call, leg.base_url)
            self.arrivals.later(self.announcements.started(begun))
        elif self._legs.last(call_sid) is None:
            self.forget(call_sid)
        return leg

    async def _open(
        self, call: CallInfo, announced: Announced | None, base_url: str, before: Leg | None
    ) -> Leg | None:
        try:
            arrival = await self.arrivals.read(call, announced)
        except CallIsOver:
            return None
        if self._legs.last(call.call_sid) is not before:  # another stream opened it meanwhile
            return self._claim_here(call.call_sid)
        if before is not None:
            epoch = self._services.epochs.get(call.call_sid, 0)
            self._lose(call.call_sid)
            self.arrivals.own_again(call.call_sid, epoch)
        leg = self._start(self.arrivals.seed(arrival, announced, base_url))
        if arrival.stored is not None:
            leg.record_decision("call taken over", "another process had it")
        return leg
