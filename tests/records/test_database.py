"""A database that an earlier version made: opened, completed, and still used by that version."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.records.database import is_required
from app.records.store import Store, StoreUnavailable, TimelineRow, TurnRow

# The tables as they were before calls had a cost, a recording, a summary and reports.
EARLIER_SCHEMA = """
CREATE TABLE calls (
    call_sid TEXT NOT NULL, account_sid TEXT NOT NULL, direction TEXT NOT NULL,
    from_number TEXT NOT NULL, to_number TEXT NOT NULL, agent_name TEXT NOT NULL,
    status TEXT NOT NULL, answered_by TEXT, created_at DATETIME NOT NULL, started_at DATETIME,
    ended_at DATETIME, duration_s FLOAT, ended_by TEXT, usage JSON NOT NULL,
    timings JSON NOT NULL, transfers JSON NOT NULL, PRIMARY KEY (call_sid)
);
CREATE INDEX ix_calls_created_at ON calls (created_at, call_sid);
CREATE TABLE turns (
    call_sid TEXT NOT NULL, position INTEGER NOT NULL, role TEXT NOT NULL, text TEXT NOT NULL,
    item_id TEXT NOT NULL, at_ms FLOAT NOT NULL, cut BOOLEAN NOT NULL, estimated BOOLEAN NOT NULL,
    heard_ms FLOAT, complete BOOLEAN NOT NULL, extra JSON NOT NULL,
    PRIMARY KEY (call_sid, position),
    FOREIGN KEY(call_sid) REFERENCES calls (call_sid) ON DELETE CASCADE
);
CREATE TABLE timelines (
    call_sid TEXT NOT NULL, position INTEGER NOT NULL, entries TEXT NOT NULL,
    PRIMARY KEY (call_sid, position),
    FOREIGN KEY(call_sid) REFERENCES calls (call_sid) ON DELETE CASCADE
);
"""
EARLIER_CALL = """
INSERT INTO calls VALUES (
    ?, 'AC1', 'inbound', '', '', 'Ada', 'completed', NULL, '2025-06-01 12:00:00.000000', NULL,
    NULL, 12.5, 'caller', '{"input_audio": 7}', '{}', '[]'
)
"""


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A database that an earlier version made, with a call in it."""
    file = tmp_path / "calls.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as past:
        past.executescript(EARLIER_SCHEMA)
        past.execute(EARLIER_CALL, ("CA1",))
    return file


