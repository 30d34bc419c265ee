"""`GET /events` on a running service."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from app.simulator.realtime import Reply, Script
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
