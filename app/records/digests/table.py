"""The table of digests: written once for each ended call, searched, and added up by day."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from app.records.database import Database
from app.records.digests.digest import Digest
from app.records.digests.marks import marks_of, masks_of
from app.records.digests.search import Search
from app.records.schema import CALLS, DIGEST_WORDS, DIGESTS, MARKS, TIMELINE
from app.wires.twilio.call import TERMINAL

_JSON = ("responses_ms", "transfers")
_MARKS = frozenset(column.name for column in MARKS)
#: Of a search: those that are looked at before all others.
_FIRST_CANDIDATES = 500
_PIECE = 200  # rows that are read at a time: about 2 ms of the event loop


class DigestTable:
    """Its methods raise StoreUnavailable when the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, call_sid: str, created_at: datetime, digest: Digest) -> None:
        """Store the digest of a call, in place of the one before."""
        await self._database.change(partial(self._save, call_sid, created_at, digest))

    async def _save(
        self, call_sid: str, created_at: datetime, digest: Digest, connection: AsyncConnection
    ) -> None:
        insert: Callable[..., Any] = (
            postgresql.insert if self._database.dialect == "postgresql" else sqlite.insert
        )
        for table, row in rows_of(call_sid, created_at, digest):
            new = insert(table).values(row)
            replaced = {name: new.excluded[name] for name in row if name != "call_sid"}
            await connection.execute(
                new.on_conflict_do_update(index_elements=["call_sid"], set_=replaced)
            )

    async def missing(self, limit: int) -> list[str]:
        """Ended calls that have no digest, the newest first."""
        query = (
            sa.select(CALLS.c.call_sid)
            .outerjoin(DIGESTS, DIGESTS.c.call_sid == CALLS.c.call_sid)
            .outerjoin(DIGEST_WORDS, DIGEST_WORDS.c.call_sid == CALLS.c.call_sid)
            .where(sa.or_(DIGESTS.c.call_sid.is_(None), DIGEST_WORDS.c.call_sid.is_(None)))
            .where(CALLS.c.status.in_(sorted(TERMINAL)))
            .order_by(CALLS.c.created_at.desc())
            .limit(limit)
        )
        return [row["call_sid"] for row in await self._rows(query)]

    async def batches(self, call_sid: str) -> list[str]:
        """The stored batches of a call's timeline, see `read_timeline`: decoding them takes long
        enough to be done in a thread."""
        query = (
            sa.select(TIMELINE.c.entries)
            .where(TIMELINE.c.call_sid == call_sid)
            .order_by(TIMELINE.c.position)
        )
        return [row["entries"] for row in await self._rows(query)]

    async def find(self, search: Search, limit: int, before: str | None = None) -> list[str]:
        """The calls that a search is for, the newest first. `before`: the last one of the page
        before."""
        candidates, match = self._candidates(search, before), self._match(search)
        if match is None:
            return await self._call_sids(_in_order(candidates, DIGESTS).limit(limit))
        # Where many calls match, they are among the newest candidates. Where few do, the database
        # finds them fast, but it does not know which it is.
        newest = _in_order(candidates, DIGESTS).limit(_FIRST_CANDIDATES).subquery()
        rows = await self._rows(_in_order(_with_words(newest, match.label("fits")), newest))
        found = [row["call_sid"] for row in rows if row["fits"]]
        if len(found) < limit and len(rows) == _FIRST_CANDIDATES:
            every = candidates.subquery()
            query = _with_words(every).where(match)
            return await self._call_sids(_in_order(query, every).limit(limit))
        return found[:limit]

    def _candidates(self, search: Search, before: str | None) -> sa.Select[Any]:
        """The calls of which nothing but their words may not match."""
        columns = DIGESTS.c
        query = sa.select(columns.call_sid, columns.created_at)
        for number, mask in masks_of(search.parts, search.outcome).items():
            query = query.where(columns[MARKS[number].name].bitwise_and(mask) == mask)
        if search.after is not None:
            query = query.where(columns.created_at >= search.after)
        if search.before is not None:
            query = query.where(columns.created_at < search.before)
        if before is not None:
            last = sa.select(columns.created_at).where(columns.call_sid == before)
            place = sa.tuple_(columns.created_at, columns.call_sid)
            query = query.where(place < sa.tuple_(last.scalar_subquery(), sa.literal(before)))
        return query

    def _match(self, search: Search) -> sa.ColumnElement[bool] | None:
        """What the words have to be; None: anything."""
        words = DIGEST_WORDS.c.words
        place = sa.func.strpos if self._database.dialect == "postgresql" else sa.func.instr
        parts = [*search.parts, *([f"={search.outcome} "] if search.outcome else [])]
        return sa.and_(*(place(words, part) > 0 for part in parts)) if parts else None

    async def _call_sids(self, query: sa.Select[Any]) -> list[str]:
        return [row["call_sid"] for row in await self._rows(query)]

    async def of(self, call_sids: Iterable[str]) -> dict[str, Digest]:
        """The digests of these calls, as far as there are any, without their words."""
        columns = [column for column in DIGESTS.c if column.name not in {*_MARKS, "created_at"}]
        query = sa.select(*columns).where(DIGESTS.c.call_sid.in_(list(call_sids)))
        return {row["call_sid"]: _digest(row) for row in await self._rows(query)}

    async def since(self, after: datetime) -> list[sa.RowMapping]:
        """The digests of the calls that came in since then, without their words. Decode them with
        `dated`, in a thread: there may be many. They are read in pieces, so that calls go on
        meanwhile."""
        columns = DIGESTS.c
        raw = [sa.type_coerce(columns[name], sa.types.NULLTYPE).label(name) for name in _JSON]
        plain = [each for each in columns if each.name not in {*_MARKS, *_JSON}]
        place = sa.tuple_(columns.created_at, columns.call_sid)
        query = sa.select(*plain, *raw).order_by(columns.created_at, columns.call_sid).limit(_PIECE)
        piece = await self._rows(query.where(columns.created_at >= after))
        rows = list(piece)
        while len(piece) == _PIECE:
            last = sa.literal(piece[-1]["created_at"], columns.created_at.type)
            later = place > sa.tuple_(last, sa.literal(piece[-1]["call_sid"]))
            piece = await self._rows(query.where(later))
            rows += piece
        return rows

    async def _rows(self, query: sa.Select[Any]) -> Sequence[sa.RowMapping]:
        async def read(connection: AsyncConnection) -> Sequence[sa.RowMapping]:
            rows: Sequence[sa.RowMapping] = (await connection.execute(query)).mappings().all()
            return rows

        return await self._database.read(read)


