"""The bus of one process: the promises, without a task."""

import asyncio
import math
from collections.abc import Mapping
from typing import Any

import pytest

from app.bridge.bus.bus import Bus, NoOwner, Owner
from app.bridge.bus.expiring import SWEEP_AFTER, Expiring
from app.bridge.bus.local_bus import LocalBus

CALL, OTHER = "CA1", "CA2"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


async def test_a_ticket_is_used_once_within_its_time() -> None:
    clock = Clock()
    bus = LocalBus(clock)
    assert await bus.spend("ticket", 30)
    clock.now_s += 29
    assert not await bus.spend("ticket", 30)
    assert await bus.spend("another", 30)
    clock.now_s += 2
    assert await bus.spend("ticket", 30)


async def test_what_is_put_is_there_until_it_expires() -> None:
    clock = Clock()
    bus = LocalBus(clock)
    await bus.put("call:CA1", {"to": "+1"}, 60)
    assert await bus.get("call:CA1") == {"to": "+1"}
    clock.now_s += 60
    assert await bus.get("call:CA1") is None


async def test_an_order_reaches_the_owner_and_its_outcome_comes_back() -> None:
    bus: Bus = LocalBus()

    async def on_order(call_sid: str, order: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"done": [call_sid, order]}

    bus.on_order = on_order
    bus.own(CALL, 3)
    assert await bus.owner(CALL) == Owner(bus.replica, 3)
    assert await bus.owners([CALL, OTHER]) == {CALL: Owner(bus.replica, 3)}
    assert await bus.ask(CALL, {"say": "Hi."}) == {"done": [CALL, {"say": "Hi."}]}
    await bus.disown(CALL)
    assert await bus.owner(CALL) is None
    with pytest.raises(NoOwner):
        await bus.ask(CALL, {"say": "Hi."})


async def test_there_are_no_others_and_nothing_is_ever_away() -> None:
    bus: Bus = LocalBus()
    bus.ready(True)
    await bus.announce(CALL, 1)
    assert not bus.shared and bus.available and bus.steady_s == math.inf
    assert len(bus.replica) == 12 and bus.replica != LocalBus().replica
    assert not await bus.others_ready() and await bus.differing_keys() == []
    await bus.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_places_are_bounded_and_free_after_their_time() -> None:
    clock = Clock()
    bus = LocalBus(clock)
    assert await bus.reserve("outbound", CALL, 1, 10)
    assert await bus.reserve("outbound", CALL, 1, 10)  # it has its place
    assert not await bus.reserve("outbound", OTHER, 1, 10)
    assert await bus.reserve("another", OTHER, 1, 10)
    await bus.unreserve("outbound", CALL)
    assert await bus.reserve("outbound", OTHER, 1, 10)
    clock.now_s += 10
    assert await bus.reserve("outbound", CALL, 1, 10)
    await bus.hold("outbound", OTHER, 10)
    await bus.hold("outbound", OTHER, 1)  # never less than it has
    clock.now_s += 2
    await bus.unreserve("outbound", CALL)
    assert not await bus.reserve("outbound", CALL, 1, 10)


async def test_what_may_be_done_once_says_how_long_to_wait() -> None:
    clock = Clock()
    bus = LocalBus(clock)
    assert await bus.once("outbound", "+1", 60) == 0
    clock.now_s += 20
    assert await bus.once("outbound", "+1", 60) == 40
    await bus.allow_again("outbound", "+1")
    assert await bus.once("outbound", "+1", 60) == 0
    clock.now_s += 60
    assert await bus.once("outbound", "+1", 60) == 0


def test_expired_values_do_not_pile_up() -> None:
    clock = Clock()
    kept = Expiring[int](clock)
    for number in range(100 * SWEEP_AFTER):
        kept.put(str(number), number, 1)
        clock.now_s += 0.5
    assert len(kept) == 1
    assert len(kept._values) == 1  # the length removed the others
    kept.put("one", 1, 5)
    assert kept.items_left() == [(str(100 * SWEEP_AFTER - 1), 0.5), ("one", 5)]
