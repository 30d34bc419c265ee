"""Replicas on a real Redis: tickets, owners, limits."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from app.bridge.bus import leases
from app.bridge.bus.bus import Bus, Owner
from app.bridge.bus.fingerprints import fingerprints
from app.bridge.bus.redis_bus import RedisBus
from tests.bridge.bus.buses import opened, until
from tests.redis_server import RedisServer, shared_redis

CALL, OTHER = "CA1", "CA2"


@pytest.fixture
def server() -> RedisServer:
    return shared_redis()


@pytest.fixture
async def a(server: RedisServer) -> AsyncIterator[RedisBus]:
    bus = await opened(server.url)
    yield bus
    await bus.aclose()


@pytest.fixture
async def b(server: RedisServer) -> AsyncIterator[RedisBus]:
    bus = await opened(server.url)
    yield bus
    await bus.aclose()


async def owned(bus: RedisBus, call_sid: str, epoch: int) -> None:
    """Own a call, and wait until Redis knows."""
    bus.own(call_sid, epoch)
    await until(lambda: not bus._leases.claims(call_sid))


# --- tickets and messages ---


async def test_a_ticket_is_used_once_whichever_replica_gets_it(a: RedisBus, b: RedisBus) -> None:
    assert [await a.spend("one", 30), await b.spend("one", 30)] == [True, False]
    assert [await b.spend("two", 30), await b.spend("two", 30)] == [True, False]
    uses = await asyncio.gather(*(bus.spend("three", 30) for bus in (a, b) * 20))
    assert uses.count(True) == 1


async def test_a_ticket_that_is_expired_is_not_kept(a: RedisBus, b: RedisBus) -> None:
    assert await a.spend("ticket", 0.01)
    await asyncio.sleep(0.05)
    assert await b.spend("ticket", 30)


async def test_what_one_replica_puts_the_other_gets_until_it_expires(
    a: RedisBus, b: RedisBus
) -> None:
    await a.put("call:CA1", {"to": "+1", "context": "Grüße"}, 60)
    assert await b.get("call:CA1") == {"to": "+1", "context": "Grüße"}
    assert await b.get("call:CA2") is None
    await a.put("call:CA1", {}, 0.01)
    await asyncio.sleep(0.05)
    assert await b.get("call:CA1") is None


async def test_every_key_has_the_prefix_and_expires_and_none_shows_a_ticket_or_a_number(
    server: RedisServer, a: RedisBus
) -> None:
    await a.spend("secret-ticket", 30)
    await a.put("call:CA1", {}, 30)
    await a.once("outbound", "+14155550123", 30)
    await a.reserve("outbound", CALL, 5, 30)
    await owned(a, CALL, 1)
    with server.client() as client:
        keys = client.keys()
        assert len(keys) == 7
        assert all(key.startswith("phone-agent:") for key in keys)
        assert all(client.pttl(key) > 0 for key in keys)
        assert not any("secret" in key or "415" in key for key in keys)


# --- owners ---


async def test_the_owner_of_a_call_is_known_to_all_until_it_gives_the_call_up(
    a: RedisBus, b: RedisBus
) -> None:
    assert await b.owner(CALL) is None
    await owned(a, CALL, 2)
    assert await b.owner(CALL) == await a.owner(CALL) == Owner(a.replica, 2)
    await b.disown(CALL)
    assert await b.owner(CALL) == Owner(a.replica, 2)
    await a.disown(CALL)
    assert await b.owner(CALL) is None


async def test_the_owner_itself_is_known_before_redis_has_registered_it(a: RedisBus) -> None:
    a.own(CALL, 0)
    assert await a.owner(CALL) == Owner(a.replica, 0)


async def test_the_owners_of_many_calls_are_asked_for_at_once(a: RedisBus, b: RedisBus) -> None:
    await owned(a, CALL, 1)
    b.own(OTHER, 2)  # not registered yet
    both = {CALL: Owner(a.replica, 1), OTHER: Owner(b.replica, 2)}
    assert await b.owners([CALL, OTHER, "CA3"]) == both
    assert await b.owners([]) == {}


async def test_a_lease_is_renewed_and_ends_when_its_replica_is_gone(
    server: RedisServer, a: RedisBus, b: RedisBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEW_S", 0.02)
    monkeypatch.setattr(leases, "LEASE_MS", 400)
    for number in range(100):
        a.own(f"CA{number}", 1)
    await a._leases.written()
    await asyncio.sleep(0.6)
    assert await b.owner("CA99") == Owner(a.replica, 1)
    assert a._leases._task is not None
    a._leases._task.cancel()  # as if the process were stopped
    for _ in range(1000):
        if await b.owner("CA99") is None:
            break
        await asyncio.sleep(0.01)
    assert await b.owner("CA99") is None


async def test_an_adoption_takes_the_call_and_the_former_owner_hears_of_it(
    a: RedisBus, b: RedisBus
) -> None:
    heard: list[tuple[str, int]] = []
    a.on_adopted = lambda *adopted: heard.append(adopted)
    b.on_adopted = lambda *adopted: heard.append(("b", 0))
    await owned(a, CALL, 0)
    b.own(CALL, 1)
    await b.announce(CALL, 1)
    await until(lambda: bool(heard))
    await b._leases.written()
    assert heard == [(CALL, 1)]
    assert await a.owner(CALL) == Owner(b.replica, 1)


async def test_a_replica_that_missed_the_announcement_learns_it_from_its_lease(
    a: RedisBus, b: RedisBus
) -> None:
    heard: list[tuple[str, int]] = []
    a.on_adopted = lambda *adopted: heard.append(adopted)
    await owned(a, CALL, 0)
    await owned(a, OTHER, 0)
    await owned(b, CALL, 1)
    await a._leases.written()
    assert heard == [(CALL, 1)]
    await a._leases.written()
    assert heard == [(CALL, 1)]
    assert await b.owner(CALL) == Owner(b.replica, 1)
    assert await b.owner(OTHER) == Owner(a.replica, 0)


async def test_of_two_owners_with_the_same_epoch_the_later_one_has_the_call(
    a: RedisBus, b: RedisBus
) -> None:
    heard: list[tuple[str, int]] = []
    a.on_adopted = lambda *adopted: heard.append(adopted)
    b.on_adopted = lambda *adopted: heard.append(adopted)
    await owned(a, CALL, 0)
    await owned(b, CALL, 0)
    await a._leases.written()
    await b._leases.written()
    assert await a.owner(CALL) == Owner(b.replica, 0)
    assert heard == [(CALL, 0)]


async def test_a_lower_epoch_never_takes_a_call(a: RedisBus, b: RedisBus) -> None:
    heard: list[tuple[str, int]] = []
    b.on_adopted = lambda *adopted: heard.append(adopted)
    await owned(a, CALL, 2)
    await owned(b, CALL, 1)
    assert heard == [(CALL, 2)]
    assert await b.owner(CALL) == Owner(a.replica, 2)
    await owned(b, CALL, 3)
    assert await a.owner(CALL) == Owner(b.replica, 3)


async def test_a_replica_that_ends_gives_up_its_calls_and_its_entry(
    server: RedisServer, b: RedisBus
) -> None:
    c = await opened(server.url)
    c.ready(True)
    await owned(c, CALL, 1)
    await owned(b, OTHER, 1)
    await c.aclose()
    await c.aclose()  # again does no harm
    assert await b.owner(CALL) is None
    assert await b.owner(OTHER) == Owner(b.replica, 1)
    assert not await b.others_ready()
    with server.client() as client:
        assert client.zrange("phone-agent:replicas", 0, -1) == [b.replica]


# --- replicas ---


async def test_whether_another_replica_is_ready_is_known_and_what_it_has(
    server: RedisServer, a: RedisBus, b: RedisBus
) -> None:
    a.ready(True)
    await a._leases.written()
    assert await b.others_ready() and not await a.others_ready()
    a.count_calls = lambda: 7
    a.ready(False)
    await a._leases.written()
    assert not await b.others_ready()
    with server.client() as client:
        entry = json.loads(str(client.get(f"phone-agent:replica:{a.replica}")))
    assert entry == {"ready": False, "calls": 7, "url": "", "place": "", "keys": {}}


async def test_a_replica_with_another_secret_says_so_at_its_start_and_names_the_variable(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    secrets = {"TWILIO_AUTH_TOKEN": "one", "API_TOKEN": "two", "CALL_WEBHOOK_SECRET": ""}
    first = await opened(server.url, keys=secrets)
    same = await opened(server.url, keys=secrets)
    other = await opened(server.url, keys=secrets | {"API_TOKEN": "three"})
    try:
        await until(lambda: other._leases.on_registered is None)
        await until(lambda: len(caplog.records) == 2)
        said = sorted(record.__dict__["reason"] for record in caplog.records)
        expected = [f"replica {each.replica}: API_TOKEN" for each in (first, same)]
        assert said == sorted(expected)
        assert sorted(await other.differing_keys()) == sorted(expected)
        assert await first.differing_keys() == [f"replica {other.replica}: API_TOKEN"]
        with server.client() as client:
            assert "three" not in str(client.get(f"phone-agent:replica:{other.replica}"))
    finally:
        for bus in (first, same, other):
            await bus.aclose()


def test_a_fingerprint_depends_on_the_variable_and_the_secret_alone() -> None:
    one = fingerprints({"A": "x", "B": "x", "C": ""})
    assert one == fingerprints({"A": "x", "B": "x", "C": ""})
    assert one["A"] != one["B"] and len(one["A"]) == 8 and one["C"] == ""


# --- limits ---


async def test_places_are_counted_over_all_replicas(a: RedisBus, b: RedisBus) -> None:
    taken = [await a.reserve("outbound", str(n), 3, 30) for n in range(2)]
    taken += [await b.reserve("outbound", str(n), 3, 30) for n in range(2, 4)]
    assert taken == [True, True, True, False]
    assert await b.reserve("outbound", "0", 3, 30)  # it has its place
    await b.unreserve("outbound", "0")  # also one that another replica took
    assert await b.reserve("outbound", "4", 3, 30)
    at_once = (bus.reserve("crowd", str(n), 5, 30) for n, bus in enumerate((a, b) * 10))
    assert sum(await asyncio.gather(*at_once)) == 5


async def test_a_place_is_free_after_its_time(a: RedisBus, b: RedisBus) -> None:
    assert await a.reserve("outbound", "one", 1, 0.02)
    await asyncio.sleep(0.05)
    assert await b.reserve("outbound", "two", 1, 30)
    await a.hold("outbound", "one", 30)
    await b.unreserve("outbound", "two")
    assert not await b.reserve("outbound", "two", 1, 30)
    await b.hold("outbound", "one", 0.02)  # never less than it has
    await asyncio.sleep(0.05)
    assert not await b.reserve("outbound", "two", 1, 30)


async def test_what_may_be_done_once_is_done_by_one_replica(a: RedisBus, b: RedisBus) -> None:
    assert await a.once("outbound", "+1", 60) == 0
    assert 59 < await b.once("outbound", "+1", 60) <= 60
    assert await b.once("outbound", "+2", 60) == 0
    await b.allow_again("outbound", "+1")
    assert await b.once("outbound", "+1", 0.02) == 0
    await asyncio.sleep(0.05)
    assert await a.once("outbound", "+1", 60) == 0


async def test_the_redis_bus_keeps_the_promises_of_a_bus(a: RedisBus) -> None:
    bus: Bus = a
    assert bus.shared and bus.available and bus.steady_s > 0 and len(bus.replica) == 12
