"""Writes rows, each call's only while no other process has adopted the call.

Each transaction first changes the rows of its calls, in the order of their SIDs, so that two
processes never wait for each other. The change of a call whose stored epoch is higher has no
effect; then the call's other rows are left out too. `revision` is raised by each change.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from app.records.database import Database, blames_data
from app.records.ownership import Ownership
from app.records.report_queue import unless_ended
from app.records.schema import CALLS, TEXTS, TIMELINE, TURNS
from app.records.waiting import Item, Kind, Row, Spooled, Work
from app.wires.twilio.call import STATUS_RANK, rank

logger = logging.getLogger(__name__)

_CHUNK_ROWS = 100  # per statement, so that encoding rows never holds the event loop for long
# A process that stops in a transaction holds its locks no longer.
_END_IDLE = sa.text("SET LOCAL idle_in_transaction_session_timeout = 3000")

_Insert = sqlite.Insert | postgresql.Insert
_DELETE_TURN = sa.delete(TURNS).where(
    *(column == sa.bindparam(column.name) for column in TURNS.primary_key)
)
_KEYS = {"call_sid", "created_at"}
# Of what waited in the spool, while another process wrote the call: fills in what is missing.
_EMPTY: Mapping[str, Any] = {"usage": {}, "timings": {}, "cost": {}, "transfers": []}


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


class RowWriter:
    """Writes to one database."""

    def __init__(self, database: Database, ownership: Ownership) -> None:
        #: Rows that the database rejected for what they contain.
        self.refused_rows = 0
        self._database = database
        self._ownership = ownership
        self._is_postgres = database.dialect == "postgresql"
        self._insert = postgresql.insert if self._is_postgres else sqlite.insert

    async def write(self, work: Work, generation: int) -> None:
        """Write all rows in one transaction. A row that the database rejects is found by halving,
        and dropped.

        Raises:
            MadeAnew: the database is of another generation.
        """
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
            if work.spooled:
                logger.info("spooled rows are outdated", extra={"call_sid": call_sid})
            elif self._ownership.epoch(call_sid) == work.epochs.get(call_sid, 0):
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
        if generation != self._database.generation:
            raise MadeAnew
        if self._is_postgres:
            await connection.execute(_END_IDLE)
        elif work.spooled:  # it reads first: the lock must not come too late
            await connection.exec_driver_sql("BEGIN IMMEDIATE")
        outcome, newer = _Outcome(), set[str]()
        for kind, row in sorted(work.calls, key=lambda item: item[1]["call_sid"]):
            if work.spooled and await self._is_newer(connection, work, row, outcome):
                newer.add(row["call_sid"])
            await self._write_call(connection, kind, row, work, outcome, newer)
        left_out = outcome.outdated.keys() | outcome.deleted
        for kind, group in groupby(work.parts, key=lambda item: item[0]):
            rows = [row for _, row in group if row["call_sid"] not in left_out]
            older = [row for row in rows if row["call_sid"] in newer]
            if older and kind is Kind.REMOVED_TURN:
                older = []  # whoever wrote since knows the turns
            await self._write_parts(connection, kind, older, replaces=False)
            rows = [row for row in rows if row["call_sid"] not in newer]
            await self._write_parts(connection, kind, rows, replaces=True)
        return outcome

    async def _write_parts(
        self, connection: AsyncConnection, kind: Kind, rows: list[Row], *, replaces: bool
    ) -> None:
        if not rows:
            return
        statement = _DELETE_TURN if kind is Kind.REMOVED_TURN else self._upsert(kind, replaces)
        for start in range(0, len(rows), _CHUNK_ROWS):
            await connection.execute(statement, rows[start : start + _CHUNK_ROWS])

    def _upsert(self, kind: Kind, replaces: bool) -> _Insert:
        """`replaces`: a turn of the same position. False: only one that it completes."""
        table = TIMELINE if kind is Kind.TIMELINE else TURNS
        insert = self._insert(self._database.writable[table.name])
        if kind is Kind.TIMELINE:
            return insert.on_conflict_do_nothing(index_elements=["call_sid", "position"])
        new = {c.name: insert.excluded[c.name] for c in table.columns if not c.primary_key}
        completes = sa.and_(TURNS.c.item_id == insert.excluded["item_id"], ~TURNS.c.complete)
        return insert.on_conflict_do_update(
            index_elements=["call_sid", "position"],
            set_=new,
            where=None if replaces else completes,
        )

    # --- calls ---

    async def _is_newer(
        self, connection: AsyncConnection, work: Work, row: Row, outcome: _Outcome
    ) -> bool:
        """Whether the stored row of a call is newer than one that waited in the spool. Notes that
        it was deleted."""
        call_sid = row["call_sid"]
        if call_sid in outcome.revisions:  # written a moment ago, by this transaction
            return False
        known = work.spooled.get(call_sid, Spooled(0, False))
        this = CALLS.c.call_sid == call_sid
        query = sa.select(CALLS.c.revision).where(this).with_for_update()
        revision = (await connection.execute(query)).scalar()
        if revision is None and known.stored:
            outcome.deleted.add(call_sid)
        return revision is not None and int(revision) > known.revision

    async def _write_call(
        self,
        connection: AsyncConnection,
        kind: Kind,
        row: Row,
        work: Work,
        outcome: _Outcome,
        newer: set[str],
    ) -> None:
        call_sid = row["call_sid"]
        if call_sid in outcome.deleted or (kind is Kind.CALL and call_sid in outcome.outdated):
            return
        epoch = None if kind is Kind.REPORTED else work.epochs.get(call_sid, 0)
        known = not work.spooled and self._ownership.has_stored(call_sid)
        change = self._update_call if known else self._upsert_call
        done = await connection.execute(change(row, epoch, fills_in=call_sid in newer))
        revision = done.scalar()
        if revision is not None:
            outcome.revisions[call_sid] = revision
            return
        columns = CALLS.c.epoch, CALLS.c.adopted_by
        query = sa.select(*columns).where(CALLS.c.call_sid == call_sid)
        stored = (await connection.execute(query)).one_or_none()
        if stored is None:
            outcome.deleted.add(call_sid)
        elif epoch is not None and self._is_ours(call_sid, epoch, *stored):
            outcome.found[call_sid] = stored[0]
            done = await connection.execute(change(row, stored[0], fills_in=False))
            outcome.revisions[call_sid] = done.scalar_one()
        else:
            outcome.outdated[call_sid] = stored[0]

    def _is_ours(self, call_sid: str, epoch: int, stored: int, adopted_by: str | None) -> bool:
        """Whether this process has raised the epoch of its own call to the stored one, and did not
        get the database's answer."""
        is_next = epoch == self._ownership.epoch(call_sid) == stored - 1
        return is_next and adopted_by == self._ownership.me

    def _upsert_call(self, row: Row, epoch: int | None, *, fills_in: bool) -> sa.Executable:
        """Creates or changes a call. `epoch`: None: whoever owns the call."""
        values = {**row, "epoch": epoch or 0, "revision": 1}
        insert = self._insert(self._database.writable[CALLS.name]).values(values)
        new = {name: insert.excluded[name] for name in row.keys() - _KEYS}
        return insert.on_conflict_do_update(
            index_elements=["call_sid"],
            set_=_changes(new, row, insert.excluded["epoch"] if epoch else None, fills_in),
            where=None if epoch is None else CALLS.c.epoch <= epoch,
        ).returning(CALLS.c.revision)

    def _update_call(self, row: Row, epoch: int | None, *, fills_in: bool) -> sa.Executable:
        """Changes a call that was stored before."""
        new = {name: sa.literal(row[name], CALLS.c[name].type) for name in row.keys() - _KEYS}
        this = CALLS.c.call_sid == row["call_sid"]
        change = sa.update(CALLS).values(_changes(new, row, epoch or None, fills_in))
        if epoch is not None:
            change = change.where(CALLS.c.epoch <= epoch)
        return change.where(this).returning(CALLS.c.revision)


