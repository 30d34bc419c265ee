"""Orders between replicas on a real Redis: carried out once, and their outcome comes back."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from app.bridge.bus import orders
from app.bridge.bus.bus import BusUnavailable, NoAnswer, NoOwner
from app.bridge.bus.redis_bus import RedisBus
from tests.bridge.bus.buses import Clock, opened, until
from tests.redis_server import RedisServer, shared_redis

CALL = "CA1"
SAY = {"say": "Grüß Gott."}


class Taken:
    """The orders that a replica was given."""

    def __init__(self, bus: RedisBus) -> None:
        self.orders: list[tuple[str, Mapping[str, Any]]] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        bus.on_order = self

    async def __call__(self, call_sid: str, order: Mapping[str, Any]) -> Mapping[str, Any]:
        self.orders.append((call_sid, order))
        await self.go_on.wait()
        return {"number": len(self.orders)}


@pytest.fixture
def server() -> RedisServer:
    return shared_redis()


@pytest.fixture
async def a(server: RedisServer) -> AsyncIterator[RedisBus]:
    bus = await opened(server.url)
    yield bus
    await bus.aclose()


@pytest.fixture
async def owner(server: RedisServer) -> AsyncIterator[RedisBus]:
    """A replica that has the call."""
    bus = await opened(server.url)
    bus.own(CALL, 0)
    await bus._leases.written()
    yield bus
    await bus.aclose()


def to_owner(bus: RedisBus, **changed: Any) -> str:
    """The message of an order, as it travels."""
    order = {"order": SAY, "call_sid": CALL, "id": "1", "from": "f" * 12}
    return json.dumps({**order, "until_ms": bus._leases.now_ms + 3000, **changed})


async def test_an_order_reaches_the_owner_and_its_outcome_comes_back(
    a: RedisBus, owner: RedisBus
) -> None:
    taken = Taken(owner)
    assert await a.ask(CALL, SAY) == {"number": 1}
    assert await a.ask(CALL, SAY) == {"number": 2}
    assert taken.orders == [(CALL, SAY)] * 2
    assert not a._orders._awaited


async def test_the_owner_carries_its_own_orders_out_itself(owner: RedisBus) -> None:
    taken = Taken(owner)
    assert await owner.ask(CALL, SAY) == {"number": 1}
    taken.go_on.clear()
    with pytest.raises(NoAnswer):
        await owner.ask(CALL, SAY, 0.01)
    (going_on,) = owner._orders._tasks  # nothing stops half-way
    taken.go_on.set()
    await going_on


async def test_many_orders_at_once_get_each_its_own_outcome(a: RedisBus, owner: RedisBus) -> None:
    async def echo(call_sid: str, order: Mapping[str, Any]) -> Mapping[str, Any]:
        await asyncio.sleep(0)
        return order

    owner.on_order = echo
    outcomes = await asyncio.gather(*(a.ask(CALL, {"n": n}) for n in range(100)))
    assert outcomes == [{"n": n} for n in range(100)]


async def test_without_an_owner_there_is_nothing_to_ask(a: RedisBus, owner: RedisBus) -> None:
    with pytest.raises(NoOwner):
        await a.ask("CA2", SAY)
    owner._leases._owned.clear()  # it ended the call this moment, and its lease is there
    with pytest.raises(NoOwner):
        await a.ask(CALL, SAY)


async def test_an_owner_that_fails_gives_no_outcome(
    a: RedisBus, owner: RedisBus, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(call_sid: str, order: Mapping[str, Any]) -> Mapping[str, Any]:
        raise ValueError("unexpected")

    owner.on_order = fails
    with pytest.raises(NoAnswer, match="see its log"):
        await a.ask(CALL, SAY)
    assert [record.message for record in caplog.records] == ["order failed"]


async def test_an_owner_that_does_not_answer_in_time_may_have_carried_the_order_out(
    a: RedisBus, owner: RedisBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "AGAIN_S", 0.02)
    taken = Taken(owner)
    taken.go_on.clear()
    with pytest.raises(NoAnswer):
        await a.ask(CALL, SAY, 0.2)
    assert taken.orders == [(CALL, SAY)]  # once, although it was sent several times


async def test_an_order_that_comes_twice_is_carried_out_once_and_answered_twice(
    server: RedisServer, owner: RedisBus
) -> None:
    taken = Taken(owner)
    with server.client() as client, client.pubsub() as pubsub:
        pubsub.subscribe(orders.channel("f" * 12))
        pubsub.get_message(timeout=1)
        for _ in range(2):
            client.publish(orders.channel(owner.replica), to_owner(owner))
            answer = await asyncio.to_thread(pubsub.get_message, timeout=5)
            assert answer is not None
            assert json.loads(answer["data"]) == {"id": "1", "outcome": {"number": 1}}
    assert len(taken.orders) == 1


async def test_an_order_that_comes_too_late_is_refused(
    server: RedisServer, owner: RedisBus, caplog: pytest.LogCaptureFixture
) -> None:
    taken = Taken(owner)
    with server.client() as client:
        late = to_owner(owner, until_ms=owner._leases.now_ms - 1)
        client.publish(orders.channel(owner.replica), late)
    await until(lambda: bool(caplog.records))
    assert [record.message for record in caplog.records] == ["order came too late"]
    assert taken.orders == []


async def test_a_deadline_is_by_the_clock_of_redis_whatever_the_replicas_have(
    server: RedisServer, a: RedisBus
) -> None:
    clock = Clock()
    clock.ahead_s = 1e6
    ahead = await opened(server.url, clock)
    try:
        Taken(ahead)
        ahead.own(CALL, 0)
        await ahead._leases.written()
        assert await a.ask(CALL, SAY, 1.0) == {"number": 1}
    finally:
        await ahead.aclose()


async def test_a_call_that_changes_its_owner_meanwhile_is_followed(
    a: RedisBus, owner: RedisBus, server: RedisServer
) -> None:
    owner._leases._owned.clear()  # another replica adopts the call, and this one knows first
    asked = asyncio.Event()

    async def refuse(call_sid: str, order: Mapping[str, Any]) -> Mapping[str, Any]:
        raise AssertionError("it does not have the call")

    owner.on_order = refuse
    real = owner._orders._carry_out

    async def carry_out(message: dict[str, Any]) -> None:
        asked.set()
        await written.wait()
        await real(message)

    written = asyncio.Event()
    owner._orders._carry_out = carry_out  # type: ignore[method-assign]
    asking = asyncio.create_task(a.ask(CALL, SAY))
    await asked.wait()
    c = await opened(server.url)
    try:
        Taken(c)
        c.own(CALL, 1)
        await c._leases.written()
        written.set()
        assert await asking == {"number": 1}
    finally:
        await c.aclose()


async def test_a_subscription_that_is_lost_is_made_again_and_no_order_is_lost(
    server: RedisServer, a: RedisBus, owner: RedisBus
) -> None:
    Taken(owner)
    with server.client() as client:
        for number in range(1, 6):
            client.client_kill_filter(_type="pubsub")
            assert await a.ask(CALL, SAY) == {"number": number}


async def test_messages_that_are_none_are_ignored(
    server: RedisServer, a: RedisBus, owner: RedisBus, caplog: pytest.LogCaptureFixture
) -> None:
    Taken(owner)
    with server.client() as client:
        for text in ("no json", "[]", "{}", '{"order": 1}', '"adopted"'):
            client.publish(orders.channel(owner.replica), text)
    assert await a.ask(CALL, SAY) == {"number": 1}
    assert len(caplog.records) == 5


async def test_while_redis_is_away_orders_are_refused_at_once_but_to_the_process_itself(
    server: RedisServer, a: RedisBus, owner: RedisBus
) -> None:
    taken = Taken(owner)
    for bus in (a, owner):
        bus._link._away("stopped by the test")
    with pytest.raises(BusUnavailable):
        await a.ask(CALL, SAY)
    assert await owner.ask(CALL, SAY) == {"number": 1}
    assert taken.orders == [(CALL, SAY)]


# --- requests to a replica ------------------------------------------------------------------------


async def test_a_replica_is_asked_by_its_identifier_and_keeps_no_outcome(
    a: RedisBus, owner: RedisBus
) -> None:
    async def double(request: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"text": request["text"] * 2}

    owner.on_request = double
    large = "x" * (64 << 10)
    assert await a.ask_replica(owner.replica, {"text": large}, 3.0) == {"text": large * 2}
    assert not len(owner._orders._known) and not a._orders._awaited
    assert (await a.replicas())[owner.replica] == ""


async def test_a_replica_that_fails_or_is_gone_has_no_answer(a: RedisBus, owner: RedisBus) -> None:
    async def fail(request: Mapping[str, Any]) -> Mapping[str, Any]:
        raise OSError("the disk is gone")

    owner.on_request = fail
    with pytest.raises(NoAnswer, match="see its log"):
        await a.ask_replica(owner.replica, {}, 3.0)
    with pytest.raises(NoAnswer, match="gone"):
        await a.ask_replica("f" * 12, {}, 3.0)
