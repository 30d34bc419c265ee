"""A replica stops: its calls go on at another one, whatever is under way on them."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from app.bridge.transfers.recorded import RecordedTransfers
from app.records.store import Store
from app.simulator.realtime import RealtimeServer, Reply, Session
from app.simulator.twilio import Call, Callee
from tests.redis_server import shared_redis
from tests.service.raw_twilio import CALL_SID, call_form, raw_stream, refusal, request
from tests.service.replicas import replicas as processes
from tests.service.routed_replicas import Replicas, by_path, replicas
from tests.service.test_service_keys import PROMPT
from tests.service.transfer_world import (
    ANSWER,
    DESK,
    HELLO,
    Agent,
    desk,
    request_of,
    size,
    told,
    transfer_reply,
)
from tests.service.twiml_check import check_twiml
from tests.service.world import AGENT, decisions, noise

INF = float("inf")
QUICK = {"ring_scale": 0.02, "gather_scale": 0.02, "hold_ms": 20.0}
ONE = desk(name="desk", number=DESK)
HANDED_OVER = (
    "call handed over",
    "this replica stops, and another one goes on with the call",
)
END = ("end_call", {"reason": "the caller is done"})
TOOLS_FILE = f'tools = "tools.py"\n{AGENT}'
SLOW = '''
import asyncio

from app.tools import CallContext, tool


@tool
async def book() -> str:
    """Books a table."""
    await asyncio.sleep(0.5)
    return "It is booked."


@tool
async def pay(call: CallContext) -> str:
    """Takes a card's number."""
    return await call.ask_digits(16, secret=True, prompt="Please type your card.")
