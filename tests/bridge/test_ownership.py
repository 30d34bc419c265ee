"""A process that may have hung asks whether a call is still its own before it acts on it."""

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.bridge.bus.local_bus import LocalBus
from app.bridge.leg.secret_entries import SecretEntries
from app.bridge.leg.tool_side import ToolSide
from app.bridge.ownership import still_ours
from app.call.events import Event, ToolReturned
from app.records.store import Store
from app.tools import ToolRegistry, tool
from app.wires.twilio.call import CallInfo

SID = "CA1"


class Shared(LocalBus):
    """The bus of one of several replicas."""

    shared = True


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[tuple[Store, Store]]:
    url = f"sqlite:///{tmp_path}/calls.db"
    both = await Store.open(url), await Store.open(url)
    both[0].save_call(SID, status="in-progress", agent_name="Ada")
    await both[0].flush()
    assert await both[0].adopt(SID) == 1
    yield both
    for each in both:
        await each.aclose()


def services(store: Store, epoch: int = 1) -> tuple[Any, list[tuple[str, int]]]:
    """What a replica has that adopted the call, and the adoptions by others that it heard of."""
    bus, heard = Shared(), list[tuple[str, int]]()
    bus.own(SID, epoch)
    bus.on_adopted = lambda call_sid, newest: heard.append((call_sid, newest))
    return SimpleNamespace(bus=bus, store=store, epochs={SID: epoch}), heard


async def test_a_process_acts_on_a_call_while_it_is_its_own(
    stores: tuple[Store, Store],
) -> None:
    shared, heard = services(stores[0])
    assert await still_ours(shared, SID) and not heard


async def test_a_process_does_not_act_on_a_call_that_another_one_has(
    stores: tuple[Store, Store],
) -> None:
    shared, heard = services(stores[0])
    assert await stores[1].adopt(SID) == 2
    assert not await still_ours(shared, SID)
    assert heard == [(SID, 2)]


async def test_a_process_that_hung_runs_no_tool_of_a_call_that_another_one_has(
    stores: tuple[Store, Store],
) -> None:
    ran: list[str] = []
    events: list[Event] = []

    @tool
    async def book() -> str:
        """Books a table."""
        ran.append("book")
        return "booked"

    shared, _ = services(stores[0])
    shared.bus.renewed = False
    tools = ToolRegistry([book])
    side = ToolSide(CallInfo(SID), shared, events.append, SecretEntries(), tools)
    await side.run("call_1", "book", "{}")
    assert ran == ["book"] and events == [ToolReturned("call_1", "booked")]
    await stores[1].adopt(SID)
    await side.run("call_2", "book", "{}")
    assert ran == ["book"] and len(events) == 1


async def test_a_call_that_was_taken_while_the_database_was_away_is_its_takers(
    stores: tuple[Store, Store],
) -> None:
    """Its epoch is that of the lease: the one before and one more."""
    shared, heard = services(stores[1], epoch=2)
    shared.epochs[SID] = 0
    assert await still_ours(shared, SID) and not heard