def _changes(new: Mapping[str, Any], row: Row, epoch: Any, fills_in: bool) -> dict[str, Any]:
    """What a change sets. `new`: the values in SQL. `epoch`: None: it stays. `fills_in`: what is
    there already stays."""
    changes = dict(new)
    if fills_in:
        for name in changes.keys() - {"status"}:
            column = CALLS.c[name]
            missing: sa.ColumnElement[bool] = column.is_(None)
            if name in _EMPTY:
                text = sa.cast(column, sa.Text)
                missing = missing | text.in_(("{}", "[]", "null", ""))
            elif name in TEXTS:
                missing = missing | (column == "")
            changes[name] = sa.case((missing, changes[name]), else_=column)
    if "status" in changes:
        as_late = [each for each in STATUS_RANK if rank(each) >= rank(row["status"])]
        latched = CALLS.c.status.in_(as_late)
        changes["status"] = sa.case((latched, CALLS.c.status), else_=new["status"])
        changes |= unless_ended(new)
    if epoch is not None:
        changes["epoch"] = epoch
    changes["revision"] = CALLS.c.revision + 1
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
        await connection.execute(_END_IDLE)
    else:
        await connection.exec_driver_sql("BEGIN IMMEDIATE")
    this = CALLS.c.call_sid == call_sid
    query = sa.select(CALLS.c.transfers).where(this).with_for_update()
    found = (await connection.execute(query)).one_or_none()
    if found is None:
        return None
    changed = change(found[0] if isinstance(found[0], list) else [])
    values = {"transfers": changed, "revision": CALLS.c.revision + 1}
    await connection.execute(sa.update(CALLS).where(this).values(values))
    return changed
