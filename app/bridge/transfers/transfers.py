"""Transfers of calls to humans, and redirects for keys: what Twilio's requests are answered.

The leg is over and the call is not, until a human accepts it, the caller hangs up, or it resumes
with the agent in another leg. `TransferAttempts` decides who is tried next; this answers with TwiML
for it, and acts over REST where Twilio makes no request.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from functools import partial

from app.bridge.leg.leg import Leg
from app.bridge.reconnects import Reconnects
from app.bridge.services import Services
from app.bridge.softphone_line import CallControl
from app.bridge.switchboard import Switchboard
from app.bridge.tasks import Tasks
from app.bridge.transfers.pending import (
    FALLBACK_REASON,
    PLEASE_HOLD,
    SORRY,
    PendingTransfer,
    Record,
    accepted,
    whisper,
)
from app.bridge.transfers.recorded import END_S, JOIN_S, RecordedTransfers, left_conference
from app.bridge.transfers.redirects import CallRedirects
from app.bridge.transfers.shared_orders import SharedOrders
from app.bridge.transfers.warm import WarmTransfers
from app.call.commands import PlayDigits, TransferCall
from app.call.events import ResumeCause, StreamEnded
from app.call.exits.attempts import FAILED, RINGING, TAKEN, TransferAttempts
from app.call.exits.transfer import TRANSFER, open_destinations
from app.errors import TwilioError
from app.records.store import StoreUnavailable
from app.wires.twilio.call import TERMINAL, CallInfo
from app.wires.twilio.dial_ended import DialEnded
from app.wires.twilio.twiml import DIGITS_PLAYED, render

logger = logging.getLogger(__name__)


class Transfers:
    """The pending transfers of this process. A repeated request of Twilio's gets the same answer.

    Give its `redirect` to the `Switchboard`. Call `aclose` after `Switchboard.close`.
    """

    def __init__(
        self, switchboard: Switchboard, reconnects: Reconnects, services: Services
    ) -> None:
        self._switchboard = switchboard
        self._reconnects = reconnects
        self._services = services
        # All by call SID:
        self._pending: dict[str, PendingTransfer] = {}
        self._earlier: dict[str, list[Record]] = {}  # finished transfers of live calls
        self._twiml: dict[str, str] = {}  # the last TwiML that redirected or resumed the call
        self._orders: dict[str, asyncio.Task[None]] = {}  # redirects in flight
        self._locks: dict[str, asyncio.Lock] = {}  # answers one request at a time
        self._redirects = CallRedirects()
        self._recorded = RecordedTransfers(services, switchboard, reconnects, self._redirects)
        self._shared = SharedOrders(services, switchboard, self._redirects, self._recorded)
        self._warm = WarmTransfers(
            switchboard,
            services.rest,
            self._redirects,
            lambda pending: self._pending.get(pending.call_sid) is pending,
        )
        self._tasks = Tasks()
        switchboard.on_call_ended.append(self._call_ended)

    # --- away from the agent --------------------------------------------------------------------

    async def redirect(self, leg: Leg, command: TransferCall | PlayDigits) -> None:
        """Replace the TwiML of a leg's call. That ends the leg's stream, and the leg may end before
        this does.

        Raises:
            TwilioError: Twilio refused, or there are no credentials. The call stays with the agent.
        """
        if (rest := self._services.control(leg.call.call_sid)) is None:
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
        if isinstance(error, TwilioError):  # the leg gets it too, as RedirectFailed
            self._switchboard.record_decision(leg, "call not redirected", str(error))
        elif error is not None:
            logger.error("redirect failed", exc_info=error, extra={"call_sid": call_sid})

    async def _order(self, rest: CallControl, leg: Leg, command: TransferCall | PlayDigits) -> None:
        call_sid = leg.call.call_sid
        if isinstance(command, PlayDigits):
            ticket = await self._switchboard.streams.ticket_after_keys(leg, command)
            urls = self._switchboard.streams.urls(leg.base_url, ticket, DIGITS_PLAYED)
            self._twiml[call_sid] = render("play-digits", digits=command.digits, **urls)
            if await self._redirects.order(rest, call_sid, self._twiml[call_sid], leg):
                leg.redirect.confirm()
            return
        if self._services.bus.shared:
            sent = partial(self._twiml.__setitem__, call_sid)
            await self._shared.transfer(rest, leg, command, sent)
            return
        pending = self._begin(leg, command.route, command.call_id, command.reason, command.summary)
        pending.announcement = "" if command.announced else PLEASE_HOLD
        destination = pending.attempts.next()
        assert destination is not None
        number = pending.attempts.number
        twiml = self._twiml[call_sid] = pending.twiml(destination)
        pending.save()
        try:
            responded = await self._redirects.order(rest, call_sid, twiml, leg)
        except TwilioError as error:
            if not leg.redirect.confirmed and (not leg.over or error.call_is_over):
                pending.attempts.ended(number, FAILED)
                self._finish(pending)
                if leg.over:
                    self._switchboard.end_call(call_sid)
                raise
            decision = "order taken as obeyed, the stream ended"
            self._switchboard.record_decision(leg, decision, str(error))
        else:
            if responded:
                leg.redirect.confirm()
        logger.info("caller transferred", extra={"call_sid": call_sid})
        pends = self._pending.get(call_sid) is pending and pending.attempts.attempt(number)
        if destination.warm and pends:
            await self._warm.ring(pending, destination)

    def _begin(
        self,
        leg: Leg,
        route: Sequence[str],
        call_id: str,
        reason: str,
        summary: str = "",
        *,
        resumes: bool = True,
    ) -> PendingTransfer:
        services, agent = self._services, self._services.agent
        by_name = {each.name: each for each in services.destinations(leg.call.call_sid)}
        earlier = self._earlier.setdefault(leg.call.call_sid, [*leg.seed.earlier_transfers])
        dialled = [by_name[name] for name in route]
        attempts = TransferAttempts(dialled, call_id, reason, summary, len(earlier))
        attempts.resumes = resumes
        dials = (leg.call, leg.base_url, attempts, services.phone_number, agent.hold_music)
        pending = PendingTransfer(*dials, leg=leg, earlier=earlier)
        self._pending[leg.call.call_sid] = pending
        return pending

    async def fallback(self, call_sid: str) -> str | None:
        """The agent cannot go on: TwiML that transfers the caller to any human who is there. None:
        there is none; apologise and hang up."""
        leg = self._switchboard.leg(call_sid)
        route = open_destinations(self._services.destinations(call_sid), time.time())
        if leg is None or not route:
            return None
        if call_sid in self._pending:  # a repeated request
            return self._twiml.get(call_sid)
        reason = f"the agent could not go on: {', '.join(route)}"
        leg.record_decision("caller transferred to a human", reason)
        self._switchboard.fallback_started(leg)
        if self._services.bus.shared:
            return await self._shared.fallback(leg, route)
        pending = self._begin(leg, route, "", FALLBACK_REASON, resumes=False)
        pending.announcement = SORRY
        return await self._try_next(pending)

    def is_pending(self, call_sid: str) -> bool:
        """Whether this process transfers the call now."""
        return call_sid in self._pending

    async def twiml_after_stream(
        self, call: CallInfo, base_url: str, *, after_keys: bool = False
    ) -> str | None:
        """Twilio asks what follows a stream: the TwiML that the call was redirected to. None: the
        stream ended for another reason. `after_keys`: it was the one after Twilio had played keys.
        """
        call_sid = call.call_sid
        leg = self._switchboard.leg(call_sid)
        if leg is None and self._services.bus.shared:
            return await self._recorded.twiml_after_stream(call, base_url, after_keys=after_keys)
        if leg is None or not leg.redirecting or (after_keys and leg.keys_played is not None):
            return None
        if not leg.over:  # Twilio may know of the stream's end before this process does
            leg.feed(StreamEnded("Twilio asks what is next"))
        if call_sid in self._twiml:
            leg.redirect.confirm()
        self._redirects.confirm(call_sid)
        return self._twiml.get(call_sid)

    # --- the human ------------------------------------------------------------------------------

    async def whisper(self, call_sid: str, number: int, base_url: str) -> str:
        """A human picked up: TwiML with the summary, and to press 1. Raises StoreUnavailable."""
        record, leg = await self._written(call_sid, number), self._switchboard.leg(call_sid)
        if record is None or record["outcome"] != RINGING:
            return render("goodbye")
        if leg is not None:  # Twilio rings, so it obeyed, whatever it responded
            leg.redirect.confirm()
            self._redirects.confirm(call_sid)
        summary = str(record["summary"] or record["reason"])
        language = self._services.agent.agent.language
        return whisper(call_sid, number, base_url, summary, language)

    async def pressed(self, call_sid: str, number: int, digits: str) -> str:
        """The human pressed a key: TwiML. 1 accepts the call."""
        pending = self._pending.get(call_sid)
        record = await self._written(call_sid, number)
        if pending is not None:
            accepts = pending.attempts.pressed(number, digits)
            pending.save()
        else:  # only the record knows of the transfer
            accepts = await self._recorded.pressed(CallInfo(call_sid), number, digits)
        if not accepts or record is None:
            return render("goodbye")
        return accepted(call_sid, warm=bool(record["warm"]))

    async def callee_status(self, call_sid: str, number: int, status: str, base_url: str) -> None:
        """Twilio's status callback of the call to the human of a warm attempt."""
        pending = self._pending.get(call_sid)
        if pending is None:
            await self._recorded.callee_status(call_sid, number, status, base_url)
        elif status in TERMINAL:
            outcome = pending.attempts.ended(number, status)
            pending.save()
            if outcome == TAKEN:  # the conference has ended, unless they never entered it
                self._tasks.start(self._warm.fetch(pending, after_s=JOIN_S))
            elif outcome:
                self._tasks.start(self._warm.try_next(pending))

    def callee_sid(self, call_sid: str, number: str) -> str:
        """The SID of the call to the human of this attempt. Empty: the attempt is not warm, or not
        the last one, or another process began it."""
        pending = self._pending.get(call_sid)
        if pending is None or str(pending.attempts.number) != number:
            return ""
        return pending.callee_sid if pending.last_attempt.destination.warm else ""

    # --- the caller -----------------------------------------------------------------------------

    async def next_twiml(
        self, question: str, call: CallInfo, number: int, base_url: str, end: DialEnded
    ) -> str:
        """The caller's TwiML after an attempt.

        Args:
            question: `ended`: the dial ended. `left`: the caller left the conference. `fetched`:
                the caller was redirected out of it.
            number: of the attempt.
            end: the parameters of Twilio's request.

        Raises:
            StoreUnavailable: another process began the transfer, and the database is away.
        """
        call_sid = call.call_sid
        async with self._locks.setdefault(call_sid, asyncio.Lock()):
            try:
                return await self._answer(question, call, number, base_url, end)
            finally:
                if not self._switchboard.is_live(call_sid):
                    self._locks.pop(call_sid, None)

    async def _answer(
        self, question: str, call: CallInfo, number: int, base_url: str, end: DialEnded
    ) -> str:
        call_sid = call.call_sid
        pending = self._pending.get(call_sid)
        if pending is not None and end.replaced and question == "ended":
            if call_sid in self._orders:  # a retried redirect replaced its own dial
                return self._twiml[call_sid]
        if pending is not None or question == "fetched" or self._services.bus.shared:
            self._redirects.confirm(call_sid)
        if pending is None:
            return await self._answer_unknown(question, call, number, base_url, end)
        if question == "ended" and (end.bridged or not end.caller_gone):
            status = end.status or FAILED
            pending.attempts.ended(number, status, bridged=end.bridged, seconds=end.seconds)
        elif question == "left":
            number = left_conference(pending.attempts, number, end)
        return await self._after(pending, number, end)

    async def _after(self, pending: PendingTransfer, number: int, end: DialEnded) -> str:
        attempts = pending.attempts
        if end.caller_gone:
            attempts.caller_gone()
        if attempts.over_for_good:
            pending.save()
            self._switchboard.end_call(pending.call_sid)
            return render("goodbye")
        if number == attempts.number and pending.last_attempt.outcome:
            return await self._try_next(pending)
        return self._twiml[pending.call_sid]  # a repeated request

    async def _answer_unknown(
        self, question: str, call: CallInfo, number: int, base_url: str, end: DialEnded
    ) -> str:
        """The call has no pending transfer here: it has resumed, or only its record knows."""
        call_sid = call.call_sid
        leg = self._switchboard.leg(call_sid)
        if leg is not None and not leg.over and call_sid in self._twiml and not end.caller_gone:
            return self._twiml[call_sid]  # resumed: a repeated request
        return await self._recorded.next_twiml(question, call, number, base_url, end)

    async def resume_without_record(
        self, call: CallInfo, base_url: str, end: DialEnded, ended: int | None = None
    ) -> str:
        """The caller's TwiML when `next_twiml` failed, decided from Twilio's request alone."""
        return await self._recorded.resume_without_record(call, base_url, end, ended)

    async def _try_next(self, pending: PendingTransfer) -> str:
        """The caller's TwiML for the next attempt; after the last one, for the agent or the end."""
        call_sid = pending.call_sid
        destination = pending.attempts.next()
        pending.save()
        if destination is not None:
            if destination.warm:
                self._tasks.start(self._warm.ring(pending, destination))
            self._twiml[call_sid] = pending.twiml(destination)
            return self._twiml[call_sid]
        self._finish(pending)
        if not pending.attempts.resumes:
            outcomes = pending.outcomes()
            reason = f"the agent could not go on, and no human took the call: {outcomes}"
            pending.leg.record_decision("call ended with an apology", reason)
            self._switchboard.end_call(call_sid)
            return render("unavailable")
        resume_cause = ResumeCause(TRANSFER, pending.attempts.call_id, pending.attempts.in_words())
        ticket = await self._reconnects.resume_after_transfer(pending.leg, resume_cause)
        if ticket is None:
            return render("unavailable")
        urls = self._switchboard.streams.urls(pending.leg.base_url, ticket)
        self._twiml[call_sid] = render("incoming-call", **urls)
        return self._twiml[call_sid]

    # --- ends -----------------------------------------------------------------------------------

    def _finish(self, pending: PendingTransfer) -> None:
        pending.save()
        self._earlier[pending.call_sid] = pending.records()
        self._pending.pop(pending.call_sid, None)

    async def record(self, call_sid: str, number: int) -> Record | None:
        """The record of an attempt, of this process or from the store; None: there is none."""
        pending = self._pending.get(call_sid)
        if pending is None:
            return await self._recorded.record(call_sid, number)
        records = pending.records()
        return records[number] if 0 <= number < len(records) else None

    async def _written(self, call_sid: str, number: int) -> Record | None:
        """The same. Raises StoreUnavailable if the record may still be written."""
        record = await self.record(call_sid, number)
        if record is None and await self._recorded.waits(call_sid):
            raise StoreUnavailable("the transfer is not in the record of the call yet")
        return record

    def call_left(self, call_sid: str, lost: bool) -> None:
        """The call goes on without this process; `lost`: another replica has it, so that nothing
        more is ordered for it."""
        self._pending.pop(call_sid, None)
        if lost and call_sid in self._orders:
            self._orders[call_sid].cancel()
        self._forget(call_sid)

    def _forget(self, call_sid: str) -> None:
        for kept in (self._earlier, self._twiml, self._locks):
            kept.pop(call_sid, None)

    def _call_ended(self, call_sid: str) -> None:
        if self._services.bus.shared:
            self._tasks.start(self._recorded.call_ended(call_sid))
        pending = self._pending.get(call_sid)
        if pending is not None:
            pending.attempts.caller_gone()
            self._finish(pending)
            if pending.callee_sid:
                self._tasks.start(self._warm.release(pending))
        self._forget(call_sid)

    async def aclose(self) -> None:
        """Cancel redirects, retries and calls to humans that are in flight. With other replicas,
        finish the redirects first, and call the humans: no other replica does."""
        if self._orders and self._services.bus.shared:
            await asyncio.wait({*self._orders.values()}, timeout=END_S)
        await self._recorded.aclose()
        for order in (orders := [*self._orders.values()]):
            order.cancel()
        await asyncio.gather(self._tasks.aclose(), *orders, return_exceptions=True)
