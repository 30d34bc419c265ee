"""Transfers that this replica orders, and that any replica goes on with: by the record alone."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from app.bridge.deadlines import within
from app.bridge.leg.leg import Leg
from app.bridge.services import Services
from app.bridge.softphone_line import CallControl
from app.bridge.switchboard import Switchboard
from app.bridge.transfers.pending import FALLBACK_REASON, PLEASE_HOLD, SORRY
from app.bridge.transfers.recorded import RecordedTransfers
from app.bridge.transfers.redirects import CallRedirects
from app.call.commands import TransferCall
from app.call.destinations import Destination
from app.call.exits.attempts import FAILED, TransferAttempts
from app.errors import TwilioError
from app.records.store import StoreUnavailable

logger = logging.getLogger(__name__)

WRITTEN_S = 0.5  # Twilio gets the TwiML of a transfer then, even if the database is away


class SharedOrders:
    """Orders transfers, and keeps nothing of them: the record has it all."""

    def __init__(
        self,
        services: Services,
        switchboard: Switchboard,
        redirects: CallRedirects,
        recorded: RecordedTransfers,
    ) -> None:
        self._services = services
        self._switchboard = switchboard
        self._redirects = redirects
        self._recorded = recorded

    async def transfer(
        self, rest: CallControl, leg: Leg, command: TransferCall, sent: Callable[[str], None]
    ) -> None:
        """Replace the call's TwiML by a dial. `sent`: called with that TwiML.

        Raises:
            TwilioError: Twilio refused; the call stays with the agent.
        """
        call_sid = leg.call.call_sid
        attempts = await self._begin(
            leg, command.route, command.call_id, command.reason, command.summary
        )
        dialling = self._recorded.dialling(leg.call, attempts, leg.base_url)
        dialling.announcement = "" if command.announced else PLEASE_HOLD
        destination, number = attempts.last.destination, attempts.number
        twiml = dialling.twiml(destination)
        sent(twiml)
        try:
            responded = await self._redirects.order(rest, call_sid, twiml, leg)
        except TwilioError as error:
            if not leg.redirect.confirmed and (not leg.over or error.call_is_over):
                await self._fail(leg, number)
                if leg.over:
                    self._switchboard.ended(call_sid, "completed")
                raise
            decision = "order taken as obeyed, the stream ended"
            self._switchboard.note_decision(call_sid, decision, str(error))
        else:
            if responded:
                leg.redirect.confirm()
        logger.info("caller transferred", extra={"call_sid": call_sid})
        if destination.warm and await self._is_pending(call_sid, number):
            self._recorded.ring(dialling)

    async def fallback(self, leg: Leg, route: Sequence[str]) -> str:
        """The agent cannot go on: the TwiML that transfers the caller."""
        attempts = await self._begin(leg, route, "", FALLBACK_REASON, resumes=False)
        dialling = self._recorded.dialling(leg.call, attempts, leg.base_url)
        dialling.announcement = SORRY
        self._recorded.ring(dialling)
        return dialling.twiml(attempts.last.destination)

    async def _begin(
        self,
        leg: Leg,
        route: Sequence[str],
        call_id: str,
        reason: str,
        summary: str = "",
        *,
        resumes: bool = True,
    ) -> TransferAttempts:
        destinations = self._services.destinations(leg.call.call_sid)
        by_name = {each.name: each for each in destinations}
        dialled = [by_name[name] for name in route]
        begin = self._recorded.begin(leg.call, dialled, call_id, reason, summary, resumes=resumes)
        written = self._services.store.flush(WRITTEN_S)  # the order itself, in the timeline
        try:
            attempts, _ = await asyncio.gather(within(WRITTEN_S, begin), written)
        except (StoreUnavailable, TimeoutError):
            return self._begin_unwritten(leg, dialled, call_id, reason, summary, resumes=resumes)
        return attempts

    @staticmethod
    def _begin_unwritten(
        leg: Leg,
        route: Sequence[Destination],
        call_id: str,
        reason: str,
        summary: str,
        *,
        resumes: bool,
    ) -> TransferAttempts:
        """The database is away: what is known of the transfer waits for it."""
        earlier = leg.seed.earlier_transfers
        attempts = TransferAttempts(route, call_id, reason, summary, len(earlier))
        attempts.resumes = resumes
        attempts.next()
        leg.save_transfers([*earlier, *attempts.records()])
        return attempts

    async def _fail(self, leg: Leg, number: int) -> None:
        def fail(attempts: TransferAttempts) -> None:
            attempts.ended(number, FAILED)
            attempts.over = True

        try:
            await within(WRITTEN_S, self._recorded.change(leg.call, fail))
        except (StoreUnavailable, TimeoutError) as error:
            extra = {"call_sid": leg.call.call_sid, "cause": str(error)}
            logger.warning("outcome of a transfer not stored", extra=extra)

    async def _is_pending(self, call_sid: str, number: int) -> bool:
        try:
            return await self._recorded.is_pending(call_sid, number)
        except StoreUnavailable:
            return True
