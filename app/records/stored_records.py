"""Reads the records of calls: what is committed.

Rows are decoded in a thread: those of a long call would hold up the audio of others.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.records.database import Database
from app.records.digests.search import Search
from app.records.digests.table import DigestTable
from app.records.reading import read_call, read_timeline, read_turn
from app.records.record import CallRow, TimelineRow, TurnRow
from app.records.schema import CALLS, TIMELINE, TURNS
from app.records.timeline_json import timeline_json
from app.wires.twilio.call import CallStatus

_Rows = Sequence[sa.RowMapping]
_CALL_ROW = tuple(CALLS.c[each.name] for each in fields(CallRow))


@dataclass(frozen=True, slots=True)
class OpenRecord:
    """What is stored of a call whose record has no end; see the fields of `CallRow`."""

    call_sid: str
    status: CallStatus
    direction: str
    revision: int
    created_at: datetime
    started_at: datetime | None
    transfers: list[dict[str, Any]]


class StoredRecords:
    """The records of a database. Every method raises StoreUnavailable when it does not answer."""

    def __init__(self, database: Database) -> None:
        #: What lists, searches and statistics need of ended calls.
        self.digests = DigestTable(database)
        self._database = database

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
        return await asyncio.to_thread(_calls, rows)

    async def live_calls(self, limit: int) -> list[str]:
        """The SIDs of calls that are in progress, the newest first."""
        query = sa.select(CALLS.c.call_sid).where(CALLS.c.status == "in-progress")
        rows = await self._read(query.order_by(CALLS.c.created_at.desc()).limit(limit))
        return [str(row["call_sid"]) for row in rows]

    async def open_records(self, since: datetime, limit: int) -> list["OpenRecord"]:
        """Calls since then whose record has no end, the oldest first."""
        columns = (CALLS.c[each.name] for each in fields(OpenRecord))
        query = sa.select(*columns).where(CALLS.c.ended_at.is_(None), CALLS.c.created_at >= since)
        rows = await self._read(query.order_by(CALLS.c.created_at).limit(limit))
        return [OpenRecord(**row) for row in rows]

    async def statuses(self, call_sids: Sequence[str]) -> dict[str, str]:
        """The status of each of these calls that has a record."""
        query = sa.select(CALLS.c.call_sid, CALLS.c.status).where(CALLS.c.call_sid.in_(call_sids))
        return {row["call_sid"]: row["status"] for row in await self._read(query)}

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
        return await asyncio.to_thread(_turns, call_sid, rows)

    async def timeline(self, call_sid: str) -> list[TimelineRow]:
        """The events and commands of a call in their order."""
        rows = await self._read(_parts(TIMELINE, call_sid))
        return await asyncio.to_thread(_timeline, call_sid, rows)

    async def timeline_json(self, call_sid: str) -> bytes:
        """The same as a JSON list."""
        rows = await self._read(_parts(TIMELINE, call_sid))
        return await asyncio.to_thread(timeline_json, call_sid, [row["entries"] for row in rows])

    async def _read(self, query: sa.Select[Any]) -> _Rows:
        try:
            rows = await self._database.read(partial(_rows, query))
            self._has_read()
            return rows
        except (ValueError, TypeError, OverflowError, RecursionError):  # a value does not decode
            raw = (sa.type_coerce(column, sa.types.NULLTYPE) for column in query.selected_columns)
            return await self._database.read(partial(_rows, query.with_only_columns(*raw)))

    def _has_read(self) -> None:
        """Something was read."""


async def _rows(query: sa.Executable, connection: AsyncConnection) -> _Rows:
    rows: _Rows = (await connection.execute(query)).mappings().all()
    return rows


def _calls(rows: _Rows) -> list[CallRow]:
    return [call for row in rows if (call := read_call(row["call_sid"], row))]


def _turns(call_sid: str, rows: _Rows) -> list[TurnRow]:
    return [turn for row in rows if (turn := read_turn(call_sid, row))]


def _timeline(call_sid: str, batches: _Rows) -> list[TimelineRow]:
    found: dict[int, TimelineRow] = {}
    for entry in read_timeline(call_sid, (batch["entries"] for batch in batches)):
        found.setdefault(entry.position, entry)
    return [found[position] for position in sorted(found)]


def _parts(table: sa.Table, call_sid: str) -> sa.Select[Any]:
    columns = [column for column in table.columns if column.name != "call_sid"]
    return sa.select(*columns).where(table.c.call_sid == call_sid).order_by(table.c.position)
