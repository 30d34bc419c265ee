"""The end of a call without a leg is told to watchers once, though Twilio may report it twice."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.bridge.bus.local_bus import LocalBus
from app.bridge.records_without_leg import RecordsWithoutLeg
from app.bridge.services import Services
from app.records.watching import CallEnded, Watched
from app.wires.twilio.call import CallInfo
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


class BusAway(LocalBus):
    """Redis does not answer."""

    shared, available = True, False


async def test_an_owner_that_cannot_be_asked_closes_its_record_itself(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.bridge.records_without_leg.OWNER_S", 0.05)
    away = replace(services, bus=BusAway())
    store = away.store
    store.save_call(CALL.call_sid, direction=CALL.direction, status="in-progress")
    await store.flush()
    records = RecordsWithoutLeg(away, lambda _: False, lambda _: None)
    records.close_record(CALL.call_sid, "completed")
    store.save_call(CALL.call_sid, ended_at=datetime.now(UTC), ended_by="caller")
    await store.flush()
    await records.aclose()
    row = await store.get_call(CALL.call_sid)
    assert row is not None and (row.ended_by, row.epoch) == ("caller", 0)


async def test_a_call_whose_owner_is_gone_is_closed_though_redis_is_away(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.bridge.records_without_leg.OWNER_S", 0.05)
    away = replace(services, bus=BusAway())
    away.store.save_call(CALL.call_sid, direction=CALL.direction, status="in-progress")
    records = RecordsWithoutLeg(away, lambda _: False, lambda _: None)
    records.close_record(CALL.call_sid, "completed")
    await records.aclose()
    await away.store.flush()
    row = await away.store.get_call(CALL.call_sid)
    assert row is not None and row.ended_at is not None and row.status == "completed"
