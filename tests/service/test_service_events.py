"""`GET /events` on a running service."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from app.simulator.realtime import RealtimeServer, Reply, Script
from app.simulator.twilio import Callee
from app.web.live import exchange
from tests.redis_server import shared_redis
from tests.service.api import api
from tests.service.routed_replicas import by_path, replicas
from tests.service.test_service_actions import ONE
from tests.service.transfer_world import HELLO, Agent, size
from tests.service.world import API_TOKEN, World, noise, world

Line = dict[str, Any]
AUTHORIZED = {"Authorization": f"Bearer {API_TOKEN}"}


@asynccontextmanager
async def followed(w: World, call: str = "") -> AsyncIterator[aiohttp.ClientResponse]:
    async with w.http.get(f"{w.url}/events", params={"call": call}, headers=AUTHORIZED) as answer:
        assert answer.status == 200 and answer.headers["Cache-Control"] == "no-store"
        yield answer


async def wait_line(answer: aiohttp.ClientResponse, fits: Callable[[Line], bool]) -> Line:
    async for raw in answer.content:
        if raw.strip() and fits(line := json.loads(raw)):
            found: Line = line
            return found
    raise AssertionError("the stream ended")


async def test_without_the_token_no_stream_is_opened() -> None:
    async with world(Script("Hello.")) as w:
        assert await w.status_of("/events") == 401


async def test_a_call_appears_its_turns_grow_and_it_ends() -> None:
    async with world(Script(Reply("Hello.", audio=noise(300), speed=float("inf")))) as w:
        async with followed(w) as answer:
            first = await wait_line(answer, lambda line: True)
            assert first == {"type": "calls", "calls": []}
            call = await w.connected()
            shown = await wait_line(
                answer, lambda line: line["type"] == "call" and line["call"]["state"] == "agent"
            )
            assert shown["call"]["call_sid"] == call.call_sid
            await wait_line(
                answer,
                lambda line: line["type"] == "call" and line["call"]["state"] == "listening",
            )
            async with followed(w, call.call_sid) as other:
                turns = await wait_line(other, lambda line: line["type"] == "turns")
                assert turns["turns"][0]["role"] == "assistant"
            call.hang_up()
            ended = await wait_line(answer, lambda line: line["type"] == "ended")
            assert ended["call_sid"] == call.call_sid


async def test_an_open_stream_is_completed_when_the_service_stops() -> None:
    async with world(Script("Hello.")) as w:
        async with followed(w) as answer:
            await wait_line(answer, lambda line: True)
            w.server.should_exit = True
            assert await answer.content.read() == b""


async def test_any_replica_shows_the_calls_of_all(postgres_url: str) -> None:
    greeting = Reply("Hello.", audio=noise(300), speed=float("inf"))
    async with replicas(Script(greeting), postgres_url, shared_redis().url) as r:
        r.route = by_path({"/media-stream": 1})
        async with followed(r[0]) as answer:
            call = await r.connected()
            shown = await wait_line(answer, lambda line: line["type"] == "call")
            assert shown["call"]["call_sid"] == call.call_sid
            async with followed(r[0], call.call_sid) as other:
                turns = await wait_line(other, lambda line: line["type"] == "turns")
                assert turns["turns"][0]["role"] == "assistant"
            call.hang_up()
            await wait_line(answer, lambda line: line["type"] == "ended")


async def test_a_caller_with_a_human_is_shown_by_every_replica_until_the_end(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "LOOK_S", 0.1)
    server = RealtimeServer(Agent().brain)
    line = {"ring_scale": 0.02, "gather_scale": 0.02}
    async with replicas(server, postgres_url, shared_redis().url, agent=ONE, line=line) as r:
        r.line.callee = Callee(presses="1", talks_ms=1000)
        r.route = by_path({"/media-stream": 1})
        async with followed(r[0]) as answer:
            call = await r.connected()
            await call.wait_heard(size(HELLO))
            await call.wait_quiet()
            while (await api(r[0], "POST", f"/calls/{call.call_sid}/transfer", {})).status != 202:
                pass  # until the replica that has the call is known
            await wait_line(
                answer,
                lambda line: line["type"] == "call" and line["call"]["state"] == "transferring",
            )
            await call.wait_ended()
            await wait_line(answer, lambda line: line["type"] == "ended")
        await r.settled()
