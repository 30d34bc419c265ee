"""The model refuses a setting of the agent's: the call goes on without it, and so do later ones."""

from collections.abc import Mapping
from typing import Any

import pytest

from app.simulator.realtime import Fault, RealtimeServer, Reply, Script, Session, refusing
from app.simulator.twilio import Call
from tests.service.world import AGENT, World, noise, world

INF = float("inf")
HELLO = Reply("Hello.", audio=noise(60, "hello"), speed=INF)
ANSWER = Reply("We open at nine.", audio=noise(60, "nine"), speed=INF)
BACK = Reply("Sorry, the line broke.", audio=noise(60, "back"), speed=INF)
OWNERS = (
    AGENT.replace(
        "silence_ms = 100", 'silence_ms = 100\nnoise_reduction = "far_field"\n'
        "noise_reduction_strength = 0.5",
    )
    + """
[voice]
speed = 1.2
[model]
reasoning_effort = "low"
max_output_tokens = 4096
parallel_tool_calls = false
truncation = 0.8
[transcription]
prompt = "Food."
keywords = ["Margherita"]
languages = ["en", "it"]
"""
)  # fmt: skip
TRANSCRIPTION = "audio.input.transcription"
#: By field of the session: what the decision names.
FIELDS = {
    f"{TRANSCRIPTION}.model": "transcription",
    f"{TRANSCRIPTION}.prompt": "prompt",
    f"{TRANSCRIPTION}.keywords": "keywords",
    f"{TRANSCRIPTION}.languages": "languages",
    "audio.input.noise_reduction.type": "noise_reduction",
    "audio.input.noise_reduction.strength": "noise_reduction_strength",
    "audio.input.turn_detection.threshold": "detection",
    "audio.output.voice": "voice",
    "audio.output.speed": "speed",
    "reasoning.effort": "reasoning_effort",
    "max_output_tokens": "max_output_tokens",
    "parallel_tool_calls": "parallel_tool_calls",
    "truncation": "truncation",
}


def refuses(*paths: str, **how: Any) -> Fault:
    return Fault(on={"session.update": refusing(*paths, **how)})


async def answered(w: World, call: Call, session: Session) -> dict[str, Any]:
    """The caller is greeted and answered, and hangs up. Returns the record of the call."""
    await call.wait_heard(480)
    session.start_speech()
    session.stop_speech("When do you open?")
    await call.wait_heard(960)
    assert call.heard == (HELLO.audio or b"") + (ANSWER.audio or b"")
    call.hang_up()
    await call.wait_ended()
    await w.settled()
    record = await w.record(call.call_sid)
    assert (record["status"], record["ended_by"]) == ("completed", "caller")
    return record


def left_out(record: Mapping[str, Any]) -> list[str]:
    """What the record says that the call went without."""
    decisions = [e["data"]["decision"] for e in record["events"] if e["name"] == "ReportDecision"]
    return [each.removeprefix("go on without ") for each in decisions]


def updates(session: Session) -> list[dict[str, Any]]:
    """The agent's settings, each time that they were sent."""
    sent = [event["session"] for event in session.events_of("session.update")]
    return [each for each in sent if "instructions" in each]


@pytest.mark.parametrize("path", FIELDS)
async def test_a_refused_setting_does_not_cost_the_call(path: str) -> None:
    server = RealtimeServer(Script(HELLO, ANSWER))
    server.fault = refuses(path)
    async with world(server, agent=OWNERS) as w:
        call = await w.connected()
        session = await server.session()
        record = await answered(w, call, session)

    assert left_out(record) == [FIELDS[path]]
    assert len(updates(session)) == 2
    assert len(server.sessions) == 1


async def test_every_setting_may_be_refused_one_after_the_other() -> None:
    server = RealtimeServer(Script(HELLO, ANSWER))
    server.fault = refuses(*FIELDS)
    async with world(server, agent=OWNERS) as w:
        call = await w.connected()
        record = await answered(w, call, await server.session())

    assert left_out(record)[0] == "transcription"
    assert len(server.sessions) == 1


