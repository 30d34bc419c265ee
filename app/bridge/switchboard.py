"""All calls of this process: opened at the webhook, claimed by the stream, counted, drained."""

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from typing import Any

from app.bridge.leg.leg import Leg, Redirect
from app.bridge.legless_calls import LeglessCalls
from app.bridge.line_tries import LineTries, TryLimits
from app.bridge.services import Services
from app.bridge.tickets import Tickets
from app.bridge.waiting import Waiting
from app.call import prompts
from app.call.agent import Agent
from app.call.commands import PlayDigits, TransferCall
from app.call.events import (
    STREAM_LOST,
    Event,
    HangUpRequested,
    ResumeCause,
    StreamEnded,
    VoicemailReached,
)
from app.call.exits.tones import SEND_DIGITS
from app.errors import TwilioError
from app.records.recorder import Past
from app.wires.twilio.call import TERMINAL, CallInfo, CallStatus

logger = logging.getLogger(__name__)

RELEASE_S = 1.0
LATELY_S = 60.0  # a webhook may be overtaken by the end of its call
READY_S = 0.35  # the caller hears ringing so long at most while the session is opened


async def _nowhere(leg: Leg, command: TransferCall | PlayDigits) -> None:
    raise TwilioError("calls cannot be redirected here")


class Switchboard:
    """Legs by their tickets and call SIDs.

    `redirect`: replaces the TwiML of a leg's call. `on_call_over`: told of each call that has
    ended, once everything about it is in the store. `on_slot_free`: told of each call whose line
    has been lost for so long that it counts as live no more; it may come back. `also_live`: say how
    many calls there are that have no leg yet. `waiting`: calls whose leg is over, and its limits.
    `try_limits`: of lines that fail.
    """

    def __init__(self, services: Services, max_calls: int = 0) -> None:
        self.draining = False
        self.redirect: Redirect = _nowhere
        self.on_call_over: list[Callable[[str], None]] = []
        self.on_slot_free: list[Callable[[str], None]] = []
        self.also_live: list[Callable[[], int]] = []
        self.waiting = Waiting(self._slot_free, self._waited_enough)
        self.try_limits = TryLimits()
        self._services = services
        self._max_calls = max_calls
        self._legs: dict[asyncio.Task[None], Leg] = {}
        self._by_call: dict[str, Leg] = {}
        self._tries: dict[str, LineTries] = {}
        self._tickets = Tickets()
        self._ended_s: dict[str, float] = {}  # calls that Twilio said have ended lately, and when
        self._closed_s: dict[str, float] = {}  # calls whose records were closed lately
        self._legless = LeglessCalls(services, self.is_live, self._tell_over)
        self._empty = asyncio.Event()
        self._empty.set()

    # --- what there is ------------------------------------------------------------------------

    @property
    def live_calls(self) -> int:
        """Calls that have not ended, with the agent or with a human."""
        calls = {leg.call.call_sid for leg in self._legs.values()} | self._by_call.keys()
        return len(calls - self.waiting.absent)

    @property
    def room(self) -> int | None:
        """How many calls more are taken; None: as many as come."""
        return max(0, self._max_calls - self.live_calls) if self._max_calls else None

    @property
    def full(self) -> bool:
        """Whether no new call is taken."""
        return self.draining or self.room == 0

    def is_live(self, call_sid: str) -> bool:
        """Whether this process has the call."""
        legs = self._legs.values()
        return call_sid in self._by_call or any(leg.call.call_sid == call_sid for leg in legs)

    def leg(self, call_sid: str) -> Leg | None:
        """The present leg of a call, or its last one while the call goes on without it."""
        return self._by_call.get(call_sid)

    def tell(self, call_sid: str, event: Event) -> bool:
        """Tell a live call something. False when it does not talk with the agent now."""
        leg = self._by_call.get(call_sid)
        if leg is not None and isinstance(event, VoicemailReached):
            leg.voicemail = event  # for the next leg too
        if leg is None or leg.over:
            return False
        leg.feed(event)
        return True

    # --- the way in -----------------------------------------------------------------------------

    async def answer(
        self,
        call: CallInfo,
        base_url: str,
        agent: Agent | None = None,
        *,
        past: Past | None = None,
    ) -> str | None:
        """Take a call: opens the model's session ahead and waits for it a moment. Returns the
        ticket for its stream, or None when no new call is taken. A webhook that Twilio repeats
        gets the same leg; one that comes after the call's end gets none. `base_url`: where Twilio
        reaches this service. `agent`: who speaks on a call that we placed, which is never turned
        away. `past`: what the store knows of the call, when another process had it."""
        if self.has_ended(call.call_sid):
            return None
        leg = self._by_call.get(call.call_sid)
        if leg is None:
            if self.full and agent is None and past is None:
                reason = "the service is shutting down" if self.draining else "MAX_CALLS is reached"
                self._legless.turned_away(call, reason)
                return None
            leg = await self.open(call, base_url, agent=agent, past=past)
        elif leg.over and not leg.goes_on:
            return None
        elif leg.over and not leg.away:
            leg = await self.open_next(leg, agent=agent)
        elif not leg.over and not leg.line.claimed:
            await self._wait_until_ready(leg)
        # else the next stream takes the call over, should Twilio mean it
        return self.ticket(leg)

    async def open(self, call: CallInfo, base_url: str, **options: Any) -> Leg:
        """Open the first leg of a call in this process, and its model's session; wait a moment for
        that. `options`: see `Leg`. Give its stream a ticket."""
        leg = Leg(call, self._services, base_url, self.redirect, **options)
        self._begin(leg)
        await self._wait_until_ready(leg)
        return leg

    async def open_next(
        self, leg: Leg, returned: ResumeCause = STREAM_LOST, agent: Agent | None = None
    ) -> Leg:
        """The same for the leg after this one."""
        following = self._begin(self._next_leg(leg, returned, agent))
        await self._wait_until_ready(following)
        return following

    async def _wait_until_ready(self, leg: Leg) -> None:
        try:
            async with asyncio.timeout(READY_S):
                await leg.ready.wait()
        except TimeoutError:
            logger.info("model not ready at the webhook", extra={"call_sid": leg.call.call_sid})

    def _next_leg(
        self, leg: Leg, returned: ResumeCause = STREAM_LOST, agent: Agent | None = None
    ) -> Leg:
        leg.feed(StreamEnded("the call goes on in another stream", lost=True))  # if it has not
        return Leg(
            leg.call,
            self._services,
            leg.base_url,
            self.redirect,
            agent=agent,
            after=leg,
            returned=returned,
        )

    def _begin(self, leg: Leg) -> Leg:
        leg.begin()
        task = asyncio.create_task(leg.run(), name=f"leg {leg.call.call_sid}")
        self._legs[task] = self._by_call[leg.call.call_sid] = leg
        self.waiting.found(leg.call.call_sid)
        self._empty.clear()
        task.add_done_callback(self._leg_ended)
        return leg

    # --- the media door -------------------------------------------------------------------------

    def ticket(self, leg: Leg, before_s: float = 0.0) -> str:
        """A ticket for a stream of this leg, or of the one after it. `before_s`: how long Twilio is
        busy before it opens the stream."""
        # Half a second for each key that it presses, at the most.
        keys_s = len(leg.left_with.digits) if isinstance(leg.left_with, PlayDigits) else 0
        return self._tickets.give(leg, before_s + keys_s)

    def knows(self, ticket: str) -> bool:
        """Whether a media socket may be opened with this ticket."""
        return self._tickets.is_good(ticket)

    def handshake_refused(self, ticket: str, cause: str) -> None:
        """A media socket with this ticket was refused, or closed before its stream had begun: the
        record of its call says why, if there is such a call."""
        leg = self._tickets.find(ticket)
        if leg is not None and leg.call.call_sid in self._by_call:
            self.tries(leg.call.call_sid).cause = cause
            self.decided(leg, "media socket refused", cause)

    def ticket_fault(self, ticket: str) -> str:
        """Why this ticket is not good; empty if it is."""
        if self.knows(ticket):
            return ""
        return self._tickets.why_not(ticket)

    def claim(self, ticket: str, call_sid: str) -> Leg | None:
        """The leg that the ticket is for, once; None if it is not good, or for another call."""
        found = self._tickets.find(ticket)
        if found is not None and found.call.call_sid != call_sid:
            self.handshake_refused(ticket, "the stream's start names another call")
        taken = self._tickets.take(ticket)
        leg = self._by_call.get(call_sid)
        if taken is None or leg is None or taken.call.call_sid != call_sid:
            return None
        if leg.over and (leg.needs_help or not leg.goes_on):
            return None
        if leg.line.claimed or leg.over:
            leg.feed(StreamEnded("another stream took the call over", lost=True))
            leg = self._begin(self._next_leg(leg, keys_pressed(leg) or STREAM_LOST))
        leg.line.claimed = True
        return leg

    def tries(self, call_sid: str) -> LineTries:
        """How often the line of a live call failed lately."""
        return self._tries.setdefault(call_sid, LineTries(self.try_limits))

    # --- the end --------------------------------------------------------------------------------

    def _leg_ended(self, task: asyncio.Task[None]) -> None:
        leg = self._legs.pop(task)
        if not task.cancelled() and (error := task.exception()):
            extra = {"call_sid": leg.call.call_sid}
            logger.error("leg failed at its end", exc_info=error, extra=extra)
        present = self._by_call.get(leg.call.call_sid)
        if present is leg and leg.away:
            self.waiting.for_away(leg)
        elif present is leg and leg.goes_on:
            self._wait_for_twilio(leg)
        elif present in (leg, None):
            self._over(leg)
        self._look_whether_empty()

    def _wait_for_twilio(self, leg: Leg) -> None:
        """The leg is over, and the call is not, as far as is known."""
        if leg.line_lost and not leg.given_up:
            reason = leg.line.lost_because or "no media stream came"
            leg.decided("line lost, waiting for Twilio", reason)
        self.waiting.for_lost(leg, holds_slot=leg.line.claimed or bool(leg.given_up))

    def handed_over(self, leg: Leg) -> None:
        """Twilio is told to hand the leg's caller to a human, though the agent did not."""
        leg.rescued = leg.redirected = True
        if leg not in self._legs.values():
            self.waiting.for_away(leg)

    def _slot_free(self, call_sid: str) -> None:
        for tell in self.on_slot_free:
            tell(call_sid)
        self._look_whether_empty()

    def _waited_enough(self, leg: Leg) -> None:
        """Twilio has said nothing about this leg's call for so long that it must be over."""
        if self._by_call.get(leg.call.call_sid) is leg:
            minutes = self.waiting.limits.forget_s / 60
            leg.decided("record closed", f"Twilio said nothing about the call for {minutes:g} min")
            leg.finish_record()
            leg.call_over(at_its_end=True)
            self._over(leg)

    def call_over(self, call_sid: str) -> None:
        """The call has ended: no leg of it is waited for any more."""
        leg = self._by_call.get(call_sid)
        if leg is not None and leg.over:
            leg.finish_record()
            leg.call_over()
            self._over(leg)
        elif leg is not None:
            leg.feed(StreamEnded("the call is over"))

    def _over(self, leg: Leg) -> None:
        call_sid = leg.call.call_sid
        self._by_call.pop(call_sid, None)
        self._tries.pop(call_sid, None)
        self.waiting.found(call_sid)
        if not any(each.call.call_sid == call_sid for each in self._legs.values()):
            self._tell_over(call_sid)

    def _tell_over(self, call_sid: str) -> None:
        self._closed_s = _with_now(self._closed_s, call_sid)
        for tell in self.on_call_over:
            tell(call_sid)
        self._look_whether_empty()

    def _look_whether_empty(self) -> None:
        if self.live_calls or any(count() for count in self.also_live):
            self._empty.clear()
        else:
            self._empty.set()

    def has_ended(self, call_sid: str) -> bool:
        """Whether Twilio said lately that the call is over."""
        return call_sid in self._ended_s

    def status_changed(self, call_sid: str, status: CallStatus, answered_by: str | None) -> None:
        """Twilio says how a call stands. A call that has ended needs its leg no more."""
        self._services.store.save_call(call_sid, status=status)
        if answered_by:
            self._services.store.save_call(call_sid, answered_by=answered_by)
        leg = self._by_call.get(call_sid)
        if status in TERMINAL:
            self.ended(call_sid, status)
        elif leg is not None:
            self.waiting.heard_of(leg)

    def ended(self, call_sid: str, status: CallStatus) -> None:
        """Twilio says that a call is over."""
        self._ended_s = _with_now(self._ended_s, call_sid)
        leg = self._by_call.get(call_sid)
        if leg is None:
            if not self.is_live(call_sid) and call_sid not in self._closed_s:
                self._legless.close_record(call_sid, status)
            return
        self._services.store.save_call(call_sid, status=status)
        if leg.over:
            self.call_over(call_sid)
        else:
            leg.feed(StreamEnded(f"call {status}"))

    def take_leave(self, call_sid: str) -> None:
        """Twilio asks what is next, and it is the end."""
        leg = self._by_call.get(call_sid)
        if leg is not None and not leg.over:
            leg.feed(StreamEnded("Twilio is told to end the call"))
        if leg is not None and leg.goes_on:
            self.call_over(call_sid)

    # --- what is decided ------------------------------------------------------------------------

    def decided(self, leg: Leg, decision: str, reason: str) -> None:
        """Record and log what the service decided by itself about the call of this leg, the present
        one or not."""
        (self._by_call.get(leg.call.call_sid) or leg).decided(decision, reason)

    def note(self, call_sid: str, decision: str, reason: str) -> None:
        """The same about a call that may have no leg in this process."""
        leg = self._by_call.get(call_sid)
        if leg is not None:
            leg.decided(decision, reason)
        else:
            self._legless.note(call_sid, decision, reason)

    # --- the process stops ----------------------------------------------------------------------

    async def drain(self, within_s: float) -> None:
        """Take no new calls; returns when the last one has ended or the time is over."""
        self.draining = True
        self._look_whether_empty()
        logger.info("draining", extra={"live_calls": self.live_calls})
        try:
            async with asyncio.timeout(within_s):
                await self._empty.wait()
        except TimeoutError:
            logger.warning("time to drain is over", extra={"live_calls": self.live_calls})

    async def close(self, within_s: float = 3.0) -> None:
        """Hang up what is left, and let go of every leg. Who talks with a human goes on, and the
        record of a call whose line is lost stays open: another process may get the caller back."""
        self.draining = True
        for leg in self._legs.values():
            leg.feed(HangUpRequested("shutdown"))
        if self._legs:
            await asyncio.wait(self._legs, timeout=within_s)
        if self._legs:
            for leg in self._legs.values():  # one that came back meanwhile was not hung up
                leg.feed(StreamEnded("shutdown", lost=not leg.leaving))
            await asyncio.wait(self._legs, timeout=RELEASE_S)
            for task in self._legs:
                task.cancel()
            await asyncio.gather(*self._legs, return_exceptions=True)
        for leg in list(self._by_call.values()):
            if leg.let_go:
                self.call_over(leg.call.call_sid)
            elif not leg.away:
                leg.decided("record left open", "the service stops while the call's line is lost")
                self._by_call.pop(leg.call.call_sid)
            self.waiting.found(leg.call.call_sid)
        await self._legless.aclose()


def keys_pressed(leg: Leg) -> ResumeCause | None:
    """What the agent is told when Twilio has pressed its keys, if the leg left for that."""
    pressed = leg.left_with if leg.away else None
    if not isinstance(pressed, PlayDigits):
        return None
    return ResumeCause(SEND_DIGITS, pressed.call_id, prompts.DIGITS_SENT)


def _with_now(times_s: dict[str, float], call_sid: str) -> dict[str, float]:
    """What happened lately, this too."""
    now_s = monotonic()
    return {s: t for s, t in times_s.items() if t > now_s - LATELY_S} | {call_sid: now_s}
