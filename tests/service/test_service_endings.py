"""Calls that the agent ends: the goodbye is heard, then the service hangs up, whatever fails."""

import json
from typing import Any

import pytest

from app.simulator.realtime import Reply, Script
from app.simulator.twilio import Call, Fault, Network
from tests.service import tool_gate
from tests.service.twiml_check import check_twiml
from tests.service.world import AGENT, World, names, noise, world

INF = float("inf")
HELLO = Reply("Hello.", audio=noise(40, "hello"), speed=INF)
SMALL_TALK = Reply("Yes, we are open.", audio=noise(80, "talk"), speed=INF)
END = [("end_call", {"reason": "the caller is done"})]
GOODBYE = Reply("Thank you, goodbye!", audio=noise(300, "bye"), tool_calls=END, speed=INF)


def audio_of(*replies: Reply) -> bytes:
    return b"".join(reply.audio or b"" for reply in replies)


async def say(w: World, call: Call, words: str) -> None:
    """The caller says something, once it is quiet."""
    await call.wait_quiet()
    session = await w.model.session()
    session.start_speech()
    session.stop_speech(words)


async def ended(w: World, call: Call) -> dict[str, Any]:
    """Wait until the call is over; its record."""
    await call.wait_ended()
    await w.settled()
    return await w.record(call.call_sid)


@pytest.mark.parametrize("network", [Network(), Network(delay_ms=60, jitter_ms=30, seed=3)])
async def test_the_goodbye_is_heard_to_its_last_byte_before_the_hang_up(network: Network) -> None:
    async with world(Script(HELLO, GOODBYE), network=network) as w:
        call = await w.connected()
        await say(w, call, "That was all.")
        record = await ended(w, call)

        (order,) = w.line.rest_requests
        assert (order.method, order.form["Status"]) == ("POST", "completed")
        assert order.path.endswith(f"/Calls/{call.call_sid}.json")
        assert call.playback.heard(order.at_ms) == audio_of(HELLO, GOODBYE) == call.heard
        assert (call.status, call.errors) == ("completed", [])
        assert (record["status"], record["ended_by"]) == ("completed", "agent")
        assert [(turn["role"], turn["text"]) for turn in record["transcript"]][:3] == [
            ("assistant", "Hello."),
            ("user", "That was all."),
            ("assistant", "Thank you, goodbye!"),
        ]
        assert not any(turn["cut"] for turn in record["transcript"])
        assert w.line.calls[call.call_sid].twiml_history == call.twiml_history[:1]


async def test_a_goodbye_without_words_is_asked_for() -> None:
    mute = Reply(tool_calls=END)
    spoken = Reply("Goodbye then.", audio=noise(100, "bye"), speed=INF)
    async with world(Script(HELLO, mute, spoken)) as w:
        call = await w.connected()
        await say(w, call, "That was all.")
        record = await ended(w, call)
        assert record["ended_by"] == "agent"
        (order,) = w.line.rest_requests
        assert call.playback.heard(order.at_ms) == audio_of(HELLO, spoken)


async def test_a_caller_who_interrupts_the_goodbye_is_not_hung_up_on() -> None:
    long = Reply("Thank you, goodbye!", audio=noise(3000, "bye"), tool_calls=END, speed=INF)
    async with world(Script(HELLO, long, SMALL_TALK, GOODBYE)) as w:
        call = await w.connected()
        await say(w, call, "That was all.")
        await call.wait_heard(len(audio_of(HELLO)) + 1600)
        session = await w.model.session()
        session.start_speech()
        session.stop_speech("Wait, one more thing!")
        (output,) = await _outputs(session, 1)
        assert "not ended" in output
        await session.received("conversation.item.truncate")
        await call.wait_heard(len(call.heard) + len(audio_of(SMALL_TALK)))
        await call.wait_quiet()
        assert call.is_live and not w.line.rest_requests

        await say(w, call, "Now that was all.")
        record = await ended(w, call)
        assert record["ended_by"] == "agent"
        assert len(w.line.rest_requests) == 1
        assert call.heard.endswith(audio_of(SMALL_TALK, GOODBYE))


