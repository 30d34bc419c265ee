"""What replicas tell each other of a call: to let go of it, or what Twilio said about it.

A replica that another one adopted a call from loses it: its leg ends without a word to anyone.
"""

import logging
from contextlib import suppress

from app.bridge.bus.bus import BusUnavailable, Message, NoAnswer, NoOwner, OnOrder
from app.bridge.deadlines import within
from app.bridge.decisions import log_decision
from app.bridge.leg.leg import Leg
from app.bridge.services import Services
from app.bridge.switchboard import Switchboard
from app.call.events import CalleeDetected, StreamEnded
from app.records.stored_call import CallIsOver
from app.wires.twilio.call import TERMINAL, CallStatus

logger = logging.getLogger(__name__)

RELEASE_S = 0.7  # for the owner of a call to write its record; one that hangs never does
WRITTEN_S = 0.5  # for its writes
RECORDED_S = 0.1  # for its recording; what is not in the file by then comes later
TELL_S = 2.0
#: An owner that did not answer is not asked again for so long, by any replica: it is dead, and the
#: caller waits.
SILENT_S = 3.0


class Owners:
    """Asks the owners of calls, and answers for the calls of this process.

    With one process it does nothing.
    """

    def __init__(self, services: Services, switchboard: Switchboard) -> None:
        #: Carries out every order that is not a replica's own, but an operator's.
        self.on_operators_order: OnOrder = _refuse
        self._services = services
        self._bus = services.bus
        self._switchboard = switchboard
        if self._bus.shared:
            self._bus.on_order = self._carry_out
            self._bus.on_adopted = self._adopted
            services.store.on_outdated = self._outdated
            switchboard.streams.release = self.release
            switchboard.without_leg.tell_owner = self.call_ended

    # --- asking ---------------------------------------------------------------------------------

    async def release(self, call_sid: str) -> bool:
        """Have the owner of a call write its record and let go of it, before this process reads
        that record. Returns whether an owner did; one that is dead or hangs did not."""
        return (await self._ask_to_let_go(call_sid)).get("released") is True

    async def release_to_resume(self, call_sid: str) -> None:
        """The same, when Twilio asks what follows the call's stream.

        Raises:
            CallIsOver: the owner's agent has said goodbye.
        """
        if (await self._ask_to_let_go(call_sid)).get("goodbye") is True:
            raise CallIsOver("the agent has said goodbye")

    async def _ask_to_let_go(self, call_sid: str) -> Message:
        if not self._bus.shared or self._switchboard.leg(call_sid) is not None:
            return {}
        silent = f"silent:{call_sid}"
        try:
            if await self._bus.get(silent) is not None:
                return {}
            return await self._bus.ask(call_sid, {"order": "release"}, RELEASE_S)
        except (NoOwner, BusUnavailable):
            return {}
        except NoAnswer:
            with suppress(BusUnavailable):
                await self._bus.put(silent, {}, SILENT_S)
            return {}

    async def callee_detected(self, call_sid: str, verdict: CalleeDetected) -> None:
        """Tell the owner of an outbound call who answered it. Without an owner the next leg reads
        it in the record."""
        data = {"answered_by": verdict.answered_by, "message": verdict.message}
        await self._ask(call_sid, {"order": "detected", **data}, TELL_S)

    async def call_ended(self, call_sid: str, status: CallStatus) -> bool:
        """Tell the owner of a call that Twilio reported its end. False: there is none, so that the
        record is for this process to close.

        Raises:
            BusUnavailable: there may be one.
        """
        if self._bus.held_epoch(call_sid) is not None:
            return False  # this process is the owner, and has no leg of the call
        order = {"order": "ended", "status": status}
        try:
            outcome = await self._bus.ask(call_sid, order, TELL_S)
        except NoOwner:
            return False
        except NoAnswer as error:
            self._log_silence(call_sid, order, error)
            return False
        return outcome.get("had") is True

    async def _ask(self, call_sid: str, order: Message, within_s: float) -> Message | None:
        """The outcome of an order; None: no owner carried it out, as far as is known."""
        if not self._bus.shared:
            return None
        try:
            return await self._bus.ask(call_sid, order, within_s)
        except NoOwner:
            return None
        except (NoAnswer, BusUnavailable) as error:
            self._log_silence(call_sid, order, error)
            return None

    @staticmethod
    def _log_silence(call_sid: str, order: Message, error: Exception) -> None:
        extra = {"call_sid": call_sid, "order": order["order"], "cause": str(error)}
        logger.warning("owner of the call did not answer", extra=extra)

    # --- answering ------------------------------------------------------------------------------

    async def _carry_out(self, call_sid: str, order: Message) -> Message:
        match order:
            case {"order": "release"}:
                leg = self._switchboard.leg(call_sid)
                goodbye = leg is not None and leg.past_goodbye
                return {"released": await self._let_go(call_sid), "goodbye": goodbye}
            case {"order": "detected", "answered_by": str(answered_by), "message": str(message)}:
                verdict = CalleeDetected(answered_by, message)
                return {"told": self._switchboard.tell(call_sid, verdict)}
            case {"order": "live"}:
                return {"live": self._switchboard.is_live(call_sid)}
            case {"order": "ended", "status": status} if status in TERMINAL:
                board = self._switchboard
                had = board.is_live(call_sid) or board.has_closed(call_sid)
                board.ended(call_sid, status)
                return {"had": had}
        return await self.on_operators_order(call_sid, order)

    async def _let_go(self, call_sid: str) -> bool:
        """Another replica is about to adopt the call: write the record of its leg, and lose it."""
        leg = self._switchboard.leg(call_sid)
        if leg is None:  # it left the call to its record a moment ago
            return await self._services.store.flush(WRITTEN_S)
        if leg.past_goodbye or leg.needs_fallback:
            return False
        with suppress(TimeoutError):  # the next owner has to know of the file
            await within(RECORDED_S, leg.seed.save_recording())
        if self._switchboard.leg(call_sid) is not leg:  # likewise
            return await self._services.store.flush(WRITTEN_S)
        leg.feed(StreamEnded("another replica takes the call over", lost=True))
        leg.finish_record()
        await self._services.store.flush(WRITTEN_S)
        self._lose(call_sid, leg, "another replica takes the call over")
        return True

    def _adopted(self, call_sid: str, epoch: int) -> None:
        """Another replica has a call with this epoch. Said more than once, and late."""
        held = self._bus.held_epoch(call_sid)
        if held is not None and held >= epoch:
            return  # this replica has adopted it since
        self._services.store.outdate(call_sid, epoch)
        self._switchboard.streams.announcements.free(call_sid)
        if self._switchboard.leg(call_sid) is not None:
            reason = f"another replica adopted it, epoch {epoch}"
            log_decision(call_sid, "call left to another replica", reason)
        self._switchboard.lose(call_sid)

    def _outdated(self, call_sid: str) -> None:
        """The database has a newer epoch of a call than this process."""
        leg = self._switchboard.leg(call_sid)
        if leg is not None:
            self._switchboard.streams.arrivals.later(self._keep_or_lose(call_sid, leg))
        else:
            self._services.store.let_go(call_sid)

    async def _keep_or_lose(self, call_sid: str, leg: Leg) -> None:
        """Keep the call if this replica has the lease: it took the call over while the database was
        away. One that hung has not. While Redis is away as well, a call that this replica never got
        an epoch of is one that it took over."""
        try:
            owner = await self._bus.owner(call_sid)
            keeps = owner is not None and owner.replica == self._bus.replica
        except BusUnavailable:
            keeps = not self._services.epochs.get(call_sid, 0)
        if self._switchboard.leg(call_sid) is not leg:
            self._services.store.let_go(call_sid)
        elif keeps:
            await self._switchboard.streams.arrivals.adopt(call_sid, keeps=True)
        else:
            self._services.store.let_go(call_sid)
            self._lose(call_sid, leg, "its record has a newer epoch")

    def _lose(self, call_sid: str, leg: Leg, reason: str) -> None:
        log_decision(call_sid, "call left to another replica", reason)
        self._switchboard.lose(call_sid)


async def _refuse(call_sid: str, order: Message) -> Message:
    return {"refused": "this replica does not know the order"}
