"""Writes rows, each call's only while no other process has adopted the call.

Each transaction first locks the rows of its calls, in the order of their SIDs, and judges in memory
what each change may do. A call whose stored epoch is higher is left alone, with its other rows.
`revision` is raised by each change. The number of statements does not grow with that of the calls.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.records.database import Database, blames_data
from app.records.judging import Change, Stored, Verdict, farthest, judge
from app.records.ownership import Ownership
from app.records.parked import Parked
from app.records.schema import CALLS, TIMELINE, TURNS
from app.records.statements import DELETE_TURN, END_IDLE, Statements
from app.records.waiting import Item, Kind, Row, Work

logger = logging.getLogger(__name__)

_CHUNK_ROWS = 100  # per statement, so that encoding rows never holds the event loop for long


class MadeAnew(Exception):
    """The database was made anew, so the rows of live calls are to be written first."""


@dataclass(slots=True)
class _Outcome:
    """What a transaction did with the calls of its rows."""

    #: The revision of each row that was changed.
    revisions: dict[str, int] = field(default_factory=dict)
    #: The stored epoch of each call that another process has adopted.
    outdated: dict[str, int] = field(default_factory=dict)
    #: The stored epoch of each call that this process has adopted without knowing it.
    found: dict[str, int] = field(default_factory=dict)
    #: Calls that were deleted: they stay deleted.
    deleted: set[str] = field(default_factory=set)
    #: Calls whose stored rows are newer than those that waited in the spool.
    newer: set[str] = field(default_factory=set)


class RowWriter:
    """Writes to one database."""

    def __init__(self, database: Database, ownership: Ownership, parked: Parked) -> None:
        #: Rows that the database rejected for what they contain.
        self.refused_rows = 0
        self._database = database
        self._ownership = ownership
        self._parked = parked
        self._is_postgres = database.dialect == "postgresql"
        self._statements = Statements(database)

    async def write(self, work: Work, generation: int) -> None:
        """Write all rows in one transaction. A row that the database rejects is found by halving,
        and dropped.

        Raises:
            MadeAnew: the database is of another generation.
        """
        if not work.writer:
            number = self._ownership.next_number()
            work = replace(work, writer=self._ownership.me, number=number)
        try:
            outcome = await self._database.write(partial(self._execute, work, generation))
        except MadeAnew:
            raise
        except Exception as error:
            if not work or not blames_data(error):
                raise
            pieces = work.pieces()
            for piece in pieces:
                await self.write(piece, generation)
            if not pieces:
                self.refuse(*(work.parts or work.calls)[0], error)
            return
        self._ownership.stored(outcome.revisions)
        for call_sid, epoch in outcome.outdated.items():
            is_newest = self._ownership.epoch(call_sid) == work.epochs.get(call_sid, 0)
            if work.spooled and not (is_newest and work.writer == self._ownership.me):
                logger.info("spooled rows are outdated", extra={"call_sid": call_sid})
            elif is_newest:
                if work.spooled and not self._ownership.is_outdated(call_sid):
                    self._parked.keep(call_sid, [work.of(call_sid)])
                self._ownership.outdate(call_sid, epoch)
        for call_sid, epoch in outcome.found.items():
            self._ownership.found(call_sid, epoch)
        for call_sid in outcome.deleted:
            self._ownership.deleted(call_sid)

    def refuse(self, kind: Kind, row: Row, error: Exception) -> None:
        """Count and log a row that cannot be stored."""
        self.refused_rows += 1
        table = {Kind.CALL: CALLS, Kind.REPORTED: CALLS, Kind.TIMELINE: TIMELINE}.get(kind, TURNS)
        extra = {
            "call_sid": row["call_sid"], "table": table.name, "cause": type(error).__name__,
        }  # fmt: skip
        logger.error("record refused by the database", extra=extra)

    async def _execute(self, work: Work, generation: int, connection: AsyncConnection) -> _Outcome:
        # In one greenlet: SQLAlchemy starts another for each statement that is awaited.
        return await connection.run_sync(self._execute_all, work, generation)

    def _execute_all(self, connection: sa.Connection, work: Work, generation: int) -> _Outcome:
        if generation != self._database.generation:
            raise MadeAnew
        if self._is_postgres:
            connection.execute(END_IDLE)
        else:  # it reads first: the lock must not come too late
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        outcome = _Outcome()
        self._write_calls(connection, work, outcome)
        left_out, newer = outcome.outdated.keys() | outcome.deleted, outcome.newer
        for kind, group in groupby(work.parts, key=lambda item: item[0]):
            rows = [row for _, row in group if row["call_sid"] not in left_out]
            if newer:
                older = [row for row in rows if row["call_sid"] in newer]
                if kind is not Kind.REMOVED_TURN:  # whoever wrote since knows the turns
                    self._write_parts(connection, kind, older, replaces=False)
                rows = [row for row in rows if row["call_sid"] not in newer]
            self._write_parts(connection, kind, rows, replaces=True)
        return outcome

    def _write_parts(
        self, connection: sa.Connection, kind: Kind, rows: list[Row], *, replaces: bool
    ) -> None:
        if kind is Kind.REMOVED_TURN:
            _execute_many(connection, DELETE_TURN, rows)
        elif kind is Kind.TIMELINE:
            _execute_many(connection, self._statements.insert_timeline(), rows)
        else:
            upsert = self._statements.upsert_turn(replaces=replaces)
            _execute_many(connection, upsert, rows)

    # --- calls ---

    def _write_calls(self, connection: sa.Connection, work: Work, outcome: _Outcome) -> None:
        changes = _changes(work)
        verdicts: list[Verdict] = []
        locked = self._lock(connection, list(changes))
        for call_sid, change in changes.items():
            stored = locked.get(call_sid)
            if stored is None:
                stored = self._create(connection, work, change, outcome)
            if stored is not None:
                verdict = judge(work, change, stored, self._ownership.epoch(call_sid))
                if verdict.newer:
                    empty = self._empty_columns(connection, call_sid)
                    verdict = verdict.filling_in(empty)
                if "transfers" in verdict.new:
                    known = _transfers(connection, call_sid)
                    verdict.new["transfers"] = farthest(known or [], verdict.new["transfers"])
                verdicts.append(verdict)
        self._update_calls(connection, work, verdicts)
        for verdict in verdicts:
            stored = verdict.stored
            if verdict.writes:
                outcome.revisions[stored.call_sid] = stored.revision + 1
            if verdict.outdated:
                outcome.outdated[stored.call_sid] = stored.epoch
            if verdict.found:
                outcome.found[stored.call_sid] = stored.epoch
            if verdict.newer:
                outcome.newer.add(stored.call_sid)

    def _lock(self, connection: sa.Connection, call_sids: list[str]) -> dict[str, Stored]:
        if not call_sids:
            return {}
        named = self._statements.call_sids(call_sids)
        found = connection.execute(self._statements.calls(), named)
        return {row[0]: Stored(*row) for row in found.all()}

    def _create(
        self, connection: sa.Connection, work: Work, change: Change, outcome: _Outcome
    ) -> Stored | None:
        """Create the row of a call that has none. Returns what another process created meanwhile;
        None: the row is created, or was deleted before."""
        call_sid, spooled = change.call_sid, work.spooled.get(change.call_sid)
        known = spooled.stored if spooled else self._ownership.has_stored(call_sid)
        if known:
            outcome.deleted.add(call_sid)
            return None
        row = {**change.whole, "epoch": change.epoch, "revision": 1}
        if change.owned is not None:
            row |= {"written_by": work.writer, "write_number": work.number}
        if connection.execute(self._statements.insert_call(), row).scalar() is not None:
            outcome.revisions[call_sid] = 1
            return None
        return self._lock(connection, [call_sid]).get(call_sid)

    def _empty_columns(self, connection: sa.Connection, call_sid: str) -> set[str]:
        query = self._statements.empty_columns()
        found = connection.execute(query, {"this": call_sid}).mappings().one()
        return {name for name, is_empty in found.items() if is_empty}

    def _update_calls(self, connection: sa.Connection, work: Work, verdicts: list[Verdict]) -> None:
        """Set the columns that change: one statement for all calls in which the same ones do."""
        touched: list[str] = []
        groups: dict[tuple[str, ...], list[Row]] = {}
        for each in verdicts:
            row = each.new
            if each.is_owners:
                row = row | {"written_by": work.writer, "write_number": work.number}
                if not each.new:
                    touched.append(each.stored.call_sid)
                    continue
            if each.writes:
                named = {f"new_{name}": value for name, value in row.items()}
                rows = groups.setdefault(tuple(sorted(row)), [])
                rows.append({"this": each.stored.call_sid, **named})
        if touched:
            touch = self._statements.touch_calls(work.writer)
            named = self._statements.call_sids(touched)
            connection.execute(touch, {**named, "number": work.number})
        for columns, rows in groups.items():
            _execute_many(connection, self._statements.update_call(columns), rows)


def _execute_many(connection: sa.Connection, statement: sa.Executable, rows: list[Row]) -> None:
    for start in range(0, len(rows), _CHUNK_ROWS):
        connection.execute(statement, rows[start : start + _CHUNK_ROWS])


def _changes(work: Work) -> dict[str, Change]:
    """The rows of `OF_CALLS` by call, in the order of their SIDs."""
    changes: dict[str, Change] = {}
    for kind, row in sorted(work.calls, key=lambda item: item[1]["call_sid"]):
        call_sid = row["call_sid"]
        change = changes.setdefault(call_sid, Change(call_sid, work.epochs.get(call_sid, 0)))
        if kind is Kind.CALL:
            change.owned = row
        else:
            change.reported = row
    return changes


def work_of(
    rows: list[tuple[sa.Table, Row]], batches: list[Row], epochs: Mapping[str, int]
) -> Work:
    """The rows of live calls and their last timeline entries, to be written again."""
    calls: list[Item] = [(Kind.CALL, row) for table, row in rows if table is CALLS]
    parts: list[Item] = [(Kind.TURN, row) for table, row in rows if table is TURNS]
    return Work(calls, [*parts, *((Kind.TIMELINE, row) for row in batches)], epochs)


async def raise_epoch(
    call_sid: str, expected: int | None, me: str, connection: AsyncConnection
) -> int:
    """Raise a call's epoch and return it; 0: there is no such call, or its epoch is not
    `expected`. `me`: the id of this process."""
    change = sa.update(CALLS).where(CALLS.c.call_sid == call_sid)
    if expected is not None:
        change = change.where(CALLS.c.epoch == expected)
    values = {
        "epoch": CALLS.c.epoch + 1, "adopted_by": me, "revision": CALLS.c.revision + 1,
    }  # fmt: skip
    raised = await connection.execute(change.values(values).returning(CALLS.c.epoch))
    return int(raised.scalar() or 0)


async def change_transfers(
    call_sid: str, change: Callable[[list[Row]], list[Row]], connection: AsyncConnection
) -> list[Row] | None:
    """Replace a call's transfers by what `change` makes of them. None: there is no such call."""
    if connection.dialect.name == "postgresql":
        await connection.execute(END_IDLE)
    else:
        await connection.exec_driver_sql("BEGIN IMMEDIATE")
    if (known := await connection.run_sync(_transfers, call_sid)) is None:
        return None
    changed = change(known)
    values = {"transfers": changed, "revision": CALLS.c.revision + 1}
    update = sa.update(CALLS).where(CALLS.c.call_sid == call_sid).values(values)
    await connection.execute(update)
    return changed


def _transfers(connection: sa.Connection, call_sid: str) -> list[Row] | None:
    """The transfers that are stored of a call, whose row is locked. None: there is no such call."""
    this = CALLS.c.call_sid == call_sid
    query = sa.select(CALLS.c.transfers).where(this).with_for_update()
    found = connection.execute(query).one_or_none()
    if found is None:
        return None
    return found[0] if isinstance(found[0], list) else []
