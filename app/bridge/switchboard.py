"""All calls of this process: opened at the webhook, claimed by the stream, counted, drained."""

import asyncio
import logging

from app.bridge.call_hooks import CallHooks, call_all
from app.bridge.expiry import Expiry
from app.bridge.hand_over import hand_over, leave_open
from app.bridge.leg.leg import Leg, Redirect
from app.bridge.leg.seed import LegSeed, first_seed
from app.bridge.legs import Legs
from app.bridge.recent_calls import RecentCalls
from app.bridge.records_without_leg import RecordsWithoutLeg
from app.bridge.services import Services
from app.bridge.streams import Streams
from app.call.agent import Agent
from app.call.events import (
    STREAM_LOST,
    CalleeDetected,
    Event,
    ResumeCause,
    SayRequested,
    StreamEnded,
    TransferRequested,
)
from app.call.orders import NOT_WITH_AGENT
from app.records.stored_call import StoredCall
from app.wires.twilio.call import TERMINAL, CallInfo, CallStatus

logger = logging.getLogger(__name__)

READY_S = 0.35  # the webhook waits this long for the model; the caller hears ringing meanwhile


class Switchboard(CallHooks):
    """Opens, finds and ends the calls of this process.

    Args:
        redirect: replaces the TwiML of a leg's call: `Transfers.redirect`.
        max_calls: most live calls; 0: no limit.
    """

    def __init__(self, services: Services, redirect: Redirect, max_calls: int = 0) -> None:
        super().__init__()
        #: The process stops: new calls are rejected, live calls go on.
        self.draining = False
        #: Timers of calls that have no running leg.
        self.expiry = Expiry(self._slot_freed, self._expire)
        self._services = services
        self._redirect = redirect
        self._max_calls = max_calls
        self._legs = Legs(self._leg_ended)
        #: Media streams: their tickets, and the legs that they claim.
        self.streams = Streams(
            services,
            self._legs,
            start=self._start,
            start_next=self._start_next,
            lose=self.lose,
            has_ended=self.has_ended,
            on_freed=self.update_empty,
        )
        self._ended = RecentCalls()  # Twilio reported a terminal status
        self._closed = RecentCalls()  # the record was closed
        self.without_leg = RecordsWithoutLeg(services, self.is_live, self._call_ended)
        self._empty = asyncio.Event()  # `drain` waits for it, and updates it first

    # --- which calls there are ------------------------------------------------------------------

    @property
    def live_calls(self) -> int:
        """Calls that have not ended, with the agent or with a human."""
        return len(self._legs.call_sids - self.expiry.without_slot)

    @property
    def room(self) -> int | None:
        """How many more calls are accepted; None: no limit."""
        if not self._max_calls:
            return None
        announced = self.streams.announcements.call_sids - self._legs.call_sids
        return max(0, self._max_calls - self.live_calls - len(announced))

    @property
    def full(self) -> bool:
        """Whether new calls are rejected."""
        return self.draining or self.room == 0

    def is_live(self, call_sid: str) -> bool:
        """Whether this process has the call, which has not ended."""
        return call_sid in self._legs.call_sids

    def leg(self, call_sid: str) -> Leg | None:
        """The current leg of a call, or its last leg while the call goes on without one."""
        return self._legs.last(call_sid)

    def tell(self, call_sid: str, event: Event) -> bool:
        """Feed an event to the running leg of a call. False: the call has none."""
        leg = self._legs.last(call_sid)
        if leg is None:
            return False
        if isinstance(event, CalleeDetected):
            leg.keep_for_next_leg(event)
        if leg.over:
            return False
        leg.feed(event)
        return True

    def order(self, call_sid: str, order: SayRequested | TransferRequested) -> str:
        """Pass an operator's order to the leg of a call, if its machine does not refuse it.

        Returns:
            The reason of a refusal; empty: the order is being carried out.
        """
        leg = self._legs.last(call_sid)
        if leg is None or (leg.over and not leg.redirecting):
            return NOT_WITH_AGENT
        refusal = leg.refusal(order)
        if not refusal:
            leg.feed(order)
        return refusal

    # --- opening legs ---------------------------------------------------------------------------

    async def answer(
        self,
        call: CallInfo,
        base_url: str,
        agent: Agent | None = None,
        *,
        stored: StoredCall | None = None,
    ) -> str | None:
        """Answer a webhook: open the call's leg and its model session, and wait up to `READY_S`; or
        announce its stream, if that may reach another replica.

        A repeated webhook gets a ticket for the same leg.

        Args:
            base_url: where Twilio reaches this service.
            agent: for an outbound call, which is never rejected.
            stored: the record of the call, when another process had it.

        Returns:
            The ticket for the stream's URL. None: the call is rejected, or has ended.
        """
        if self.has_ended(call.call_sid):
            return None
        leg = self._legs.last(call.call_sid)
        if leg is None:
            passes_on = self.draining and await self._services.bus.others_ready()
            known = agent is not None or stored is not None
            if self.full and not (known or passes_on or await self.streams.is_announced(call)):
                reason = "the service is shutting down" if self.draining else "MAX_CALLS is reached"
                self.without_leg.call_rejected(call, reason)
                return None
            if passes_on or not self.streams.come_back(call.call_sid):
                new = stored is None
                return await self.streams.announce(call, base_url, agent=agent, is_new=new)
            seed = first_seed(call, self._services, base_url, agent=agent, stored=stored)
            leg = self._start(seed)
            await asyncio.gather(self._wait_until_ready(leg), self.streams.opened_ahead(leg))
        elif leg.over and (leg.past_goodbye or not leg.call_continues):
            return None
        elif leg.over and not leg.on_other_twiml:
            leg = await self.open_next(leg, agent=agent)
        elif not leg.over and not leg.line.claimed:
            await self._wait_until_ready(leg)
        # else: `claim` opens the next leg, if Twilio opens another stream with this ticket
        return self.ticket(leg)

    async def open(self, seed: LegSeed) -> Leg:
        """Open the first leg of a call in this process, and wait up to `READY_S` for its model
        session. `seed`: from `first_seed`. Call `ticket` for its stream."""
        leg = self._start(seed)
        await self._wait_until_ready(leg)
        return leg

    async def open_next(
        self, leg: Leg, resume_cause: ResumeCause = STREAM_LOST, agent: Agent | None = None
    ) -> Leg:
        """Open the leg after this one likewise; or announce its stream, if that may reach another
        replica, and return the leg that is over. `resume_cause`: why the caller left the agent."""
        if not self.streams.come_back(leg.call.call_sid):
            leg.feed(StreamEnded("the call goes on in another stream", lost=True))
            leg.finish_record()
            await self.streams.announce(leg.call, leg.base_url, resume_cause=resume_cause)
            return leg
        following = self._start_next(leg, resume_cause, agent)
        await self._wait_until_ready(following)
        return following

    async def _wait_until_ready(self, leg: Leg) -> None:
        try:
            async with asyncio.timeout(READY_S):
                await leg.ready.wait()
        except TimeoutError:
            logger.info("model not ready at the webhook", extra={"call_sid": leg.call.call_sid})

    def _start_next(
        self, leg: Leg, resume_cause: ResumeCause = STREAM_LOST, agent: Agent | None = None
    ) -> Leg:
        leg.feed(StreamEnded("the call goes on in another stream", lost=True))  # ignored once over
        return self._start(leg.next_seed(resume_cause, agent))

    def _start(self, seed: LegSeed) -> Leg:
        leg = Leg(seed, self._services, self._redirect)
        call = leg.call
        if call.direction == "outbound-api" and self._legs.last(call.call_sid) is None:
            call_all(self.on_outbound_leg, call.call_sid)
        self._legs.start(leg)
        self.expiry.cancel(call.call_sid)
        self._empty.clear()
        return leg

    def ticket(self, leg: Leg, before_s: float = 0.0) -> str:
        """See `Streams.ticket`."""
        return self.streams.ticket(leg, before_s)

    # --- the end of legs and calls --------------------------------------------------------------

    def _leg_ended(self, leg: Leg) -> None:
        last = self._legs.last(leg.call.call_sid)
        if last is leg and leg.on_other_twiml and self._services.bus.shared:
            self._leave(leg)  # what Twilio asks next any replica answers from the record
        elif last is leg and leg.on_other_twiml:
            self.expiry.redirected(leg)
        elif last is leg and leg.call_continues:
            self._await_reconnect(leg)
        elif last in (leg, None) and not leg.lost:
            self._close(leg)
        self.update_empty()

    def _await_reconnect(self, leg: Leg) -> None:
        if leg.line_lost and not leg.given_up:
            reason = leg.line.lost_because or "no media stream came"
            decision = "call handed over" if leg.handed_over else "line lost, waiting for Twilio"
            leg.record_decision(decision, reason)
        self.expiry.stream_lost(leg, holds_slot=leg.line.claimed or bool(leg.given_up))

    def fallback_started(self, leg: Leg) -> None:
        """Twilio gets TwiML that transfers the leg's caller, because the agent cannot go on."""
        leg.redirect.begin_fallback()
        if not self._legs.is_running(leg):
            self._leg_ended(leg)

    def lose(self, call_sid: str) -> None:
        """Another replica has the call: end its leg without a word to anyone, and forget it."""
        leg = self._legs.last(call_sid)
        if leg is not None:
            leg.lose()
            self._leave(leg)
        else:
            self._left(call_sid, lost=True)

    def _leave(self, leg: Leg) -> None:
        """The call goes on without this process."""
        call_sid = leg.call.call_sid
        self._legs.forget(call_sid)
        self._services.paces.call_ended(leg.paces)
        self.streams.forget(call_sid)
        self.expiry.cancel(call_sid)
        self._left(call_sid, lost=leg.lost)

    def _left(self, call_sid: str, *, lost: bool) -> None:
        for callback in self.on_call_left:
            callback(call_sid, lost)
        self.update_empty()

    def _slot_freed(self, call_sid: str) -> None:
        call_all(self.on_slot_freed, call_sid)
        self.update_empty()

    def _expire(self, leg: Leg) -> None:
        """Twilio reported nothing about this leg's call for `ExpiryLimits.expire_s`: close it."""
        if self._legs.last(leg.call.call_sid) is leg:
            leg.record_decision("record closed", self.expiry.limits.silence(leg.call))
            leg.finish_record()
            leg.close_record(at_leg_end=True)
            self._close(leg)

    def end_call(self, call_sid: str) -> None:
        """The call has ended: end its leg, and open no other."""
        leg = self._legs.last(call_sid)
        if leg is not None and leg.over:
            leg.finish_record()
            leg.close_record()
            self._close(leg)
        elif leg is not None:
            leg.feed(StreamEnded("the call is over"))

    def _close(self, leg: Leg) -> None:
        call_sid = leg.call.call_sid
        if self._legs.forget(call_sid):
            self._services.paces.call_ended(leg.paces)
        self.streams.forget(call_sid)
        self.expiry.cancel(call_sid)
        if not self._legs.runs_one_of(call_sid):
            self._call_ended(call_sid)

    def _call_ended(self, call_sid: str) -> None:
        self._closed.add(call_sid)
        call_all(self.on_call_ended, call_sid)
        self.update_empty()

    def update_empty(self) -> None:
        """Look whether `drain` is done. Call it when what `also_live` counts is less."""
        live = self.live_calls or self.streams.announcements.call_sids
        if live or any(count() for count in self.also_live):
            self._empty.clear()
        else:
            self._empty.set()

    def has_ended(self, call_sid: str) -> bool:
        """Whether Twilio reported the call's end within the last minute."""
        return call_sid in self._ended

    def has_closed(self, call_sid: str) -> bool:
        """Whether this process closed the call's record within the last minute."""
        return call_sid in self._closed

    def status_changed(self, call_sid: str, status: CallStatus, answered_by: str | None) -> None:
        """Twilio's status callback: store the status, and end the call if it is terminal."""
        self._services.store.save_call(call_sid, status=status)
        if answered_by:
            self._services.store.save_call(call_sid, answered_by=answered_by)
        leg = self._legs.last(call_sid)
        if status in TERMINAL:
            self.ended(call_sid, status)
        elif leg is not None:
            self.expiry.restart(leg)

    def ended(self, call_sid: str, status: CallStatus) -> None:
        """Twilio reports that a call has ended, with this terminal status."""
        self._ended.add(call_sid)
        self.streams.announcements.free(call_sid)
        leg = self._legs.last(call_sid)
        if leg is None:
            if not self.is_live(call_sid) and call_sid not in self._closed:
                self.without_leg.close_record(call_sid, status)
            return
        self._services.store.save_call(call_sid, status=status)
        if leg.over:
            self.end_call(call_sid)
        else:
            leg.feed(StreamEnded(f"call {status}"))

    def twiml_ended(self, call_sid: str) -> None:
        """The TwiML that Twilio gets now ends the call."""
        leg = self._legs.last(call_sid)
        if leg is not None and not leg.over:
            leg.feed(StreamEnded("the TwiML ends the call"))
        if leg is not None and leg.call_continues:
            self.end_call(call_sid)

    # --- decisions ------------------------------------------------------------------------------

    def record_decision(self, leg: Leg, decision: str, reason: str) -> None:
        """Record and log a decision about the call of this leg, which may have a later leg."""
        (self._legs.last(leg.call.call_sid) or leg).record_decision(decision, reason)

    def note_decision(self, call_sid: str, decision: str, reason: str) -> None:
        """Record and log a decision about a call that may have no leg in this process."""
        leg = self._legs.last(call_sid)
        if leg is not None:
            leg.record_decision(decision, reason)
        else:
            self.without_leg.note_decision(call_sid, decision, reason)

    # --- shutdown -------------------------------------------------------------------------------

    async def drain(self, within_s: float) -> None:
        """Reject new calls; returns when the last call has ended, or after `within_s`."""
        self.draining = True
        self._services.bus.ready(False)
        self.update_empty()
        logger.info("draining", extra={"live_calls": self.live_calls})
        try:
            async with asyncio.timeout(within_s):
                await self._empty.wait()
        except TimeoutError:
            logger.warning("time to drain is over", extra={"live_calls": self.live_calls})

    async def hand_over(self) -> None:
        """Leave the calls that are still here to other replicas, if there are any. Then `close`."""
        if self.live_calls:
            await hand_over(self._legs, self.streams, self._services)

    async def close(self, within_s: float = 3.0) -> None:
        """Hang up the remaining calls, but for callers who talk with a human; end every leg. The
        record of a call whose stream is lost stays open: another process may take it over."""
        self.draining = True
        for leg in await self._legs.stop(within_s):
            if leg.past_goodbye:
                self.end_call(leg.call.call_sid)
            elif not leg.on_other_twiml:
                leave_open(leg, others=self._services.bus.shared)
                self._legs.forget(leg.call.call_sid)
            self.expiry.cancel(leg.call.call_sid)
        await self.streams.aclose()
        await self.without_leg.aclose()
