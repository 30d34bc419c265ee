"""Calls that are away from the agent: being handed to a human, or while Twilio presses keys.

The leg is over, and the call is not. Here is what Twilio is told meanwhile, until a human takes the
call, the caller hangs up, or the call comes back to the agent in another leg. `Handover` decides
who is rung; this carries it out, over TwiML, and over REST where Twilio does not ask.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from app.bridge import Leg, Returned
from app.call.commands import PlayDigits, TransferCall
from app.call.destinations import Destination
from app.call.events import StreamEnded
from app.call.handover import FAILED, TAKEN, Attempt, Handover
from app.call.session_items import OUR_ITEMS
from app.call.transfer import TRANSFER, anybody
from app.errors import TwilioError
from app.numbers import is_number
from app.recorder import CallInfo
from app.services import Services
from app.store import StoreUnavailable
from app.switchboard import Switchboard
from app.telephony.rest import CallOrder, TwilioRest
from app.telephony.twiml import render, say_language, stream_urls

logger = logging.getLogger(__name__)

PLEASE_HOLD = "Please hold the line, you are being connected."
SORRY = (
    "We are sorry, there is a technical problem. Please hold the line, we are connecting you to a "
    "colleague."
)
LONGEST_SUMMARY = 600  # characters that a human listens to before they can press 1
BACK_AGAIN_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)  # tries to bring a caller back who hears music
_TERMINAL = {"completed", "busy", "no-answer", "failed", "canceled"}

Form = Mapping[str, str]
Record = Mapping[str, object]


@dataclass(slots=True)
class _Away:
    """A call without a leg. `past`: records of the call's transfers before. `returns`: whether it
    goes back to the agent when nobody takes it. `said`: what the caller hears first. `callee_sid`:
    the call to the human, when it is one of its own."""

    leg: Leg
    handover: Handover
    past: list[Record]
    said: str = ""
    returns: bool = True
    callee_sid: str = ""

    def records(self) -> list[Record]:
        return [*self.past, *self.handover.records()]


class Transfers:
    """Between the switchboard, whose legs it takes over from, and the doors for Twilio."""

    def __init__(self, switchboard: Switchboard, services: Services) -> None:
        self._switchboard = switchboard
        self._services = services
        self._away: dict[str, _Away] = {}
        self._past: dict[str, list[Record]] = {}
        self._told: dict[str, str] = {}  # TwiML that took a caller away from the agent, or back
        self._orders: dict[str, asyncio.Task[None]] = {}
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
        self._orders.pop(call_sid, None)
        if not order.cancelled():
            order.exception()  # the leg has heard of it, or is over

    async def _order(self, rest: TwilioRest, leg: Leg, command: TransferCall | PlayDigits) -> None:
        call_sid = leg.call.call_sid
        if isinstance(command, PlayDigits):
            urls = stream_urls(leg.base_url, self._switchboard.ticket(leg))
            twiml = render("play-digits", digits=command.digits, **urls)
            self._told[call_sid] = twiml
            await rest.redirect(call_sid, twiml)
            leg.redirected = True
            return
        by_name = {each.name: each for each in self._services.agent.agent.destinations}
        past = await self._past_of(call_sid)
        handover = Handover(
            [by_name[name] for name in command.route],
            command.call_id,
            command.reason,
            command.summary,
            numbered_from=len(past),
        )
        away = _Away(leg, handover, past, "" if command.announced else PLEASE_HOLD)
        destination = handover.next()
        assert destination is not None
        self._away[call_sid] = away
        self._told[call_sid] = self._twiml(away, destination)
        try:
            await rest.redirect(call_sid, self._told[call_sid])
        except TwilioError as error:
            handover.ended(handover.number, FAILED)
            self._finish(away)
            del self._told[call_sid]
            if leg.over and error.call_is_over:
                self._switchboard.call_over(call_sid)
            raise
        leg.redirected = True
        logger.info("caller handed over", extra={"call_sid": call_sid})
        self._save(away)
        if destination.warm:
            await self._ring(away, destination)

    async def rescue(self, call_sid: str) -> str | None:
        """The agent could not go on: TwiML that hands the caller to whoever is there, or None."""
        leg = self._switchboard.leg(call_sid)
        destinations = self._services.agent.agent.destinations
        if leg is None or not (route := anybody(destinations, time.time())):
            return None
        by_name = {each.name: each for each in destinations}
        past = await self._past_of(call_sid)
        handover = Handover(
            [by_name[name] for name in route],
            "",
            "The agent could not go on.",
            numbered_from=len(past),
        )
        self._away[call_sid] = away = _Away(leg, handover, past, SORRY, returns=False)
        return await self._next(away)

    def current(self, call_sid: str) -> str | None:
        """Twilio asks what comes after a stream that was taken away: what it is told by REST."""
        leg = self._switchboard.leg(call_sid)
        if leg is None or not leg.redirecting:
            return None
        if not leg.over:  # Twilio may know of the stream's end before we do
            leg.feed(StreamEnded("Twilio asks what is next"))
        return self._told.get(call_sid)

    # --- the human ------------------------------------------------------------------------------

    async def whisper(self, call_sid: str, number: int, base_url: str) -> str:
        """A human picked up: who is waiting, and press 1."""
        record = await self._record(call_sid, number)
        if record is None:
            return render("goodbye")
        return render(
            "whisper",
            action_url=f"{_url(base_url, call_sid, number)}/pressed",
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
        return render("join", room=_room(call_sid)) if record["warm"] else render("accepted")

    async def callee_status(self, call_sid: str, number: int, status: str) -> None:
        """The call to a human who is briefed on it changed its status."""
        away = self._away.get(call_sid)
        if away is None or status not in _TERMINAL:
            return
        outcome = away.handover.ended(number, status)
        self._save(away)
        if outcome and outcome != TAKEN:
            self._start(self._bring_on(away))

    async def dial_ended(self, call_sid: str, number: int, base_url: str, form: Form) -> str:
        """The caller's dial ended: TwiML for what comes next."""
        away, attempt = self._ended(call_sid, number)
        status = form.get("DialCallStatus", FAILED)
        if away is None:
            return await self._adopted(call_sid, base_url, form, status)
        if attempt is not None:
            talked = {"true": True, "false": False}.get(form.get("DialBridged", ""))
            away.handover.ended(number, status, bridged=talked)
        return await self._after(away, attempt, form)

    async def left_room(self, call_sid: str, number: int, base_url: str, form: Form) -> str:
        """The caller's time in the waiting room ended, alone or with a human: what comes next."""
        away = self._away.get(call_sid)
        if away is None:
            return await self._adopted(call_sid, base_url, form, FAILED)
        attempt = away.handover.attempt(away.handover.number)
        if attempt is not None and (number > away.handover.number or not attempt.destination.warm):
            attempt = None
        if attempt is not None:
            away.handover.ended(away.handover.number, "completed" if attempt.accepted else FAILED)
        return await self._after(away, attempt, form)

    def _ended(self, call_sid: str, number: int) -> tuple[_Away | None, Attempt | None]:
        away = self._away.get(call_sid)
        return away, away.handover.attempt(number) if away is not None else None

    async def _after(self, away: _Away, attempt: Attempt | None, form: Form) -> str:
        """What the caller's call goes on with after `attempt`; None: it was told before."""
        call_sid = away.leg.call.call_sid
        in_progress = form.get("CallStatus") == "in-progress"
        taken = away.handover.attempts[-1].outcome == TAKEN
        if taken or not in_progress:
            away.handover.caller_gone()
            self._save(away)
            self._switchboard.call_over(call_sid)
            return render("goodbye")
        if attempt is None:
            return self._told[call_sid]
        return await self._next(away)

    async def _adopted(self, call_sid: str, base_url: str, form: Form, status: str) -> str:
        """Twilio asks after a call that this process does not have, or no longer."""
        told = self._told.get(call_sid)
        if form.get("CallStatus") != "in-progress" or form.get("DialBridged") == "true":
            self._switchboard.call_over(call_sid)
            return render("goodbye")
        if told is not None:  # it is back with the agent: asked twice
            return told
        output = f"Nobody took the call: {status}. The caller is back with you."
        ticket = await self._switchboard.adopt(
            call_sid, base_url, Returned(TRANSFER, f"{OUR_ITEMS}transfer", output)
        )
        if ticket is None:
            return render("goodbye")
        return render("incoming-call", **stream_urls(base_url, ticket))

    # --- who is next ----------------------------------------------------------------------------

    async def _next(self, away: _Away) -> str:
        """TwiML for the caller, whom nobody has taken yet."""
        call_sid = away.leg.call.call_sid
        destination = away.handover.next()
        self._save(away)
        if destination is not None:
            if destination.warm:
                self._start(self._ring(away, destination))
            self._told[call_sid] = self._twiml(away, destination)
            return self._told[call_sid]
        self._finish(away)
        if not away.returns:
            self._switchboard.call_over(call_sid)
            return render("unavailable")
        returned = Returned(TRANSFER, away.handover.call_id, away.handover.in_words())
        ticket = await self._switchboard.back(away.leg, returned)
        if ticket is None:
            return render("goodbye")
        self._told[call_sid] = render("incoming-call", **stream_urls(away.leg.base_url, ticket))
        return self._told[call_sid]

    async def _bring_on(self, away: _Away) -> None:
        """The caller hears music and nobody took the call: Twilio does not ask, so it is told."""
        call_sid, rest = away.leg.call.call_sid, self._services.rest
        before = away.handover.number
        twiml = await self._next(away)
        waits_on = away.handover.number > before and away.handover.attempts[-1].destination.warm
        if rest is None or waits_on:  # in the same room, for somebody else
            return
        for wait_s in (*BACK_AGAIN_S, None):
            try:
                await rest.redirect(call_sid, twiml)
                return
            except TwilioError as error:
                extra = {"call_sid": call_sid, "error": str(error)}
                logger.error("caller could not be brought back", extra=extra)
                if error.call_is_over or wait_s is None:
                    self._switchboard.call_over(call_sid)
                    return
                await asyncio.sleep(wait_s)

    async def _ring(self, away: _Away, destination: Destination) -> None:
        """Call a human who is to be briefed while the caller waits."""
        call, number, rest = away.leg.call, away.handover.number, self._services.rest
        url = _url(away.leg.base_url, call.call_sid, number)
        try:
            if rest is None:
                raise TwilioError("there are no Twilio credentials")
            away.callee_sid = await rest.place(
                CallOrder(
                    to=destination.address,
                    from_number=self._our_number(call),
                    url=f"{url}/whisper",
                    status_callback=f"{url}/status",
                    ring_s=destination.ring_ms // 1000,
                )
            )
        except TwilioError as error:
            extra = {"call_sid": call.call_sid, "error": str(error)}
            logger.warning("human could not be called", extra=extra)
            away.handover.ended(number, FAILED)
            self._save(away)
            await self._bring_on(away)

    def _twiml(self, away: _Away, destination: Destination) -> str:
        """What the caller's call goes on with, for this destination."""
        leg, number = away.leg, away.handover.number
        url = _url(leg.base_url, leg.call.call_sid, number)
        said, away.said = away.said, ""
        if destination.warm:
            return render(
                "waiting-room",
                said=said,
                action_url=f"{url}/left",
                room=_room(leg.call.call_sid),
                hold_music=self._services.agent.hold_music,
            )
        sip = destination.address.startswith(("sip:", "sips:"))
        return render(
            "transfer",
            said=said,
            action_url=f"{url}/ended",
            whisper_url=f"{url}/whisper",
            ring_seconds=str(destination.ring_ms // 1000),
            caller_id="" if is_number(leg.call.from_number) else self._our_number(leg.call),
            number="" if sip else destination.address,
            sip=destination.address if sip else "",
        )

    def _our_number(self, call: CallInfo) -> str:
        ours = call.to_number if call.direction == "inbound" else call.from_number
        return ours if is_number(ours) else self._services.phone_number

    # --- the books ------------------------------------------------------------------------------

    async def _past_of(self, call_sid: str) -> list[Record]:
        """The records of a call's transfers so far."""
        if call_sid not in self._past:
            try:
                row = await self._services.store.get_call(call_sid)
            except StoreUnavailable:
                row = None
            self._past.setdefault(call_sid, list(row.transfers) if row else [])
        return self._past[call_sid]

    def _save(self, away: _Away) -> None:
        records = [dict(each) for each in away.records()]
        self._services.store.save_call(away.leg.call.call_sid, transfers=records)

    def _finish(self, away: _Away) -> None:
        """No more is to be expected of this handover."""
        self._save(away)
        self._past[away.leg.call.call_sid] = away.records()
        self._away.pop(away.leg.call.call_sid, None)

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
        away = self._away.get(call_sid)
        if away is not None:
            away.handover.caller_gone()
            self._finish(away)
            taken = away.handover.attempts[-1].outcome == TAKEN
            if away.callee_sid and not taken and self._services.rest is not None:
                self._start(self._hang_up(self._services.rest, away.callee_sid))
        self._past.pop(call_sid, None)
        self._told.pop(call_sid, None)

    async def _hang_up(self, rest: TwilioRest, callee_sid: str) -> None:
        try:
            await rest.hang_up(callee_sid)
        except TwilioError as error:
            logger.warning("human was called in vain", extra={"error": str(error)})

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


def _url(base_url: str, call_sid: str, number: int) -> str:
    return f"{base_url}/transfers/{call_sid}/{number}"


def _room(call_sid: str) -> str:
    return f"transfer-{call_sid}"
