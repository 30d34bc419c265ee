"""All calls of this process: opened at the webhook, claimed by the stream, counted, drained."""

import asyncio
import logging
import secrets
from dataclasses import dataclass
from time import monotonic

from app.bridge import Leg
from app.call.events import HangUpRequested, StreamEnded
from app.recorder import CallInfo
from app.services import Services
from app.store import TERMINAL, CallStatus

logger = logging.getLogger(__name__)

TICKET_S = 30.0
RELEASE_S = 1.0
RETURN_S = 2.0  # Twilio asks what is next at once; a call whose line was lost is over after this
HELP_S = 60.0
LATELY_S = 60.0  # a webhook may be overtaken by the end of its call
MOST_STREAMS = 5  # a line that breaks again and again is given up
READY_S = 0.35  # the caller hears ringing so long at most while the session is opened


@dataclass(frozen=True, slots=True)
class _Ticket:
    leg: Leg
    expires_s: float


class Switchboard:
    """Legs by their tickets and call SIDs. A ticket is what the media socket proves with that it
    belongs to a call that this service answered: random, short-lived, for one call, used once."""

    def __init__(self, services: Services, max_calls: int = 0) -> None:
        self.draining = False
        self._services = services
        self._max_calls = max_calls
        self._legs: dict[asyncio.Task[None], Leg] = {}
        self._by_call: dict[str, Leg] = {}
        self._tickets: dict[str, _Ticket] = {}
        self._ended_s: dict[str, float] = {}  # calls that ended lately, and when
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def live_calls(self) -> int:
        return len(self._legs)

    async def answer(self, call: CallInfo) -> str | None:
        """Take a call: opens the model's session ahead and waits for it a moment. Returns the
        ticket for its stream, or None when no new call is taken. A webhook that Twilio repeats
        gets the same leg; one that comes after the call's end gets none."""
        if call.call_sid in self._ended_s:
            return None
        leg = self._by_call.get(call.call_sid)
        if leg is not None and leg.claimed and not leg.over:
            return self._ticket(leg)  # should Twilio mean it, the next stream takes the call over
        if leg is None or leg.over:
            full = self._max_calls and len(self._legs) >= self._max_calls
            if (self.draining or full) and call.call_sid not in self._by_call:
                logger.warning("call turned away", extra={"draining": self.draining})
                return None
            leg = self._open(call, after=leg if leg and leg.line_lost else None)
        await self._wait_until_ready(leg)
        return self._ticket(leg)

    async def _wait_until_ready(self, leg: Leg) -> None:
        try:
            async with asyncio.timeout(READY_S):
                await leg.ready.wait()
        except TimeoutError:
            logger.info("model not ready at the webhook", extra={"call_sid": leg.call.call_sid})

    async def resume(self, call_sid: str) -> str | None:
        """The stream was lost, or never came, and the caller is still there: a ticket for the next
        stream of the call, whose agent knows what was said. None if there is nothing to go on
        with."""
        leg = self._by_call.get(call_sid)
        if leg is None or leg.tickets >= MOST_STREAMS:
            return None
        if leg.claimed:  # Twilio may know of the loss before we do
            leg.feed(StreamEnded("Twilio asks what is next", lost=True))
        if leg.line_lost:
            leg = self._open(leg.call, after=leg)
            await self._wait_until_ready(leg)
        elif leg.over:
            return None
        logger.warning("line lost, call goes on", extra={"call_sid": call_sid})
        return self._ticket(leg)

    def _open(self, call: CallInfo, after: Leg | None = None) -> Leg:
        leg = Leg(call, self._services, after)
        task = asyncio.create_task(leg.run(), name=f"leg {call.call_sid}")
        self._legs[task] = self._by_call[call.call_sid] = leg
        self._empty.clear()
        task.add_done_callback(self._leg_ended)
        return leg

    def _leg_ended(self, task: asyncio.Task[None]) -> None:
        leg = self._legs.pop(task)
        if leg.needs_help or leg.line_lost:  # Twilio is about to ask what is next
            after_s = HELP_S if leg.needs_help else RETURN_S
            asyncio.get_running_loop().call_later(after_s, self._forget, leg)
        else:
            self._forget(leg)
        if not self._legs:
            self._empty.set()
        if not task.cancelled() and (error := task.exception()):
            extra = {"call_sid": leg.call.call_sid}
            logger.error("leg failed at its end", exc_info=error, extra=extra)

    def _forget(self, leg: Leg) -> None:
        """The call does not go on after this leg, or goes on in another."""
        if self._by_call.get(leg.call.call_sid) is leg:
            del self._by_call[leg.call.call_sid]
            if leg.needs_help or leg.line_lost:  # Twilio did not ask
                leg.call_over()

    def _ticket(self, leg: Leg) -> str:
        now_s = monotonic()
        for name in [n for n, t in self._tickets.items() if t.expires_s < now_s]:
            del self._tickets[name]
        leg.tickets += 1
        name = secrets.token_urlsafe(24)
        self._tickets[name] = _Ticket(leg, now_s + TICKET_S)
        return name

    def knows(self, ticket: str) -> bool:
        """Whether a media socket may be opened with this ticket."""
        found = self._tickets.get(ticket)
        return found is not None and found.expires_s >= monotonic()

    def claim(self, ticket: str, call_sid: str) -> Leg | None:
        """The leg that the ticket is for, once; None if it is not good, or for another call."""
        found = self._tickets.pop(ticket, None)
        if found is None or found.expires_s < monotonic():
            return None
        leg = found.leg
        if leg.over or leg.call.call_sid != call_sid:
            return None
        if leg.claimed:
            leg.feed(StreamEnded("another stream took the call over", lost=True))
            leg = self._open(leg.call, after=leg)
        leg.claimed = True
        return leg

    def status_changed(self, call_sid: str, status: CallStatus, answered_by: str | None) -> None:
        """Twilio says how a call stands. A call that has ended needs its leg no more."""
        self._services.store.save_call(call_sid, status=status)
        if answered_by:
            self._services.store.save_call(call_sid, answered_by=answered_by)
        leg = self._by_call.get(call_sid)
        if status not in TERMINAL:
            return
        now_s = monotonic()
        self._ended_s = {s: t for s, t in self._ended_s.items() if t > now_s - LATELY_S}
        self._ended_s[call_sid] = now_s
        if leg is not None:
            leg.feed(StreamEnded(f"call {status}"))
            self._by_call.pop(call_sid, None)

    def take_leave(self, call_sid: str, *, of_helpless: bool) -> bool:
        """Twilio asks what is next, and it is not another stream. Returns whether the caller needs
        help because the agent could not go on; with `of_helpless` the call ends then too, else a
        human takes it and Twilio says later how it ended."""
        leg = self._by_call.pop(call_sid, None)
        if leg is None:
            return False
        helpless = leg.needs_help
        leg.feed(StreamEnded("the call goes on without it"))
        if of_helpless or not helpless:
            leg.call_over()
        return helpless

    async def drain(self, within_s: float) -> None:
        """Take no new calls; returns when the last one has ended or the time is over."""
        self.draining = True
        logger.info("draining", extra={"live_calls": self.live_calls})
        try:
            async with asyncio.timeout(within_s):
                await self._empty.wait()
        except TimeoutError:
            logger.warning("time to drain is over", extra={"live_calls": self.live_calls})

    async def close(self, within_s: float = 3.0) -> None:
        """Hang up what is left, and let go of every leg."""
        self.draining = True
        for leg in self._legs.values():
            leg.feed(HangUpRequested("shutdown"))
        try:
            async with asyncio.timeout(within_s):
                await self._empty.wait()
        except TimeoutError:
            for leg in self._legs.values():
                leg.feed(StreamEnded("shutdown"))
            await asyncio.wait(self._legs, timeout=RELEASE_S)
            for task in self._legs:
                task.cancel()
            await asyncio.gather(*self._legs, return_exceptions=True)
        for leg in list(self._by_call.values()):
            self._forget(leg)
