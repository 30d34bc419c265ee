"""Which calls are over and still owe their report: kept beside the calls themselves.

What is owed is written together with the call's last status, so no crash comes in between.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from app.records.database import reachable
from app.records.schema import CALLS
from app.wires.twilio.call import TERMINAL

HEAD_START_S = 10.0  # for the process that had the call: it knows when all is written

State = Literal["due", "ready", "delivered", "failed", "kept"]
"""due: all is to be done. ready: the summary is behind us. delivered, failed: it was sent, or given
up. kept: there was nobody to send it to."""

_Row = dict[str, Any]


def newly_due(now: datetime) -> _Row:
    """The columns of a call that is over since `now`."""
    return {
        "report_state": "due",
        "report_since": now,
        "report_due_at": now + timedelta(seconds=HEAD_START_S),
        "report_tries": 0,
    }


def once(new: Mapping[str, Any]) -> _Row:
    """Those of `newly_due` among an upsert's values, such that a call that was over already keeps
    what it has: Twilio repeats itself, and a report that was delivered is owed no more."""
    over = CALLS.c.status.in_(TERMINAL)
    return {
        name: sa.case((over, CALLS.c[name]), else_=value)
        for name, value in new.items()
        if name.startswith("report_")
    }


@dataclass(frozen=True, slots=True)
class DueReport:
    """A report that is ours to make until the time it was claimed for.

    `since`: when the call was over, in UTC. `tries`: this one included. `ready`: the summary was
    made already, or given up.
    """

    call_sid: str
    since: datetime
    tries: int
    ready: bool


class ReportQueue:
    """The reports that are owed. Every method raises StoreUnavailable when the database is away.

    A report is claimed by moving its time ahead. So it is owed again by itself when the claimer
    dies, and several processes on one database seldom send it twice.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def overdue(self, now: datetime, limit: int) -> list[str]:
        """The SIDs of calls whose report is due, the longest due first."""
        query = (
            sa.select(CALLS.c.call_sid)
            .where(CALLS.c.report_due_at <= now)
            .order_by(CALLS.c.report_due_at)
            .limit(limit)
        )
        with reachable():
            async with self._engine.connect() as connection:
                return list((await connection.execute(query)).scalars())

    async def next_due_at(self, now: datetime) -> datetime | None:
        """When the next report will be due that is not due yet."""
        query = sa.select(sa.func.min(CALLS.c.report_due_at)).where(CALLS.c.report_due_at > now)
        with reachable():
            async with self._engine.connect() as connection:
                found: datetime | None = (await connection.execute(query)).scalar()
                return found

    async def claim(
        self, call_sid: str, now: datetime, until: datetime, *, ahead: bool = False
    ) -> DueReport | None:
        """Take a report that is due, for as long as `until`; None when it is not due, or somebody
        else has it. `ahead`: the call was ours, so nobody else has it before it was tried once."""
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
        with reachable():
            async with self._engine.begin() as connection:
                if not (await connection.execute(change)).rowcount:
                    return None
                since, tries, state = (
                    await connection.execute(sa.select(*columns).where(this))
                ).one()
        return DueReport(call_sid, since, tries, state == "ready")

    async def keep_summary(self, report: DueReport, **found: Any) -> None:
        """The summary is behind us: it will not be made again. `found`: columns of the call that
        came of it."""
        await self._change(CALLS.c.call_sid == report.call_sid, report_state="ready", **found)

    async def put_off(self, report: DueReport, until: datetime) -> None:
        """It was in vain; try again later."""
        await self._change(_still(report), report_due_at=until)

    async def give_up(self, report: DueReport) -> None:
        """It was in vain, and will not be tried again."""
        await self._change(_still(report), report_state="failed", report_due_at=None)

    async def settle(self, report: DueReport, state: Literal["delivered", "kept"]) -> None:
        """Nothing is owed any more."""
        this = CALLS.c.call_sid == report.call_sid
        await self._change(this, report_state=state, report_due_at=None)

    async def state(self, call_sid: str) -> State | None:
        """How it stands with a call's report; None when none was ever owed."""
        query = sa.select(CALLS.c.report_state).where(CALLS.c.call_sid == call_sid)
        with reachable():
            async with self._engine.connect() as connection:
                found: State | None = (await connection.execute(query)).scalar()
                return found

    async def _change(self, where: sa.ColumnElement[bool], **values: Any) -> None:
        with reachable():
            async with self._engine.begin() as connection:
                await connection.execute(sa.update(CALLS).where(where).values(**values))


def _still(report: DueReport) -> sa.ColumnElement[bool]:
    """Nobody claimed it since, and it is owed."""
    this = CALLS.c.call_sid == report.call_sid
    return sa.and_(this, CALLS.c.report_tries == report.tries, CALLS.c.report_due_at.is_not(None))
