"""What is owed once a call is over: its summary, and its report to the owner, until it is taken.

What is owed is in the database (app/records/report_queue.py), so it outlives this process. A report
may arrive twice, with the same id; it is not lost.
"""

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from app.call.usage import Usage
from app.records.report_queue import OwedReport
from app.records.schema import Transfers
from app.records.store import CallRow, Store, StoreUnavailable, TurnRow
from app.records.summary import Summary
from app.records.webhook import Answer, Webhook

logger = logging.getLogger(__name__)

RETRIES_S = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0)
LAST_RETRY_S = 7200.0  # and again, and again
GIVE_UP_S = 86_400.0  # after the end of the call
LOOK_EVERY_S = 30.0  # for calls of other processes
LEASE_S = 120.0  # longer than two tries at a summary, and one at a report
AT_ONCE = 4
GIVE_BACK_S = 1.0
_PAGE = 100

Summarise = Callable[[CallRow, Sequence[TurnRow]], Awaitable[Summary | None]]
"""Sums a call up, or says None. Must have a deadline; `Summariser` has one."""

Cost = Callable[[Usage, float, str, Transfers], dict[str, Any]]
"""What a call cost: by its usage, its seconds on the line, its direction, and its transfers."""


class Clock(Protocol):
    """What time it is, and how to let it pass."""

    def now(self) -> datetime: ...

    async def wait(self, event: asyncio.Event, for_s: float) -> None:
        """Return when the event is set, or after so many seconds."""
        ...


class WallClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    async def wait(self, event: asyncio.Event, for_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(for_s):
                await event.wait()


class AfterCall:
    """Works off what is owed, a few calls at a time, between `start` and `aclose`.

    `url`: where reports go; None: nowhere, so the summary is all that is owed. `secret`: signs
    them, see `Webhook`. `is_live`: whether a call of this process still writes its record. `cost`:
    the price of a call, for the summary's tokens join its usage.

    Raises:
        ConfigError: the secret is none.
    """

    def __init__(
        self,
        store: Store,
        url: str | None,
        secret: str | None = None,
        *,
        is_live: Callable[[str], bool],
        summarise: Summarise | None = None,
        cost: Cost | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._store = store
        self._queue = store.report_queue
        self._webhook = Webhook(url, secret or "") if url else None
        self._is_live = is_live
        self._summarise = summarise
        self._cost = cost
        self._clock = clock or WallClock()
        self._over: dict[str, None] = {}  # calls that may be reported now, in their order
        self._attending: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._closing = False
        self._away = False
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """From now on a report is owed of every call that ends; what was owed before is too."""
        self._store.reports = True
        self._running = asyncio.create_task(self._run(), name="after calls")

    def call_over(self, call_sid: str) -> None:
        """All that this process has to say of a call is saved. Never waits."""
        self._over[call_sid] = None
        self._wake.set()

    async def aclose(self, within_s: float = 2.0) -> None:
        """Finish what was begun, and the calls that were just over, for `within_s` at most. The
        rest stays owed: the next start goes on with it. The store must be closed after this."""
        self._closing = True
        self._wake.set()
        if self._running is not None:
            _, late = await asyncio.wait([self._running], timeout=within_s)
            if late:
                self._running.cancel()
                await asyncio.wait(late)
        if self._webhook is not None:
            await self._webhook.aclose()

    # --- looking for what is owed ---------------------------------------------------------------

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                rest_s = await self._look(group)
                if self._closing and not self._over:
                    break  # the group waits for those that were begun
                await self._clock.wait(self._wake, rest_s)

    async def _look(self, group: asyncio.TaskGroup) -> float:
        """Begin with what is due, as many as may be. Returns how long to rest after it, in s."""
        try:
            await self._begin_those_over(group)
            if self._closing:
                return LOOK_EVERY_S
            now = self._clock.now()
            for call_sid in await self._queue.overdue(now, _PAGE):
                if not self._is_live(call_sid):
                    await self._begin(group, call_sid)
            next_at = await self._queue.next_due_at(now)
        except Exception as error:  # whatever it is, the next look may do better
            if not self._away:
                ours = isinstance(error, StoreUnavailable)
                extra = {"error": str(error)} if ours else {}
                logger.error("call reports wait", exc_info=None if ours else error, extra=extra)
            self._away = True
            return LOOK_EVERY_S
        self._away = False
        if next_at is None:
            return LOOK_EVERY_S
        return min(LOOK_EVERY_S, max(0.0, (next_at - self._clock.now()).total_seconds()))

    async def _begin_those_over(self, group: asyncio.TaskGroup) -> None:
        if not self._over:
            return
        await self._store.flush()  # of a call that is over, all is to be read
        for call_sid in list(self._over):
            if len(self._attending) >= AT_ONCE:
                break
            del self._over[call_sid]
            if not self._is_live(call_sid):
                await self._begin(group, call_sid, ahead=True)

    async def _begin(self, group: asyncio.TaskGroup, call_sid: str, *, ahead: bool = False) -> None:
        if len(self._attending) >= AT_ONCE:
            return  # the next one that is through wakes us
        now = self._clock.now()
        until = now + timedelta(seconds=LEASE_S)
        report = await self._queue.claim(call_sid, now, until, ahead=ahead)
        if report is not None:
            task = group.create_task(self._attend(report))
            self._attending.add(task)
            task.add_done_callback(self._through)

    def _through(self, task: asyncio.Task[None]) -> None:
        self._attending.discard(task)
        self._wake.set()

    # --- one call -------------------------------------------------------------------------------

    async def _attend(self, report: OwedReport) -> None:
        extra = {"call_sid": report.call_sid}
        try:
            await self._settle(report)
        except StoreUnavailable:
            # The claim runs out by itself, and somebody tries again.
            logger.warning("call report waits for the database", extra=extra)
        except Exception as error:  # the boundary of a call: the others are attended to
            logger.error("call report failed", exc_info=error, extra=extra)
            with suppress(StoreUnavailable):
                await self._put_off(report, Answer(None, type(error).__name__))
        except asyncio.CancelledError:
            with suppress(StoreUnavailable, TimeoutError):
                async with asyncio.timeout(GIVE_BACK_S):
                    await self._queue.put_off(report, self._clock.now())
            raise

    async def _settle(self, report: OwedReport) -> None:
        await self._store.flush()  # the call may have ended a moment ago: its last words count
        call = await self._store.get_call(report.call_sid)
        if call is None:
            return  # its record was deleted
        turns = await self._store.turns(report.call_sid)
        if self._summarise is not None and not report.ready:
            await self._sum_up(self._summarise, report, call, turns)
            call = await self._store.get_call(report.call_sid) or call
        if self._webhook is None:
            await self._queue.settle(report, "kept")
            return
        body = call_ended(call, turns, report.since)
        answer = await self._webhook.send(f"call_{call.call_sid}", body, self._clock.now())
        if answer.taken:
            await self._queue.settle(report, "delivered")
            extra = {"call_sid": call.call_sid, "tries": report.tries}
            logger.info("call reported", extra=extra)
        else:
            await self._put_off(report, answer)

    async def _sum_up(
        self, summarise: Summarise, report: OwedReport, call: CallRow, turns: Sequence[TurnRow]
    ) -> None:
        summary: Summary | None = None
        try:
            summary = await summarise(call, turns)
        except Exception as error:  # the report does not suffer for it
            extra = {"call_sid": call.call_sid}
            logger.error("summary failed", exc_info=error, extra=extra)
        found: dict[str, Any] = {}
        if summary is not None:
            usage = _usage(call) + summary.usage
            found = {"summary": summary.text, "usage": asdict(usage)}
            if self._cost is not None and call.cost:  # none: the call's own end was never written
                found["cost"] = self._cost(
                    usage, call.duration_s or 0.0, call.direction, call.transfers
                )
        await self._queue.keep_summary(report, **found)

    async def _put_off(self, report: OwedReport, answer: Answer) -> None:
        """Try again later, unless it has been long enough, or nobody wants it."""
        now = self._clock.now()
        wait_s = _retry_s(report.tries)
        if answer.retry_after_s is not None:
            wait_s = max(wait_s, min(answer.retry_after_s, LAST_RETRY_S))
        next_at = now + timedelta(seconds=wait_s)
        too_late = next_at > report.since + timedelta(seconds=GIVE_UP_S)
        extra = {
            "call_sid": report.call_sid,
            "tries": report.tries,
            "status": answer.status,
            "fault": answer.fault,
        }
        if answer.unwanted or too_late:
            logger.error("call report given up", extra=extra)
            await self._queue.give_up(report)
            return
        logger.warning("call report not taken", extra={**extra, "retry_s": round(wait_s)})
        await self._queue.put_off(report, next_at)


def _retry_s(tries: int) -> float:
    """How long to wait after so many tries; not to the second, lest all come back at once."""
    wait_s = RETRIES_S[tries - 1] if tries <= len(RETRIES_S) else LAST_RETRY_S
    return wait_s * random.uniform(0.9, 1.1)


def _usage(call: CallRow) -> Usage:
    """As the record has it, whichever version wrote it."""
    known = {each.name for each in fields(Usage)}
    return Usage(**{name: count for name, count in call.usage.items() if name in known})


# --- the report -----------------------------------------------------------------------------------


def call_ended(call: CallRow, turns: Sequence[TurnRow], since: datetime) -> bytes:
    """The body of a report, which tells a call in the words of the HTTP API. `since`: when it was
    known to be over. The same record makes the same bytes."""
    data = asdict(call)
    del data["account_sid"]
    for ours, told in (("from_number", "from"), ("to_number", "to"), ("agent_name", "agent")):
        data[told] = data.pop(ours)
    data["transcript"] = [asdict(turn) for turn in turns]
    for turn in data["transcript"]:
        del turn["position"]
    event = {"type": "call.ended", "timestamp": call.ended_at or since, "data": data}
    return json.dumps(event, ensure_ascii=False, default=_told).encode(errors="replace")


def _told(value: object) -> str:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)
