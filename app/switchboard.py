"""All calls of this process: opened at the webhook, claimed by the stream, counted, drained."""

import asyncio
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from app.bridge import Leg, Redirect
from app.call import directions
from app.call.agent import Agent
from app.call.commands import PlayDigits, TransferCall
from app.call.events import Event, HangUpRequested, StreamEnded
from app.call.tones import SEND_DIGITS
from app.errors import TwilioError
from app.recorder import CallInfo, close_record, read_past
from app.returned import BY_ACCIDENT, Returned
from app.services import Services
from app.spent_tickets import SpentTickets
from app.store import TERMINAL, CallStatus, StoreUnavailable

logger = logging.getLogger(__name__)

TICKET_S = 30.0
RELEASE_S = 1.0
RETURN_S = 2.0  # Twilio asks what is next at once; a call whose line was lost is over after this
HELP_S = 60.0
ORDERED_S = 120.0  # for a call whose redirection Twilio never confirmed, nor asked about
AWAY_S = 4.1 * 3600  # Twilio: <Dial> ends after four hours
LATELY_S = 60.0  # a webhook may be overtaken by the end of its call
MOST_STREAMS = 5  # a line that breaks again and again is given up
READY_S = 0.35  # the caller hears ringing so long at most while the session is opened


@dataclass(frozen=True, slots=True)
class _Ticket:
    leg: Leg
    expires_s: float


async def _nowhere(leg: Leg, command: TransferCall | PlayDigits) -> None:
    raise TwilioError("calls cannot be redirected here")