@pytest.mark.parametrize(
    "how",
    [
        {"names": "message"},
        {"repeats_id": False},
        {"names": "message", "repeats_id": False},
        {"late": True},
        {"late": True, "repeats_id": False},
    ],
)
async def test_servers_differ_in_how_they_refuse_a_setting(how: dict[str, Any]) -> None:
    server = RealtimeServer(Script(HELLO, ANSWER))
    server.fault = refuses(f"{TRANSCRIPTION}.model", **how)
    async with world(server, agent=OWNERS) as w:
        call = await w.connected()
        session = await server.session()
        record = await answered(w, call, session)

    assert left_out(record) == ["transcription"]
    assert "transcription" not in updates(session)[-1]["audio"]["input"]


@pytest.mark.parametrize("repeats_id", [True, False])
async def test_when_the_server_does_not_say_which_the_owner_s_settings_are_left_out(
    repeats_id: bool,
) -> None:
    server = RealtimeServer(Script(HELLO, ANSWER))
    server.fault = refuses("truncation", names="nothing", repeats_id=repeats_id)
    async with world(server, agent=OWNERS) as w:
        call = await w.connected()
        session = await server.session()
        record = await answered(w, call, session)

    assert left_out(record) == [
        "transcription, noise_reduction, reasoning_effort, max_output_tokens, "
        "parallel_tool_calls, truncation"
    ]
    kept = updates(session)[-1]
    assert {"reasoning", "max_output_tokens", "parallel_tool_calls", "truncation"}.isdisjoint(kept)
    assert kept["audio"]["output"] == {
        "format": {"type": "audio/pcmu"},
        "voice": "marin",
        "speed": 1.2,
    }


async def test_the_next_session_and_the_next_call_leave_it_out_at_once() -> None:
    server = RealtimeServer(Script(HELLO, ANSWER, HELLO, ANSWER))
    server.fault = refuses(f"{TRANSCRIPTION}.keywords")
    async with world(server, agent=OWNERS) as w:
        call = await w.connected()
        first = await server.session()
        await call.wait_heard(480)
        await call.wait_quiet()
        first.drop()
        second = await server.session(1)
        await second.until(lambda s: "audio/pcmu" in str(s.config["audio"]["input"]))
        record = await answered(w, call, second)
        again = await answered(w, await w.connected(), await server.session(2))
        sent = [updates(session) for session in server.sessions]

    assert [len(each) for each in sent] == [2, 1, 1]
    assert left_out(record) == ["keywords"]
    assert left_out(again) == []
    (opened,) = [e["data"] for e in again["events"] if e["name"] == "LegOpened"]
    assert opened["left_out"] == ["keywords"]


async def test_the_leg_after_a_lost_line_leaves_out_what_was_not_named_too() -> None:
    server = RealtimeServer(Script(HELLO, BACK))
    server.fault = refuses("truncation", names="nothing")
    async with world(server, agent=OWNERS) as w:
        call = await w.connected()
        first = await server.session()
        await call.wait_heard(480)
        await call.drop()
        await first.closed.wait()
        await call.wait_connected(2)
        second = await server.session(1)
        await call.wait_heard(960)
        call.hang_up()
        await call.wait_ended()

    assert [len(updates(session)) for session in (first, second)] == [2, 1]
    assert "transcription" not in updates(second)[0]["audio"]["input"]


async def test_a_turn_that_cannot_be_transcribed_is_no_refused_setting() -> None:
    server = RealtimeServer(Script(HELLO, ANSWER))
    async with world(server, agent=OWNERS) as w:
        call = await w.connected()
        session = await server.session()
        await call.wait_heard(480)
        failed = "conversation.item.input_audio_transcription.failed"
        session.send_raw(
            f'{{"type": "{failed}", "item_id": "item_1", "content_index": 0, '
            '"error": {"code": "model_not_found", "param": "session.audio.input.transcription"}}'
        )
        record = await answered(w, call, session)

    assert left_out(record) == []
    assert len(updates(session)) == 1
