"""What an operator orders on a live call, over the HTTP API of any replica: words, transfers, the
end.

The replica that has the call's leg carries an order out, and its outcome comes back over the bus. A
call without a leg anywhere, whose caller talks with a human or is lost, is judged by its record.
"""

from contextlib import suppress
from typing import Any

from app.bridge.bus.bus import BusUnavailable, Message, NoAnswer, NoOwner
from app.bridge.deadlines import within
from app.bridge.ownership import still_ours
from app.bridge.services import Services
from app.bridge.switchboard import Switchboard
from app.call.events import HangUpRequested, SayRequested, TransferRequested
from app.call.orders import NOT_WITH_AGENT, REDIRECTED
from app.errors import BridgeError, TwilioError
from app.records.finding import NO_RECORD, find_row
from app.records.record import CallRow
from app.records.redirected import is_redirected
from app.records.store import StoreUnavailable
from app.wires.twilio.call import TERMINAL

ANSWER_S = 3.0  # for the owner of a call to carry an order out
WRITTEN_S = 0.5  # for an order that is accepted: another replica may have to go on with it
ENDED_S = 1.5  # for a leg to end that was hung up
ADOPTED_S = 0.5  # for the record of a call without a leg

NO_ACCOUNT = "a transfer needs a Twilio account; set TWILIO_ACCOUNT_SID"
NO_ACCOUNT_TO_END = "ending this call needs a Twilio account; set TWILIO_ACCOUNT_SID"
_HANG_UP: Message = {"order": "hangup"}


class OrderRefused(BridgeError):
    """An order is not carried out, or may not be. Its text says why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        #: The HTTP status of the answer.
        self.status = status


class OperatorOrders:
    """Gives an operator's orders to the replicas that have the calls, and carries out those for
    the calls of this process.

    The methods that order something return when it is being carried out; they raise OrderRefused
    (404, 409, 502, 503 or 504), and StoreUnavailable if the record is needed and cannot be read.
    """

    def __init__(self, services: Services, switchboard: Switchboard) -> None:
        self._services = services
        self._switchboard = switchboard

    # --- ordering -------------------------------------------------------------------------------

    async def say(self, call_sid: str, text: str) -> None:
        """The agent says exactly this."""
        await self._order(call_sid, {"order": "say", "text": text})

    async def transfer(self, call_sid: str, destination: str) -> None:
        """The agent transfers the caller. `destination`: may be empty if there is only one."""
        await self._order(call_sid, {"order": "transfer", "destination": destination})

    async def _order(self, call_sid: str, order: Message) -> None:
        outcome = await self._outcome(call_sid, order)
        if outcome is None:
            row = await self._live_row(call_sid)
            if reason := self._impossible(call_sid, order):
                raise OrderRefused(409, reason)
            redirected = await is_redirected(self._services.store, row)
            raise OrderRefused(409, REDIRECTED if redirected else NOT_WITH_AGENT)
        if "accepted" not in outcome:
            raise OrderRefused(409, str(outcome.get("refused", "the call's replica refused it")))

    async def hang_up(self, call_sid: str) -> None:
        """End a call, also while the caller talks with a human."""
        outcome = await self._outcome(call_sid, _HANG_UP)
        if outcome is not None and "accepted" in outcome:
            return
        if outcome is None:
            await self._live_row(call_sid)
        rest = self._services.control(call_sid)
        if rest is None:
            raise OrderRefused(409, NO_ACCOUNT_TO_END)
        if outcome is None:
            await self._note_hang_up(call_sid)
        try:
            await rest.hang_up(call_sid)
        except TwilioError as error:
            if not error.call_is_over:
                raise OrderRefused(502, str(error)) from error
            self._switchboard.ended(call_sid, "completed")

    async def _outcome(self, call_sid: str, order: Message) -> Message | None:
        """What the process that has the call made of an order; None: none has a leg of it."""
        bus = self._services.bus
        if self._switchboard.is_live(call_sid):
            with suppress(NoOwner):
                return await self.carry_out(call_sid, order)
        if not bus.shared:
            return None
        try:
            return await bus.ask(call_sid, order, ANSWER_S)
        except NoOwner:
            return None
        except NoAnswer as error:
            raise OrderRefused(504, str(error)) from error
        except BusUnavailable as error:
            row = await self._live_row(call_sid)
            if await is_redirected(self._services.store, row):
                return None  # no replica has a leg of it
            reason = f"the call is another replica's, which cannot be asked: {error}"
            raise OrderRefused(503, reason) from error

    async def _live_row(self, call_sid: str) -> CallRow:
        """The row of a call that no process has a leg of, as far as is known."""
        row = await find_row(self._services.store, call_sid)
        if row is None:
            raise OrderRefused(404, NO_RECORD)
        if row.status in TERMINAL:
            raise OrderRefused(409, "the call has ended")
        return row

    def _impossible(self, call_sid: str, order: Message) -> str:
        """Why no process of this installation can carry out the order; empty: one may."""
        no_account = self._services.control(call_sid) is None
        return NO_ACCOUNT if order["order"] == "transfer" and no_account else ""

    async def _note_hang_up(self, call_sid: str) -> None:
        """Record the order to end a call without a leg. Only who has adopted a call may."""
        services = self._services
        if services.bus.shared and not self._switchboard.is_live(call_sid):
            with suppress(StoreUnavailable, TimeoutError):
                await within(ADOPTED_S, services.store.adopt(call_sid))
        self._switchboard.note_decision(call_sid, "hang up", "an operator ordered it")

    # --- carrying out ---------------------------------------------------------------------------

    async def carry_out(self, call_sid: str, order: Message) -> dict[str, Any]:
        """Carry out an order on a call of this process. Returns its outcome: `accepted`, `refused`
        with the reason, or `by_rest` if no leg can hang up.

        Raises:
            NoOwner: this process does not have the call any more.
        """
        ours = self._switchboard.is_live(call_sid) and await still_ours(self._services, call_sid)
        if not ours or not self._switchboard.is_live(call_sid):
            raise NoOwner("this process does not have the call")
        if reason := self._impossible(call_sid, order):
            return {"refused": reason}
        match order:
            case {"order": "say", "text": str(text)}:
                return await self._give(call_sid, SayRequested(text))
            case {"order": "transfer", "destination": str(destination)}:
                return await self._give(call_sid, TransferRequested(destination))
            case {"order": "hangup"}:
                return await self._end(call_sid)
        return {"refused": "this replica does not know the order"}

    async def _give(self, call_sid: str, order: SayRequested | TransferRequested) -> dict[str, Any]:
        if refusal := self._switchboard.order(call_sid, order):
            return {"refused": refusal}
        if self._services.bus.shared:  # should this process die now, the next one knows of it
            await self._services.store.flush(WRITTEN_S)
        return {"accepted": True}

    async def _end(self, call_sid: str) -> dict[str, Any]:
        leg = self._switchboard.leg(call_sid)
        if not self._switchboard.tell(call_sid, HangUpRequested("operator")):
            self._switchboard.note_decision(call_sid, "hang up", "an operator ordered it")
            return {"by_rest": True}
        if self._services.bus.shared and leg is not None:  # likewise
            with suppress(TimeoutError):
                await within(ENDED_S, leg.wait_over())
        return {"accepted": True}
