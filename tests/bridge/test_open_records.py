"""Which records are closed though Twilio reported no end of their calls, and when."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.bridge.bus.bus import BusUnavailable, Owner
from app.bridge.bus.local_bus import LocalBus
from app.bridge.expiry import ExpiryLimits
from app.bridge.open_records import LOOK_S, OVER_S, OpenRecords
from app.records.store import Store

SID = "CA1"
LIMITS = ExpiryLimits()


class Bus(LocalBus):
    """The leases that a test gives and takes."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = True
        self.is_away = False
        self.leases: dict[str, Owner] = {}

    async def owners(self, call_sids: Sequence[str]) -> dict[str, Owner]:
        if self.is_away:
            raise BusUnavailable("away")
        return {sid: self.leases[sid] for sid in call_sids if sid in self.leases}


class Scene:
    """What the watch uses of the service, and what it closed."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.bus = Bus()
        self.live: set[str] = set()
        self.expiry = SimpleNamespace(limits=LIMITS)
        self.without_leg = self
        self.closed: list[tuple[str, str, str]] = []
        self.now_s = 0.0
        parts: Any = self
        self.watch = OpenRecords(parts, parts, lambda: self.now_s)

    def is_live(self, call_sid: str) -> bool:
        return call_sid in self.live

    def close_record(self, call_sid: str, status: str, *, reason: str, ended_by: str) -> None:
        self.closed.append((call_sid, status, ended_by))

    async def looks_for(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            await self.watch.look()
            self.now_s += LOOK_S
        await self.watch.look()


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    store = await Store.open(f"sqlite:///{tmp_path}/calls.db")
    yield Scene(store)
    await store.aclose()


async def test_a_call_whose_stream_never_comes_is_closed_after_ten_minutes(scene: Scene) -> None:
    scene.store.save_call(SID, by_owner=False, status="ringing", direction="inbound")
    scene.store.save_call("CA2", by_owner=False, status="queued", direction="outbound-api")
    await scene.store.flush()
    await scene.looks_for(LIMITS.expire_s - LOOK_S)
    assert scene.closed == []
    await scene.looks_for(LOOK_S)

    assert scene.closed == [(SID, "completed", "unclaimed"), ("CA2", "no-answer", "unclaimed")]


async def test_a_call_that_ended_while_the_database_was_away_is_closed_after_a_minute(
    scene: Scene,
) -> None:
    scene.store.save_call(SID, status="in-progress", agent_name="Ada")
    scene.store.save_call("CA2", status="in-progress", agent_name="Ada")
    scene.store.save_call(SID, status="busy")
    await scene.store.flush()
    await scene.looks_for(OVER_S)

    assert scene.closed == [(SID, "busy", "")]


async def test_a_call_that_a_replica_has_or_that_changes_is_left(scene: Scene) -> None:
    for call_sid in ("CA1", "CA2", "CA3"):
        scene.store.save_call(call_sid, status="in-progress", agent_name="Ada")
    scene.live.add("CA1")
    scene.bus.leases["CA2"] = Owner("other", 1)
    for number in range(4):
        scene.store.save_call("CA3", timings={"a": float(number)})
        await scene.store.flush()
        await scene.looks_for(LIMITS.expire_s - LOOK_S)

    assert scene.closed == []
    del scene.bus.leases["CA2"]
    await scene.looks_for(LIMITS.expire_s - LOOK_S)
    assert [call_sid for call_sid, *_ in scene.closed] == ["CA3"]


async def test_a_caller_who_talks_with_a_human_needs_no_replica_for_hours(scene: Scene) -> None:
    scene.store.save_call(
        SID, status="in-progress", agent_name="Ada", transfers=[{"outcome": "in-progress"}]
    )
    await scene.store.flush()
    await scene.looks_for(4 * LIMITS.expire_s)

    assert scene.closed == []


async def test_without_leases_a_call_with_an_agent_may_be_another_processs(scene: Scene) -> None:
    scene.bus.shared = False
    scene.store.save_call(SID, status="in-progress", agent_name="Ada", started_at=None)
    scene.store.save_call("CA2", by_owner=False, status="queued", direction="outbound-api")
    await scene.store.flush()
    await scene.looks_for(LIMITS.expire_s)

    assert [call_sid for call_sid, *_ in scene.closed] == ["CA2"]


async def test_nothing_is_closed_while_the_bus_does_not_know_the_owners(scene: Scene) -> None:
    scene.store.save_call(SID, status="in-progress", agent_name="Ada")
    await scene.store.flush()
    await scene.looks_for(LIMITS.expire_s - LOOK_S)
    scene.bus.is_away = True

    with pytest.raises(BusUnavailable):
        await scene.looks_for(LOOK_S)
    assert scene.closed == []