'''
TOOL_OF = {"Book it.": "book", "Let me pay.": "pay"}
FIRST, SECOND = by_path({}, otherwise=0), by_path({}, otherwise=1)


class Till(Agent):
    """Calls a tool when the test wants it."""

    def brain(self, turn: Any) -> Reply:
        if turn.kind == "direct" and "Please type" in turn.instructions:
            return PROMPT
        tool = TOOL_OF.get(turn.transcript)
        if turn.kind == "reply" and not turn.tool_outputs and tool:
            return Reply(tool_calls=[(tool, {})])
        return super().brain(turn)


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


async def over(r: Replicas, call: Call) -> dict[str, Any]:
    """The record of a call that ends by itself."""
    await call.wait_ended()
    await r.settled()
    return await r.record(call.call_sid, 1)


async def over_at(r: Replicas, number: int) -> None:
    """Twilio reports the end of the raw call."""
    form = {"CallSid": CALL_SID, "CallStatus": "completed"}
    await request(r[number], "/call-status", form)


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


async def test_a_caller_who_hangs_up_while_handed_over_has_ended_the_call(
    postgres_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = Agent()
    async with replicas(RealtimeServer(agent.brain), postgres_url, redis_url, drain_seconds=0) as r:
        call = await greeted(r)
        asked, goes_on = asyncio.Event(), asyncio.Event()
        resume = r[1].state.reconnects.resume

        async def wait(*args: Any, **options: Any) -> Any:
            asked.set()
            await goes_on.wait()
            return await resume(*args, **options)

        monkeypatch.setattr(r[1].state.reconnects, "resume", wait)
        stops(r)
        await asked.wait()
        call.hang_up()
        goes_on.set()
        record = await over(r, call)
        assert (record["status"], record["ended_by"]) == ("completed", "caller")
        assert len(call.streams) == 1


# --- what is under way ----------------------------------------------------------------------------


async def test_a_goodbye_is_heard_to_its_end(postgres_url: str, redis_url: str) -> None:
    goodbye = Reply("Goodbye.", audio=noise(700, "bye"), speed=INF, tool_calls=[END])
    agent = Agent({"That is all.": goodbye})
    async with replicas(RealtimeServer(agent.brain), postgres_url, redis_url, drain_seconds=0) as r:
        call = await greeted(r)
        says(r, "That is all.")
        await call.wait_heard(size(HELLO) + 800)
        stops(r)
        record = await over(r, call)
        assert call.heard == (HELLO.audio or b"") + (goodbye.audio or b"")
        assert (record["status"], record["ended_by"]) == ("completed", "agent")
        assert (len(call.streams), len(r.model.sessions)) == (1, 1)


async def test_a_goodbye_that_lasts_too_long_goes_on_at_the_other_replica(
    postgres_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.bridge.hand_over.REST_S", 0.2)
    goodbye = Reply("Goodbye, then.", audio=noise(9000, "bye"), speed=INF, tool_calls=[END])
    agent = Agent({"That is all.": goodbye})
    async with replicas(RealtimeServer(agent.brain), postgres_url, redis_url, drain_seconds=0) as r:
        call = await greeted(r)
        says(r, "That is all.")
        await call.wait_heard(size(HELLO) + 800)
        stops(r)
        await call.wait_connected(2)
        heard = len(call.heard)
        await call.wait_heard(heard + 1)
        assert not call.said
        assert HANDED_OVER in decisions(await ended(r, call))


@pytest.mark.parametrize("when", ["announced", "ringing", "talking"])
async def test_a_caller_on_the_way_to_a_human_reaches_the_human(
    postgres_url: str, redis_url: str, when: str
) -> None:
    announcement = Reply("I am connecting you.", audio=noise(600, "connecting"), speed=INF)
    agent = Agent(transfer_reply(announcement))
    server = RealtimeServer(agent.brain)
    async with replicas(
        server, postgres_url, redis_url, drain_seconds=0, agent=ONE, line=QUICK
    ) as r:
        r.line.callees = {DESK: Callee(answers_after_ms=400, presses="1", talks_ms=600)}
        call = await greeted(r)
        says(r, request_of(0))
        await call.wait_heard(size(HELLO) + 800)
        if when != "announced":
            await call.wait_for(lambda: len(call.dialed) >= 1)
        if when == "talking":
            await call.wait_for(lambda: call.talking_ms is not None)
        stops(r)
        record = await over(r, call)
        assert call.heard == (HELLO.audio or b"") + (announcement.audio or b"")
        assert [each["outcome"] for each in record["transfers"]] == ["completed"]
        assert (record["status"], len(call.dialed)) == ("completed", 1)
        assert (len(call.streams), len(r.model.sessions)) == (1, 1)


async def test_a_warm_transfer_goes_on_though_its_replica_stops(
    postgres_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The human does not accept: the caller is fetched, and back with the agent elsewhere."""
    is_pending = RecordedTransfers.is_pending

    async def later(self: RecordedTransfers, call_sid: str, number: int) -> bool:
        await asyncio.sleep(0.3)  # the replica stops after it redirected the caller
        return await is_pending(self, call_sid, number)

    monkeypatch.setattr(RecordedTransfers, "is_pending", later)
    agent = Agent(transfer_reply())
    server = RealtimeServer(agent.brain)
    warm = desk(name="desk", number=DESK, warm=True)
    async with replicas(
        server, postgres_url, redis_url, drain_seconds=0, agent=warm, line=QUICK,
        twilio_phone_number="+15550109999",
    ) as r:  # fmt: skip
        r.line.callees = {DESK: Callee(goes="busy", answers_after_ms=400)}
        call = await greeted(r)
        says(r, request_of(0))
        await call.wait_for(lambda: len(call.dialed) >= 1)
        heard = len(call.heard)
        stops(r)
        await call.wait_connected(2)
        await call.wait_heard(heard + 1)
        record = await ended(r, call)
        assert [each["outcome"] for each in record["transfers"]] == ["busy"]


async def test_a_tool_that_runs_is_answered_before_the_call_is_handed_over(
    postgres_url: str, redis_url: str
) -> None:
    agent = Till()
    server = RealtimeServer(agent.brain)
    async with replicas(
        server, postgres_url, redis_url, drain_seconds=0, agent=TOOLS_FILE, tools=SLOW
    ) as r:
        call = await greeted(r)
        session = says(r, "Book it.")
        await session.until(lambda s: any("book" in str(e) for e in s.conversation))
        heard = len(call.heard)
        stops(r)
        await call.wait_heard(heard + size(ANSWER))
        await call.wait_connected(2)
        again = await r.model.session(1)
        await again.until(lambda s: len(told(s)) >= 3)
        assert any("It is booked" in text for _, text in told(again))
        await ended(r, call)


async def test_a_secret_entry_stays_secret_at_the_other_replica(
    postgres_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.bridge.hand_over.REST_S", 0.2)
    agent = Till()
    server = RealtimeServer(agent.brain)
    async with replicas(
        server, postgres_url, redis_url, drain_seconds=0, agent=TOOLS_FILE, tools=SLOW
    ) as r:
        call = await greeted(r)
        says(r, "Let me pay.")
        await call.wait_heard(size(HELLO, PROMPT))
        for key in "492912":
            call.press(key)
        stops(r)
        await call.wait_connected(2)
        heard = len(call.heard)
        for key in "345678":
            call.press(key)
        await call.wait_heard(heard + 1)
        await call.wait_quiet(30)
        record = await ended(r, call)
        said = str([turn["text"] for turn in record["transcript"]])
        assert not any(digit in said for digit in "3456789")
        events = [event for session in r.model.sessions for event in session.client_events]
        assert "345678" not in str(events) and "492912" not in str(events)


async def test_keys_that_the_agent_presses_sound_before_the_call_is_handed_over(
    postgres_url: str, redis_url: str
) -> None:
    agent = Agent({"Go on.": Reply(tool_calls=[("send_digits", {"digits": "12"})])})
    async with replicas(RealtimeServer(agent.brain), postgres_url, redis_url, drain_seconds=0) as r:
        call = await greeted(r)
        session = says(r, "Go on.")
        await session.until(lambda s: any("send_digits" in str(e) for e in s.conversation))
        stops(r)
        await call.wait_connected(2)
        again = await r.model.session(1)
        await again.until(lambda s: any("The keys were pressed" in text for _, text in told(s)))
        await ended(r, call)


# --- where Twilio's requests arrive ---------------------------------------------------------------


@pytest.mark.parametrize("own_addresses", [False, True])
async def test_a_replica_that_stops_answers_and_leaves_the_stream_to_another_one(
    postgres_url: str, redis_url: str, own_addresses: bool
) -> None:
    agent = Agent()
    server = RealtimeServer(agent.brain)
    async with replicas(server, postgres_url, redis_url, own_addresses=own_addresses) as r:
        call = await greeted(r)
        r.route = by_path({"/media-stream": 1}, otherwise=0)
        await r[0].switchboard.drain(0)
        await r[0].switchboard.hand_over()
        await call.wait_connected(2)
        await call.wait_heard(size(HELLO) + 1)
        assert r.reached_by("/stream-ended") == [0]
        assert r.reached_by("/media-stream") == [0, 1]
        new = await request(r[0], form=call_form())
        assert await refusal(r[0], new.stream_url) == 503
        async with raw_stream(r[1], new.stream_url) as stream:
            await stream.start()
            assert (await stream.receive())["event"] in ("mark", "media")
        await over_at(r, 1)
        await ended(r, call)


async def test_without_another_replica_a_call_is_hung_up_as_with_one_process(
    postgres_url: str, redis_url: str
) -> None:
    agent = Agent()
    async with replicas(
        RealtimeServer(agent.brain), postgres_url, redis_url, count=1, drain_seconds=0
    ) as r:
        call = await greeted(r)
        r[0].server._stop(signal.SIGTERM)
        await call.wait_ended()
        await r.settled()
        store = await Store.open(postgres_url)
        row = await store.get_call(call.call_sid)
        await store.aclose()
        assert row is not None
        assert (row.status, row.ended_by, len(call.streams)) == ("completed", "shutdown", 1)


async def test_a_second_sigterm_hangs_up_at_once(postgres_url: str, redis_url: str) -> None:
    agent = Agent()
    async with replicas(RealtimeServer(agent.brain), postgres_url, redis_url) as r:
        call = await greeted(r)
        stops(r)
        assert await r[0].status_of("/readyz") == 503
        stops(r)
        record = await over(r, call)
        assert (record["status"], record["ended_by"]) == ("completed", "shutdown")
        assert len(call.streams) == 1


# --- as processes ---------------------------------------------------------------------------------


async def test_replicas_that_are_stopped_one_after_another_lose_no_caller(
    tmp_path: Path, postgres_url: str, redis_url: str
) -> None:
    agent = Agent()
    server = RealtimeServer(agent.brain)
    async with processes(
        tmp_path, redis_url, postgres_url, server, count=3, DRAIN_SECONDS="1"
    ) as r:
        calls = [await r.connected() for _ in range(4)]
        for call in calls:
            await call.wait_heard(size(HELLO))
        for number in (0, 1):
            r.processes[number].signal(signal.SIGTERM)
            await r.processes[number].says("draining")
            calls.append(await r.connected())  # it may reach the one that drains
            r.proxy.up.discard(number)
            calls.append(await r.connected())
            assert await r.processes[number].exit_status() == 0
        for call in calls:
            await call.wait_quiet(30)
            assert not call.said
            call.hang_up()
            row, _, timeline = await r.ended(call)
            assert (row.status, row.ended_by) == ("completed", "caller")
            positions = [entry.position for entry in timeline]
            assert positions == sorted(set(positions))
