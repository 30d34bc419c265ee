"""After a call has ended: writes its summary, and delivers its report to the owner, with retries.

Due reports are in the database (app/records/report_queue.py), so they outlive this process. A
report may be delivered twice, with the same id; it is given up after a day.
"""

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import PurePath
from typing import Any, Protocol

from pydantic import TypeAdapter

from app.call.usage import Usage
from app.records.record import Call, CallRow, Transfers, TurnRow, shown
from app.records.report_queue import DueReport
from app.records.store import Store, StoreUnavailable
from app.records.summary import Summary
from app.records.webhook import Answer, Webhook

logger = logging.getLogger(__name__)

RETRIES_S = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0)  # wait after each failed delivery
LAST_RETRY_S = 7200.0  # and after each later one
GIVE_UP_S = 86_400.0  # after the end of the call
LOOK_EVERY_S = 30.0  # for due reports of other processes
LEASE_S = 120.0  # of a claim: longer than two tries at a summary and one delivery
AT_ONCE = 4  # reports that are worked on at the same time
GIVE_BACK_S = 1.0  # to release a claim at shutdown
_PAGE = 100

Summarise = Callable[[CallRow, Sequence[TurnRow]], Awaitable[Summary | None]]
"""Writes the summary of a call; None: there is none. It must have a deadline of its own."""

Cost = Callable[[Usage, float, str, Transfers], dict[str, Any]]
"""Computes a call's cost from its usage, seconds on the line, direction and transfers."""


