"""Listening in on live calls, at the replica that has the call and at another one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from app.simulator.realtime import Reply, Script
from tests.redis_server import shared_redis
from tests.service.routed_replicas import by_path, replicas
from tests.service.test_service_keys import PROMPT, TOOLS, Till, press
from tests.service.transfer_world import HELLO, callers, size, transfer_world
from tests.service.world import AGENT, API_TOKEN, World, decisions, noise, world

AUTHORIZED = {"Authorization": f"Bearer {API_TOKEN}"}
WORDS = noise(1500, "the caller's words")
SOUND = noise(3000, "greeting")
GREETING = Reply("Hello, this is Ada.", audio=SOUND, speed=float("inf"))


@pytest.fixture
def redis_url() -> str:
    return shared_redis().url


@asynccontextmanager
async def listening(w: World, call_sid: str) -> AsyncIterator[aiohttp.ClientResponse]:
    address = f"{w.url}/calls/{call_sid}/listen"
    async with w.http.get(address, headers=AUTHORIZED) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.headers["Content-Type"] == "audio/PCMU;rate=8000;channels=2"
        assert answer.headers["Cache-Control"] == "no-store"
        yield answer


async def sides(answer: aiohttp.ClientResponse, until: Any) -> tuple[bytes, bytes]:
    """What is heard of the caller and of the agent, until both fit."""
    both = b""
    while not until(both[::2], both[1::2]):
        piece = await answer.content.readany()
        assert piece, "the sound ended"
        both += piece
    return both[::2], both[1::2]


async def refusal(w: World, call_sid: str, headers: Any = AUTHORIZED) -> tuple[int, str]:
    async with w.http.get(f"{w.url}/calls/{call_sid}/listen", headers=headers) as answer:
        return answer.status, str((await answer.json())["detail"])


async def test_both_sides_are_heard_and_the_record_says_who_listened() -> None:
    async with world(Script(*[GREETING] * 9)) as w:
        call = await w.connected()
        async with listening(w, call.call_sid) as answer:
            await sides(answer, lambda _, agent: SOUND[12000:12400] in agent)
            call.say(WORDS)
            await sides(answer, lambda caller, _: WORDS[8000:8160] in caller)
        while w.state.listening.listeners:
            await w.status_of("/healthz")
        call.hang_up()
        await call.wait_ended()
        found = dict(decisions(await w.record(call.call_sid)))
        assert found["listening in"] == "by 127.0.0.1"
        assert found["listening in ended"].startswith("by 127.0.0.1, after ")


async def test_the_sound_ends_with_the_call() -> None:
    async with world(Script(GREETING)) as w:
        call = await w.connected()
        async with listening(w, call.call_sid) as answer:
            call.hang_up()
            await answer.content.read()
        await call.wait_ended()
        await w.store.flush()
        assert await refusal(w, call.call_sid) == (409, "the call has ended")
        assert (await refusal(w, "CA" + "9" * 32))[0] == 404
        assert (await refusal(w, call.call_sid, {}))[0] == 401


async def test_it_is_refused_where_it_is_turned_off() -> None:
    async with world(Script(GREETING), listen_in="off") as w:
        call = await w.connected()
        status, why = await refusal(w, call.call_sid)
        assert status == 403 and "LISTEN_IN" in why
        async with w.http.get(f"{w.url}/agent", headers=AUTHORIZED) as answer:
            assert (await answer.json())["listen_in"] is False


async def test_the_sound_ends_when_the_service_stops() -> None:
    async with world(Script(GREETING)) as w:
        call = await w.connected()
        async with listening(w, call.call_sid) as answer:
            w.server.should_exit = True
            await answer.content.read()


async def test_the_caller_is_not_heard_while_they_enter_a_secret() -> None:
    agent = Till()
    async with transfer_world(agent, f'tools = "tools.py"\n{AGENT}', tools=TOOLS) as w:
        (caller,) = await callers(w, agent)
        call = caller.call
        await caller.greeted()
        async with listening(w, call.call_sid) as answer:
            caller.says("Let me pay.")
            await call.wait_heard(size(HELLO, PROMPT))
            tones = noise(1000, "what keys sound like to the ear")
            call.say(tones)
            press(caller, "4111")
            await call.wait_spoken()
            after = size(HELLO, PROMPT)
            assert after
            heard, _ = await sides(answer, lambda caller, _: len(caller) > 8 * 2500)
            pieces = [tones[at : at + 40] for at in range(0, len(tones), 40)]
            assert not any(piece in heard for piece in pieces)
            (card,) = [each.card() for each in w.state.board.calls.values()]
            assert card.muted
        await caller.hangs_up()


async def test_a_call_is_heard_at_another_replica(postgres_url: str, redis_url: str) -> None:
    async with replicas(Script(GREETING, GREETING), postgres_url, redis_url) as r:
        r.route = by_path({"/media-stream": 1})
        call = await r.connected()
        while await r[0].state.services.bus.owner(call.call_sid) is None:
            await r[0].status_of("/healthz")
        async with listening(r[0], call.call_sid) as answer:
            await sides(answer, lambda _, agent: SOUND[12000:12400] in agent)
            call.say(WORDS)
            await sides(answer, lambda caller, _: WORDS[8000:8160] in caller)
        while r[1].state.listening.listeners:
            await r[1].status_of("/healthz")
        async with listening(r[0], call.call_sid) as answer:
            call.hang_up()
            await answer.content.read()
        await call.wait_ended()
        found = [each for each, _ in decisions(await r.record(call.call_sid))]
        assert found.count("listening in") == 2
