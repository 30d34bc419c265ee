"""Outbound calls of two replicas: their limits count the calls of both."""

import logging
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from app.bridge.bus.bus import Bus
from app.bridge.bus.redis_bus import RedisBus
from app.bridge.outbound import GRACE_S, RING_S, Outbound, OutboundRefused
from app.records.store import Store
from app.wires.twilio.rest import TwilioRest
from tests.bridge.bus.buses import Clock, opened, until
from tests.redis_server import RedisServer, redis_server, shared_redis
from tests.wires.twilio.twilio_stand_in import ACCOUNT, TOKEN, Twilio, says, twilio_that

OURS, ANN, BOB, EVE = "+14155550100", "+14155550123", "+14155550124", "+14155550125"
BASE = "https://voice.example.com"


class Replicas:
    """Twilio, whose calls are CA1, CA2, …, and the outbound calls of replicas."""

    def __init__(self, twilio: Twilio, rest: TwilioRest, store: Store) -> None:
        self.twilio = twilio
        self._rest = rest
        self._store = store
        self._numbers = count(1)
        twilio.answers = [self._places]

    def outbound(self, bus: Bus, **options: Any) -> Outbound:
        chosen: dict[str, Any] = {"from_number": OURS, "most_calls": 2, "repeat_s": 60.0}
        return Outbound(self._rest, self._store, bus=bus, **(chosen | options))

    async def _places(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"sid": f"CA{next(self._numbers)}"}, status=201)

    def token(self) -> str:
        """The token of the last call."""
        return self.twilio.forms[-1]["Url"][0].rpartition("/")[2]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(f"sqlite:///{tmp_path}/calls.db")
    yield store
    await store.aclose()


@pytest.fixture
async def replicas(store: Store) -> AsyncIterator[Replicas]:
    async with twilio_that() as twilio:
        rest = TwilioRest(ACCOUNT, ACCOUNT, TOKEN, twilio.url, backoff_s=0.0)
        yield Replicas(twilio, rest, store)
        await rest.aclose()


@pytest.fixture
def server() -> RedisServer:
    return shared_redis()


@pytest.fixture
async def buses(server: RedisServer) -> AsyncIterator[tuple[RedisBus, RedisBus]]:
    both = await opened(server.url), await opened(server.url)
    yield both
    for bus in both:
        await bus.aclose()


async def place(outbound: Outbound, to: str) -> str:
    return await outbound.place(to, base_url=BASE)


async def refusal(outbound: Outbound, to: str) -> OutboundRefused:
    with pytest.raises(OutboundRefused) as refused:
        await place(outbound, to)
    return refused.value


async def written(*buses: RedisBus) -> None:
    for bus in buses:
        await bus._leases.written()


async def test_calls_at_a_time_are_counted_over_all_replicas(
    replicas: Replicas, buses: tuple[RedisBus, RedisBus]
) -> None:
    a, b = map(replicas.outbound, buses)
    assert [await place(a, ANN), await place(b, BOB)] == ["CA1", "CA2"]
    dialled = len(replicas.twilio.requests)
    refused = await refusal(b, EVE)
    assert (refused.status, refused.reason) == (429, "too many calls")
    assert len(replicas.twilio.requests) == dialled and b.live_calls == 1
    b.ended("CA1")  # its status callback reached the other replica
    await written(*buses)
    assert await place(b, EVE) == "CA3"  # and the refusal did not count as a call to the number


async def test_a_number_is_not_called_again_by_another_replica(
    replicas: Replicas, buses: tuple[RedisBus, RedisBus]
) -> None:
    a, b = (replicas.outbound(bus, most_calls=10) for bus in buses)
    await place(a, ANN)
    refused = await refusal(b, ANN)
    assert (refused.status, refused.reason) == (409, "called lately")
    assert refused.retry_after_s == 60 and b.live_calls == 0
    never = replicas.outbound(buses[1], most_calls=10, repeat_s=0)
    assert await place(never, ANN) == "CA2"


async def test_a_call_that_twilio_refuses_counts_nowhere(
    replicas: Replicas, buses: tuple[RedisBus, RedisBus]
) -> None:
    a, b = (replicas.outbound(bus, most_calls=1) for bus in buses)
    answers, replicas.twilio.answers = replicas.twilio.answers, [says(400, code=21211)]
    assert (await refusal(a, ANN)).status == 502
    await written(*buses)
    replicas.twilio.answers = answers
    assert await place(b, ANN) == "CA1"