class Switchboard:
    """Legs by their tickets and call SIDs. A ticket is what the media socket proves with that it
    belongs to a call that this service answered: random, short-lived, for one call, used once.

    `redirect`: replaces the TwiML of a leg's call. `on_call_over`: told of each call that has
    ended, once everything about it is in the store. `also_live`: say how many calls there are that
    have no leg yet.
    """

    def __init__(self, services: Services, max_calls: int = 0) -> None:
        self.draining = False
        self.redirect: Redirect = _nowhere
        self.on_call_over: list[Callable[[str], None]] = []
        self.also_live: list[Callable[[], int]] = []
        self._services = services
        self._max_calls = max_calls
        self._legs: dict[asyncio.Task[None], Leg] = {}
        self._by_call: dict[str, Leg] = {}
        self._tickets: dict[str, _Ticket] = {}
        self._spent = SpentTickets()
        self._ended_s: dict[str, float] = {}  # calls that Twilio said have ended lately, and when
        self._closed_s: dict[str, float] = {}  # calls whose records were closed lately
        self._closing: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    # --- what there is ------------------------------------------------------------------------

    @property
    def live_calls(self) -> int:
        """Calls that have not ended, with the agent or with a human."""
        return len({leg.call.call_sid for leg in self._legs.values()} | self._by_call.keys())

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
        if leg is None or leg.over:
            return False
        leg.feed(event)
        return True

    # --- the way in -----------------------------------------------------------------------------

    async def answer(self, call: CallInfo, base_url: str, agent: Agent | None = None) -> str | None:
        """Take a call: opens the model's session ahead and waits for it a moment. Returns the
        ticket for its stream, or None when no new call is taken. A webhook that Twilio repeats
        gets the same leg; one that comes after the call's end gets none. `base_url`: where Twilio
        reaches this service. `agent`: who speaks on a call that we placed, which is never turned
        away."""
        if call.call_sid in self._ended_s:
            return None
        leg = self._by_call.get(call.call_sid)
        if leg is not None and leg.claimed and not leg.over:
            return self.ticket(leg)  # should Twilio mean it, the next stream takes the call over
        if leg is None or leg.over:
            if self.full and agent is None and call.call_sid not in self._by_call:
                logger.warning("call turned away", extra={"draining": self.draining})
                return None
            after = leg if leg and leg.line_lost else None
            leg = self._open(
                Leg(call, self._services, base_url, self.redirect, agent=agent, after=after)
            )
        await self._wait_until_ready(leg)
        return self.ticket(leg)

    async def _wait_until_ready(self, leg: Leg) -> None:
        try:
            async with asyncio.timeout(READY_S):
                await leg.ready.wait()
        except TimeoutError:
            logger.info("model not ready at the webhook", extra={"call_sid": leg.call.call_sid})

    async def resume(self, call_sid: str, base_url: str) -> str | None:
        """The stream was lost, or never came, and the caller is still there: a ticket for the next
        stream of the call, whose agent knows what was said. None if there is nothing to go on
        with."""
        leg = self._by_call.get(call_sid)
        if leg is None:
            return await self.adopt(call_sid, base_url)
        if leg.tickets >= MOST_STREAMS:
            return None
        if leg.claimed:  # Twilio may know of the loss before we do
            leg.feed(StreamEnded("Twilio asks what is next", lost=True))
        if leg.line_lost:
            leg = self._open(self._next_leg(leg))
            await self._wait_until_ready(leg)
        elif leg.over:
            return None
        logger.warning("line lost, call goes on", extra={"call_sid": call_sid})
        return self.ticket(leg)

    async def back(self, leg: Leg, returned: Returned) -> str | None:
        """A call that was away from the agent is back: a ticket for its next stream. None when it
        has ended."""
        present = self._by_call.get(leg.call.call_sid)
        if present is None:
            return None
        if present is leg:
            present = self._open(self._next_leg(leg, returned))
            present.tickets = 0
            await self._wait_until_ready(present)
        return self.ticket(present)

    async def adopt(
        self, call_sid: str, base_url: str, returned: Returned = BY_ACCIDENT
    ) -> str | None:
        """Go on with a call that another process had, from what the store knows of it: a ticket for
        its next stream. None when there is no such call."""
        if call_sid in self._ended_s:
            return None
        try:
            found = await read_past(self._services.store, call_sid)
        except StoreUnavailable:
            found = None
        if found is None or call_sid in self._by_call:
            return None
        call, past = found
        leg = Leg(call, self._services, base_url, self.redirect, past=past, returned=returned)
        self._open(leg)
        logger.warning("call taken over from another process", extra={"call_sid": call_sid})
        await self._wait_until_ready(leg)
        return self.ticket(leg)

    def _next_leg(self, leg: Leg, returned: Returned = BY_ACCIDENT) -> Leg:
        leg.feed(StreamEnded("the call goes on in another stream", lost=True))  # if it has not
        return Leg(
            leg.call, self._services, leg.base_url, self.redirect, after=leg, returned=returned
        )

    def _open(self, leg: Leg) -> Leg:
        task = asyncio.create_task(leg.run(), name=f"leg {leg.call.call_sid}")
        self._legs[task] = self._by_call[leg.call.call_sid] = leg
        self._empty.clear()
        task.add_done_callback(self._leg_ended)
        return leg

    # --- tickets --------------------------------------------------------------------------------

    def ticket(self, leg: Leg) -> str:
        """A ticket for a stream of this leg, or of the one after it."""
        now_s = monotonic()
        for name in [n for n, t in self._tickets.items() if t.expires_s < now_s]:
            del self._tickets[name]
            self._spent.add(name, "the ticket is expired")
        leg.tickets += 1
        name = secrets.token_urlsafe(24)
        # Twilio presses keys before it opens the stream; half a second each at the most.
        keys_s = len(leg.left_with.digits) if isinstance(leg.left_with, PlayDigits) else 0
        self._tickets[name] = _Ticket(leg, now_s + TICKET_S + keys_s)
        return name

    def knows(self, ticket: str) -> bool:
        """Whether a media socket may be opened with this ticket."""
        found = self._tickets.get(ticket)
        return found is not None and found.expires_s >= monotonic()

    def ticket_fault(self, ticket: str) -> str:
        """Why this ticket is not good; empty if it is."""
        if self.knows(ticket):
            return ""
        return "the ticket is expired" if ticket in self._tickets else self._spent.why(ticket)

    def handshake_refused(self, ticket: str, cause: str) -> None:
        """A media socket that bore this ticket was refused, or closed before its stream began."""

    def claim(self, ticket: str, call_sid: str) -> Leg | None:
        """The leg that the ticket is for, once; None if it is not good, or for another call."""
        found = self._tickets.pop(ticket, None)
        self._spent.add(ticket, "the ticket was used already")
        if found is None or found.expires_s < monotonic():
            return None
        leg = found.leg
        if leg.call.call_sid != call_sid or (leg.over and not leg.away):
            return None
        if leg.claimed:
            leg.feed(StreamEnded("another stream took the call over", lost=True))
            pressed = leg.left_with if leg.away else None
            if isinstance(pressed, PlayDigits):
                told = Returned(SEND_DIGITS, pressed.call_id, directions.DIGITS_SENT)
                leg = self._open(self._next_leg(leg, told))
            else:
                leg = self._open(self._next_leg(leg))
        leg.claimed = True
        return leg

    # --- the end --------------------------------------------------------------------------------

    def _leg_ended(self, task: asyncio.Task[None]) -> None:
        leg = self._legs.pop(task)
        if not task.cancelled() and (error := task.exception()):
            extra = {"call_sid": leg.call.call_sid}
            logger.error("leg failed at its end", exc_info=error, extra=extra)
        if self._by_call.get(leg.call.call_sid) is leg and leg.goes_on:
            after_s = HELP_S if leg.needs_help else RETURN_S  # Twilio is about to ask what is next
            self._forget_later(leg, ORDERED_S if leg.away else after_s)
        elif self._by_call.get(leg.call.call_sid) in (leg, None):
            self._over(leg)
        self._look_whether_empty()

    def _forget_later(self, leg: Leg, after_s: float) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(after_s, self._forget, leg)

    def _forget(self, leg: Leg) -> None:
        """Nobody came back to this leg's call in time."""
        if self._by_call.get(leg.call.call_sid) is not leg:
            return
        if leg.away and leg.redirected:
            leg.redirected = False  # Twilio took the order: only its own limit is waited for
            self._forget_later(leg, AWAY_S)
        else:
            self.call_over(leg.call.call_sid)

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
        if not any(each.call.call_sid == call_sid for each in self._legs.values()):
            self._tell_over(call_sid)
        self._look_whether_empty()

    def _tell_over(self, call_sid: str) -> None:
        self._closed_s = _with_now(self._closed_s, call_sid)
        for tell in self.on_call_over:
            tell(call_sid)

    def _look_whether_empty(self) -> None:
        if self._legs or self._by_call or any(count() for count in self.also_live):
            self._empty.clear()
        else:
            self._empty.set()

    def status_changed(self, call_sid: str, status: CallStatus, answered_by: str | None) -> None:
        """Twilio says how a call stands. A call that has ended needs its leg no more."""
        self._services.store.save_call(call_sid, status=status)
        if answered_by:
            self._services.store.save_call(call_sid, answered_by=answered_by)
        if status not in TERMINAL:
            return
        self._ended_s = _with_now(self._ended_s, call_sid)
        leg = self._by_call.get(call_sid)
        if leg is None:
            if not self.is_live(call_sid) and call_sid not in self._closed_s:
                self.close_record(call_sid, status)
        elif leg.over:
            self.call_over(call_sid)
        else:
            leg.feed(StreamEnded(f"call {status}"))

    def close_record(self, call_sid: str, status: CallStatus) -> None:
        """A call has ended of which this process has no leg: nobody answered it, or another process
        had it."""
        task = asyncio.create_task(self._close_record(call_sid, status))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close_record(self, call_sid: str, status: CallStatus) -> None:
        services = self._services
        with suppress(StoreUnavailable):
            await services.store.flush()
            row = await services.store.get_call(call_sid)
            if row is not None and row.ended_at is None and not self.is_live(call_sid):
                close_record(services.store, row, status, services.cost)
        self._tell_over(call_sid)
        self._look_whether_empty()

    def take_leave(self, call_sid: str) -> None:
        """Twilio asks what is next, and it is the end."""
        leg = self._by_call.get(call_sid)
        if leg is not None and not leg.over:
            leg.feed(StreamEnded("the call goes on without it"))
        if leg is not None and leg.goes_on:
            self.call_over(call_sid)

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
        """Hang up what is left, and let go of every leg. Who talks with a human goes on."""
        self.draining = True
        for leg in self._legs.values():
            leg.feed(HangUpRequested("shutdown"))
        if self._legs:
            await asyncio.wait(self._legs, timeout=within_s)
        if self._legs:
            for leg in self._legs.values():
                leg.feed(StreamEnded("shutdown"))
            await asyncio.wait(self._legs, timeout=RELEASE_S)
            for task in self._legs:
                task.cancel()
            await asyncio.gather(*self._legs, return_exceptions=True)
        for leg in list(self._by_call.values()):
            if not leg.away:
                self.call_over(leg.call.call_sid)
        if self._closing:
            await asyncio.wait(self._closing, timeout=RELEASE_S)


def _with_now(times_s: dict[str, float], call_sid: str) -> dict[str, float]:
    """What happened lately, this too."""
    now_s = monotonic()
    return {s: t for s, t in times_s.items() if t > now_s - LATELY_S} | {call_sid: now_s}
