"""Calls of a replica that hangs: it keeps their sockets, so Twilio does not ask what comes next.

Another replica adopts such a call, and replaces its TwiML over REST by a new stream. A replica that
died is none of this: its sockets close, and Twilio asks by itself.
"""

import asyncio
import logging
from collections.abc import Callable
from time import monotonic

from app.bridge.bus.bus import LEASE_S, BusUnavailable, NoAnswer, NoOwner
from app.bridge.deadlines import within
from app.bridge.reconnects import Reconnects
from app.bridge.services import Services
from app.bridge.switchboard import Switchboard
from app.call.exits.attempts import TransferAttempts
from app.errors import TwilioError
from app.records.record import CallRow
from app.records.redirected import last_redirect
from app.records.store import StoreUnavailable
from app.records.stored_call import call_of
from app.wires.twilio.twiml import render

logger = logging.getLogger(__name__)

LOOK_S = 0.25
LIST_S = 3.0  # between two looks for calls that are new
MOST_CALLS = 500
#: A lease that is expired for so long is given up by its owner.
EXPIRED_S = 5.0
ANSWER_S = 1.0  # for an owner that lives all the same
STORE_S = 1.0


class HungReplicas:
    """Watches the leases of other replicas' live calls. `start` it, and `aclose` it.

    A call is taken only if its lease was seen, and expired while the bus answered throughout: after
    the bus was away, an owner may not have registered anew.

    Args:
        base_url: where Twilio reaches this service; empty: unknown.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        services: Services,
        switchboard: Switchboard,
        reconnects: Reconnects,
        base_url: Callable[[], str],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._services = services
        self._bus = services.bus
        self._store = services.store
        self._switchboard = switchboard
        self._reconnects = reconnects
        self._base_url = base_url
        self._clock = clock
        self._calls: set[str] = set()  # live, and not of this process
        self._listed_s = -LIST_S
        self._epochs: dict[str, int] = {}  # of leases that were seen
        self._expired_s: dict[str, float] = {}  # since when a lease is missing
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Watch until `aclose`. With one process there is nothing to watch."""
        if self._bus.shared:
            self._task = asyncio.create_task(self._watch(), name="hung replicas")

    async def aclose(self) -> None:
        """Watch no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
            except (BusUnavailable, StoreUnavailable, TimeoutError):
                self._forget()
            except Exception as error:  # the watch goes on, whatever one call holds
                logger.error("look for hung replicas failed", exc_info=error)
                self._forget()

    async def look(self) -> None:
        """Look once, and take what is due.

        Raises:
            BusUnavailable, StoreUnavailable, TimeoutError: nothing can be known now.
        """
        if self._bus.steady_s < 2 * LEASE_S:
            self._forget()
            return
        now_s = self._clock()
        if now_s - self._listed_s >= LIST_S:
            self._listed_s = now_s
            rows = await within(STORE_S, self._store.list_calls(MOST_CALLS, status="in-progress"))
            self._calls = {row.call_sid for row in rows}
            for kept in (self._epochs, self._expired_s):
                for call_sid in kept.keys() - self._calls:
                    del kept[call_sid]
        others = [sid for sid in self._calls if not self._switchboard.is_live(sid)]
        owners = await self._bus.owners(others)
        now_s, due = self._clock(), list[str]()
        for call_sid in others:
            if (owner := owners.get(call_sid)) is not None:
                self._epochs[call_sid] = owner.epoch
                self._expired_s.pop(call_sid, None)
            elif call_sid in self._epochs:
                if now_s - self._expired_s.setdefault(call_sid, now_s) >= EXPIRED_S:
                    due.append(call_sid)
        outcomes = await asyncio.gather(*map(self._judge, due), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    def _forget(self) -> None:
        self._epochs.clear()
        self._expired_s.clear()

    async def _judge(self, call_sid: str) -> None:
        """The lease of this call is expired for long enough."""
        epoch = self._epochs.pop(call_sid)
        del self._expired_s[call_sid]
        row = await within(STORE_S, self._store.get_call(call_sid))
        if row is None or row.status != "in-progress" or row.epoch > epoch:
            return
        if await self._is_away(row) or await self._answers(call_sid):
            return
        if await self._bus.once("hung", f"{call_sid}/{epoch}", 2 * LEASE_S):
            return  # another replica takes it
        await self._take(row, epoch)

    async def _is_away(self, row: CallRow) -> bool:
        """Whether the caller is not with an agent, but rings or talks with a human, or Twilio plays
        keys: that needs no owner."""
        attempts = TransferAttempts.restore(row.transfers, ())
        if attempts is not None and attempts.pending:
            return True
        timeline = await within(STORE_S, self._store.timeline(row.call_sid))
        return last_redirect(timeline) is not None

    async def _answers(self, call_sid: str) -> bool:
        try:
            await self._bus.ask(call_sid, {"order": "live"}, ANSWER_S)
        except (NoOwner, NoAnswer):
            return False
        return True

    async def _take(self, row: CallRow, epoch: int) -> None:
        """Adopt the call, and have Twilio open another stream for it."""
        rest, base_url, call = self._services.rest, self._base_url(), call_of(row)
        if rest is None or not base_url:
            logger.error("call of a hung replica left", extra={"call_sid": call.call_sid})
            return
        ticket = await self._reconnects.take_from_hung(call, base_url, epoch)
        if ticket is None:
            return
        reason = f"its lease expired {EXPIRED_S:g} s ago, and its replica does not answer"
        self._switchboard.note_decision(call.call_sid, "call taken from a hung replica", reason)
        urls = self._switchboard.streams.urls(base_url, ticket)
        try:
            await rest.redirect(call.call_sid, render("incoming-call", **urls))
        except TwilioError as error:
            if error.call_is_over:
                self._switchboard.ended(call.call_sid, "completed")
            else:
                decision = "call not taken from a hung replica"
                self._switchboard.note_decision(call.call_sid, decision, str(error))
