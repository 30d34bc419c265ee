"""A softphone behind a load balancer: each of its requests may reach another replica."""

import asyncio

import aiohttp
import pytest

from app.simulator.realtime import RealtimeServer
from tests.redis_server import redis_server, shared_redis
from tests.service.routed_replicas import Replicas, replicas
from tests.service.softphone_client import Softphone, new_call
from tests.service.test_service_softphone_transfer import ONE
from tests.service.transfer_world import BACK, HELLO, Agent, outcomes, size


def at(r: Replicas, number: int, stream_url: str) -> str:
    """The same stream at that replica."""
    host = r[number].url.partition("://")[2]
    return f"ws://{host}/media-stream/{stream_url.rpartition('/')[2]}"


async def ended(r: Replicas, phone: Softphone) -> list[str]:
    """The outcomes of the call's transfers, once its record is closed."""
    for _ in range(100):
        await r.settled()
        record = await r.record(phone.call_sid)
        if record["status"] == "completed":
            break
        await asyncio.sleep(0.05)
    assert (record["status"], record["direction"]) == ("completed", "softphone")
    return outcomes(record)


@pytest.mark.parametrize("answered", [True, False])
async def test_any_replica_serves_a_softphone(postgres_url: str, answered: bool) -> None:
    brain = RealtimeServer(Agent().brain)
    async with replicas(brain, postgres_url, shared_redis().url, agent=ONE) as r:
        told = await new_call(r[0])
        phone = Softphone(r[1], told.body["call_sid"])
        await phone.open(at(r, 1, told.body["stream_url"]))
        with pytest.raises(aiohttp.WSServerHandshakeError):  # used at the replica itself
            await r[1].http.ws_connect(at(r, 1, told.body["stream_url"]))
        await phone.heard(size(HELLO))
        other = Softphone(r[0], phone.call_sid)
        await other.open(told.body["stream_url"])  # used at another one: closed at its start
        await other.over()
        assert other.closed == 1008
        session = await r.model.session(0)
        session.start_speech()
        session.stop_speech("A human please.")
        await phone.over()
        phone.w = r[0]
        assert (await phone.next())["state"] == "ringing"
        phone.w = r[1]
        if answered:
            assert (await phone.answer())["state"] == "talking"
            phone.w = r[0]
            assert (await phone.attempt())["state"] == "talking"
            assert (await phone.end("completed"))["state"] == "over"
        else:
            step = await phone.end("busy")
            assert step["state"] == "stream"
            heard = len(phone.audio)
            await phone.open(at(r, 0, step["stream_url"]))
            await phone.heard(heard + size(BACK))
            await phone.hang_up()
        assert await ended(r, phone) == ["completed" if answered else "busy"]
        assert r.line.rest_requests == []


async def test_while_redis_is_away_no_softphone_s_ticket_is_taken(postgres_url: str) -> None:
    with redis_server() as redis:
        brain = RealtimeServer(Agent().brain)
        async with replicas(brain, postgres_url, redis.url, agent=ONE, fails=True) as r:
            told = await new_call(r[0])
            redis.stop()
            for _ in range(200):
                if not r[0].state.services.bus.available:
                    break
                await asyncio.sleep(0.05)
            assert (await new_call(r[0])).status == 503
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await r[0].http.ws_connect(told.body["stream_url"])
            assert refused.value.status == 503
