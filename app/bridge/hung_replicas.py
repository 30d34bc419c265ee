"""Calls of a replica that hangs: it keeps their sockets, so Twilio does not ask what comes next.

Another replica adopts such a call, and replaces its TwiML over REST by a new stream. A replica that
died is none of this: its sockets close, and Twilio asks by itself.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from time import monotonic

from app.bridge.bus.bus import LEASE_S, BusUnavailable, NoAnswer, NoOwner
from app.bridge.deadlines import within
from app.bridge.reconnects import Reconnects
from app.bridge.services import Services
from app.bridge.softphone_line import SOFTPHONE
from app.bridge.switchboard import Switchboard
from app.call.commands import EndLeg
from app.call.events import LegOpened
from app.call.exits.attempts import TransferAttempts
from app.errors import TwilioError
from app.records.record import CallRow, TimelineRow
from app.records.redirected import last_redirect
from app.records.store import StoreUnavailable
from app.records.stored_call import call_of
from app.wires.twilio.call import CallInfo
from app.wires.twilio.twiml import render

logger = logging.getLogger(__name__)

LOOK_S = 0.25
LIST_S = 3.0  # between two looks for calls that are new
MOST_CALLS = 500
#: A lease that is expired for so long is given up by its owner. Less than 5 s: callers hear the
#: agent again within 15 s, and a lease (10 s), a look (0.25 s) and a stream have to fit in as well.
EXPIRED_S = 4.0
ANSWER_S = 1.0  # for an owner that lives all the same
STORE_S = 1.0
AWAY_AGAIN_S = 10.0  # between two looks at a caller who is away from the agent
RING_MARGIN_S = 30.0
AGAIN_S = (3.0, 6.0, 12.0, 24.0)  # between two tries to reach Twilio


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
        # Callers who are away from the agent: since when, and their transfers then.
        self._away: dict[str, tuple[float, str]] = {}
        self._task: asyncio.Task[None] | None = None
        self._retries: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Watch until `aclose`. With one process there is nothing to watch."""
        if self._bus.shared:
            self._task = asyncio.create_task(self._watch(), name="hung replicas")

    async def aclose(self) -> None:
        """Watch no more."""
        tasks = [*self._retries, *filter(None, (self._task,))]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
            except (StoreUnavailable, TimeoutError):
                pass
            except BusUnavailable:
                self._expired_s.clear()
            except Exception as error:  # the watch goes on, whatever one call holds
                logger.error("look for hung replicas failed", exc_info=error)

    async def look(self) -> None:
        """Look once, and take what is due.

        Raises:
            BusUnavailable, StoreUnavailable, TimeoutError: nothing can be known now.
        """
        if self._switchboard.draining:
            self._expired_s.clear()
            return
        # Leases are seen before any counts as expired: another may hang soon after this start.
        steady = self._bus.steady_s >= 2 * LEASE_S
        if not steady:
            self._expired_s.clear()
        await self._list()
        others = [sid for sid in self._calls if not self._switchboard.is_live(sid)]
        owners = await self._bus.owners(others)
        now_s, due = self._clock(), list[str]()
        for call_sid in others:
            if (owner := owners.get(call_sid)) is not None:
                self._epochs[call_sid] = owner.epoch
                self._expired_s.pop(call_sid, None)
            elif steady and call_sid in self._epochs:
                if now_s - self._expired_s.setdefault(call_sid, now_s) >= EXPIRED_S:
                    due.append(call_sid)
        outcomes = await asyncio.gather(*map(self._judge, due), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _list(self) -> None:
        """Which calls are live; every `LIST_S`."""
        now_s = self._clock()
        if now_s - self._listed_s < LIST_S:
            return
        live = await within(STORE_S, self._store.live_calls(MOST_CALLS))
        self._listed_s, self._calls = now_s, set(live)
        for call_sid in {*self._epochs, *self._expired_s, *self._away} - self._calls:
            self._drop(call_sid)

    def _drop(self, call_sid: str) -> None:
        self._epochs.pop(call_sid, None)
        self._expired_s.pop(call_sid, None)
        self._away.pop(call_sid, None)

    async def _judge(self, call_sid: str) -> None:
        """The lease of this call is expired for long enough. What raises is judged again."""
        again_s = await self._decide(call_sid, self._epochs[call_sid])
        if again_s is None:
            self._drop(call_sid)
        else:
            self._expired_s[call_sid] = self._clock() + again_s - EXPIRED_S

    async def _decide(self, call_sid: str, epoch: int) -> float | None:
        """Take the call if that is due. Returns the seconds until it is judged again; None: it is
        not."""
        row = await within(STORE_S, self._store.get_call(call_sid))
        if row is None or row.status != "in-progress" or row.epoch > epoch:
            return None
        if await self._is_away(row):
            return AWAY_AGAIN_S
        if await self._answers(call_sid):
            return None
        key = f"{call_sid}/{epoch}"
        if wait_s := await self._bus.once("hung", key, 2 * LEASE_S):
            return wait_s  # another replica takes it, unless it dies as well
        try:
            await self._take(row)
        except BaseException:
            self._bus.allow_again("hung", key)
            raise
        return None

    async def _is_away(self, row: CallRow) -> bool:
        """Whether the caller is not with an agent, but rings or talks with a human, or Twilio plays
        keys: that needs no owner.

        The owner may have hung before Twilio got the order. So a redirect that nothing was heard of
        for longer than any telephone rings was never run.
        """
        attempts = TransferAttempts.restore(row.transfers, ())
        pending = attempts is not None and attempts.pending
        timeline = await within(STORE_S, self._store.timeline(row.call_sid))
        if not pending and last_redirect(timeline) is None:
            return False
        if (attempts is not None and pending and attempts.last.accepted) or _is_over(timeline):
            return True
        now_s, seen = self._clock(), repr(row.transfers)
        since_s, before = self._away.get(row.call_sid, (now_s, seen))
        if before != seen:
            since_s = now_s
        self._away[row.call_sid] = since_s, seen
        return now_s - since_s < self._longest_ring_s() + RING_MARGIN_S

    def _longest_ring_s(self) -> float:
        destinations = self._services.agent.agent.destinations
        return max((each.ring_ms for each in destinations), default=0.0) / 1000

    async def _answers(self, call_sid: str) -> bool:
        try:
            await self._bus.ask(call_sid, {"order": "live"}, ANSWER_S)
        except (NoOwner, NoAnswer):
            return False
        return True

    async def _take(self, row: CallRow) -> None:
        """Adopt the call, and have Twilio open another stream for it. The lease may have a higher
        epoch than the row: its owner took the call over while the database was away."""
        base_url, call = self._base_url(), call_of(row)
        if call.direction == SOFTPHONE:  # only its page can open another stream
            self._switchboard.ended(call.call_sid, "completed")
            return
        if self._services.rest is None or not base_url:
            logger.error("call of a hung replica left", extra={"call_sid": call.call_sid})
            return
        ticket = await self._reconnects.take_from_hung(call, base_url, row.epoch)
        if ticket is None:
            return
        reason = f"its lease expired {EXPIRED_S:g} s ago, and its replica does not answer"
        self._switchboard.note_decision(call.call_sid, "call taken from a hung replica", reason)
        if not await self._redirected(call, base_url, ticket):
            task = asyncio.create_task(self._redirect_again(call, base_url, row.epoch + 1))
            self._retries.add(task)
            task.add_done_callback(self._retries.discard)

    async def _redirected(self, call: CallInfo, base_url: str, ticket: str) -> bool:
        """Whether Twilio opens another stream for the call, or the call is over."""
        rest, call_sid = self._services.rest, call.call_sid
        assert rest is not None
        urls = self._switchboard.streams.urls(base_url, ticket)
        try:
            await rest.redirect(call_sid, render("incoming-call", **urls))
        except TwilioError as error:
            if error.call_is_over:
                self._switchboard.ended(call_sid, "completed")
                return True
            decision = "call not taken from a hung replica"
            self._switchboard.note_decision(call_sid, decision, str(error))
            return False
        return True

    async def _redirect_again(self, call: CallInfo, base_url: str, epoch: int) -> None:
        """The caller hears nothing until Twilio answers. `epoch`: with which this process adopted
        the call."""
        for wait_s in AGAIN_S:
            await asyncio.sleep(wait_s)
            try:
                row = await within(STORE_S, self._store.get_call(call.call_sid))
                if row is None or row.status != "in-progress" or row.epoch > epoch:
                    return
                ticket = await self._reconnects.take_over(call, base_url)
            except (StoreUnavailable, TimeoutError):
                continue
            if ticket is None or await self._redirected(call, base_url, ticket):
                return


def _is_over(timeline: Sequence[TimelineRow]) -> bool:
    """Whether the last leg of a timeline has ended."""
    ends = {LegOpened.__name__: False, EndLeg.__name__: True}
    return next((ends[each.name] for each in reversed(timeline) if each.name in ends), False)