def _in_order(query: sa.Select[Any], calls: sa.Table | sa.Subquery) -> sa.Select[Any]:
    """The newest first."""
    return query.order_by(calls.c.created_at.desc(), calls.c.call_sid.desc())


def _with_words(candidates: sa.Subquery, *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """Candidates, with their words."""
    of_call = DIGEST_WORDS.c.call_sid == candidates.c.call_sid
    return sa.select(candidates.c.call_sid, *columns).join(DIGEST_WORDS, of_call)


def rows_of(
    call_sid: str, created_at: datetime, digest: Digest
) -> list[tuple[sa.Table, dict[str, Any]]]:
    """The rows of a digest, with their tables."""
    row = asdict(digest) | {"call_sid": call_sid, "created_at": created_at}
    words, marks = row.pop("words"), row.pop("marks") or marks_of(digest.words)
    row |= {column.name: value for column, value in zip(MARKS, marks, strict=True)}
    return [(DIGESTS, row), (DIGEST_WORDS, {"call_sid": call_sid, "words": words})]


def dated(rows: Iterable[Mapping[Any, Any]]) -> Iterator[tuple[datetime, Digest]]:
    """When each call came in, and its digest. `rows`: see `DigestTable.since`."""
    return ((row["created_at"].astimezone(UTC), _digest(row)) for row in rows)


def _digest(row: Mapping[Any, Any]) -> Digest:
    return Digest(
        responses_ms=_list(row["responses_ms"]),
        interruptions=row["interruptions"],
        false_interruptions=row["false_interruptions"],
        transfers=_list(row["transfers"]),
        cost_usd=row["cost_usd"],
        words="",
    )


def _list(value: Any) -> list[Any]:
    found = json.loads(value) if isinstance(value, str) else value
    return found if isinstance(found, list) else []
