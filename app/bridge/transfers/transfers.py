"""Calls that are away from the agent: being handed to a human, or while Twilio presses keys.

The leg is over, and the call is not. Here is what Twilio is told meanwhile, until a human takes the
call, the caller hangs up, or the call comes back to the agent in another leg. `TransferAttempts`
decides who is rung; this carries it out, over TwiML, and over REST where Twilio does not ask.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from functools import partial
from itertools import chain, repeat
from typing import Any

from app.bridge.leg.leg import Leg
from app.bridge.services import Services
from app.bridge.switchboard import Switchboard
from app.bridge.transfers.pending import PendingTransfer, Record, accepted, whisper
from app.bridge.transfers.redirects import CallRedirects
from app.bridge.transfers.stored import StoredAttempts
from app.bridge.way_back import WayBack
from app.call.commands import PlayDigits, TransferCall
from app.call.destinations import Destination
from app.call.events import ResumeCause, StreamEnded
from app.call.exits.attempts import CALLER_GONE, FAILED, RINGING, TAKEN, TransferAttempts
from app.call.exits.transfer import TRANSFER, open_destinations
from app.errors import TwilioError
from app.wires.twilio.call import TERMINAL, CallInfo
from app.wires.twilio.dial_ended import DialEnded
from app.wires.twilio.rest import TwilioRest
from app.wires.twilio.twiml import DIGITS_PLAYED, render, stream_urls

logger = logging.getLogger(__name__)

PLEASE_HOLD = "Please hold the line, you are being connected."
SORRY = (
    "We are sorry, there is a technical problem. Please hold the line, we are connecting you to a "
    "colleague."
)
HELPLESS = "The agent could not go on."
JOIN_S = 5.0  # for Twilio to close the room of a human who left it, and to ask what is next
BRIEFING_S = 25.0  # to pick up, to listen, and to press 1
FETCH_AGAIN_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)  # for a caller who hears music


class Transfers:
    """Between the switchboard, whose legs it takes over from, and the doors for Twilio. Every
    question may come twice, and get the same answer."""

    def __init__(self, switchboard: Switchboard, way_back: WayBack, services: Services) -> None:
        self._switchboard = switchboard
        self._way_back = way_back
        self._services = services
        self._away: dict[str, PendingTransfer] = {}
        self._past: dict[str, list[Record]] = {}  # transfers of live calls that are over
        self._told: dict[str, str] = {}  # the TwiML that took a caller away last, or back
        self._orders: dict[str, asyncio.Task[None]] = {}
        self._questions: dict[str, asyncio.Lock] = {}  # one at a time for each call
        self._live_orders = CallRedirects()
        self._stored = StoredAttempts(services.store, switchboard, way_back)
        self._tasks: set[asyncio.Task[None]] = set()
        switchboard.redirect = self.redirect
        switchboard.on_call_over.append(self._call_over)

    # --- the way out --------------------------------------------------------------------------

    async def redirect(self, leg: Leg, command: TransferCall | PlayDigits) -> None:
        """Replace the TwiML of a leg's call. The order outlives the leg, whose stream it ends.

        Raises TwilioError when Twilio does not take it: the call goes on as it was.
        """
        rest = self._services.rest
        if rest is None:
            raise TwilioError("there are no Twilio credentials; set TWILIO_ACCOUNT_SID")
        order = asyncio.create_task(self._order(rest, leg, command))
        self._orders[leg.call.call_sid] = order
        order.add_done_callback(partial(self._ordered, leg))
        await asyncio.shield(order)

    def _ordered(self, leg: Leg, order: asyncio.Task[None]) -> None:
        call_sid = leg.call.call_sid
        if self._orders.get(call_sid) is order:
            del self._orders[call_sid]
        error = None if order.cancelled() else order.exception()
        if isinstance(error, TwilioError):  # the leg hears of it too
            self._switchboard.decided(leg, "call not redirected", str(error))
        elif error is not None:
            logger.error("order failed", exc_info=error, extra={"call_sid": call_sid})

    async def _order(self, rest: TwilioRest, leg: Leg, command: TransferCall | PlayDigits) -> None:
        call_sid = leg.call.call_sid
        if isinstance(command, PlayDigits):
            urls = stream_urls(leg.base_url, self._switchboard.ticket(leg), DIGITS_PLAYED)
            self._told[call_sid] = render("play-digits", digits=command.digits, **urls)
            answered = await self._live_orders.tell(rest, call_sid, self._told[call_sid], leg)
            leg.redirected = leg.redirected or answered
            return
        away = self._begin(leg, command.route, command.call_id, command.reason, command.summary)
        away.said = "" if command.announced else PLEASE_HOLD
        destination = away.handover.next()
        assert destination is not None
        number = away.handover.number
        self._told[call_sid] = away.twiml(destination)
        try:
            answered = await self._live_orders.tell(rest, call_sid, self._told[call_sid], leg)
        except TwilioError as error:
            if not leg.redirected and (not leg.over or error.call_is_over):
                away.handover.ended(number, FAILED)
                self._finish(away)
                if leg.over:
                    self._switchboard.call_over(call_sid)
                raise
            self._switchboard.decided(leg, "order taken as obeyed, the stream ended", str(error))
        else:
            leg.redirected = leg.redirected or answered
        logger.info("caller handed over", extra={"call_sid": call_sid})
        if self._away.get(call_sid) is away and away.handover.attempt(number) is not None:
            self._save(away)
            if destination.warm:
                await self._ring(away, destination)

    def _begin(
        self, leg: Leg, route: Sequence[str], call_id: str, reason: str, summary: str = ""
    ) -> PendingTransfer:
        by_name = {each.name: each for each in self._services.agent.agent.destinations}
        past = self._past.setdefault(leg.call.call_sid, leg.earlier_transfers)
        humans = [by_name[name] for name in route]
        handover = TransferAttempts(humans, call_id, reason, summary, numbered_from=len(past))
        services = self._services
        away = PendingTransfer(
            leg, handover, past, services.phone_number, services.agent.hold_music
        )
        self._away[leg.call.call_sid] = away
        return away

    async def rescue(self, call_sid: str) -> str | None:
        """The agent could not go on: TwiML that hands the caller to whoever is there, or None."""
        leg = self._switchboard.leg(call_sid)
        route = open_destinations(self._services.agent.agent.destinations, time.time())
        if leg is None or not route:
            return None
        if call_sid in self._away:  # asked twice
            return self._told.get(call_sid)
        leg.decided("caller handed to a human", f"the agent could not go on: {', '.join(route)}")
        self._switchboard.handed_over(leg)
        away = self._begin(leg, route, "", HELPLESS)
        away.said, away.returns = SORRY, False
        return await self._next(away)

    def knows(self, call_sid: str) -> bool:
        """Whether this process is handing the caller over."""
        return call_sid in self._away

    def current(self, call_sid: str) -> str | None:
        """Twilio asks what comes after a stream that was taken away: what it is told by REST."""
        leg = self._switchboard.leg(call_sid)
        if leg is None or not leg.redirecting:
            return None
        if not leg.over:  # Twilio may know of the stream's end before we do
            leg.feed(StreamEnded("Twilio asks what is next"))
        leg.redirected = call_sid in self._told
        self._live_orders.seen(call_sid)
        return self._told.get(call_sid)

    # --- the human ------------------------------------------------------------------------------

    async def whisper(self, call_sid: str, number: int, base_url: str) -> str:
        """A human picked up: who is waiting, and press 1."""
        record, leg = await self._record(call_sid, number), self._switchboard.leg(call_sid)
        if record is None or record["outcome"] != RINGING:
            return render("goodbye")
        if leg is not None:  # whatever became of the order: it took effect
            leg.redirected = True
            self._live_orders.seen(call_sid)
        summary, language = (
            record["summary"] or record["reason"],
            self._services.agent.agent.language,
        )
        return whisper(call_sid, number, base_url, str(summary), language)

    async def pressed(self, call_sid: str, number: int, digits: str) -> str:
        """The human pressed a key: 1 takes the call."""
        away = self._away.get(call_sid)
        record = await self._record(call_sid, number)
        if away is not None:
            taken = away.handover.pressed(number, digits)
            self._save(away)
        else:  # another process has the call, or had: what Twilio asks is enough
            taken = digits == "1"
            if taken:
                await self._stored.accepted(call_sid, number)
        if not taken or record is None:
            return render("goodbye")
        return accepted(call_sid, warm=bool(record["warm"]))

    async def callee_status(self, call_sid: str, number: int, status: str) -> None:
        """The call to a human who is briefed on it changed its status."""
        away = self._away.get(call_sid)
        if away is not None and status in TERMINAL:
            outcome = away.handover.ended(number, status)
            self._save(away)
            if outcome == TAKEN:  # the room closes, unless they never entered it
                self._start(self._fetch(away, after_s=JOIN_S))
            elif outcome:
                self._start(self._go_on(away))

    def callee_sid(self, call_sid: str, number: str) -> str:
        """The call to a human who is briefed on it, in the attempt of this number; empty: not known
        here, or there is none."""
        away = self._away.get(call_sid)
        if away is None or str(away.handover.number) != number:
            return ""
        return away.callee_sid if away.handover.attempts[-1].destination.warm else ""

    # --- the caller -----------------------------------------------------------------------------

    async def asked(
        self, question: str, call: CallInfo, number: int, base_url: str, end: DialEnded
    ) -> str:
        """What comes next for the caller: their dial `ended`, they `left` the waiting room, or were
        `fetched` from it. TwiML. Raises StoreUnavailable when only the store could say."""
        call_sid = call.call_sid
        async with self._questions.setdefault(call_sid, asyncio.Lock()):
            try:
                return await self._answer(question, call, number, base_url, end)
            finally:
                if not self._switchboard.is_live(call_sid):
                    self._questions.pop(call_sid, None)

    async def _answer(
        self, question: str, call: CallInfo, number: int, base_url: str, end: DialEnded
    ) -> str:
        call_sid = call.call_sid
        away = self._away.get(call_sid)
        if away is not None and end.status == CALLER_GONE and not end.caller_gone:
            if question == "ended" and call_sid in self._orders:
                # Twilio says so of a dial whose place our order took when it was repeated.
                return self._told[call_sid]
        if away is not None or question == "fetched":
            self._live_orders.seen(call_sid)
        if away is None:
            return await self._unknown(call, number, base_url, end)
        if question == "ended" and (end.bridged or not end.caller_gone):
            status = end.status or FAILED
            away.handover.ended(number, status, bridged=end.bridged, seconds=end.seconds)
        elif question == "left":
            number = self._left_room(away.handover, number, end)
        return await self._after(away, number, end)

    @staticmethod
    def _left_room(handover: TransferAttempts, number: int, end: DialEnded) -> int:
        """The caller is in the waiting room no more. Returns which attempt that was: they may have
        gone there for somebody before."""
        present = handover.number
        if number > present or not handover.attempts[-1].destination.warm:
            return number
        accepted = handover.attempts[-1].accepted
        if accepted or not end.caller_gone:
            handover.ended(present, "completed" if accepted else FAILED)
        return present

    async def _after(self, away: PendingTransfer, number: int, end: DialEnded) -> str:
        """What the caller's call goes on with after the attempt of this number."""
        handover = away.handover
        if end.caller_gone:
            handover.caller_gone()
        if handover.over_for_good:
            self._save(away)
            self._switchboard.call_over(away.call_sid)
            return render("goodbye")
        if number == handover.number and handover.attempts[-1].outcome:
            return await self._next(away)
        return self._told[away.call_sid]  # asked twice

    async def _unknown(self, call: CallInfo, number: int, base_url: str, end: DialEnded) -> str:
        """Twilio asks after a call that this process does not hand over, or no longer."""
        leg = self._switchboard.leg(call.call_sid)
        if leg is not None and not leg.over and call.call_sid in self._told and not end.caller_gone:
            return self._told[call.call_sid]  # it is back with the agent: asked twice
        return await self._stored.asked(call, number, base_url, end)

    async def caller_back(self, call: CallInfo, base_url: str, end: DialEnded) -> str:
        """What comes next for a caller of whose transfer nothing can be found out now. TwiML."""
        return await self._stored.caller_back(call, base_url, end)

    # --- who is next ----------------------------------------------------------------------------

    async def _next(self, away: PendingTransfer) -> str:
        """TwiML for the caller, whom nobody has taken yet."""
        destination = away.handover.next()
        self._save(away)
        if destination is not None:
            if destination.warm:
                self._start(self._ring(away, destination))
            self._told[away.call_sid] = away.twiml(destination)
            return self._told[away.call_sid]
        self._finish(away)
        if not away.returns:
            reason = f"the agent could not go on, and no human took the call: {away.outcomes()}"
            away.leg.decided("call ended with an apology", reason)
            self._switchboard.call_over(away.call_sid)
            return render("unavailable")
        returned = ResumeCause(TRANSFER, away.handover.call_id, away.handover.in_words())
        ticket = await self._way_back.back(away.leg, returned)
        if ticket is None:
            return render("unavailable")
        self._told[away.call_sid] = render(
            "incoming-call", **stream_urls(away.leg.base_url, ticket)
        )
        return self._told[away.call_sid]

    async def _go_on(self, away: PendingTransfer) -> None:
        """Nobody took the call, and the caller hears music: Twilio does not ask what is next."""
        upcoming = away.handover.upcoming
        if upcoming is not None and upcoming.warm:
            away.handover.next()
            self._save(away)
            await self._ring(away, upcoming)
        else:
            await self._fetch(away)

    async def _fetch(self, away: PendingTransfer, after_s: float = 0.0) -> None:
        """Get the caller out of the waiting room, if they are still there after a while."""
        call_sid, rest = away.call_sid, self._services.rest
        await asyncio.sleep(after_s)
        if self._away.get(call_sid) is not away:
            return
        twiml = render("fetch", url=away.url("fetched"))
        for wait_s in chain(FETCH_AGAIN_S, repeat(FETCH_AGAIN_S[-1])):
            try:
                if rest is not None:
                    await self._live_orders.tell(rest, call_sid, twiml)
                return
            except TwilioError as error:
                away.leg.decided("caller not fetched from the waiting room", str(error))
                if error.call_is_over:
                    self._switchboard.call_over(call_sid)
                    return
            await asyncio.sleep(wait_s)
            if self._away.get(call_sid) is not away:
                return

    async def _ring(self, away: PendingTransfer, destination: Destination) -> None:
        """Call a human who is to be briefed while the caller waits."""
        number, rest = away.handover.number, self._services.rest
        away.callee_sid = ""  # of the attempt before
        try:
            if rest is None:
                raise TwilioError("there are no Twilio credentials")
            away.callee_sid = await rest.place(away.call_to(destination))
        except TwilioError as error:
            reason = f"{destination.name}: {error}"
            self._switchboard.decided(away.leg, "human could not be rung", reason)
            if error.unsure:  # their telephone may ring all the same
                await asyncio.sleep(destination.ring_ms / 1000 + BRIEFING_S)
            attempt = away.handover.attempt(number)
            if attempt is not None and not attempt.accepted:
                away.handover.ended(number, FAILED)
                self._save(away)
                await self._go_on(away)
        else:
            if self._away.get(away.call_sid) is not away:  # the caller did not wait for it
                await self._release(rest, away)

    # --- the books ------------------------------------------------------------------------------

    def _save(self, away: PendingTransfer) -> None:
        away.leg.handed_over(away.records())

    def _finish(self, away: PendingTransfer) -> None:
        """No more is to be expected of this handover."""
        self._save(away)
        self._past[away.call_sid] = away.records()
        self._away.pop(away.call_sid, None)

    async def _record(self, call_sid: str, number: int) -> Record | None:
        """What is known of an attempt, by this process or by the store."""
        away = self._away.get(call_sid)
        if away is None:
            return await self._stored.record(call_sid, number)
        records = away.records()
        return records[number] if 0 <= number < len(records) else None

    def _call_over(self, call_sid: str) -> None:
        """The call has ended, whoever ended it."""
        away, rest = self._away.get(call_sid), self._services.rest
        if away is not None:
            away.handover.caller_gone()
            self._finish(away)
            if away.callee_sid and rest is not None:
                self._start(self._release(rest, away))
        for kept in (self._past, self._told, self._questions):
            kept.pop(call_sid, None)

    async def _release(self, rest: TwilioRest, away: PendingTransfer) -> None:
        """Nobody waits for this human any more."""
        try:
            await rest.hang_up(away.callee_sid)
        except TwilioError as error:
            if not error.call_is_over:
                self._switchboard.decided(away.leg, "human not released", str(error))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Let go of what is under way."""
        tasks = [*self._tasks, *self._orders.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
