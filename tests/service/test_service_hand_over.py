"""A replica stops: its calls go on at another one, whatever is under way on them."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from app.simulator.realtime import RealtimeServer, Reply, Session
from app.simulator.twilio import Call, Callee
from tests.redis_server import shared_redis
from tests.service.api import api
from tests.service.raw_twilio import call_form, raw_stream, refusal, request
from tests.service.routed_replicas import Replicas, by_path, replicas
from tests.service.transfer_world import (
    ANSWER,
    DESK,
    HELLO,
    SALES,
    Agent,
    desk,
    request_of,
    size,
    told,
    transfer_reply,
)
from tests.service.twiml_check import check_twiml
from tests.service.world import decisions, noise

INF = float("inf")
QUICK = {"ring_scale": 0.02, "gather_scale": 0.02, "hold_ms": 20.0}
ONE = desk(name="desk", number=DESK)
HANDED_OVER = (
    "call handed over",
    "this replica stops, and another one goes on with the call",
)
FIRST, SECOND = by_path({}, otherwise=0), by_path({}, otherwise=1)


@pytest.fixture
def redis_url() -> str:
    return shared_redis().url


async def greeted(r: Replicas) -> Call:
    """A call at the first replica."""
    r.route = FIRST
    call = await r.connected()
    await call.wait_heard(size(HELLO))
    await call.wait_quiet(30)
    return call


def says(r: Replicas, text: str) -> Session:
    session = r.model.sessions[-1]
    session.start_speech()
    session.stop_speech(text)
    return session


def stops(r: Replicas, number: int = 0) -> None:
    """SIGTERM, with DRAIN_SECONDS=0; what comes then reaches the other replica."""
    r.route = SECOND if number == 0 else FIRST
    r[number].server._stop(signal.SIGTERM)


async def ended(r: Replicas, call: Call) -> dict[str, Any]:
    call.hang_up()
    await call.wait_ended()
    await r.settled()
    for document in call.twiml_history:
        check_twiml(document)
    return await r.record(call.call_sid, 1)


async def test_a_call_goes_on_at_another_replica_with_everything_heard(
    postgres_url: str, redis_url: str
) -> None:
    agent = Agent()
    async with replicas(RealtimeServer(agent.brain), postgres_url, redis_url, drain_seconds=0) as r:
        call = await greeted(r)
        heard = len(call.heard)
        first = says(r, "When do you open?")
        await call.wait_heard(heard + size(ANSWER))
        await call.wait_quiet(30)
        heard = len(call.heard)
        stops(r)
        await call.wait_connected(2)
        await call.wait_heard(heard + 1)
        assert first.closed.is_set() and not call.said
        again = await r.model.session(1)
        assert [text for _, text in told(again)[:3]] == [
            HELLO.text,
            "When do you open?",
            ANSWER.text,
        ]
        await call.wait_quiet(30)
        record = await ended(r, call)
        assert (record["status"], record["ended_by"]) == ("completed", "caller")
        found = decisions(record)
        assert HANDED_OVER in found and ("call taken over", "another process had it") in found
        assert "record left open" not in dict(found)
