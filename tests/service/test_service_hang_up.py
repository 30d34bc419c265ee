"""The caller hangs up, or is lost, at any moment: nothing stays behind, and the record is whole."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from app.bridge.stream_retries import RetryLimits
from app.simulator.realtime import Fault, RealtimeServer, Reply, Script, Session, Turn
from app.simulator.twilio import Call
from tests.service import tool_gate
from tests.service.raw_twilio import CALL_SID, request
from tests.service.world import AGENT, names, noise, tasks_of_calls, world

INF = float("inf")
GREETING = Reply("Hello, and welcome to the front desk.", audio=noise(1500, "hello"), speed=INF)
SHORT = Reply("Hello.", audio=noise(60, "hello"), speed=INF)
LONG = Reply("One two three four five six.", audio=noise(1500, "long"), speed=1.5)
TOOL_AGENT = f'tools = "tools.py"\n{AGENT}'


def calling(name: str) -> Reply:
    return Reply(tool_calls=[(name, {})])


async def _greeting(call: Call, session: Session) -> None:
    await call.wait_heard(4000)


async def _talking(call: Call, session: Session) -> None:
    await call.wait_quiet()
    question = noise(2000, "question")
    call.say(question)
    await session.until(lambda s: question[:4000] in s.heard)


async def _answer(call: Call, session: Session) -> None:
    await call.wait_quiet()
    session.start_speech()
    session.stop_speech("When do you open?")
    await call.wait_heard(480 + 4000)


async def _tool(call: Call, session: Session) -> None:
    await call.wait_quiet()
    session.start_speech()
    session.stop_speech("Look it up.")
    await tool_gate.running(call.call_sid)


async def _silence(call: Call, session: Session) -> None:
    await call.wait_quiet(150)


async def _not_ready(call: Call, session: Session) -> None:
    await call.wait_connected()
    call.say(noise(100))
    await call.wait_spoken()


@dataclass(frozen=True)
class Moment:
    """`reach`: live until it has come. `script`: what the model says until then. `roles`: whose
    turns the transcript holds; `cut`: whether the last one was cut off."""

    reach: Callable[[Call, Session], Awaitable[None]]
    script: tuple[Reply, ...] = ()
    roles: tuple[str, ...] = ()
    cut: bool = False
    fault: Fault = field(default_factory=Fault)


MOMENTS = {
    "greeting": Moment(_greeting, (GREETING,), ("assistant",), cut=True),
    "caller talks": Moment(_talking, (SHORT,), ("assistant", "user")),
    "agent talks": Moment(_answer, (SHORT, LONG), ("assistant", "user", "assistant"), cut=True),
    "tool": Moment(_tool, (SHORT, calling("wait_for_ever")), ("assistant", "user")),
    "thread": Moment(_tool, (SHORT, calling("hang_in_a_thread")), ("assistant", "user")),
    "silence": Moment(_silence, (SHORT,), ("assistant",)),
    "not configured": Moment(_not_ready, fault=Fault(update_delay_ms=60_000)),
    "model mute": Moment(_not_ready, fault=Fault(mute=True)),
}


class Scripts:
    """A script for each session."""

    def __init__(self) -> None:
        self._of: dict[str, asyncio.Future[Script]] = {}

    async def brain(self, turn: Turn) -> Reply:
        return (await self._script(turn.session_id)).brain(turn)

    def give(self, session: Session, script: Script) -> None:
        self._script(session.id).set_result(script)

    def _script(self, session_id: str) -> asyncio.Future[Script]:
        if session_id not in self._of:
            self._of[session_id] = asyncio.get_running_loop().create_future()
        return self._of[session_id]


ENDED_BY = {"hang up": "caller", "drop": "line"}


@pytest.mark.parametrize("how", ENDED_BY)
async def test_nothing_stays_behind(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.bridge.streams.RetryLimits", partial(RetryLimits, most_failures=1))
    tool_gate.arm()
    scripts = Scripts()
    server = RealtimeServer(scripts.brain)
    server.faults.extend(moment.fault for moment in MOMENTS.values())
    async with world(server, agent=TOOL_AGENT, tools=tool_gate.TOOLS) as w:
        tasks_before = tasks_of_calls()
        calls: dict[str, Call] = {}
        for number, (name, moment) in enumerate(MOMENTS.items()):
            calls[name] = w.line.ring()
            scripts.give(await server.session(number), Script(*moment.script))

        async def end(name: str, session: Session) -> None:
            await MOMENTS[name].reach(calls[name], session)
            if how == "drop":
                await calls[name].drop()  # Twilio goes on with the TwiML, and that hangs up
            else:
                calls[name].hang_up()
            await session.closed.wait()
            await calls[name].wait_ended()

        await asyncio.gather(*(end(*pair) for pair in zip(MOMENTS, server.sessions, strict=True)))
        await w.settled()
        assert tasks_of_calls() == tasks_before
        assert w.switchboard.live_calls == 0
        assert tool_gate.cancelled == {calls["tool"].call_sid}
        (hangs,) = w.log.of("tools run on after their call has ended")
        assert hangs["call_sid"] == calls["thread"].call_sid
        assert hangs["running"] == {"hang_in_a_thread": 1}
        tool_gate.release.set()
        for name, call in calls.items():
            record = await w.record(call.call_sid)
            assert (record["status"], record["ended_by"]) == ("completed", ENDED_BY[how])
            check_record(record, call, MOMENTS[name])


def check_record(record: dict[str, Any], call: Call, moment: Moment) -> None:
    """What was kept is all that happened, and no more than was heard."""
    assert record["started_at"] and record["ended_at"] and record["duration_s"]
    happened = [name for name in names(record) if name != "DecisionMade"]
    assert happened[0] == "LegOpened" and happened[-1] == "StreamEnded"
    assert happened.count("StreamEnded") == 1
    assert names(record, "command")[-2:] == ["CloseModel", "EndLeg"]
    timings = {"stream_started_ms"}
    if moment.script:
        timings |= {"model_ready_ms", "first_delta_ms", "first_media_ms"}
        assert record["usage"]["output_audio"] > 0
    assert record["timings"].keys() == timings

    transcript = record["transcript"]
    assert tuple(turn["role"] for turn in transcript) == moment.roles
    agents = [turn for turn in transcript if turn["role"] == "assistant"]
    heard_ms = len(call.heard) / 8
    # The service learns of the end later than Twilio, on a busy machine by a quarter of a second.
    assert sum(turn["heard_ms"] for turn in agents) <= heard_ms + 250
    for turn in agents:
        whole = [r.text for r in moment.script if turn["text"] and r.text.startswith(turn["text"])]
        assert whole and turn["cut"] == (turn["text"] not in whole)
    assert [turn["cut"] for turn in agents] == [*[False] * (len(agents) - 1), moment.cut][
        : len(agents)
    ]


@pytest.mark.parametrize("how", ENDED_BY)
async def test_a_handshake_that_hangs_is_let_go(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.bridge.streams.RetryLimits", partial(RetryLimits, most_failures=1))
    async with world(Script()) as w:
        w.model.hang()
        tasks_before = tasks_of_calls()
        call = await w.connected()
        if how == "drop":
            await call.drop()
        else:
            call.hang_up()
        await call.wait_ended()
        await w.settled()
        assert tasks_of_calls() == tasks_before
        record = await w.record(call.call_sid)
        assert (record["status"], record["ended_by"]) == ("completed", ENDED_BY[how])
        assert record["timings"].keys() == {"stream_started_ms"}


async def test_a_caller_who_hangs_up_while_it_rings_leaves_nothing() -> None:
    async with world(Script(SHORT)) as w:
        call = await w.line.call()
        call.hang_up()
        session = await w.model.session()
        await call.wait_ended()
        await session.closed.wait()
        await w.settled()
        record = await w.record(call.call_sid)
        assert record["status"] in ("no-answer", "completed")
        assert record["ended_by"] == "caller" and record["ended_at"]


async def test_a_leg_that_no_stream_claims_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.call.caller.stream_deadlines.UNCLAIMED_MS", 200.0)
    async with world(Script(SHORT)) as w:
        await request(w)
        session = await w.model.session()
        await session.closed.wait()
        await w.settled()
        record = await w.record(CALL_SID)
        assert (record["ended_by"], record["started_at"]) == ("unclaimed", None)
        assert record["transcript"] == []


async def test_a_tool_that_will_not_be_cancelled_keeps_no_leg_open() -> None:
    tool_gate.arm()
    script = Script(SHORT, calling("hold_on"))
    async with world(script, agent=TOOL_AGENT, tools=tool_gate.TOOLS) as w:
        call = await w.connected()
        session = await w.model.session()
        await _tool(call, session)
        try:
            call.hang_up()
            await session.closed.wait()
            await call.wait_ended()
            await w.settled()
            assert tool_gate.cancelled == {call.call_sid}
            assert (await w.record(call.call_sid))["ended_by"] == "caller"
        finally:
            tool_gate.release.set()
        tool = [task for task in asyncio.all_tasks() if "ToolSide.run" in str(task.get_coro())]
        await asyncio.wait(tool)
