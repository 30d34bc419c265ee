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
    store.append_timeline("CA1", [TimelineRow(1, 0.0, "event", "MarkEchoed")])
    assert await store.flush(5) and len(await store.timeline("CA1")) == 1


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