async def _outputs(session: Any, count: int) -> list[str]:
    """What the model was told by so many tools."""

    def found(s: Any) -> list[str]:
        items = [e["item"] for e in s.events_of("conversation.item.create")]
        return [item["output"] for item in items if item["type"] == "function_call_output"]

    await session.until(lambda s: len(found(s)) >= count)
    return found(session)


@pytest.mark.parametrize("status", [404, 410])
async def test_a_live_line_that_rest_does_not_know_of_is_closed_at_once(status: int) -> None:
    async with world(Script(HELLO, GOODBYE)) as w:
        w.line.rest_faults.append(Fault(status=status, times=1))
        call = await w.connected()
        await say(w, call, "That was all.")
        record = await ended(w, call)

        (order,) = w.line.rest_requests
        assert call.playback.heard(order.at_ms) == audio_of(HELLO, GOODBYE)
        (exchange,) = [each for each in call.requests if each.url.endswith("/stream-ended")]
        assert exchange.sent_ms - order.at_ms < 1000
        assert check_twiml(exchange.body) == ["Hangup"]
        assert (record["status"], record["ended_by"]) == ("completed", "agent")
        assert names(record, "command")[-3:] == ["CloseStream", "CloseModel", "EndLeg"]


async def test_with_rest_down_the_stream_is_closed_and_twiml_hangs_up() -> None:
    async with world(Script(HELLO, GOODBYE)) as w:
        w.line.rest_faults.append(Fault(status=503, times=9))
        call = await w.connected()
        await say(w, call, "That was all.")
        record = await ended(w, call)

        assert len(w.line.rest_requests) == 3
        assert call.playback.heard(w.line.rest_requests[0].at_ms) == audio_of(HELLO, GOODBYE)
        assert call.error_codes == [31921]
        assert [exchange.url.rpartition("/")[2] for exchange in call.requests] == [
            "incoming-call",
            "stream-ended",
            "call-status",
        ]
        assert not call.said and call.status == "completed"
        assert (record["status"], record["ended_by"]) == ("completed", "agent")
        assert "HangUpFailed" in names(record)
        assert names(record, "command")[-3:] == ["CloseStream", "CloseModel", "EndLeg"]


