"""The reports that are due, in columns of the calls' own table.

A report becomes due in the transaction that stores the call's terminal status, so no crash can lose
it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.records.database import Database
from app.records.schema import CALLS

HEAD_START_S = 10.0  # of the process that had the call: it knows when the record is complete

State = Literal["due", "ready", "delivered", "failed", "kept"]
"""due: nothing is done yet. ready: the summary is written, or given up. delivered: accepted by the
owner's URL. failed: given up. kept: no URL is set."""

_Row = dict[str, Any]


def newly_due(now: datetime) -> _Row:
    """The columns that make the report of a call due, which ended `now`."""
    return {
        "report_state": "due",
        "report_since": now,
        "report_due_at": now + timedelta(seconds=HEAD_START_S),
        "report_tries": 0,
    }


@dataclass(frozen=True, slots=True)
class DueReport:
    """A report that this process has claimed."""

    call_sid: str
    #: When the call ended, UTC.
    since: datetime
    #: How often it was claimed, this time included.
    tries: int
    #: The summary is written already, or given up.
    ready: bool


class ReportQueue:
    """The due reports. Every method raises StoreUnavailable when the database is away.

    Claiming a report moves its due time ahead. So it becomes due again when the process that
    claimed it dies, and processes that share a database seldom deliver it twice.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def overdue(self, now: datetime, limit: int) -> list[str]:
        """The SIDs of calls whose report is due, the oldest first."""
        query = (
            sa.select(CALLS.c.call_sid)
            .where(CALLS.c.report_due_at <= now)
            .order_by(CALLS.c.report_due_at)
            .limit(limit)
        )

        async def sids(connection: AsyncConnection) -> list[str]:
            return list((await connection.execute(query)).scalars())

        return await self._database.read(sids)

    async def next_due_at(self, now: datetime) -> datetime | None:
        """When the next report becomes due; None: none does."""
        query = sa.select(sa.func.min(CALLS.c.report_due_at)).where(CALLS.c.report_due_at > now)

        async def soonest(connection: AsyncConnection) -> datetime | None:
            found: datetime | None = (await connection.execute(query)).scalar()
            return found

        return await self._database.read(soonest)

    async def claim(
        self, call_sid: str, now: datetime, until: datetime, *, ahead: bool = False
    ) -> DueReport | None:
        """Claim a due report `until` then. None: it is not due, or another process has claimed it.
        `ahead`: claim it before it is due, if it was never claimed; for a call of this process.
        Then call `settle`, `put_off` or `give_up`."""
        due = CALLS.c.report_due_at <= now
        if ahead:
            due = sa.or_(
                due, sa.and_(CALLS.c.report_due_at.is_not(None), CALLS.c.report_tries == 0)
            )
        this = CALLS.c.call_sid == call_sid
        change = (
            sa.update(CALLS)
            .where(this, due)
            .values(report_due_at=until, report_tries=CALLS.c.report_tries + 1)
        )
        columns = CALLS.c.report_since, CALLS.c.report_tries, CALLS.c.report_state

        async def claimed(connection: AsyncConnection) -> DueReport | None:
            if not (await connection.execute(change)).rowcount:
                return None
            row = await connection.execute(sa.select(*columns).where(this))
            since, tries, state = row.one()
            return DueReport(call_sid, since, tries, state == "ready")

        return await self._database.change(claimed)

    async def keep_summary(self, report: DueReport, **found: Any) -> None:
        """The summary is written or given up: do not try again. `found`: columns of the call to
        store with that."""
        await self._change(CALLS.c.call_sid == report.call_sid, report_state="ready", **found)

    async def put_off(self, report: DueReport, until: datetime) -> None:
        """Delivery failed: due again at `until`."""
        await self._change(_still(report), report_due_at=until)

    async def give_up(self, report: DueReport) -> None:
        """Delivery failed for good."""
        await self._change(_still(report), report_state="failed", report_due_at=None)

    async def settle(self, report: DueReport, state: Literal["delivered", "kept"]) -> None:
        """The report is done."""
        this = CALLS.c.call_sid == report.call_sid
        await self._change(this, report_state=state, report_due_at=None)

    async def state(self, call_sid: str) -> State | None:
        """The state of a call's report; None: none was ever due."""
        query = sa.select(CALLS.c.report_state).where(CALLS.c.call_sid == call_sid)

        async def stored(connection: AsyncConnection) -> State | None:
            found: State | None = (await connection.execute(query)).scalar()
            return found

        return await self._database.read(stored)

    async def _change(self, where: sa.ColumnElement[bool], **values: Any) -> None:

        async def update(connection: AsyncConnection) -> None:
            changes = {**values, "revision": CALLS.c.revision + 1}
            await connection.execute(sa.update(CALLS).where(where).values(changes))

        await self._database.change(update)


def _still(report: DueReport) -> sa.ColumnElement[bool]:
    """The report is due, and was not claimed again since."""
    this = CALLS.c.call_sid == report.call_sid
    return sa.and_(this, CALLS.c.report_tries == report.tries, CALLS.c.report_due_at.is_not(None))
