"""The stand-in for Qwen's voices: strict about client events, and as documented."""

import asyncio
import json
from base64 import b64decode
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from app.simulator.voices.mouth import Plan, tones
from app.simulator.voices.qwen import QwenStandIn
from tests.simulator.voices.qwen_client import (
    BEARER,
    COMMITTED,
    LATE,
    MODEL,
    OPENED,
    PHONE,
    SEGMENT,
    status_of,
    talking,
)

TRAFFIC = Path(__file__).parents[2] / "traffic"

# --- handshakes -----------------------------------------------------------------------------------


async def test_a_handshake_without_key_path_and_model_is_refused() -> None:
    async with QwenStandIn(api_key="sk-test") as qwen:
        right = f"{qwen.url}?model={MODEL}"
        assert await status_of(right, {}) == 401
        assert await status_of(right, {"Authorization": "Bearer sk-other"}) == 401
        assert await status_of(right, {"Authorization": "Basic sk-test"}) == 401
        assert await status_of(right.replace("realtime?", "inference?"), BEARER) == 404
        assert await status_of(qwen.url, BEARER) == 400
        assert await status_of(f"{right}&model=another", BEARER) == 400
        assert qwen.refusals == [401, 401, 401, 404, 400, 400]
        async with talking(qwen):
            pass
        assert qwen.heard.connections == 1


async def test_without_an_api_key_it_accepts_every_key_but_none_missing() -> None:
    async with QwenStandIn() as qwen:
        assert await status_of(f"{qwen.url}?model={MODEL}", {}) == 401
        async with talking(qwen) as client:
            assert (await client.next())["session"]["model"] == MODEL


async def test_a_plan_can_refuse_handshakes() -> None:
    async with QwenStandIn(plan=lambda text: Plan(fault="" if text else "refuse")) as qwen:
        assert await status_of(f"{qwen.url}?model={MODEL}", BEARER) == 503


# --- commit mode ----------------------------------------------------------------------------------


async def test_in_commit_mode_each_commit_is_one_response_on_the_same_session() -> None:
    async with QwenStandIn() as qwen, talking(qwen) as client:
        await client.configure()
        await client.send("input_text_buffer.append", text="Thanks for ")
        await client.send("input_text_buffer.append", text="calling! And so on.")
        await client.send("input_text_buffer.commit")
        first = await client.until("response.done")
        await client.say("A moment.")
        second = await client.until("response.done")
        await client.send("session.finish")
        assert await client.to_the_end() == 1000
        assert client.types == [*OPENED, *COMMITTED, *COMMITTED, "session.finished"]
        assert first["response"]["status"] == second["response"]["status"] == "completed"
        assert first["response"]["id"] != second["response"]["id"]
        assert client.sound == b"".join(
            tones(text, 8000).pcm for text in ("Thanks for calling! And so on.", "A moment.")
        )
        assert [(said.text, said.whole) for said in qwen.heard.said] == [
            ("Thanks for calling! And so on.", True),
            ("A moment.", True),
        ]
        assert qwen.sessions[0].errors == []
        assert not qwen.open_sessions


async def test_deltas_belong_to_their_response() -> None:
    async with QwenStandIn() as qwen, talking(qwen) as client:
        await client.configure()
        await client.say("One.")
        created = await client.until("response.created")
        await client.until("response.done")
        ids = {event["response_id"] for event in client.events if "response_id" in event}
        assert ids == {created["response"]["id"]}


async def test_what_was_cleared_is_not_said() -> None:
    async with QwenStandIn() as qwen, talking(qwen) as client:
        await client.configure()
        await client.send("input_text_buffer.append", text="This is dropped.")
        await client.send("input_text_buffer.clear")
        await client.until("input_text_buffer.cleared")
        await client.say("This is not.")
        await client.until("response.done")
        assert [said.text for said in qwen.heard.said] == ["This is not."]


async def test_an_empty_commit_is_an_error_and_the_session_stays_open() -> None:
    async with QwenStandIn() as qwen, talking(qwen) as client:
        await client.configure()
        await client.say("  ")
        assert (await client.until("error"))["error"]["code"] == "invalid_value"
        await client.say("Hello.")
        await client.until("response.done")


async def test_what_is_left_is_said_when_the_session_is_finished() -> None:
    async with QwenStandIn() as qwen, talking(qwen) as client:
        await client.configure()
        await client.send("input_text_buffer.append", text="And goodbye")
        await client.send("session.finish")
        await client.to_the_end()
        assert client.types == [*OPENED, *SEGMENT, "session.finished"]


# --- server_commit mode ---------------------------------------------------------------------------


async def test_in_server_commit_mode_each_complete_sentence_is_spoken() -> None:
    async with QwenStandIn() as qwen, talking(qwen) as client:
        await client.configure(mode="server_commit")
        await client.send("input_text_buffer.append", text="It costs 3.")
        await client.send("input_text_buffer.append", text="50 euros. Is that ")
        await client.until("response.done")
        assert [said.text for said in qwen.heard.said] == ["It costs 3.50 euros. "]
        await client.send("input_text_buffer.append", text="fine?! 好的。再见")
        await client.send("session.finish")
        assert await client.to_the_end() == 1000
        assert [said.text for said in qwen.heard.said][1:] == ["Is that fine?! ", "好的。", "再见"]
        assert client.types == [*OPENED, *SEGMENT * 4, "session.finished"]


