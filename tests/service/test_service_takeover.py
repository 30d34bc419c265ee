"""A replica is killed, or another one hears what Twilio says: the call goes on with all of it."""

from pathlib import Path

import aiohttp
import pytest

from app.simulator.realtime import RealtimeServer, Reply, Session
from app.simulator.twilio import Call, Callee
from tests.redis_server import shared_redis
from tests.service.replicas import API_TOKEN, Replicas, replicas
from tests.service.transfer_world import (
    ANSWER,
    DESK,
    NIGHT,
    SALES,
    Agent,
    desk,
    request_of,
    size,
    told,
    transfer_reply,
)
from tests.service.world import noise

INF = float("inf")
HELLO = Reply("Hello.", audio=noise(60, "hello"), speed=INF)
QUICK = {"ring_scale": 0.02, "gather_scale": 0.02, "hold_ms": 20.0}
BACK_MS = 3000.0
THREE = desk(
    f'name = "desk"\nnumber = "{DESK}"\nthen = ["sales", "night"]',
    f'name = "sales"\nnumber = "{SALES}"',
    f'name = "night"\nnumber = "{NIGHT}"',
)
BUSY_LATE = Callee(goes="busy", answers_after_ms=400)


async def says(r: Replicas, call: Call, text: str, reply: Reply = ANSWER) -> Session:
    """The caller says this, and hears the reply."""
    session = r.model.sessions[-1]
    heard = len(call.heard)
    session.start_speech()
    session.stop_speech(text)
    await call.wait_heard(heard + size(reply))
    await call.wait_quiet(30)
    return session


async def greeted(r: Replicas, reply: Reply = HELLO, **ring: str) -> Call:
    call = await r.connected(**ring)
    await call.wait_heard(size(reply))
    await call.wait_quiet(30)
    return call


async def test_a_caller_whose_replica_was_killed_is_back_with_everything_heard(
    tmp_path: Path, postgres_url: str
) -> None:
    agent = Agent()
    async with replicas(
        tmp_path, shared_redis().url, postgres_url, RealtimeServer(agent.brain)
    ) as r:
        call = await greeted(r)
        session = await says(r, call, "When do you open?")
        await r.stored(call.call_sid, HELLO.text, "When do you open?", ANSWER.text)
        first, heard = r.holder, len(call.heard)
        r.kill(first)
        await call.wait_connected(2)
        await call.wait_heard(heard + 1)
        assert r.holder != first and not call.said
        assert session.closed.is_set()
        again = await r.model.session(1)
        await again.until(lambda session: len(told(session)) >= 3)
        assert told(again)[:3] == [
            ("assistant", HELLO.text),
            ("user", "When do you open?"),
            ("assistant", ANSWER.text),
        ]
        await call.wait_heard(heard + size(agent.back))
        call.hang_up()
        row, turns, timeline = await r.ended(call)
        assert (row.status, row.ended_by, row.epoch) == ("completed", "caller", 2)
        assert [turn.text for turn in turns[:3]] == [HELLO.text, "When do you open?", ANSWER.text]
        positions = [entry.position for entry in timeline]
        assert positions == sorted(set(positions))


@pytest.mark.parametrize("killed", [False, True])
async def test_a_transfer_goes_on_with_the_destinations_that_are_left(
    tmp_path: Path, postgres_url: str, killed: bool
) -> None:
    """The replicas that hear of the attempts are others than the one that began the transfer."""
    agent = Agent(transfer_reply(destination="desk"))
    server = RealtimeServer(agent.brain)
    async with replicas(
        tmp_path, shared_redis().url, postgres_url, server, agent=THREE, line=QUICK
    ) as r:
        r.proxy.for_streams = {0}
        r.line.callees = {
            DESK: BUSY_LATE,
            SALES: Callee(answers_after_ms=20, presses="1", talks_ms=50),
        }
        call = await greeted(r)
        r.model.sessions[-1].start_speech()
        r.model.sessions[-1].stop_speech(request_of(0))
        await call.wait_for(lambda: len(call.dialed) >= 1)
        if killed:
            await r.until(call.call_sid, lambda row: bool(row.transfers))
            r.kill(0)
        row, _, _ = await r.ended(call)
        assert [each["outcome"] for each in row.transfers] == ["busy", "completed"]
        assert [each["destination"] for each in row.transfers] == ["desk", "sales"]
        assert (row.status, len(call.streams), len(r.model.sessions)) == ("completed", 1, 1)


async def test_a_caller_that_no_human_accepts_is_back_with_an_agent_that_knows_why(
    tmp_path: Path, postgres_url: str
) -> None:
    agent = Agent(transfer_reply(destination="desk"))
    server = RealtimeServer(agent.brain)
    async with replicas(
        tmp_path, shared_redis().url, postgres_url, server, agent=THREE, line=QUICK
    ) as r:
        r.proxy.for_streams = {0}
        r.line.callees = {
            DESK: BUSY_LATE,
            SALES: Callee(machine=True),
            NIGHT: Callee(goes="no-answer"),
        }
        call = await greeted(r)
        r.model.sessions[-1].start_speech()
        r.model.sessions[-1].stop_speech(request_of(0))
        await call.wait_for(lambda: len(call.dialed) >= 1)
        r.kill(0)
        await call.wait_connected(2)
        heard = len(call.heard)
        await call.wait_heard(heard + 1)
        words = [text for role, text in told(r.model.sessions[-1]) if role == "system"]
        assert any("desk: busy" in text and "night: no-answer" in text for text in words)
        call.hang_up()
        row, _, _ = await r.ended(call)
        assert [each["outcome"] for each in row.transfers] == ["busy", "not-accepted", "no-answer"]


async def test_keys_that_were_typed_before_the_replica_was_killed_are_not_asked_for_again(
    tmp_path: Path, postgres_url: str
) -> None:
    agent = Agent()
    async with replicas(
        tmp_path, shared_redis().url, postgres_url, RealtimeServer(agent.brain)
    ) as r:
        call = await greeted(r)
        call.press("4")
        call.press("0")
        await r.until(call.call_sid, lambda row: "40" in str(row.carried))
        r.kill(r.holder)
        await call.wait_connected(2)
        session = await r.model.session(1)
        call.press("7")
        await session.until(lambda session: any("407" in text for _, text in told(session)))


async def test_an_outbound_call_is_about_the_same_at_another_replica(
    tmp_path: Path, postgres_url: str
) -> None:
    agent = Agent()
    server = RealtimeServer(agent.brain)
    async with replicas(
        tmp_path, shared_redis().url, postgres_url, server, TWILIO_PHONE_NUMBER="+14155550100"
    ) as r:
        r.line.callees = {"+14155550123": Callee(talks_ms=60_000)}
        body = {"to": "+14155550123", "greeting": "Good day Ann.", "context": "Her table at seven."}
        headers = {"Authorization": f"Bearer {API_TOKEN}"}
        async with aiohttp.ClientSession(headers=headers) as http:
            answer = await http.post(f"{r.url}/calls", json=body)
            assert answer.status == 201, await answer.text()
        call = await r.line.outbound()
        await call.wait_connected()
        await call.wait_quiet(30)
        session = await r.model.session(0)
        assert "Her table at seven." in session.config["instructions"]
        await r.until(call.call_sid, lambda row: bool(row.agent_name))
        r.kill(r.holder)
        session = await r.model.session(1)
        await session.received("session.update")
        assert "Her table at seven." in session.config["instructions"]
