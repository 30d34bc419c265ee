"""Stores call records in SQLite or PostgreSQL.

Saving neither awaits nor raises: it changes a batch in memory. One task writes each batch in one
transaction, and retries until it is committed. Reading returns what is committed.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from time import monotonic
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from app.call.backoff import backoff
from app.records.database import Database, StoreUnavailable, blames_data, to_json
from app.records.digests.search import Search
from app.records.digests.table import DigestTable
from app.records.live_rows import LiveRows
from app.records.reading import read_call, read_timeline, read_turn
from app.records.record import CallRow, TimelineRow, TurnRow
from app.records.report_queue import ReportQueue, newly_due, unless_ended
from app.records.schema import CALLS, TIMELINE, TURNS
from app.wires.twilio.call import STATUS_RANK, TERMINAL, CallStatus, rank

__all__ = [
    "TERMINAL", "CallRow", "CallStatus", "Store", "StoreUnavailable", "TimelineRow", "TurnRow",
]  # fmt: skip

logger = logging.getLogger(__name__)

_GATHER_S = 0.25  # saves within it share a transaction: a commit costs more than rows
_CHUNK_ROWS = 100  # per statement, so that encoding rows never holds the event loop for long
_FIRST_RETRY_S, _LAST_RETRY_S = 0.05, 2.0

_Row = dict[str, Any]
_Work = Sequence[tuple[sa.Table, _Row]]
_Insert = sqlite.Insert | postgresql.Insert
_CALL_ROW = tuple(CALLS.c[each.name] for each in fields(CallRow))
_DELETE_TURN = sa.delete(TURNS).where(
    *(column == sa.bindparam(column.name) for column in TURNS.primary_key)
)
_CHANGEABLE = frozenset(column.name for column in _CALL_ROW) - {"call_sid", "created_at"}


# --- the store --------------------------------------------------------------------------------


class _MadeAnew(Exception):
    """The database was made anew, so the rows of live calls are to be written first."""


class _Batch:
    """What to write: the newest state of each call and turn, and a bounded timeline."""

    def __init__(self) -> None:
        self.calls: dict[str, _Row] = {}
        self.turns: dict[tuple[str, int], _Row] = {}  # one to delete has its primary key alone
        self.timeline: deque[tuple[str, int, str]] = deque()  # call, position, JSON
        self.done = asyncio.Event()

    def call(self, call_sid: str) -> _Row:
        """The changes of a call. Turns and entries need its row too: their foreign key."""
        return self.calls.setdefault(
            call_sid, {"call_sid": call_sid, "created_at": datetime.now(UTC)}
        )

    def work(self) -> _Work:
        """All rows with their tables, calls first."""
        pieces: dict[str, _Row] = {}
        entries: dict[str, list[str]] = {}
        for call_sid, position, entry in self.timeline:
            pieces.setdefault(call_sid, {"call_sid": call_sid, "position": position})
            entries.setdefault(call_sid, []).append(entry)
        for call_sid, piece in pieces.items():
            piece["entries"] = f"[{','.join(entries[call_sid])}]"
        parts = (CALLS, self.calls), (TURNS, self.turns), (TIMELINE, pieces)
        return [(table, row) for table, rows in parts for row in rows.values()]


class Store:
    """Open it with `Store.open`, and close it with `aclose`.

    Save from the event loop's thread only. Do not change dicts and lists after saving them.
    """

    def __init__(self, database: Database, most_waiting_entries: int) -> None:
        #: Timeline entries dropped because too many were waiting.
        self.dropped_entries = 0
        #: Rows that the database rejected for what they contain.
        self.refused_rows = 0
        #: Whether the end of a call makes its report due.
        self.reports = False
        self.report_queue = ReportQueue(database)
        self.digests = DigestTable(database)
        self._database = database
        self._most_waiting_entries = most_waiting_entries
        self._insert = postgresql.insert if database.dialect == "postgresql" else sqlite.insert
        self._live = LiveRows()
        self._restored = database.generation  # of the database, which has the rows of live calls
        self._pending = _Batch()
        self._writing: _Batch | None = None
        self._work = asyncio.Event()  # set while anything is pending
        self._writer = asyncio.create_task(self._write_batches(), name="store writer")

    @classmethod
    async def open(
        cls,
        database_url: str,
        *,
        busy_timeout_ms: int = 1000,
        most_waiting_entries: int = 20_000,
    ) -> "Store":
        """Connect and create the tables and columns that are missing.

        `database_url`: as DATABASE_URL holds it.
        `busy_timeout_ms`: how long one try waits for SQLite's lock.
        `most_waiting_entries`: timeline entries kept in memory while the database cannot be
        reached; the oldest make room.

        Raises:
            ConfigError: the URL cannot be used; see `parse_database_url`.
            StoreUnavailable: the database cannot be opened.
        """
        return cls(await Database.open(database_url, busy_timeout_ms), most_waiting_entries)

    async def aclose(self, within_ms: int = 2000) -> None:
        """Write what is pending within `within_ms`, and close. Log how much is lost."""
        await self.flush(within_ms / 1000)
        self._writer.cancel()
        await asyncio.wait([self._writer])
        left = [batch for batch in (self._writing, self._pending) if batch]
        if lost := sum(len(batch.work()) for batch in left):
            logger.error("call records lost, the database did not take them", extra={"rows": lost})
        for batch in left:
            batch.done.set()
        await self._database.aclose()

    # --- writing ---

    def save_call(self, call_sid: str, *, status: CallStatus | None = None, **changes: Any) -> None:
        """Create or change a call. Each value replaces the one before.

        Args:
            status: It never goes back, nor from one terminal status to another. None: no change.
            changes: Other fields of `CallRow`. Times are aware of their zone.

        Raises:
            TypeError: the record has no such field.
        """
        if unknown := changes.keys() - _CHANGEABLE:
            raise TypeError(f"a call's record has no field to change named {', '.join(unknown)}")
        row = self._pending.call(call_sid)
        if rank(status) > rank(row.get("status")):
            changes["status"] = status
            if self.reports and status in TERMINAL:
                changes |= newly_due(datetime.now(UTC))
        row.update(changes)
        self._live.save_call(call_sid, row, changes, monotonic())
        self._work.set()

    def save_turns(
        self, call_sid: str, turns: Iterable[TurnRow], removed: Iterable[int] = ()
    ) -> None:
        """Add turns; a turn replaces the one of the same position. `removed`: positions whose turns
        are deleted."""
        self._pending.call(call_sid)
        positions, rows = list(removed), [_row(call_sid, turn) for turn in turns]
        for position in positions:
            gone = {"call_sid": call_sid, "position": position}
            self._pending.turns[call_sid, position] = gone
        for row in rows:
            self._pending.turns[call_sid, row["position"]] = row
        self._live.save_turns(call_sid, rows, positions)
        self._work.set()

    def append_timeline(self, call_sid: str, entries: Iterable[TimelineRow]) -> None:
        """Add entries. If the position of a batch is stored already, the stored batch stays."""
        self._pending.call(call_sid)
        waiting = self._pending.timeline
        for entry in entries:
            row = (entry.position, entry.at_ms, entry.kind, entry.name, entry.data)
            try:
                waiting.append((call_sid, entry.position, to_json(row)))
            except (ValueError, TypeError, RecursionError) as error:
                self._refuse(call_sid, TIMELINE, error)
        while len(waiting) > self._most_waiting_entries:
            waiting.popleft()
            self.dropped_entries += 1
        self._work.set()

    async def flush(self, within_s: float | None = None) -> bool:
        """Wait until everything saved so far is committed or the store is closed. False: that took
        longer than `within_s`."""
        batch = self._pending if self._work.is_set() else self._writing
        if batch and not self._writer.done():
            try:
                async with asyncio.timeout(within_s):
                    await batch.done.wait()
            except TimeoutError:
                return False
        return True

    async def _write_batches(self) -> None:
        while True:
            await self._work.wait()
            await asyncio.sleep(_GATHER_S)
            self._work.clear()
            self._writing, self._pending = self._pending, _Batch()
            await self._write_until_durable(self._writing.work())
            self._writing.done.set()
            self._writing = None

    async def _write_until_durable(self, work: _Work) -> None:
        failures, lost_at, refused = 0, None, self.refused_rows
        while True:
            try:
                await self._write_with_live_rows(work)
            except Exception as error:  # the calls go on, so retry
                if lost_at is None:
                    lost_at = monotonic()
                    cause = getattr(error, "orig", None) or error.__cause__ or error
                    logger.error("database away, records wait", extra={"cause": repr(cause)})
                failures += 1
                await asyncio.sleep(backoff(_FIRST_RETRY_S, failures, _LAST_RETRY_S))
            else:
                break
        if lost_at is not None:
            away_ms = round(1000 * (monotonic() - lost_at))
            extra = {"away_ms": away_ms, "dropped_entries": self.dropped_entries}
            if refused == self.refused_rows:
                logger.warning("database back, records written", extra=extra)
            else:
                logger.error("database back, some records refused", extra=extra)

    async def _write_with_live_rows(self, work: _Work) -> None:
        """Write all rows; if the database was made anew, first all rows of live calls."""
        while True:
            generation = self._database.generation
            try:
                if generation != self._restored:
                    await self._write(self._live.work(), generation)
                    self._restored = generation
                await self._write(work, generation)
            except _MadeAnew:
                continue
            self._live.forget_ended(monotonic())
            return

    async def _write(self, work: _Work, generation: int) -> None:
        """Write all rows in one transaction. A row that the database rejects is found by halving,
        and dropped.

        Raises:
            _MadeAnew: the database is of another generation.
        """
        try:
            await self._database.write(partial(self._execute, work, generation))
        except _MadeAnew:
            raise
        except Exception as error:
            if not work or not blames_data(error):
                raise
            if len(work) > 1:
                await self._write(work[: len(work) // 2], generation)
                await self._write(work[len(work) // 2 :], generation)
                return
            ((table, row),) = work
            self._refuse(row["call_sid"], table, error)

    async def _execute(self, work: _Work, generation: int, connection: AsyncConnection) -> None:
        if generation != self._database.generation:
            raise _MadeAnew
        for (table, deleted), group in groupby(work, key=_kind):
            rows = [row for _, row in group]
            if table is CALLS:
                for row in rows:
                    await connection.execute(self._upsert_call(row))
                continue
            statement = _DELETE_TURN if deleted else self._upsert(table)
            for start in range(0, len(rows), _CHUNK_ROWS):
                await connection.execute(statement, rows[start : start + _CHUNK_ROWS])

    def _refuse(self, call_sid: str, table: sa.Table, error: Exception) -> None:
        self.refused_rows += 1
        extra = {"call_sid": call_sid, "table": table.name, "cause": type(error).__name__}
        logger.error("record refused by the database", extra=extra)

    def _upsert(self, table: sa.Table) -> _Insert:
        insert = self._insert(self._database.writable[table.name])
        if table is TIMELINE:
            return insert.on_conflict_do_nothing(index_elements=["call_sid", "position"])
        new = {c.name: insert.excluded[c.name] for c in table.columns if not c.primary_key}
        return insert.on_conflict_do_update(index_elements=["call_sid", "position"], set_=new)

    def _upsert_call(self, row: _Row) -> _Insert:
        insert = self._insert(self._database.writable[CALLS.name]).values(row)
        new: _Row = {
            name: insert.excluded[name] for name in row.keys() - {"call_sid", "created_at"}
        }
        if not new:
            return insert.on_conflict_do_nothing(index_elements=["call_sid"])
        if "status" in new:
            as_late = [each for each in STATUS_RANK if rank(each) >= rank(row["status"])]
            latched = CALLS.c.status.in_(as_late)
            new["status"] = sa.case((latched, CALLS.c.status), else_=new["status"])
            new |= unless_ended(new)
        return insert.on_conflict_do_update(index_elements=["call_sid"], set_=new)

    # --- reading ---

    async def list_calls(
        self, limit: int = 50, before: str | None = None, status: CallStatus | None = None
    ) -> list[CallRow]:
        """Calls, newest first. `before`: the call_sid of the last call of the previous page.

        Raises:
            LookupError: `before` names no call.
        """
        query = sa.select(*_CALL_ROW).order_by(CALLS.c.created_at.desc(), CALLS.c.call_sid.desc())
        if before is not None:
            if not await self._read(sa.select(CALLS.c.call_sid).where(CALLS.c.call_sid == before)):
                raise LookupError("before names no call")
            last = sa.select(CALLS.c.created_at).where(CALLS.c.call_sid == before)
            place = sa.tuple_(CALLS.c.created_at, CALLS.c.call_sid)
            query = query.where(place < sa.tuple_(last.scalar_subquery(), sa.literal(before)))
        if status is not None:
            query = query.where(CALLS.c.status == status)
        rows = await self._read(query.limit(limit))
        return [call for row in rows if (call := read_call(row["call_sid"], row))]

    async def get_call(self, call_sid: str) -> CallRow | None:
        """One call; None: there is no record of it."""
        rows = await self._read(sa.select(*_CALL_ROW).where(CALLS.c.call_sid == call_sid))
        return read_call(call_sid, rows[0]) if rows else None

    async def find_calls(
        self, search: Search, limit: int, before: str | None = None
    ) -> list[CallRow]:
        """The ended calls that a search is for, newest first. `before`: as of `list_calls`, and it
        raises the same."""
        if before is not None and await self.get_call(before) is None:
            raise LookupError("before names no call")
        found = await self.digests.find(search, limit, before)
        rows = await self._read(sa.select(*_CALL_ROW).where(CALLS.c.call_sid.in_(found)))
        calls = {row["call_sid"]: read_call(row["call_sid"], row) for row in rows}
        return [call for call_sid in found if (call := calls.get(call_sid))]

    async def turns(self, call_sid: str) -> list[TurnRow]:
        """The turns of a call in their order."""
        rows = await self._read(_parts(TURNS, call_sid))
        return [turn for row in rows if (turn := read_turn(call_sid, row))]

    async def timeline(self, call_sid: str) -> list[TimelineRow]:
        """The events and commands of a call in their order."""
        found: dict[int, TimelineRow] = {}
        batches = await self._read(_parts(TIMELINE, call_sid))
        for entry in read_timeline(call_sid, (batch["entries"] for batch in batches)):
            found.setdefault(entry.position, entry)
        return [found[position] for position in sorted(found)]

    async def _read(self, query: sa.Select[Any]) -> Sequence[sa.RowMapping]:
        try:
            rows = await self._database.read(partial(_rows, query))
            if self._database.generation != self._restored:
                self._work.set()  # the rows of live calls are missing
            return rows
        except (ValueError, TypeError, OverflowError, RecursionError):  # a value does not decode
            raw = (sa.type_coerce(column, sa.types.NULLTYPE) for column in query.selected_columns)
            return await self._database.read(partial(_rows, query.with_only_columns(*raw)))


async def _rows(query: sa.Executable, connection: AsyncConnection) -> Sequence[sa.RowMapping]:
    rows: Sequence[sa.RowMapping] = (await connection.execute(query)).mappings().all()
    return rows


def _kind(item: tuple[sa.Table, _Row]) -> tuple[sa.Table, bool]:
    """The table of a row to write, and whether the row is to be deleted."""
    table, row = item
    return table, table is TURNS and len(row) == len(TURNS.primary_key)


def _row(call_sid: str, record: TurnRow) -> _Row:
    return {"call_sid": call_sid} | {f.name: getattr(record, f.name) for f in fields(record)}


def _parts(table: sa.Table, call_sid: str) -> sa.Select[Any]:
    columns = [column for column in table.columns if column.name != "call_sid"]
    return sa.select(*columns).where(table.c.call_sid == call_sid).order_by(table.c.position)
