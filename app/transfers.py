"""Calls that are away from the agent: being handed to a human, or while Twilio presses keys.

The leg is over, and the call is not. Here is what Twilio is told meanwhile, until a human takes the
call, the caller hangs up, or the call comes back to the agent in another leg. `Handover` decides
who is rung; this carries it out, over TwiML, and over REST where Twilio does not ask.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

from app.away import Away, Record, room_of, transfer_url
from app.bridge import Leg, Returned
from app.call.commands import PlayDigits, TransferCall
from app.call.destinations import Destination
from app.call.events import StreamEnded
from app.call.handover import CALLER_GONE, FAILED, RINGING, TAKEN, Handover
from app.call.session_items import OUR_ITEMS
from app.call.transfer import TRANSFER, anybody
from app.errors import TwilioError
from app.services import Services
from app.store import TERMINAL
from app.switchboard import Switchboard
from app.telephony.rest import TwilioRest
from app.telephony.twiml import render, say_language, stream_urls

logger = logging.getLogger(__name__)

PLEASE_HOLD = "Please hold the line, you are being connected."
SORRY = (
    "We are sorry, there is a technical problem. Please hold the line, we are connecting you to a "
    "colleague."
)
HELPLESS = "The agent could not go on."
LONGEST_SUMMARY = 600  # characters that a human listens to before they can press 1
FETCH_AGAIN_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)  # for a caller who hears music

Form = Mapping[str, str]


class Transfers:
    """Between the switchboard, whose legs it takes over from, and the doors for Twilio. Every
    question may come twice, and get the same answer."""

    def __init__(self, switchboard: Switchboard, services: Services) -> None:
        self._switchboard = switchboard
        self._services = services
        self._away: dict[str, Away] = {}
        self._past: dict[str, list[Record]] = {}  # transfers of live calls that are over
        self._told: dict[str, str] = {}  # the TwiML that took a caller away last, or back
        self._orders: dict[str, asyncio.Task[None]] = {}
        self._seen: dict[str, asyncio.Event] = {}  # that Twilio does what it is being told to
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
        order.add_done_callback(partial(self._ordered, leg.call.call_sid))
        await asyncio.shield(order)

    def _ordered(self, call_sid: str, order: asyncio.Task[None]) -> None:
        if self._orders.get(call_sid) is order:
            del self._orders[call_sid]
        if not order.cancelled():
            order.exception()  # the leg has heard of it, or is over

    async def _order(self, rest: TwilioRest, leg: Leg, command: TransferCall | PlayDigits) -> None:
        call_sid = leg.call.call_sid
        if isinstance(command, PlayDigits):
            urls = stream_urls(leg.base_url, self._switchboard.ticket(leg))
            self._told[call_sid] = render("play-digits", digits=command.digits, **urls)
            await rest.redirect(call_sid, self._told[call_sid])
            leg.redirected = True
            return
        away = self._begin(leg, command.route, command.call_id, command.reason, command.summary)
        away.said = "" if command.announced else PLEASE_HOLD
        destination = away.handover.next()
        assert destination is not None
        number = away.handover.number
        self._told[call_sid] = away.twiml(destination)
        try:
            await self._tell(rest, call_sid, self._told[call_sid])
        except TwilioError as error:
            if not leg.redirected and (not leg.over or error.call_is_over):
                away.handover.ended(number, FAILED)
                self._finish(away)
                if leg.over:
                    self._switchboard.call_over(call_sid)
                raise
            # It took effect all the same, as far as can be told: the stream has ended.
        else:
            leg.redirected = True
        logger.info("caller handed over", extra={"call_sid": call_sid})
        if self._away.get(call_sid) is away and away.handover.attempt(number) is not None:
            self._save(away)
            if destination.warm:
                await self._ring(away, destination)

    async def _tell(self, rest: TwilioRest, call_sid: str, twiml: str) -> None:
        """Order it until Twilio answers, or is seen to do it. An answer can be lost: the order
        repeated would then take the caller away from what came after it."""
        seen = self._seen[call_sid] = asyncio.Event()
        order = asyncio.create_task(rest.redirect(call_sid, twiml))
        seeing = asyncio.create_task(seen.wait())
        try:
            await asyncio.wait({order, seeing}, return_when=asyncio.FIRST_COMPLETED)
            if order.done():
                order.result()
        finally:
            self._seen.pop(call_sid, None)
            order.cancel()
            seeing.cancel()
            await asyncio.gather(order, seeing, return_exceptions=True)

    def _sees(self, call_sid: str) -> None:
        """Twilio asks what only comes of an order."""
        if call_sid in self._seen:
            self._seen[call_sid].set()

    def _begin(
        self, leg: Leg, route: Sequence[str], call_id: str, reason: str, summary: str = ""
    ) -> Away:
        by_name = {each.name: each for each in self._services.agent.agent.destinations}
        past = self._past.setdefault(leg.call.call_sid, leg.earlier_transfers)
        humans = [by_name[name] for name in route]
        handover = Handover(humans, call_id, reason, summary, numbered_from=len(past))
        services = self._services
        away = Away(leg, handover, past, services.phone_number, services.agent.hold_music)
        self._away[leg.call.call_sid] = away
        return away

    async def rescue(self, call_sid: str) -> str | None:
        """The agent could not go on: TwiML that hands the caller to whoever is there, or None."""
        leg = self._switchboard.leg(call_sid)
        route = anybody(self._services.agent.agent.destinations, time.time())
        if leg is None or not route:
            return None
        if call_sid in self._away:  # asked twice
            return self._told.get(call_sid)
        away = self._begin(leg, route, "", HELPLESS)
        away.said, away.returns = SORRY, False
        return await self._next(away)

    def current(self, call_sid: str) -> str | None:
        """Twilio asks what comes after a stream that was taken away: what it is told by REST."""
        leg = self._switchboard.leg(call_sid)
        if leg is None or not leg.redirecting:
            return None
        if not leg.over:  # Twilio may know of the stream's end before we do
            leg.feed(StreamEnded("Twilio asks what is next"))
        leg.redirected = call_sid in self._told
        self._sees(call_sid)
        return self._told.get(call_sid)

    # --- the human ------------------------------------------------------------------------------

    async def whisper(self, call_sid: str, number: int, base_url: str) -> str:
        """A human picked up: who is waiting, and press 1."""
        record, leg = await self._record(call_sid, number), self._switchboard.leg(call_sid)
        if record is None or record["outcome"] != RINGING:
            return render("goodbye")
        if leg is not None:  # whatever became of the order: it took effect
            leg.redirected = True
            self._sees(call_sid)
        return render(
            "whisper",
            action_url=transfer_url(base_url, call_sid, number, "pressed"),
            summary=str(record["summary"] or record["reason"])[:LONGEST_SUMMARY],
            language=say_language(self._services.agent.agent.language),
        )

    async def pressed(self, call_sid: str, number: int, digits: str) -> str:
        """The human pressed a key: 1 takes the call."""
        away = self._away.get(call_sid)
        record = await self._record(call_sid, number)
        if away is not None:
            taken = away.handover.pressed(number, digits)
            self._save(away)
        else:  # another process has the call: what Twilio asks is enough
            taken = digits == "1"
        if not taken or record is None:
            return render("goodbye")
        return render("join", room=room_of(call_sid)) if record["warm"] else render("accepted")

    async def callee_status(self, call_sid: str, number: int, status: str) -> None:
        """The call to a human who is briefed on it changed its status."""
        away = self._away.get(call_sid)
        if away is not None and status in TERMINAL:
            outcome = away.handover.ended(number, status)
            self._save(away)
            if outcome and outcome != TAKEN:
                self._start(self._go_on(away))

    # --- the caller -----------------------------------------------------------------------------

    async def dial_ended(self, call_sid: str, number: int, base_url: str, form: Form) -> str:
        """The caller's dial ended: TwiML for what comes next."""
        away, status = self._away.get(call_sid), form.get("DialCallStatus", FAILED)
        if away is None:
            return await self._unknown(call_sid, base_url, form, status)
        if status == CALLER_GONE and form.get("CallStatus") == "in-progress":
            # Nobody hung up: Twilio says so of a dial whose place our order took when repeated.
            return self._told[call_sid]
        self._sees(call_sid)
        talked = {"true": True, "false": False}.get(form.get("DialBridged", ""))
        if talked or form.get("CallStatus") == "in-progress":
            away.handover.ended(number, status, bridged=talked)
        return await self._after(away, number, form)

    async def left_room(self, call_sid: str, number: int, base_url: str, form: Form) -> str:
        """The caller's time in the waiting room ended, alone or with a human: what comes next."""
        away = self._away.get(call_sid)
        if away is None:
            return await self._unknown(call_sid, base_url, form, FAILED)
        self._sees(call_sid)
        handover = away.handover
        present = handover.number  # the room may have been entered for somebody before
        if number <= present and handover.attempts[-1].destination.warm:
            accepted = handover.attempts[-1].accepted
            handover.ended(present, "completed" if accepted else FAILED)
            number = present
        return await self._after(away, number, form)

    async def fetched(self, call_sid: str, number: int, base_url: str, form: Form) -> str:
        """The caller is back from the waiting room, where nobody took the call: what is next."""
        away = self._away.get(call_sid)
        if away is None:
            self._sees(call_sid)
            return await self._unknown(call_sid, base_url, form, FAILED)
        self._sees(call_sid)
        return await self._after(away, number, form)

    async def _after(self, away: Away, number: int, form: Form) -> str:
        """What the caller's call goes on with after the attempt of this number."""
        handover = away.handover
        if form.get("CallStatus") != "in-progress":
            handover.caller_gone()
        if handover.over_for_good:
            self._save(away)
            self._switchboard.call_over(away.call_sid)
            return render("goodbye")
        if number == handover.number and handover.attempts[-1].outcome:
            return await self._next(away)
        return self._told[away.call_sid]  # asked twice

    async def _unknown(self, call_sid: str, base_url: str, form: Form, status: str) -> str:
        """Twilio asks after a call that this process does not hand over, or no longer."""
        if form.get("CallStatus") != "in-progress" or form.get("DialBridged") == "true":
            self._switchboard.call_over(call_sid)
            return render("goodbye")
        if self._switchboard.is_live(call_sid) and call_sid in self._told:
            return self._told[call_sid]  # it is back with the agent: asked twice
        output = f"Nobody took the call: {status}. The caller is back with you."
        returned = Returned(TRANSFER, f"{OUR_ITEMS}transfer", output)
        ticket = await self._switchboard.adopt(call_sid, base_url, returned)
        if ticket is None:
            return render("goodbye")
        return render("incoming-call", **stream_urls(base_url, ticket))

    # --- who is next ----------------------------------------------------------------------------

    async def _next(self, away: Away) -> str:
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
            self._switchboard.call_over(away.call_sid)
            return render("unavailable")
        returned = Returned(TRANSFER, away.handover.call_id, away.handover.in_words())
        ticket = await self._switchboard.back(away.leg, returned)
        if ticket is None:
            return render("goodbye")
        self._told[away.call_sid] = render(
            "incoming-call", **stream_urls(away.leg.base_url, ticket)
        )
        return self._told[away.call_sid]

    async def _go_on(self, away: Away) -> None:
        """Nobody took the call, and the caller hears music: Twilio does not ask what is next."""
        upcoming = away.handover.upcoming
        if upcoming is not None and upcoming.warm:
            away.handover.next()
            self._save(away)
            await self._ring(away, upcoming)
        else:
            await self._fetch(away)

    async def _fetch(self, away: Away) -> None:
        """Get the caller out of the waiting room."""
        call_sid, rest = away.call_sid, self._services.rest
        twiml = render("fetch", url=away.url("fetched"))
        for wait_s in (*FETCH_AGAIN_S, None):
            try:
                if rest is not None:
                    await self._tell(rest, call_sid, twiml)
                return
            except TwilioError as error:
                extra = {"call_sid": call_sid, "error": str(error)}
                logger.error("caller could not be fetched from the waiting room", extra=extra)
                if error.call_is_over or wait_s is None:
                    self._switchboard.call_over(call_sid)
                    return
                await asyncio.sleep(wait_s)

    async def _ring(self, away: Away, destination: Destination) -> None:
        """Call a human who is to be briefed while the caller waits."""
        number, rest = away.handover.number, self._services.rest
        try:
            if rest is None:
                raise TwilioError("there are no Twilio credentials")
            away.callee_sid = await rest.place(away.call_to(destination))
        except TwilioError as error:
            extra = {"call_sid": away.call_sid, "error": str(error)}
            logger.warning("human could not be called", extra=extra)
            if away.handover.ended(number, FAILED):
                self._save(away)
                await self._go_on(away)
        else:
            if self._away.get(away.call_sid) is not away:  # the caller did not wait for it
                await self._release(rest, away.callee_sid)

    # --- the books ------------------------------------------------------------------------------

    def _save(self, away: Away) -> None:
        records = [dict(each) for each in away.records()]
        self._services.store.save_call(away.call_sid, transfers=records)

    def _finish(self, away: Away) -> None:
        """No more is to be expected of this handover."""
        self._save(away)
        self._past[away.call_sid] = away.records()
        self._away.pop(away.call_sid, None)

    async def _record(self, call_sid: str, number: int) -> Record | None:
        """What is known of an attempt, by this process or by the store."""
        away = self._away.get(call_sid)
        if away is not None:
            records: Sequence[Record] = away.records()
        else:
            row = await self._services.store.get_call(call_sid)
            records = row.transfers if row else []
        return records[number] if 0 <= number < len(records) else None

    def _call_over(self, call_sid: str) -> None:
        """The call has ended, whoever ended it."""
        away, rest = self._away.get(call_sid), self._services.rest
        if away is not None:
            away.handover.caller_gone()
            self._finish(away)
            if away.callee_sid and rest is not None:
                self._start(self._release(rest, away.callee_sid))
        self._past.pop(call_sid, None)
        self._told.pop(call_sid, None)

    async def _release(self, rest: TwilioRest, callee_sid: str) -> None:
        """Nobody waits for this human any more."""
        try:
            await rest.hang_up(callee_sid)
        except TwilioError as error:
            logger.warning("human not released", extra={"error": str(error)})

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