async def test_a_commit_speaks_an_incomplete_sentence() -> None:
    async with QwenStandIn() as qwen, talking(qwen) as client:
        await client.configure(mode="server_commit")
        await client.say("One moment")
        await client.until("response.done")
        assert client.types == [*OPENED, *COMMITTED]


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("hz", [8000, 16000, 22050, 24000, 44100, 48000])
async def test_it_speaks_at_every_rate(hz: int) -> None:
    async with QwenStandIn() as qwen, talking(qwen) as client:
        await client.configure(sample_rate=hz)
        assert client.events[-1]["session"]["sample_rate"] == hz
        await client.say("Hello there.")
        await client.until("response.done")
        assert client.sound == tones("Hello there.", hz).pcm


@pytest.mark.parametrize(
    "wrong",
    [
        {"voice": ""},
        {"voice": 7},
        {"mode": "both"},
        {"response_format": "mp3"},
        {"sample_rate": 11025},
        {"sample_rate": True},
        {"language_type": "Klingon"},
        {"speech_rate": 2.1},
        {"speech_rate": "1.0"},
        {"volume": 101},
        {"volume": 50.5},
        {"pitch_rate": 0.4},
        {"bit_rate": 5},
        {"enable_tn": 1},
        {"instructions": "Softly."},
        {"optimize_instructions": True},
        {"format": "pcm"},
    ],
)
async def test_settings_outside_of_their_range_are_refused(wrong: dict[str, Any]) -> None:
    async with QwenStandIn() as qwen, talking(qwen) as client:
        await client.send("session.update", session={**PHONE, **wrong})
        refusal = await client.until("error")
        assert next(iter(wrong)) in refusal["error"]["message"]
        await client.configure()  # a later update is accepted


async def test_every_setting_is_accepted_in_its_range_and_returned() -> None:
    asked = {
        **PHONE,
        "language_type": "German",
        "speech_rate": 0.5,
        "volume": 100,
        "pitch_rate": 2,
        "bit_rate": 128,
        "instructions": "Softly.",
        "optimize_instructions": True,
        "enable_tn": False,
    }
    model = "qwen3-tts-instruct-flash-realtime"
    async with QwenStandIn() as qwen, talking(qwen, model) as client:
        await client.configure(**asked)
        told = client.events[-1]["session"]
        assert {name: told[name] for name in asked} == asked


@pytest.mark.parametrize(
    "wrong", [{"sample_rate": 8000}, {"volume": 50}, {"speech_rate": 1.0}, {"voice": "Momo"}]
)
async def test_the_old_model_has_fewer_settings(wrong: dict[str, Any]) -> None:
    plain = {**PHONE, "sample_rate": 24000}
    async with QwenStandIn() as qwen, talking(qwen, "qwen-tts-realtime") as client:
        await client.send("session.update", session={**plain, **wrong})
        await client.until("error")
        await client.configure(sample_rate=24000)


async def test_settings_come_once_and_before_the_text() -> None:
    async with QwenStandIn() as qwen:
        async with talking(qwen) as client:
            await client.configure()
            await client.send("session.update", session=PHONE)
            assert (await client.until("error"))["error"]["message"] == LATE
        async with talking(qwen) as client:
            await client.send("input_text_buffer.append", text="Hello! ")
            await client.send("session.update", session=PHONE)
            assert (await client.until("error"))["error"]["message"] == LATE
            await client.send("session.finish")
            await client.to_the_end()
            assert client.sound == tones("Hello! ", 24000).pcm  # without settings, the defaults


# --- invalid events -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frame",
    [
        b"\x00\x01",
        "{",
        "[]",
        '{"type": "input_text_buffer.clear"}',
        '{"event_id": "", "type": "input_text_buffer.clear"}',
        '{"event_id": "a", "type": "response.cancel"}',
        '{"event_id": "a"}',
        '{"event_id": "a", "type": "input_text_buffer.append"}',
        '{"event_id": "a", "type": "input_text_buffer.append", "text": 5}',
        '{"event_id": "a", "type": "input_text_buffer.commit", "text": "x"}',
        '{"event_id": "a", "type": "session.update", "session": []}',
        '{"event_id": "a", "type": "session.update", "session": {}}',
    ],
)
async def test_an_invalid_event_is_an_error_that_leaves_the_socket_open(frame: str | bytes) -> None:
    async with QwenStandIn() as qwen, talking(qwen) as client:
        await client.socket.send(frame)
        await client.until("error")
        await client.configure()


