"""Watchers get the end of a call without a leg once, also if Twilio reports it twice."""

import asyncio
from datetime import UTC, datetime

import pytest

from app.bridge.bus.bus import BusUnavailable
from app.bridge.records_without_leg import RecordsWithoutLeg
from app.bridge.services import Services
from app.records.record import CallRow
from app.records.store import StoreUnavailable
from app.records.watching import CallEnded, Watched
from app.wires.twilio.call import CallInfo, CallStatus
from tests.bridge.test_leg_seed import services as services  # a fixture

CALL = CallInfo("CA1", "AC1", "outbound-api", "+14155550101", "+14155550102")


def watched(services: Services) -> list[Watched]:
    told: list[Watched] = []
    services.watchers.append(lambda _call, message, _ms: told.append(message))
    return told


async def test_a_call_whose_end_is_reported_twice_at_once_ends_once(services: Services) -> None:
    told = watched(services)
    services.store.save_call(CALL.call_sid, direction=CALL.direction, status="ringing")
    ended: list[str] = []
    records = RecordsWithoutLeg(services, lambda _: False, ended.append)
    records.close_record(CALL.call_sid, "busy")
    records.close_record(CALL.call_sid, "busy")
    await records.aclose()
    assert told == [CallEnded("", 0.0)] and ended == [CALL.call_sid]


async def test_a_rejected_call_that_asks_again_is_counted_once(services: Services) -> None:
    told = watched(services)
    records = RecordsWithoutLeg(services, lambda _: False, lambda _: None)
    records.call_rejected(CALL, "MAX_CALLS is reached")
    records.call_rejected(CALL, "MAX_CALLS is reached")
    await records.aclose()
    assert told == [CallEnded("busy", 0.0)]


async def test_an_owner_that_cannot_be_asked_has_the_time_to_close_the_record_itself(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.bridge.records_without_leg.OWNER_S", 0.2)
    told = watched(services)
    store = services.store
    store.save_call(CALL.call_sid, direction=CALL.direction, agent_name="Ada", status="in-progress")
    await store.flush()

    async def unknown(_call_sid: str, _status: CallStatus) -> bool:
        raise BusUnavailable("Redis is away")

    ended: list[str] = []
    records = RecordsWithoutLeg(services, lambda _: False, ended.append)
    records.tell_owner = unknown
    records.close_record(CALL.call_sid, "completed")
    store.save_call(CALL.call_sid, ended_at=datetime.now(UTC), ended_by="caller")
    await records.aclose()
    row = await store.get_call(CALL.call_sid)
    assert row is not None and row.ended_by == "caller" and not told
    assert ended == [CALL.call_sid]


async def test_a_record_is_closed_when_the_database_is_back_and_its_call_ends_before(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.bridge.records_without_leg.FIRST_RETRY_S", 0.01)
    told, store = watched(services), services.store
    store.save_call(CALL.call_sid, direction=CALL.direction, agent_name="Ada", status="in-progress")
    await store.flush()
    away, asked = asyncio.Event(), asyncio.Event()
    away.set()
    get_call = store.get_call

    async def get(call_sid: str) -> CallRow | None:
        asked.set()
        if away.is_set():
            raise StoreUnavailable("the database does not answer")
        return await get_call(call_sid)

    monkeypatch.setattr(store, "get_call", get)
    ended: list[str] = []
    records = RecordsWithoutLeg(services, lambda _: False, ended.append)
    records.close_record(CALL.call_sid, "completed", reason="no replica had it", ended_by="line")
    while not ended:
        await asked.wait()
        await asyncio.sleep(0)
    away.clear()
    await records.aclose()
    await store.flush()

    row = await store.get_call(CALL.call_sid)
    assert row is not None and (row.status, row.ended_by) == ("completed", "line")
    assert row.ended_at is not None and told == [CallEnded("line", 0.0)]
    assert ended == [CALL.call_sid]
    (entry,) = await store.timeline(CALL.call_sid)
    assert entry.data["reason"] == "no replica had it"


@pytest.mark.parametrize("looks", [3, 11], ids=["written in time", "never written"])
async def test_a_row_that_still_waits_at_another_replica_is_closed_once_it_is_written(
    services: Services, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    monkeypatch.setattr("app.bridge.records_without_leg.FIRST_RETRY_S", 0.0)
    monkeypatch.setattr(services.bus, "shared", True)
    told, store, looked = watched(services), services.store, 0
    get_call = store.get_call

    async def get(call_sid: str) -> CallRow | None:
        nonlocal looked
        looked += 1
        if looked == looks:
            store.save_call(
                call_sid, direction=CALL.direction, agent_name="Ada", ended_by="transfer"
            )
            await store.flush()
        return await get_call(call_sid)

    monkeypatch.setattr(store, "get_call", get)
    ended: list[str] = []
    records = RecordsWithoutLeg(services, lambda _: False, ended.append)
    records.close_record(CALL.call_sid, "completed")
    await records.aclose()
    await store.flush()
    row = await get_call(CALL.call_sid)
    if looks > 10:
        assert row is None and not told
    else:
        assert row is not None and row.ended_at is not None
        assert told == [CallEnded("transfer", 0.0)]
    assert ended == [CALL.call_sid]
