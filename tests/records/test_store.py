import asyncio
import logging
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.errors import ConfigError
from app.records.store import Store, StoreUnavailable, TimelineRow, TurnRow
from app.wires.twilio.call import CallStatus


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "calls.db"


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    store = await Store.open(database_url, busy_timeout_ms=1)
    yield store
    await store.aclose()


@pytest.fixture
async def in_file(file: Path) -> AsyncIterator[Store]:
    """A store in the SQLite file."""
    store = await Store.open(f"sqlite:///{file}", busy_timeout_ms=1)
    yield store
    await store.aclose()


@contextmanager
def failures() -> Iterator[asyncio.Queue[BaseException]]:
    """Every error that a database raises meanwhile."""
    seen: asyncio.Queue[BaseException] = asyncio.Queue()

    def note(context: Any) -> None:
        seen.put_nowait(context.original_exception)

    sa.event.listen(sa.Engine, "handle_error", note)
    try:
        yield seen
    finally:
        sa.event.remove(sa.Engine, "handle_error", note)


@contextmanager
def somebody_writes(file: Path) -> Iterator[sqlite3.Connection]:
    """Another process holds the write lock, until it commits or this ends."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def entries(*positions: int) -> list[TimelineRow]:
    return [TimelineRow(p, p * 20.0, "event", "MarkEchoed", {"name": f"m{p}"}) for p in positions]


async def test_a_call_is_stored_as_it_was_saved(store: Store) -> None:
    paris = timezone(timedelta(hours=2))
    started = datetime(2025, 6, 1, 14, 0, 0, 123456, paris)
    store.save_call(
        "CA1", account_sid="AC1", from_number="+15551230001", to_number="+15551230002",
        agent_name="Ada", timings={"webhook_ms": 12.5},
    )  # fmt: skip
    store.save_call("CA1", status="in-progress", started_at=started)
    await store.flush()
    store.save_call("CA1", usage={"input_audio": 7}, transfers=[{"destination": "desk"}])
    store.save_call("CA1", status="completed", duration_s=3, ended_by="caller", ended_at=started)
    await store.flush()

    call = await store.get_call("CA1")

    assert call is not None
    assert (call.account_sid, call.direction, call.agent_name) == ("AC1", "inbound", "Ada")
    assert (call.from_number, call.to_number) == ("+15551230001", "+15551230002")
    assert (call.status, call.duration_s, call.ended_by) == ("completed", 3, "caller")
    assert call.answered_by is None
    assert call.started_at == started
    assert call.started_at.tzinfo is UTC
    assert datetime.now(UTC) - call.created_at < timedelta(minutes=1)
    assert (call.usage, call.timings) == ({"input_audio": 7}, {"webhook_ms": 12.5})
    assert call.transfers == [{"destination": "desk"}]
    assert (call.cost, call.recording, call.summary) == ({}, None, None)
    assert await store.get_call("CA2") is None


async def test_cost_summary_and_recording_are_stored(store: Store) -> None:
    store.save_call("CA1", recording="recordings/CA1.wav", cost={"total": 0.01})
    store.save_call("CA1", summary="They want a pizza.")
    await store.flush()
    store.save_call("CA1", cost={"model": None, "total": None, "unknown": ["model"]})
    await store.flush()

    call = await store.get_call("CA1")

    assert call is not None
    assert (call.recording, call.summary) == ("recordings/CA1.wav", "They want a pizza.")
    assert call.cost == {"model": None, "total": None, "unknown": ["model"]}


async def test_a_field_that_the_record_lacks_cannot_be_saved(store: Store) -> None:
    for field in ("mood", "created_at", "report_state"):
        with pytest.raises(TypeError, match=f"no field to change named {field}"):
            unknown: dict[str, Any] = {field: None}
            store.save_call("CA1", **unknown)


async def test_a_turn_is_replaced_in_its_place_until_it_is_complete(store: Store) -> None:
    tool = TurnRow(2, "tool", "", extra={"name": "weather", "arguments": {"city": "Oslo"}})
    store.save_turns("CA1", [TurnRow(1, "assistant", "It is", complete=False), tool])
    store.save_turns("CA1", [TurnRow(0, "user", "Weather?", "item_a", 10.5)])
    await store.flush()
    cut = TurnRow(1, "assistant", "It is sunny", "item_b", 900.0, True, True, 640.0, True)
    store.save_turns("CA1", [TurnRow(1, "assistant", "It is su", complete=False)])
    store.save_turns("CA1", [cut])
    await store.flush()

    turns = await store.turns("CA1")

    assert turns == [TurnRow(0, "user", "Weather?", "item_a", 10.5), cut, tool]


@pytest.mark.parametrize("flushed", [False, True])
async def test_a_turn_that_is_removed_is_deleted_and_may_come_back(
    store: Store, flushed: bool
) -> None:
    hello, bye = TurnRow(0, "user", "Hello"), TurnRow(1, "assistant", "Bye")
    store.save_turns("CA1", [hello, bye, TurnRow(2, "assistant", "Bye")])
    store.save_turns("CA2", [hello, bye])
    if flushed:
        await store.flush()
    store.save_turns("CA1", [], removed=range(1, 3))
    await store.flush()
    assert await store.turns("CA1") == [hello]
    assert await store.turns("CA2") == [hello, bye]

    store.save_turns("CA1", [bye], removed=[0])
    await store.flush()
    assert await store.turns("CA1") == [bye]


async def test_a_timeline_keeps_its_order_and_its_first_entries(store: Store) -> None:
    store.append_timeline("CA1", entries(*range(250)))
    store.append_timeline("CA2", entries(0))
    await store.flush()
    store.append_timeline("CA1", [TimelineRow(3, 0.0, "command", "ClearAudio"), *entries(250)])
    await store.flush()

    assert await store.timeline("CA1") == entries(*range(251))
    assert await store.timeline("CA2") == entries(0)


@pytest.mark.parametrize("flushed", [False, True])
@pytest.mark.parametrize(
    ("told", "kept"),
    [
        (["ringing", "in-progress", "completed"], "completed"),
        (["completed", "in-progress"], "completed"),
        (["no-answer", "completed"], "no-answer"),
        (["in-progress", "ringing", "initiated"], "in-progress"),
        (["queued", "initiated"], "initiated"),
    ],
)
async def test_callbacks_out_of_order_never_set_a_status_back(
    store: Store, told: list[CallStatus], kept: str, flushed: bool
) -> None:
    for status in told:
        store.save_call("CA1", status=status, ended_by=status)
        if flushed:
            await store.flush()
    await store.flush()

    call = await store.get_call("CA1")

    assert call is not None
    assert (call.status, call.ended_by) == (kept, told[-1])


async def test_pages_of_calls_go_from_the_newest_to_the_oldest(store: Store) -> None:
    for number in range(5):
        store.save_call(f"CA{number}", status="busy" if number % 2 else "completed")
        await store.flush()

    first = await store.list_calls(2)
    second = await store.list_calls(2, before=first[-1].call_sid)
    third = await store.list_calls(2, before=second[-1].call_sid)

    assert [c.call_sid for c in (*first, *second, *third)] == ["CA4", "CA3", "CA2", "CA1", "CA0"]
    assert [c.call_sid for c in await store.list_calls(status="busy")] == ["CA3", "CA1"]
    assert [c.call_sid for c in await store.list_calls(9, "CA3", "busy")] == ["CA1"]
    with pytest.raises(LookupError):
        await store.list_calls(before="CA9")


async def test_a_locked_database_delays_records_but_loses_none(
    in_file: Store, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.records.store")
    with failures() as failed, somebody_writes(file) as other:
        in_file.save_call("CA1", status="in-progress", from_number="+15551230001")
        in_file.save_turns("CA1", [TurnRow(0, "user", "a secret")])
        in_file.append_timeline("CA1", entries(0, 1))
        waiting = asyncio.create_task(in_file.flush())
        for _ in range(3):
            assert "locked" in str(await failed.get())
        in_file.save_call("CA1", status="completed")
        in_file.append_timeline("CA1", entries(2, 3))
        assert not waiting.done()
        assert await in_file.get_call("CA1") is None  # readers do not wait for the lock
        other.execute("COMMIT")
        await waiting
        await in_file.flush()

    call = await in_file.get_call("CA1")

    assert call is not None
    assert call.status == "completed"
    assert await in_file.turns("CA1") == [TurnRow(0, "user", "a secret")]
    assert await in_file.timeline("CA1") == entries(0, 1, 2, 3)
    assert [r.message for r in caplog.records] == [
        "database away, records wait",
        "database back, records written",
    ]
    told = str([vars(r) for r in caplog.records])
    assert "locked" in told
    assert "secret" not in told and "555123" not in told


async def test_a_flush_of_a_locked_database_may_have_a_deadline(in_file: Store, file: Path) -> None:
    with somebody_writes(file):
        in_file.save_call("CA1", status="ringing")
        assert not await in_file.flush(within_s=0.05)
    assert await in_file.flush(within_s=5)
    assert await in_file.get_call("CA1") is not None


async def test_a_long_outage_drops_only_the_oldest_timeline_entries(file: Path) -> None:
    store = await Store.open(f"sqlite:///{file}", busy_timeout_ms=1, most_waiting_entries=3)
    with failures() as failed, somebody_writes(file) as other:
        store.append_timeline("CA1", entries(0))
        await failed.get()
        for position in range(1, 9):
            store.append_timeline("CA1", entries(position))
            store.save_turns("CA1", [TurnRow(position, "user", "hello")])
            store.save_call(f"CA{position}", status="completed")
        other.execute("COMMIT")
        await store.flush()

    assert await store.timeline("CA1") == entries(0, 6, 7, 8)
    assert store.dropped_entries == 5
    assert [turn.position for turn in await store.turns("CA1")] == [*range(1, 9)]
    assert len(await store.list_calls()) == 8
    await store.aclose()


async def test_a_rejected_row_is_dropped_alone(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    circle: dict[str, Any] = {}
    circle["self"] = circle
    store.append_timeline("CA1", entries(0, 1))
    store.append_timeline("CA1", [TimelineRow(2, 0.0, "event", "Odd", circle), *entries(3)])
    store.save_turns("CA1", [TurnRow(0, "user", "hello")])
    await store.flush()

    assert await store.timeline("CA1") == entries(0, 1, 3)
    assert await store.turns("CA1") == [TurnRow(0, "user", "hello")]
    assert store.refused_rows == 1
    assert [r.message for r in caplog.records] == ["record refused by the database"]


async def test_odd_characters_and_values_are_stored(store: Store) -> None:
    data = {"at": datetime(2025, 1, 1), "nul": "\0", "half": "\ud83d"}
    store.save_turns("CA1", [TurnRow(0, "user", "a\0b \ud83d 你好 👋")])
    store.append_timeline("CA1", [TimelineRow(0, 0.0, "event", "Odd", data)])
    await store.flush()

    assert (await store.turns("CA1"))[0].text == "a?b ? 你好 👋"
    read = {"at": "2025-01-01 00:00:00", "nul": "\0", "half": "?"}
    assert (await store.timeline("CA1"))[0].data == read
    assert await store.get_call("\0") is None


async def test_closing_gives_up_on_a_database_that_stays_locked(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = await Store.open(f"sqlite:///{file}", busy_timeout_ms=1)
    with failures() as failed, somebody_writes(file):
        store.save_call("CA1")
        flushed = asyncio.create_task(store.flush())
        await failed.get()
        store.save_turns("CA2", [TurnRow(0, "user", "hello")])
        await store.aclose(within_ms=1)
        await flushed
        store.save_call("CA3")
        await store.flush()

    lost = [r for r in caplog.records if r.message.startswith("call records lost")]
    assert [vars(r)["rows"] for r in lost] == [3]


async def test_closing_writes_what_is_pending(database_url: str) -> None:
    store = await Store.open(database_url)
    store.save_call("CA1")
    await store.aclose()

    again = await Store.open(database_url)
    assert [call.call_sid for call in await again.list_calls()] == ["CA1"]
    await again.aclose()


async def test_replicas_that_start_together_share_one_database(database_url: str) -> None:
    stores = await asyncio.gather(*(Store.open(database_url) for _ in range(3)))
    for number, store in enumerate(stores):
        store.save_call("CA1", status="completed" if number == 1 else "in-progress")
        await store.flush()

    call = await stores[2].get_call("CA1")

    assert call is not None
    assert call.status == "completed"
    for store in stores:
        await store.aclose()


async def test_deleting_a_call_deletes_all_of_it(in_file: Store, file: Path) -> None:
    in_file.save_turns("CA1", [TurnRow(0, "user", "hello")])
    in_file.append_timeline("CA1", entries(0))
    await in_file.flush()
    with closing(sqlite3.connect(file, isolation_level=None)) as operator:
        assert operator.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        operator.execute("PRAGMA foreign_keys = ON")
        operator.execute("DELETE FROM calls")

    assert await in_file.turns("CA1") == []
    assert await in_file.timeline("CA1") == []


async def test_no_reader_of_a_memory_database_rolls_the_writer_back() -> None:
    store = await Store.open("sqlite:///:memory:")
    for number in range(5):
        store.save_call(f"CA{number}")
        flushed = asyncio.create_task(store.flush())
        while not flushed.done():
            await store.get_call("CA0")

    assert len(await store.list_calls()) == 5
    await store.aclose()


async def test_reading_raises_when_the_database_is_away(in_file: Store, file: Path) -> None:
    os.unlink(file)
    os.mkdir(file)

    with pytest.raises(StoreUnavailable, match="DATABASE_URL"):
        await in_file.get_call("CA1")


@pytest.mark.parametrize("url", ["mysql://127.0.0.1/calls", "sqlite:////nowhere/at/all/calls.db"])
async def test_a_url_that_names_no_database_is_a_fault_of_configuration(url: str) -> None:
    with pytest.raises(ConfigError, match="DATABASE_URL"):
        await Store.open(url)


def test_a_file_that_is_no_database_is_left_alone(file: Path) -> None:
    file.write_text("dear diary, " * 100)

    with pytest.raises(StoreUnavailable, match="not a database"):
        asyncio.run(Store.open(f"sqlite:///{file}"))

    assert file.read_text().startswith("dear diary")