async def test_an_answered_call_keeps_its_place_under_its_sid(
    replicas: Replicas, server: RedisServer, buses: tuple[RedisBus, RedisBus]
) -> None:
    a, b = (replicas.outbound(bus, most_calls=1, ring_s=1) for bus in buses)
    await place(a, ANN)
    assert a.answered(replicas.token(), "CA1") is not None
    b.adopted("CA1")  # as a replica does that takes the call over
    await written(*buses)
    with server.client() as client:
        ((member, until_ms),) = client.zrange("phone-agent:places:outbound", 0, -1, withscores=True)
        seconds, _ = client.time()
    assert member == "CA1" and until_ms / 1000 > seconds + 4 * 3600
    assert (await refusal(b, BOB)).reason == "too many calls"
    a.ended("CA1")
    await written(*buses)
    assert await place(b, BOB) == "CA2"


async def test_the_slot_of_a_call_that_goes_on_or_ends_elsewhere_is_freed_where_it_was_placed(
    replicas: Replicas, buses: tuple[RedisBus, RedisBus], store: Store
) -> None:
    a, _ = (replicas.outbound(bus, most_calls=9) for bus in buses)
    for to in (ANN, BOB, EVE):
        await place(a, to)
    a.is_here = lambda call_sid: call_sid == "CA3"
    store.save_call("CA1", status="completed")  # as the status callback to another replica does
    for call_sid in ("CA2", "CA3"):  # the streams of these have begun
        store.save_call(call_sid, status="in-progress")
    await store.flush()
    await place(a, "+14155550126")

    assert [a.placed(f"CA{number}") is not None for number in (1, 2, 3, 4)] == [
        False, False, True, True,
    ]  # fmt: skip


async def test_while_redis_is_away_each_replica_counts_its_own_and_afterwards_both(
    replicas: Replicas, caplog: pytest.LogCaptureFixture
) -> None:
    with redis_server() as server:
        a_bus, b_bus = await opened(server.url), await opened(server.url)
        a, b = replicas.outbound(a_bus), replicas.outbound(b_bus)
        server.stop()
        assert [await place(a, ANN), await place(a, BOB)] == ["CA1", "CA2"]
        said = [each for each in caplog.records if each.levelno >= logging.WARNING]
        assert "outbound limits of this process alone" in [each.message for each in said]
        assert (await refusal(a, EVE)).reason == "too many calls"
        assert await place(b, ANN) == "CA3"
        server.start()
        await until(lambda: a_bus.available and b_bus.available)
        await written(a_bus, b_bus)
        assert (await refusal(b, EVE)).reason == "too many calls"
        for bus in (a_bus, b_bus):
            await bus.aclose()


async def test_a_call_that_goes_on_elsewhere_keeps_its_place_and_holds_up_no_drain(
    replicas: Replicas, buses: tuple[RedisBus, RedisBus]
) -> None:
    a, b = (replicas.outbound(bus, most_calls=1) for bus in buses)
    await place(a, ANN)
    assert (a.live_calls, a.bound_calls) == (1, 0)
    b.adopted("CA1")
    a.left("CA1")
    await written(*buses)
    assert a.live_calls == 0
    assert [(await refusal(each, BOB)).reason for each in (a, b)] == ["too many calls"] * 2
    b.ended("CA1")
    await written(*buses)
    assert await place(a, BOB) == "CA2"


async def test_a_replica_that_drains_places_calls_that_others_answer(
    replicas: Replicas, buses: tuple[RedisBus, RedisBus]
) -> None:
    a = replicas.outbound(buses[0], draining=lambda: True)
    assert (await refusal(a, ANN)).status == 503
    buses[1].ready(True)
    await written(buses[1])
    assert await place(a, ANN) == "CA1"


async def test_a_call_that_another_replica_answered_keeps_its_place_when_its_slot_here_expires(
    replicas: Replicas, buses: tuple[RedisBus, RedisBus]
) -> None:
    clock = Clock()
    a = replicas.outbound(buses[0], most_calls=1, clock=clock)
    b = replicas.outbound(buses[1], most_calls=1)
    await place(a, ANN)
    b.adopted("CA1")
    await written(*buses)
    clock.ahead_s += RING_S + GRACE_S
    assert (await refusal(a, BOB)).reason == "too many calls"
    assert a.live_calls == 0