async def test_words_that_the_model_could_not_say_are_said_by_twilio(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = "Vielen Dank & auf Wiederhören."
    monkeypatch.setattr("app.bridge.leg.state.LegState.last_words", words)
    async with world(Script(HELLO, GOODBYE), agent=f'language = "de"\n{AGENT}') as w:
        w.line.rest_faults.append(Fault(status=404, times=1))  # so that the stream is closed
        call = await w.connected()
        await say(w, call, "That was all.")
        record = await ended(w, call)
        assert call.said == [words] and 'language="de-DE"' in call.twiml_history[-1]
        assert check_twiml(call.twiml_history[-1]) == ["Say", "Hangup"]
        assert (record["status"], record["ended_by"]) == ("completed", "agent")


async def test_a_service_that_stops_and_cannot_hang_up_says_that_it_is_sorry() -> None:
    async with world(Script(HELLO)) as w:
        w.line.rest_faults.append(Fault(status=503, times=99))
        call = await w.connected()
        await call.wait_quiet()
        await w.switchboard.close()
        await call.wait_ended()
        assert len(call.said) == 1 and call.said[0].startswith("We are sorry")
        record = await w.record(call.call_sid)
        assert (record["status"], record["ended_by"]) == ("completed", "shutdown")


@pytest.mark.parametrize("credentials", [True, False])
async def test_without_rest_the_stream_is_closed_and_twiml_hangs_up(credentials: bool) -> None:
    line: dict[str, Any] = {}
    settings: dict[str, Any] = {"twilio_api_base_url": "http://127.0.0.1:9"}
    if not credentials:
        line = {"auth_token": "", "api_token": "operator"}
        settings = dict.fromkeys(("twilio_account_sid", "twilio_auth_token"))
        settings["api_token"] = "operator"
    async with world(Script(HELLO, GOODBYE), line=line, **settings) as w:
        call = await w.connected()
        await say(w, call, "That was all.")
        await call.wait_ended()
        await w.settled()
        assert call.heard == audio_of(HELLO, GOODBYE)
        assert (call.status, call.error_codes) == ("completed", [31921])
        row = await _row(w, call)
        assert row.ended_by == "agent"


async def _row(w: World, call: Call) -> Any:
    await w.store.flush()
    return await w.store.get_call(call.call_sid)


async def test_a_silent_caller_is_asked_and_then_let_go() -> None:
    nudge = Reply("Are you still there?", audio=noise(60, "nudge"), speed=INF)
    farewell = Reply("Goodbye.", audio=noise(90, "farewell"), speed=INF)
    agent = f"{AGENT}\n[limits]\nidle_seconds = 0.1\nidle_nudges = 1\n"
    async with world(Script(HELLO, nudge, farewell), agent=agent) as w:
        call = await w.connected()
        record = await ended(w, call)
        assert call.heard == audio_of(HELLO, nudge, farewell)
        assert call.playback.heard(w.line.rest_requests[0].at_ms) == call.heard
        assert record["ended_by"] == "idle"


async def test_the_longest_call_ends_with_a_warning_and_a_goodbye() -> None:
    warning = Reply("We have a second left.", audio=noise(60, "warning"), speed=INF)
    farewell = Reply("Goodbye.", audio=noise(90, "farewell"), speed=INF)
    agent = f"{AGENT}\n[limits]\nlongest_call_seconds = 0.8\nwarning_seconds = 0.4\n"
    async with world(Script(HELLO, warning, farewell), agent=agent) as w:
        call = await w.connected()
        record = await ended(w, call)
        assert call.heard == audio_of(HELLO, warning, farewell)
        assert record["ended_by"] == "limit"


async def test_tools_of_the_agent_file_are_run_and_answered() -> None:
    tools = '''
from app.tools import CallContext, tool


@tool
def caller(context: CallContext) -> dict[str, str]:
    """Who calls."""
    return {"from": context.caller_number, "to": context.called_number, "call": context.call_sid}


@tool
async def broken(text: str) -> str:
    """Fails.

    Args:
        text: anything
    """
    raise ValueError(f"no {text}")


@tool
def full() -> str:
    """Refuses on purpose."""
    raise ToolError("All tables are taken at eight.")
'''
    tools = tools.replace("import CallContext", "import CallContext, ToolError")
    called = [("caller", {}), ("broken", {"text": "luck"}), ("unheard_of", {}), ("full", {})]
    calls = Reply(tool_calls=called)
    script = Script(HELLO, calls, SMALL_TALK)
    async with world(script, agent=f'tools = "tools.py"\n{AGENT}', tools=tools) as w:
        call = await w.connected()
        await say(w, call, "Who am I?")
        await call.wait_heard(len(audio_of(HELLO, SMALL_TALK)))
        turn = script.turns[-1]  # one answer to all of them
        outputs = {each.name: each.output for each in turn.tool_outputs}
        assert json.loads(outputs["caller"]) == {
            "from": call.from_,
            "to": call.to,
            "call": call.call_sid,
        }
        assert outputs["broken"] == "The tool failed."
        assert outputs["full"] == "All tables are taken at eight."
        assert "unheard_of" in outputs["unheard_of"]
        offered = [tool["name"] for tool in (await w.model.session()).config["tools"]]
        assert offered == ["end_call", "send_digits", "caller", "broken", "full"]
        failed = {line["tool"]: line for line in w.log.of("tool failed")}
        assert failed.keys() == {"broken", "unheard_of", "full"}
        assert failed["broken"]["trace"].endswith("ValueError: no luck\n")  # for the owner


async def test_a_tool_that_hangs_is_given_up_and_delays_no_call() -> None:
    tool_gate.arm()
    agent = f'tools = "tools.py"\n{AGENT}\n[limits]\ntool_seconds = 0.2\n'
    tool = Reply(tool_calls=[("hang_in_a_thread", {}), ("wait_for_ever", {})])
    script = Script(HELLO, tool, SMALL_TALK)
    async with world(script, agent=agent, tools=tool_gate.TOOLS) as w:
        call = await w.connected()
        await say(w, call, "Look it up.")
        await call.wait_heard(len(audio_of(HELLO, SMALL_TALK)))
        assert [each.name for each in script.turns[-1].tool_outputs] == [
            "hang_in_a_thread",
            "wait_for_ever",
        ]
        tool_gate.release.set()
        assert tool_gate.cancelled == {call.call_sid}
