"""How long a call lasted, and what it cost, while the wall clock jumps."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.call import events as ev
from app.call.agent import Agent
from app.call.machine import CallMachine
from app.call.usage import Usage
from app.records.record import Transfers
from app.records.recorder import Recorder
from app.records.store import CallRow, Store
from app.records.stored_call import StoredCall, close_stored_record, note_decision, read_stored_call
from app.wires.twilio.call import CallInfo

CALL = CallInfo("CA1", "AC1", "inbound", "+15550100001", "+15550109999")
AGENT = Agent("Ada", "Be kind.")
JUMPS = [timedelta(days=-1), timedelta(days=1), timedelta(0)]


class WallClock:
    """In place of `datetime`: a clock that NTP, a suspended machine or a person sets."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def now(self, _: object) -> datetime:
        return self.at

    def pass_s(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    clock = WallClock()
    for module in ("recorder", "stored_call", "store"):
        monkeypatch.setattr(f"app.records.{module}.datetime", clock)
    return clock


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(f"sqlite:///{tmp_path}/calls.db")
    yield store
    await store.aclose()


def cost(_: Usage, seconds: float, __: str, ___: Transfers) -> dict[str, Any]:
    return {"seconds": seconds}


def recorder(store: Store, stored: StoredCall | None = None) -> Recorder:
    return Recorder(store, CALL, AGENT, cost, stored=stored)


async def row_of(store: Store) -> CallRow:
    await store.flush()
    row = await store.get_call("CA1")
    assert row is not None
    return row


async def begun(store: Store, wall: WallClock) -> Recorder:
    """A call whose stream started 2 s after it came in, and that has lasted for 30 s since."""
    records = recorder(store)
    records.event(ev.LegOpened(), 0.0)
    wall.pass_s(2)
    records.event(ev.StreamStarted("MZ1"), 2000.0)
    wall.pass_s(30)
    records.event(ev.DigitPressed("1"), 32_000.0)
    records.save_timeline()
    await store.flush()
    return records


@pytest.mark.parametrize("jump", JUMPS)
async def test_a_call_lasts_as_long_as_it_lasted(
    store: Store, wall: WallClock, jump: timedelta
) -> None:
    records = await begun(store, wall)
    wall.at += jump
    machine = CallMachine(AGENT)
    records.finish(machine, 62_000.0, ended_by="caller", call_continues=False)
    row = await row_of(store)
    assert (row.duration_s, row.cost) == (60.0, {"seconds": 60.0})


@pytest.mark.parametrize("jump", JUMPS)
async def test_a_call_that_ended_with_its_last_leg_lasts_until_then(
    store: Store, wall: WallClock, jump: timedelta
) -> None:
    records = await begun(store, wall)
    records.finish(CallMachine(AGENT), 62_000.0, ended_by="line", call_continues=True)
    wall.at += jump
    records.close_record(600_000.0, at_leg_end=True)
    row = await row_of(store)
    assert (row.duration_s, row.cost) == (60.0, {"seconds": 60.0})


async def test_a_call_without_a_stream_has_no_duration(store: Store, wall: WallClock) -> None:
    records = recorder(store)
    records.finish(CallMachine(AGENT), 5000.0, ended_by="unclaimed", call_continues=False)
    row = await row_of(store)
    assert (row.duration_s, row.cost) == (None, {"seconds": 0.0})


# --- another process ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("jump", "least_s"), [(timedelta(days=-1), 30.0), (timedelta(seconds=10), 40.0)]
)
async def test_the_clock_of_a_call_that_is_taken_over_runs_on(
    store: Store, wall: WallClock, jump: timedelta, least_s: float
) -> None:
    """Set back, the wall clock tells nothing: the call has lasted as long as its timeline."""
    await begun(store, wall)
    wall.at += jump
    found = await read_stored_call(store, "CA1")
    assert found is not None
    _, stored = found
    assert stored.age_s == 2 + least_s
    records = recorder(store, stored)
    now_ms = stored.age_s * 1000 + 5000
    records.event(ev.StreamStarted("MZ2"), now_ms)
    records.finish(CallMachine(AGENT), now_ms, ended_by="caller", call_continues=False)
    assert (await row_of(store)).duration_s == least_s + 5


async def test_an_outbound_call_that_is_taken_over_does_not_last_since_it_was_placed(
    store: Store, wall: WallClock
) -> None:
    store.save_call("CA1", direction="outbound-api", status="queued")
    wall.pass_s(20)  # it rings; its clock begins with the leg
    await begun(store, wall)
    found = await read_stored_call(store, "CA1")
    assert found is not None and found[1].age_s == 32.0


@pytest.mark.parametrize(
    ("jump", "lasted_s"), [(timedelta(days=-1), 30.0), (timedelta(seconds=10), 40.0)]
)
async def test_a_call_that_ends_without_a_process_has_no_negative_duration(
    store: Store, wall: WallClock, jump: timedelta, lasted_s: float
) -> None:
    await begun(store, wall)
    wall.at += jump
    await close_stored_record(store, await row_of(store), "completed", cost)
    row = await row_of(store)
    assert (row.duration_s, row.cost) == (lasted_s, {"seconds": lasted_s})


async def test_a_record_without_timings_has_the_wall_clocks_duration(
    store: Store, wall: WallClock
) -> None:
    """An older version wrote it."""
    store.save_call("CA1", agent_name="Ada", status="in-progress")
    wall.pass_s(3)
    store.save_call("CA1", started_at=wall.at)
    wall.pass_s(20)
    await close_stored_record(store, await row_of(store), "completed", cost)
    assert (await row_of(store)).duration_s == 20.0


async def test_a_note_is_not_put_before_what_happened(store: Store, wall: WallClock) -> None:
    await begun(store, wall)
    wall.at -= timedelta(days=1)
    await note_decision(store, "CA1", "record closed", "Twilio said nothing")
    await store.flush()
    last = (await store.timeline("CA1"))[-1]
    assert (last.name, last.at_ms) == ("DecisionMade", 32_000.0)
