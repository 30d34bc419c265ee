"""A PostgreSQL server that stops, hangs, or is replaced while calls are recorded."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from app.records.store import Store, StoreUnavailable, TimelineRow, TurnRow
from tests.postgres import PostgresServer


@pytest.fixture
def url(own_postgres: PostgresServer) -> str:
    return own_postgres.new_database()


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    store = await Store.open(url)
    store.save_call("CA1", status="in-progress", agent_name="Ada")
    store.save_turns("CA1", [TurnRow(0, "user", "Hello")])
    await store.flush()
    yield store
    await store.aclose()


async def test_records_wait_for_a_server_that_has_stopped(
    store: Store, own_postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    own_postgres.stop()
    assert not await store.probe(5)
    store.save_turns("CA1", [TurnRow(1, "assistant", "Hi.")])
    store.save_call("CA2", status="completed", duration_s=3.0)
    assert not await store.flush(0.2)
    with pytest.raises(StoreUnavailable):
        await store.adopt("CA1")
    assert not store.available
    own_postgres.start()
    assert await store.flush(10)

    assert store.available
    assert [turn.text for turn in await store.turns("CA1")] == ["Hello", "Hi."]
    call = await store.get_call("CA2")
    assert call is not None and call.duration_s == 3.0
    assert caplog.messages == ["database away, records wait", "database back, records written"]


async def test_a_probe_finds_out_that_an_idle_store_has_lost_its_server(
    store: Store, own_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.records.store._PROBE_EVERY_S", 0.0)
    assert await store.probe(5)
    own_postgres.suspend()
    assert not await store.probe(0.05)
    own_postgres.resume()
    assert await store.probe(5)


async def test_a_process_that_stops_in_a_transaction_holds_up_no_adoption(
    store: Store, url: str
) -> None:
    other = await Store.open(url)
    async with other._database._engine.connect() as stopped:
        await stopped.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 200")
        await stopped.exec_driver_sql("UPDATE calls SET agent_name = 'x'")
        assert await store.adopt("CA1") == 1
        await stopped.invalidate()
    await other.aclose()


async def test_the_records_of_live_calls_are_whole_at_a_standby_that_was_promoted(
    store: Store, own_postgres: PostgresServer, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.save_call("CA2", status="completed")
    entries = [TimelineRow(n, 0.0, "event", "MarkEchoed") for n in range(3)]
    store.append_timeline("CA1", entries[:2])
    await store.flush()
    own_postgres.execute("DELETE FROM calls", url)  # as if the standby had not got them
    own_postgres.stop()
    own_postgres.start_as_standby()
    store.save_turns("CA1", [TurnRow(1, "assistant", "Hi.")])
    assert not await store.flush(0.3)  # a standby may only be read
    assert await store.list_calls() == []
    own_postgres.promote()
    assert await store.flush(10)

    call = await store.get_call("CA1")
    assert call is not None and call.agent_name == "Ada"
    assert [turn.text for turn in await store.turns("CA1")] == ["Hello", "Hi."]
    assert await store.get_call("CA2") is None
    assert "another database server took the place of the one before" in caplog.messages
    store.append_timeline("CA1", entries[2:])
    assert await store.flush(5) and await store.timeline("CA1") == entries


async def test_two_processes_that_write_the_same_calls_never_wait_for_each_other(
    store: Store, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    other = await Store.open(url)
    names = [f"CA{number:02}" for number in range(40)]
    for _ in range(5):
        for call_sid in names:
            store.save_call(call_sid, status="ringing")
        for call_sid in reversed(names):
            other.save_call(call_sid, answered_by="human")
        await asyncio.gather(store.flush(), other.flush())

    assert len(await store.list_calls(100)) == 41
    assert caplog.messages == []
    await other.aclose()


DAMAGE = {
    "a table is dropped": ["DROP TABLE turns"],
    "all tables are dropped": [
        "DROP TABLE turns, timelines, digests, digest_words, calls, alembic_version"
    ],
    "a column is dropped": ["ALTER TABLE calls DROP COLUMN summary"],
    "a column of a revision is dropped": ["ALTER TABLE calls DROP COLUMN epoch"],
    "the schema is dropped": ["DROP SCHEMA public CASCADE", "CREATE SCHEMA public"],
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_a_damaged_database_is_made_anew_with_the_records_of_live_calls(
    postgres: PostgresServer, postgres_url: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = await Store.open(postgres_url)
    store.save_call("CA1", status="in-progress", agent_name="Ada")
    store.save_turns("CA1", [TurnRow(0, "user", "Hello")])
    await store.flush()
    for statement in DAMAGE[damage]:
        postgres.execute(statement, postgres_url)

    store.save_turns("CA1", [TurnRow(1, "assistant", "Hi.")])
    store.save_call("CA1", status="completed", summary="A pizza.")
    assert await store.flush(10)

    call = await store.get_call("CA1")
    assert call is not None
    assert (call.status, call.agent_name, call.summary) == ("completed", "Ada", "A pizza.")
    assert [turn.text for turn in await store.turns("CA1")] == ["Hello", "Hi."]
    assert store.refused_rows == 0
    assert "database made anew, stored records may be gone" in caplog.messages
    await store.aclose()


async def test_a_row_that_the_server_refuses_is_dropped_alone(postgres_url: str) -> None:
    store = await Store.open(postgres_url)
    for call_sid in ("CA1", "CA2"):
        store.save_call(call_sid, status="in-progress", agent_name="Ada")
        words = [TurnRow(n, "user", "word") for n in range(4)]
        store.save_turns(call_sid, [*words, TurnRow(2**40, "user", "too far")])
        store.append_timeline(call_sid, [TimelineRow(1, 0.0, "event", "MarkEchoed")])
    assert await store.flush(10)

    assert store.refused_rows == 2
    for call_sid in ("CA1", "CA2"):
        call = await store.get_call(call_sid)
        assert call is not None and (call.status, call.agent_name) == ("in-progress", "Ada")
        assert len(await store.turns(call_sid)) == 4
        assert len(await store.timeline(call_sid)) == 1
    await store.aclose()