async def test_an_event_id_is_valid_once() -> None:
    event = json.dumps({"event_id": "a", "type": "input_text_buffer.clear"})
    async with QwenStandIn() as qwen, talking(qwen) as client:
        await client.socket.send(event)
        await client.until("input_text_buffer.cleared")
        await client.socket.send(event)
        assert (await client.until("error"))["error"]["code"] == "invalid_event_id"


async def test_nothing_may_follow_a_finish() -> None:
    async with QwenStandIn(plan=lambda text: Plan(fault="stall")) as qwen, talking(qwen) as client:
        await client.configure(mode="server_commit")
        await client.send("input_text_buffer.append", text="Hello!")
        await client.send("session.finish")
        await client.send("input_text_buffer.append", text="And more.")
        assert (await client.until("error"))["error"]["message"] == LATE
        assert [said.text for said in qwen.heard.said] == ["Hello!"]


# --- plans and faults -----------------------------------------------------------------------------


async def test_response_done_has_the_usage() -> None:
    async with QwenStandIn() as qwen:
        async with talking(qwen) as client:
            await client.configure()
            await client.say("Hi 你好")
            done = await client.until("response.done")
            assert done["response"]["usage"] == {"characters": 7}
        async with talking(qwen, "qwen-tts-realtime") as client:
            await client.configure(sample_rate=24000)
            await client.say("Hi there")  # 420 ms
            done = await client.until("response.done")
            assert done["response"]["usage"]["output_tokens_details"]["audio_tokens"] == 21


async def test_the_plan_sets_delay_speed_and_chunks() -> None:
    plan = Plan(delay_ms=30, speed=8.0, chunk_ms=20)
    async with QwenStandIn(plan=lambda text: plan) as qwen, talking(qwen) as client:
        await client.configure()
        clock = asyncio.get_running_loop().time
        began_s = clock()
        await client.say("Hello there.")
        await client.until("response.done")
        sizes = [len(b64decode(event["delta"])) for event in client.events if "delta" in event]
        assert max(sizes) == 320
        assert clock() - began_s >= 0.03 + sum(sizes) / 16000 / 8 - 0.005


async def test_each_fault_happens_after_its_bytes() -> None:
    whole = tones("Hello there.", 8000).pcm
    plan = Plan(fault_after_bytes=3001)

    for fault, end in (("error", "error"), ("refuse", "error"), ("drop", ""), ("stall", "")):
        planned = replace(plan, fault=fault)  # type: ignore[arg-type]

        def by_text(text: str, planned: Plan = planned) -> Plan:
            return planned if text else Plan()

        async with QwenStandIn(plan=by_text) as qwen:
            async with talking(qwen) as client:
                await client.configure()
                await client.say("Hello there.")
                if end:
                    await client.until(end)
                    await client.say("Are you there?")
                    assert (await client.until("error"))["error"]["message"] == LATE
                elif fault == "drop":
                    with pytest.raises(ConnectionClosed) as closed:
                        await client.until("response.done")
                    assert closed.value.rcvd is None
                else:
                    await qwen.until(lambda: [s.sent_bytes for s in qwen.heard.said] == [3001])
                    while client.sound != whole[:3001]:
                        await client.next()
            if fault == "refuse":
                assert qwen.heard.said == [] and client.sound == b""
                continue
            assert client.sound == whole[:3001]
            await qwen.until(lambda: not qwen.open_sessions)
        said = qwen.heard.said[0]
        assert (said.sent_bytes, said.whole) == (3001, False)
        assert said.dropped is (fault == "stall")


async def test_a_client_that_leaves_in_mid_speech_is_noted() -> None:
    async with QwenStandIn(plan=lambda text: Plan(speed=1.0)) as qwen:
        async with talking(qwen) as client:
            await client.configure()
            await client.say("A long story that the caller does not hear to its end.")
            await client.until("response.audio.delta")
        await qwen.until(lambda: not qwen.open_sessions)
    said = qwen.heard.said[0]
    assert said.dropped and not said.whole
    assert 0 < said.sent_bytes < len(said.spoken.pcm)
    assert qwen.sessions[0].close_code == 1000


# --- recorded -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["qwen_commit", "qwen_server_commit"])
async def test_a_recorded_session_of_the_dashscope_client_is_answered_as_recorded(
    name: str,
) -> None:
    """Except for response.cancel, which is not documented: the stand-in refuses it."""
    lines = (TRAFFIC / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    handshake, *messages = [json.loads(line) for line in lines]
    model = handshake["path"].partition("model=")[2]
    expected: list[str] = []
    async with QwenStandIn() as qwen, talking(qwen, model) as client:
        for message in messages:
            if message["dir"] == "client->server":
                await client.socket.send(message["raw"])
                if message["type"] == "response.cancel":
                    await client.until("error")
                    expected.append("error")
            elif message["type"] == "ws.close":
                assert await client.to_the_end() == message["code"]
            elif message["type"].endswith(".done"):
                if message["type"] == "response.done":
                    await client.until("response.done")
                    expected += SEGMENT[4:]  # the documentation has two orders
            else:
                expected.append(message["type"])
    assert client.types == [type_ for type_, _ in groupby(expected)]