@contextmanager
def somebody_writes(file: Path) -> Iterator[sqlite3.Connection]:
    """Another process holds the write lock, until it commits or this ends."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


async def test_a_database_of_an_earlier_version_gets_what_it_lacks(earlier: Path) -> None:
    entry = TimelineRow(0, 0.0, "event", "MarkEchoed", {"name": "m0"})
    store = await Store.open(f"sqlite:///{earlier}")
    store.reports = True
    store.save_call("CA1", status="completed")  # Twilio says again what it said long ago
    store.save_call(
        "CA2", cost={"total": 0.01}, recording="CA2.wav", summary="A pizza.", status="completed"
    )
    store.save_turns("CA1", [TurnRow(0, "user", "hello")])
    store.append_timeline("CA1", [entry])
    await store.flush()

    old, new = await store.get_call("CA1"), await store.get_call("CA2")

    assert old is not None and new is not None
    assert (old.cost, old.recording) == ({}, None)
    assert (old.usage, old.duration_s, old.created_at.year) == ({"input_audio": 7}, 12.5, 2025)
    assert (old.summary, await store.report_queue.state("CA1")) == (None, None)
    assert (new.cost, new.recording) == ({"total": 0.01}, "CA2.wav")
    assert (new.summary, await store.report_queue.state("CA2")) == ("A pizza.", "due")
    assert await store.timeline("CA1") == [entry]
    await store.aclose()
    again = await Store.open(f"sqlite:///{earlier}")
    assert await again.get_call("CA1") == old
    await again.aclose()


async def test_a_replica_of_an_earlier_version_goes_on_beside_the_new_one(earlier: Path) -> None:
    store = await Store.open(f"sqlite:///{earlier}")
    with closing(sqlite3.connect(earlier, isolation_level=None)) as past:
        columns = "call_sid account_sid direction from_number to_number agent_name status".split()
        columns += "created_at usage timings transfers".split()
        past.execute(
            f"INSERT INTO calls ({', '.join(columns)}) "
            "SELECT 'CA3', '', 'inbound', '', '', '', 'ringing', created_at, '{}', '{}', '[]' "
            "FROM calls"
        )

    call = await store.get_call("CA3")

    assert call is not None
    assert (call.cost, call.recording, call.summary) == ({}, None, None)
    assert await store.report_queue.state("CA3") is None
    await store.aclose()


async def test_a_column_that_another_replica_adds_meanwhile_is_not_added_twice(
    earlier: Path,
) -> None:
    waiting = asyncio.Event()

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement == "BEGIN IMMEDIATE":
            waiting.set()

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        with somebody_writes(earlier) as other:
            opening = asyncio.create_task(
                Store.open(f"sqlite:///{earlier}", busy_timeout_ms=15_000)
            )
            await waiting.wait()
            other.execute("ALTER TABLE calls ADD COLUMN cost JSON DEFAULT '{}' NOT NULL")
            other.execute("COMMIT")
            store = await opening
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)

    call = await store.get_call("CA1")

    assert call is not None
    assert (call.cost, call.recording) == ({}, None)
    await store.aclose()


async def test_replicas_that_start_together_on_an_earlier_database_all_get_it_open(
    earlier: Path,
) -> None:
    stores = await asyncio.gather(
        *(Store.open(f"sqlite:///{earlier}", busy_timeout_ms=15_000) for _ in range(5))
    )

    for store in stores:
        assert [call.cost for call in await store.list_calls()] == [{}]
        await store.aclose()


async def test_a_database_that_lacks_nothing_opens_while_somebody_writes(earlier: Path) -> None:
    await (await Store.open(f"sqlite:///{earlier}")).aclose()

    with somebody_writes(earlier):
        store = await Store.open(f"sqlite:///{earlier}", busy_timeout_ms=1)

        assert await store.get_call("CA1") is not None
        await store.aclose()


async def test_an_earlier_database_that_stays_locked_is_left_as_it_is(earlier: Path) -> None:
    with somebody_writes(earlier), pytest.raises(StoreUnavailable, match="locked"):
        await Store.open(f"sqlite:///{earlier}", busy_timeout_ms=1)

    with closing(sqlite3.connect(earlier)) as past:
        names = [row[1] for row in past.execute("PRAGMA table_info(calls)")]
    assert "cost" not in names


async def test_a_column_that_the_database_computes_gets_no_value(earlier: Path) -> None:
    with closing(sqlite3.connect(earlier, isolation_level=None)) as newer:
        newer.execute("ALTER TABLE calls ADD COLUMN size INTEGER NOT NULL AS (length(status))")
    store = await Store.open(f"sqlite:///{earlier}")
    assert "size" not in store._database.writable["calls"].columns

    store.save_call("CA5", status="in-progress")
    store.save_turns("CA5", [TurnRow(0, "user", "hello")])
    await store.flush()

    assert await store.turns("CA5") == [TurnRow(0, "user", "hello")]
    assert store.refused_rows == 0
    await store.aclose()


@pytest.mark.parametrize(
    ("made", "required"),
    [
        ({"default": None}, True),
        ({"default": None, "identity": {"always": True, "start": 1, "increment": 1}}, False),
        ({"default": None, "identity": {"always": False, "start": 1, "increment": 1}}, False),
        ({"default": None, "computed": {"sqltext": "length(text)", "persisted": True}}, False),
        ({"default": "nextval('calls_seq'::regclass)"}, False),
        ({"default": None, "nullable": True}, False),
    ],
)
def test_a_column_is_required_unless_postgresql_makes_its_value(
    made: dict[str, object], required: bool
) -> None:
    column = {"name": "seq", "type": sa.BigInteger(), "nullable": False, **made}
    assert is_required(column) == required  # type: ignore[arg-type]
