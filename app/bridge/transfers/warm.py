"""Warm transfers: a human is called over REST and briefed while the caller waits in a conference.

Twilio does not ask what follows while the caller hears music there. So when an attempt ends, this
calls the next human, or redirects the caller out of the conference.
"""

import asyncio
from collections.abc import Callable
from itertools import chain, repeat

from app.bridge.switchboard import Switchboard
from app.bridge.transfers.pending import PendingTransfer
from app.bridge.transfers.redirects import CallRedirects
from app.call.destinations import Destination
from app.call.exits.attempts import FAILED
from app.errors import TwilioError
from app.wires.twilio.rest import TwilioRest
from app.wires.twilio.twiml import render

BRIEFING_S = 25.0  # to pick up, to listen, and to press 1
FETCH_AGAIN_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)  # retries while the caller hears music


class WarmTransfers:
    """Calls the humans of warm attempts.

    Args:
        is_pending: whether a transfer still is the pending one of its call.
    """

    def __init__(
        self,
        switchboard: Switchboard,
        rest: TwilioRest | None,
        redirects: CallRedirects,
        is_pending: Callable[[PendingTransfer], bool],
    ) -> None:
        self._switchboard = switchboard
        self._rest = rest
        self._redirects = redirects
        self._is_pending = is_pending

    async def ring(self, pending: PendingTransfer, destination: Destination) -> None:
        """Call the human of the last attempt. If the call cannot be placed, go on to the next."""
        number, attempt = pending.attempts.number, pending.last_attempt
        try:
            if self._rest is None:
                raise TwilioError("there are no Twilio credentials")
            attempt.callee_sid = await self._rest.place(pending.callee_order(destination))
        except TwilioError as error:
            reason = f"{destination.name}: {error}"
            self._switchboard.record_decision(pending.leg, "human could not be rung", reason)
            if error.unsure:  # Twilio may have placed the call: give the human time to accept
                await asyncio.sleep(destination.ring_ms / 1000 + BRIEFING_S)
            under_way = pending.attempts.attempt(number)
            if under_way is not None and not under_way.accepted:
                pending.attempts.ended(number, FAILED)
                pending.save()
                await self.try_next(pending)
        else:
            if self._is_pending(pending):
                pending.save()
            else:  # the caller hung up meanwhile
                await self.release(pending)

    async def try_next(self, pending: PendingTransfer) -> None:
        """The human of the last attempt did not accept: call the next one, or fetch the caller."""
        upcoming = pending.attempts.upcoming
        if upcoming is not None and upcoming.warm:
            pending.attempts.next()
            pending.save()
            await self.ring(pending, upcoming)
        else:
            await self.fetch(pending)

    async def fetch(self, pending: PendingTransfer, after_s: float = 0.0) -> None:
        """Redirect the caller out of the conference after `after_s`, and retry until Twilio obeys
        or the transfer is not pending any more. Twilio then requests the question `fetched`."""
        call_sid, rest = pending.call_sid, self._rest
        await asyncio.sleep(after_s)
        if not self._is_pending(pending):
            return
        twiml = render("fetch", url=pending.url("fetched"))
        for wait_s in chain(FETCH_AGAIN_S, repeat(FETCH_AGAIN_S[-1])):
            try:
                if rest is not None:
                    await self._redirects.order(rest, call_sid, twiml)
                return
            except TwilioError as error:
                decision = "caller not fetched from the waiting room"
                pending.leg.record_decision(decision, str(error))
                if error.call_is_over:
                    self._switchboard.end_call(call_sid)
                    return
            await asyncio.sleep(wait_s)
            if not self._is_pending(pending):
                return

    async def release(self, pending: PendingTransfer) -> None:
        """Hang up the call to the human: its caller does not wait any more."""
        if self._rest is None or not pending.callee_sid:
            return
        try:
            await self._rest.hang_up(pending.callee_sid)
        except TwilioError as error:
            if not error.call_is_over:
                self._switchboard.record_decision(pending.leg, "human not released", str(error))
