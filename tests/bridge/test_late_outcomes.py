"""Outcomes of transfers that Twilio reported while the database was away."""

from collections.abc import Callable
from typing import Any

import pytest

from app.bridge.services import Services
from app.bridge.transfers.late_outcomes import LateOutcomes, outcome_of
from app.records.store import Store, StoreUnavailable
from app.records.watching import TransferEnded, Watched
from app.wires.twilio.call import CallInfo
from app.wires.twilio.dial_ended import DialEnded
from tests.bridge.test_leg_seed import services as services  # a fixture

CALL = CallInfo("CA1", "AC1", "inbound", "+14155550101", "+14155550102")
BRIDGED = DialEnded("completed", True, 12.0, False)


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (BRIDGED, "completed"),
        (DialEnded("completed", False, 2.0, False), "not-accepted"),
        (DialEnded("no-answer", False, None, False), "no-answer"),
        (DialEnded("canceled", False, None, True), "canceled"),
        (DialEnded("", None, None, False), "failed"),
    ],
)
def test_the_outcome_is_read_from_twilios_request(end: DialEnded, outcome: str) -> None:
    assert outcome_of(end) == outcome


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed meanwhile"])
async def test_the_record_learns_it_once_the_database_is_back(
    services: Services, monkeypatch: pytest.MonkeyPatch, closed: bool
) -> None:
    monkeypatch.setattr("app.bridge.transfers.late_outcomes.RETRY_S", 0.01)
    told: list[Watched] = []
    services.watchers.append(lambda _call, message, _ms: told.append(message))
    real, away = Store.change_transfers, 3

    async def change(
        store: Store, call_sid: str, with_: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
    ) -> list[dict[str, Any]]:
        nonlocal away
        away -= 1
        if away >= 0:
            raise StoreUnavailable("away")
        return await real(store, call_sid, with_)

    monkeypatch.setattr(Store, "change_transfers", change)
    first = {"destination": "desk", "outcome": "busy"}
    waits = {"destination": "sales", "outcome": "canceled" if closed else "ringing"}
    services.store.save_call(CALL.call_sid, direction="inbound", transfers=[first, waits])
    late = LateOutcomes(services)
    late.note(CALL, 1, BRIDGED)
    await late._tasks.wait()
    row = await services.store.get_call(CALL.call_sid)
    assert row is not None
    assert [each["outcome"] for each in row.transfers] == ["busy", "completed"]
    assert row.transfers[1]["seconds"] == 12.0 and told == [TransferEnded("completed")]
    await late.aclose()


async def test_an_outcome_that_the_record_knows_stays(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.bridge.transfers.late_outcomes.RETRY_S", 0.01)
    known = [{"destination": "desk", "outcome": "busy"}]
    services.store.save_call(CALL.call_sid, direction="inbound", transfers=known)
    late = LateOutcomes(services)
    late.note(CALL, 0, BRIDGED)
    await late._tasks.wait()
    row = await services.store.get_call(CALL.call_sid)
    assert row is not None and row.transfers == known