class Clock(Protocol):
    """The time, and a wait; tests pass their own."""

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
    """Works on due reports. Call `start`, and `aclose` before the store is closed.

    Args:
        url: where reports are posted; None: only summaries are written.
        secret: signs the reports, see `Webhook`.
        is_live: whether this process still records the call.
        summarise: None: no summaries.
        cost: computes the cost anew, since a summary's tokens are added to the usage.
        clock: for tests.

    Raises:
        ConfigError: the secret is malformed.
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
        self._ended: dict[str, None] = {}  # calls of this process to report now, in their order
        self._working: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._closing = False
        self._failing = False  # the last look failed, which was logged
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start on due reports. From now on the end of a call makes its report due."""
        self._store.reports = True
        self._running = asyncio.create_task(self._run(), name="after calls")

    def call_ended(self, call_sid: str) -> None:
        """A call of this process has ended, and the store has its record. Returns at once."""
        self._ended[call_sid] = None
        self._wake.set()

    async def aclose(self, within_s: float = 2.0) -> None:
        """Finish the reports that are worked on, and those of calls that just ended, within
        `within_s`. The rest stays due: the next process goes on with it. Close the store after."""
        self._closing = True
        self._wake.set()
        if self._running is not None:
            _, late = await asyncio.wait([self._running], timeout=within_s)
            if late:
                self._running.cancel()
                await asyncio.wait(late)
        if self._webhook is not None:
            await self._webhook.aclose()

    # --- looking for due reports ----------------------------------------------------------------

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                rest_s = await self._look(group)
                if self._closing and not self._ended:
                    break  # the group waits for its tasks
                await self._clock.wait(self._wake, rest_s)

    async def _look(self, group: asyncio.TaskGroup) -> float:
        """Start due reports, `AT_ONCE` at most. Returns the seconds until the next look."""
        try:
            await self._start_ended(group)
            if self._closing:
                return LOOK_EVERY_S
            now = self._clock.now()
            for call_sid in await self._queue.overdue(now, _PAGE):
                if not self._is_live(call_sid):
                    await self._claim_and_start(group, call_sid)
            next_at = await self._queue.next_due_at(now)
        except Exception as error:  # the next look tries again
            if not self._failing:
                expected = isinstance(error, StoreUnavailable)
                extra = {"error": str(error)} if expected else {}
                trace = None if expected else error
                logger.error("call reports wait", exc_info=trace, extra=extra)
            self._failing = True
            return LOOK_EVERY_S
        self._failing = False
        if next_at is None:
            return LOOK_EVERY_S
        return min(LOOK_EVERY_S, max(0.0, (next_at - self._clock.now()).total_seconds()))

    async def _start_ended(self, group: asyncio.TaskGroup) -> None:
        if not self._ended:
            return
        await self._store.flush()  # then their whole records can be read
        for call_sid in list(self._ended):
            if len(self._working) >= AT_ONCE:
                break
            del self._ended[call_sid]
            if not self._is_live(call_sid):
                await self._claim_and_start(group, call_sid, ahead=True)

    async def _claim_and_start(
        self, group: asyncio.TaskGroup, call_sid: str, *, ahead: bool = False
    ) -> None:
        if len(self._working) >= AT_ONCE:
            return  # `_done` wakes the next look
        now = self._clock.now()
        until = now + timedelta(seconds=LEASE_S)
        try:
            report = await self._queue.claim(call_sid, now, until, ahead=ahead)
        except ValueError as error:  # its row is unreadable; the reports of others go on
            extra = {"call_sid": call_sid, "cause": type(error).__name__}
            logger.error("call report cannot be read", extra=extra)
            return
        if report is not None:
            task = group.create_task(self._work_on(report))
            self._working.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        self._wake.set()

    # --- one call -------------------------------------------------------------------------------

    async def _work_on(self, report: DueReport) -> None:
        extra = {"call_sid": report.call_sid}
        try:
            await self._report(report)
        except StoreUnavailable:
            # The claim expires, and this or another process tries again.
            logger.warning("call report waits for the database", extra=extra)
        except Exception as error:  # the boundary of a report
            logger.error("call report failed", exc_info=error, extra=extra)
            with suppress(StoreUnavailable):
                await self._put_off(report, Answer(None, type(error).__name__))
        except asyncio.CancelledError:
            with suppress(StoreUnavailable, TimeoutError):
                async with asyncio.timeout(GIVE_BACK_S):
                    await self._queue.put_off(report, self._clock.now())
            raise

    async def _report(self, report: DueReport) -> None:
        await self._store.flush()  # the call may have ended a moment ago: its last turns count
        call = await self._store.get_call(report.call_sid)
        if call is None:
            return  # deleted meanwhile
        turns = await self._store.turns(report.call_sid)
        if self._summarise is not None and not report.ready:
            await self._sum_up(self._summarise, report, call, turns)
            call = await self._store.get_call(report.call_sid) or call
        if self._webhook is None:
            await self._queue.settle(report, "kept")
            return
        body = call_ended_body(call, turns, report.since)
        answer = await self._webhook.send(f"call_{call.call_sid}", body, self._clock.now())
        if answer.accepted:
            await self._queue.settle(report, "delivered")
            extra = {"call_sid": call.call_sid, "tries": report.tries}
            logger.info("call reported", extra=extra)
        else:
            await self._put_off(report, answer)

    async def _sum_up(
        self, summarise: Summarise, report: DueReport, call: CallRow, turns: Sequence[TurnRow]
    ) -> None:
        summary: Summary | None = None
        try:
            summary = await summarise(call, turns)
        except Exception as error:  # the report is delivered without a summary
            extra = {"call_sid": call.call_sid}
            logger.error("summary failed", exc_info=error, extra=extra)
        found: dict[str, Any] = {}
        if summary is not None:
            usage = _usage(call) + summary.usage
            found = {"summary": summary.text, "usage": asdict(usage)}
            if self._cost is not None and call.cost:  # empty: the end of the call was not recorded
                found["cost"] = self._cost(
                    usage, call.duration_s or 0.0, call.direction, call.transfers
                )
        await self._queue.keep_summary(report, **found)

    async def _put_off(self, report: DueReport, answer: Answer) -> None:
        """Retry later, unless the report is too old, or the owner answered 410 Gone."""
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
        if answer.gone or too_late:
            logger.error("call report given up", extra=extra)
            await self._queue.give_up(report)
            return
        logger.warning("call report not taken", extra={**extra, "retry_s": round(wait_s)})
        await self._queue.put_off(report, next_at)


def _retry_s(tries: int) -> float:
    """How long to wait after this many deliveries, with jitter, so that retries spread out."""
    wait_s = RETRIES_S[tries - 1] if tries <= len(RETRIES_S) else LAST_RETRY_S
    return wait_s * random.uniform(0.9, 1.1)


def _usage(call: CallRow) -> Usage:
    """The usage of a record, which an older or newer version may have written."""
    known = {each.name for each in fields(Usage)}
    return Usage(**{name: count for name, count in call.usage.items() if name in known})


# --- the report -----------------------------------------------------------------------------------

_CALL = TypeAdapter(Call)


def call_ended_body(call: CallRow, turns: Sequence[TurnRow], since: datetime) -> bytes:
    """The body of a report: the record as the HTTP API shows it, without events. The same record
    gives the same bytes.

    Args:
        since: when the call ended, if its record does not say.
    """
    record = shown(call, turns, ())
    # Unlike a user of the API, the receiver may be on another machine, and a path says nothing
    # there: it gets the file's name.
    if record.recording:
        record = replace(record, recording=PurePath(record.recording).name)
    # `warnings`: of values that another version stored.
    data = _CALL.dump_python(record, by_alias=True, exclude={"events"}, warnings=False)
    event = {"type": "call.ended", "timestamp": call.ended_at or since, "data": data}
    return json.dumps(event, ensure_ascii=False, default=_encode).encode(errors="replace")


def _encode(value: object) -> str:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)
