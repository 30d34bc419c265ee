"""What goes over the two wires: the caller's audio one way, the agent's the other."""

import base64
from typing import Any

import pytest
from pydantic import ValidationError

from app.simulator.realtime import Fault, RealtimeServer, Reply, Script
from app.simulator.twilio import Call, Network
from tests.service.wire_types import check_client_event
from tests.service.world import AGENT, World, names, noise, world

INF = float("inf")
TOOLS = '''
from app.tools import tool


@tool
def opening_hours(day: str) -> dict[str, str]:
    """Tell when we are open.

    Args:
        day: such as Monday
    """
    return {"day": day, "from": "9", "to": "21"}
'''


def tap(call: Call, monkeypatch: pytest.MonkeyPatch) -> bytearray:
    """All that the line sends of the caller's audio, from now on."""
    sent = bytearray()
    next_frame = call.voice.next_frame

    def tapped(at_ms: float) -> str:
        payload = next_frame(at_ms)
        sent.extend(base64.b64decode(payload))
        return payload

    monkeypatch.setattr(call.voice, "next_frame", tapped)
    return sent


async def hang_up(w: World, call: Call) -> None:
    call.hang_up()
    await call.wait_ended()
    await w.settled()


@pytest.mark.parametrize("network", [Network(), Network(delay_ms=30, jitter_ms=20, seed=5)])
async def test_every_frame_of_the_caller_reaches_the_model(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The stop alone ends the call here: a status callback would overtake a slow network's audio.
    line = {"status_callback_url": ""}
    async with world(Script("Hello.", "Yes?"), network=network, line=line) as w:
        call = w.line.ring()
        sent = tap(call, monkeypatch)
        speech = noise(400, "question")
        call.say(speech)
        await call.wait_connected()
        session = await w.model.session()
        await session.until(lambda s: speech in s.heard)
        await hang_up(w, call)
        await session.closed.wait()
        assert session.heard == bytes(sent)


async def test_what_the_caller_says_before_the_session_is_ready_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = RealtimeServer(Script("Hello.", "Yes?"))
    server.faults.append(Fault(update_delay_ms=900))
    async with world(server) as w:
        call = w.line.ring()
        sent = tap(call, monkeypatch)
        speech = noise(300, "early")
        call.say(speech)
        await call.wait_connected()
        await call.wait_spoken()
        session = await server.session()
        assert not session.events_of("input_audio_buffer.append")
        await session.until(lambda s: speech in s.heard)
        assert session.client_events[0]["type"] == "session.update"
        await hang_up(w, call)
        await session.closed.wait()
        assert session.heard == bytes(sent)


async def test_what_is_said_while_the_model_is_out_of_reach_is_kept_ten_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.bridge.leg.caller_audio.MOST_BYTES", 1600)
    async with world(Script("Hello.", "Yes?")) as w:
        w.model.hang()
        call = w.line.ring()
        sent = tap(call, monkeypatch)
        call.say(noise(300, "long"))
        await call.wait_spoken()
        before = len(sent)
        await w.model.resume()
        session = await w.model.session()
        await session.received("input_audio_buffer.append", 20)
        await hang_up(w, call)
        await session.closed.wait()
        lost = len(sent) - len(session.heard)
        assert session.heard == bytes(sent)[lost:]
        assert 0 < lost and before - lost >= 1600 - 160


@pytest.mark.parametrize("network", [Network(), Network(delay_ms=30, jitter_ms=20, seed=5)])
async def test_an_uninterrupted_answer_is_heard_byte_for_byte(network: Network) -> None:
    replies = [
        Reply("Hello.", audio=noise(201, 0)[:-3], speed=INF, delta_ms=37),
        Reply("The first answer.", audio=noise(400, 1), speed=INF, delta_ms=1000),
        Reply("The second answer.", audio=noise(233, 2), speed=4, delta_ms=20),
    ]
    expected = b"".join(reply.audio or b"" for reply in replies)
    async with world(Script(*replies), network=network) as w:
        call = await w.connected()
        session = await w.model.session()
        for turn in range(1, 3):
            await call.wait_quiet(1)
            session.start_speech()
            session.stop_speech(f"question {turn}")
            answered = sum(len(reply.audio or b"") for reply in replies[: turn + 1])
            await call.wait_heard(answered)
        assert call.heard == expected
        assert not call.playback.clears or all(not c.dropped_bytes for c in call.playback.clears)
        await hang_up(w, call)
        record = await w.record(call.call_sid)
        said = [(turn["role"], turn["text"], turn["cut"]) for turn in record["transcript"]]
        assert said == [
            ("assistant", "Hello.", False),
            ("user", "question 1", False),
            ("assistant", "The first answer.", False),
            ("user", "question 2", False),
            ("assistant", "The second answer.", False),
        ]


async def test_every_event_to_the_model_is_one_that_the_openai_package_knows() -> None:
    script = Script(
        Reply("Hello there.", audio=noise(200, 0), speed=INF),
        Reply(tool_calls=[("opening_hours", {"day": "Monday"}), ("opening_hours", {})], speed=INF),
        Reply("We are open, and much more is to be said about that.", audio=noise(2000), speed=INF),
        Reply("Yes, of course.", audio=noise(200, 2), speed=INF),
        Reply("A renewed session.", audio=noise(1500, 3), speed=2),
        Reply("Goodbye!", audio=noise(200, 4), tool_calls=[("end_call", {"reason": "done"})]),
    )
    agent = f'tools = "tools.py"\nlanguage = "de"\n{AGENT}\n[voice]\nspeed = 1.2\n'
    async with world(script, agent=agent, tools=TOOLS) as w:
        call = await w.connected()
        session = await w.model.session()
        await call.wait_quiet()
        session.start_speech()
        session.stop_speech("When are you open?")
        await call.wait_heard(400 * 8)
        session.start_speech()
        session.stop_speech("Really?")
        await session.received("conversation.item.truncate")
        await call.wait_for(lambda: call.heard.endswith(noise(200, 2)))
        await call.wait_quiet()

        session.drop()
        second = await w.model.session(1)
        await second.received("conversation.item.create", 5)
        second.start_speech()
        second.stop_speech("Are you still there?")
        await second.until(lambda s: bool(s.active and s.active.items and s.active.items[0].audio))
        await second.until(lambda s: len(s.events_of("session.update")) > 1)
        second.start_speech()  # while the answer is generated
        second.stop_speech("Goodbye.")
        await call.wait_ended()
        await w.settled()

        events = [event for each in w.model.sessions for event in each.client_events]
        for event in events:
            check_client_event(event)
        assert {event["type"] for event in events} >= {
            "session.update",
            "input_audio_buffer.append",
            "response.create",
            "conversation.item.create",
            "conversation.item.truncate",
        }
        kinds = {e["item"]["type"] for e in events if e["type"] == "conversation.item.create"}
        assert kinds == {"message", "function_call_output"}
        ids = [event["event_id"] for event in events if "event_id" in event]
        assert len(ids) == len(set(ids))
        assert not session.errors_sent and not second.errors_sent
        assert "ToolFailed" in names(await w.record(call.call_sid))


def test_the_check_of_client_events_can_fail() -> None:
    with pytest.raises(AssertionError, match="colour"):
        check_client_event({"type": "response.create", "response": {"colour": "red"}})
    with pytest.raises(ValidationError):
        wrong: dict[str, Any] = {"type": "input_audio_buffer.append", "audio": 1}
        check_client_event(wrong)
