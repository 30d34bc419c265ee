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
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def live_calls(self) -> int:
        return len(self._legs)

    async def answer(self, call: CallInfo) -> str | None:
        """Take a call: opens the model's session ahead and waits for it a moment. Returns the
        ticket for its stream, or None when no new call is taken. A webhook that Twilio repeats
        gets the same leg."""
        leg = self._by_call.get(call.call_sid)
        if leg is None or leg.over or leg.claimed:
            full = self._max_calls and len(self._legs) >= self._max_calls
            if (self.draining or full) and call.call_sid not in self._by_call:
                logger.warning("call turned away", extra={"draining": self.draining})
                return None
            leg = self._open(call)
        try:
            async with asyncio.timeout(READY_S):
                await leg.ready.wait()
        except TimeoutError:
            logger.info("model not ready at the webhook", extra={"call_sid": call.call_sid})
        return self._ticket(leg)

    def _open(self, call: CallInfo) -> Leg:
        leg = Leg(call, self._services)
        task = asyncio.create_task(leg.run(), name=f"leg {call.call_sid}")
        self._legs[task] = self._by_call[call.call_sid] = leg
        self._empty.clear()
        task.add_done_callback(self._leg_ended)
        return leg

    def _leg_ended(self, task: asyncio.Task[None]) -> None:
        leg = self._legs.pop(task)
        if self._by_call.get(leg.call.call_sid) is leg and not leg.needs_help:
            del self._by_call[leg.call.call_sid]
        if not self._legs:
            self._empty.set()
        if not task.cancelled() and (error := task.exception()):
            extra = {"call_sid": leg.call.call_sid}
            logger.error("leg failed at its end", exc_info=error, extra=extra)

    def _ticket(self, leg: Leg) -> str:
        now_s = monotonic()
        for name in [n for n, t in self._tickets.items() if t.expires_s < now_s]:
            del self._tickets[name]
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
        if leg.over or leg.claimed or leg.call.call_sid != call_sid:
            return None
        leg.claimed = True
        return leg

    def status_changed(self, call_sid: str, status: CallStatus, answered_by: str | None) -> None:
        """Twilio says how a call stands. A call that has ended needs its leg no more."""
        self._services.store.save_call(call_sid, status=status)
        if answered_by:
            self._services.store.save_call(call_sid, answered_by=answered_by)
        leg = self._by_call.get(call_sid)
        if leg is not None and status in TERMINAL:
            leg.feed(StreamEnded(f"call {status}"))
            self._by_call.pop(call_sid, None)

    def needs_help(self, call_sid: str) -> bool:
        """Whether the call's stream ended because the agent could not go on. Asked once, when
        Twilio asks what is next."""
        leg = self._by_call.get(call_sid)
        if leg is None or not leg.needs_help:
            return False
        del self._by_call[call_sid]
        return True

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
