"""Client events that the scripted Realtime server refuses."""

import copy
import json
from typing import Any

import pytest

from app.simulator.realtime import RealtimeServer
from app.simulator.realtime.checks import Refusal
from app.simulator.realtime.config import default_config, updated_config
from app.simulator.realtime.schema import checked_event
from tests.simulator.realtime.realtime_client import PHONE, PhoneSession


def update(path: str, value: Any) -> dict[str, Any]:
    """A session.update with one other value."""
    session: dict[str, Any] = copy.deepcopy(PHONE)
    place, keys = session, path.split(".")
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return {"type": "session.update", "session": session}


def item(**fields: Any) -> dict[str, Any]:
    return {"type": "conversation.item.create", "item": fields}


def said(role: str, **part: Any) -> dict[str, Any]:
    return item(type="message", role=role, content=[part])


PCMU = {"type": "audio/pcmu"}
VAD = {"type": "server_vad"}

REFUSED: list[tuple[Any, str]] = [
    ([], ""),
    ({"audio": "AAAA"}, "type"),
    ({"type": "session.start"}, "type"),
    ({"type": "output_audio_buffer.clear"}, "type"),  # WebRTC and SIP only
    ({"type": "input_audio_buffer.clear", "extra": 1}, "extra"),
    ({"type": "input_audio_buffer.clear", "event_id": "x" * 513}, "event_id"),
    ({"type": "input_audio_buffer.append"}, "audio"),
    ({"type": "input_audio_buffer.append", "audio": None}, "audio"),
    ({"type": "session.update"}, "session"),
    ({"type": "session.update", "session": {"instructions": "x"}}, "session.type"),
    (update("type", "transcription"), "session.type"),
    (update("temperature", 0.8), "session.temperature"),
    (update("modalities", ["audio"]), "session.modalities"),
    (update("voice", "marin"), "session.voice"),
    (update("input_audio_format", "g711_ulaw"), "session.input_audio_format"),
    (update("turn_detection", VAD), "session.turn_detection"),
    (update("output_modalities", ["audio", "text"]), "session.output_modalities"),
    (update("max_output_tokens", 0), "session.max_output_tokens"),
    (update("max_output_tokens", 4097), "session.max_output_tokens"),
    (update("parallel_tool_calls", 1), "session.parallel_tool_calls"),
    (update("reasoning", {"effort": "huge"}), "session.reasoning.effort"),
    (update("tool_choice", "always"), "session.tool_choice"),
    (update("truncation", "never"), "session.truncation"),
    (update("include", ["everything"]), "session.include[0]"),
    (update("audio.input.format", {**PCMU, "rate": 8000}), "session.audio.input.format.rate"),
    (update("audio.output.format", {**PCMU, "rate": 8000}), "session.audio.output.format.rate"),
    (update("audio.input.format", "g711_ulaw"), "session.audio.input.format"),
    (update("audio.input.format", {}), "session.audio.input.format.type"),
    (
        update("audio.input.format", {"type": "audio/pcm", "rate": 16000}),
        "session.audio.input.format.rate",
    ),
    (update("audio.output.speed", 1.6), "session.audio.output.speed"),
    (update("audio.output.speed", "1"), "session.audio.output.speed"),
    (update("audio.output.voice", 7), "session.audio.output.voice"),
    (
        update("audio.input.turn_detection", {"threshold": 0.5}),
        "session.audio.input.turn_detection.type",
    ),
    (
        update("audio.input.turn_detection", {**VAD, "threshold": 1.1}),
        "session.audio.input.turn_detection.threshold",
    ),
    (
        update("audio.input.turn_detection", {**VAD, "threshold": True}),
        "session.audio.input.turn_detection.threshold",
    ),
    (
        update("audio.input.turn_detection", {**VAD, "silence_duration_ms": 500.5}),
        "session.audio.input.turn_detection.silence_duration_ms",
    ),
    (
        update("audio.input.turn_detection", {**VAD, "idle_timeout_ms": 4999}),
        "session.audio.input.turn_detection.idle_timeout_ms",
    ),
    (
        update("audio.input.turn_detection", {**VAD, "eagerness": "low"}),
        "session.audio.input.turn_detection.eagerness",
    ),
    (
        update("audio.input.turn_detection", {"type": "semantic_vad", "threshold": 0.5}),
        "session.audio.input.turn_detection.threshold",
    ),
    (
        update("audio.input.transcription", {"model": "whisper-2"}),
        "session.audio.input.transcription.model",
    ),
    (
        update("audio.input.transcription", {"model": "gpt-realtime-whisper", "prompt": "x"}),
        "session.audio.input.transcription.prompt",
    ),
    (
        update("audio.input.transcription", {"model": "gpt-transcribe", "delay": "low"}),
        "session.audio.input.transcription.delay",
    ),
    (
        update("audio.input.noise_reduction", {"type": "loud"}),
        "session.audio.input.noise_reduction.type",
    ),
    (
        update("audio.input.noise_reduction", {"type": "near_field", "strength": 1.1}),
        "session.audio.input.noise_reduction.strength",
    ),
    (
        update("audio.input.transcription", {"model": "gpt-transcribe", "keywords": "Rome"}),
        "session.audio.input.transcription.keywords",
    ),
    (
        update("audio.input.transcription", {"model": "whisper-1", "languages": ["it"]}),
        "session.audio.input.transcription.languages",
    ),
    (update("reasoning", {"effort": "none"}), "session.reasoning.effort"),
    (update("reasoning", "high"), "session.reasoning"),
    (update("parallel_tool_calls", "yes"), "session.parallel_tool_calls"),
    (
        update("truncation", {"type": "retention_ratio", "retention_ratio": 1.1}),
        "session.truncation.retention_ratio",
    ),
    (
        update("tools", [{"type": "function", "function": {"name": "x"}}]),
        "session.tools[0].function",
    ),
    (
        update("tools", [{"type": "function", "name": "x", "strict": True}]),
        "session.tools[0].strict",
    ),
    (update("tools", [{"type": "function"}]), "session.tools[0].name"),
    (update("tools", [{"type": "function", "name": "a b"}]), "session.tools[0].name"),
    (said("developer", type="input_text", text="x"), "item.role"),
    (said("assistant", type="output_audio", audio="AAAA"), "item.content[0].type"),
    (said("assistant", type="text", text="x"), "item.content[0].type"),
    (said("user", type="output_text", text="x"), "item.content[0].type"),
    (said("system", type="input_text"), "item.content[0].text"),
    (item(type="message", role="user", content=[]), "item.content"),
    (item(type="message", role="user", content="hi"), "item.content"),
    (item(type="item_reference", id="x"), "item.type"),
    (item(type="function_call_output", call_id="c", output={"a": 1}), "item.output"),
    (item(type="function_call_output", call_id="c" * 33, output=""), "item.call_id"),
    (item(type="function_call_output", call_id="a/b", output=""), "item.call_id"),
    ({"type": "conversation.item.truncate", "item_id": "x", "content_index": 0}, "audio_end_ms"),
    (
        {
            "type": "conversation.item.truncate",
            "item_id": "x",
            "content_index": 0,
            "audio_end_ms": 12.5,
        },
        "audio_end_ms",
    ),
    (
        {
            "type": "conversation.item.truncate",
            "item_id": "x",
            "content_index": 0,
            "audio_end_ms": -1,
        },
        "audio_end_ms",
    ),
    ({"type": "conversation.item.delete"}, "item_id"),
    ({"type": "response.create", "response": {"modalities": ["audio"]}}, "response.modalities"),
    ({"type": "response.create", "response": {"voice": "marin"}}, "response.voice"),
    ({"type": "response.create", "response": {"conversation": "new"}}, "response.conversation"),
    (
        {"type": "response.create", "response": {"metadata": {"k": "v" * 513}}},
        "response.metadata.k",
    ),
    (
        {
            "type": "response.create",
            "response": {"metadata": dict.fromkeys("abcdefghijklmnopq", "")},
        },
        "response.metadata",
    ),
    ({"type": "response.cancel", "response_id": 7}, "response_id"),
]

TAKEN: list[dict[str, Any]] = [
    {"type": "session.update", "session": PHONE, "event_id": "x" * 512},
    update("audio.input.format", {"type": "audio/pcm", "rate": 24000}),
    update("audio.input.turn_detection", None),
    update("audio.input.turn_detection", {"type": "semantic_vad", "eagerness": "low"}),
    update("audio.input.turn_detection", {**VAD, "idle_timeout_ms": 5000, "threshold": 1}),
    update("audio.input.transcription", None),
    update("audio.input.transcription", {"model": "gpt-transcribe", "keywords": ["Rome"]}),
    update("audio.input.transcription", {"model": "gpt-realtime-whisper", "delay": "low"}),
    update("audio.input.noise_reduction", {"type": "near_field", "strength": 0.5}),
    update("audio.input.noise_reduction", None),
    update("audio.input.noise_reduction", {"strength": 1}),
    update("audio.input.transcription", {"model": "gpt-live-transcribe", "languages": ["it"]}),
    update("reasoning", {"effort": "xhigh"}),
    update("parallel_tool_calls", False),
    update("truncation", "disabled"),
    update("audio.output.voice", {"id": "voice_1"}),
    update("max_output_tokens", "inf"),
    update("tool_choice", {"type": "function", "name": "book_table"}),
    update("truncation", {"type": "retention_ratio", "retention_ratio": 0.8}),
    {"type": "session.update", "session": {"type": "realtime", "tools": []}},
    said("system", type="input_text", text="x"),
    said("assistant", type="output_text", text="x"),
    said("user", type="input_audio", audio="AAAA", transcript="x"),
    item(type="function_call", name="x", arguments="{}", call_id="call_1"),
    item(type="function_call_output", call_id="call_1", output=""),
    {"type": "response.create"},
    {
        "type": "response.create",
        "response": {
            "conversation": "none",
            "input": [{"type": "item_reference", "id": "x"}],
            "metadata": {"a": "b"},
            "output_modalities": ["text"],
            "tool_choice": "none",
            "max_output_tokens": 4096,
        },
    },
    {"type": "response.cancel"},
]


@pytest.mark.parametrize(("event", "param"), REFUSED, ids=lambda value: json.dumps(value)[-60:])
def test_an_invalid_event_is_refused_with_its_param(event: Any, param: str) -> None:
    with pytest.raises(Refusal) as refusal:
        checked_event(event)
    assert (refusal.value.param or "") == param


@pytest.mark.parametrize("event", TAKEN, ids=lambda value: json.dumps(value)[-60:])
def test_a_valid_event_is_accepted(event: dict[str, Any]) -> None:
    checked_event(event)


async def test_one_unknown_key_refuses_the_whole_session_update() -> None:
    async with RealtimeServer() as server, PhoneSession(server) as client:
        session = await server.session()
        before = copy.deepcopy(session.config)
        change = {"type": "realtime", "instructions": "New.", "temperature": 0.8}
        error = await client.refused("session.update", session=change)
        assert (error["code"], error["param"]) == ("unknown_parameter", "session.temperature")
        assert error["type"] == "invalid_request_error"
        assert session.config == before


async def test_a_session_update_changes_only_the_keys_it_has() -> None:
    async with RealtimeServer() as server, PhoneSession(server) as client:
        session = await server.session()
        change = {"audio": {"input": {"turn_detection": {**VAD, "threshold": 0.9}}}}
        await client.send("session.update", session={"type": "realtime", **change})
        updated = (await client.next())["session"]
        detection = updated["audio"]["input"]["turn_detection"]
        assert (detection["threshold"], detection["silence_duration_ms"]) == (0.9, 200)
        assert updated["audio"]["output"] == session.config["audio"]["output"]
        assert updated["instructions"] == "You answer the phone."
        await client.send(
            "session.update",
            session={"type": "realtime", "audio": {"input": {"turn_detection": None}}},
        )
        assert (await client.next())["session"]["audio"]["input"]["turn_detection"] is None


async def test_the_model_cannot_change_nor_the_voice_once_there_is_audio() -> None:
    async with RealtimeServer(["Hi"]) as server, PhoneSession(server) as client:
        error = await client.refused(
            "session.update", session={"type": "realtime", "model": "gpt-realtime-1.5"}
        )
        assert error["param"] == "session.model"
        voice = {"type": "realtime", "audio": {"output": {"voice": "cedar"}}}
        await client.send("session.update", session=voice)
        assert (await client.next())["session"]["audio"]["output"]["voice"] == "cedar"
        await client.send("response.create")
        await client.until("response.done")
        voice["audio"] = {"output": {"voice": "marin"}}
        error = await client.refused("session.update", session=voice)
        assert error["code"] == "cannot_update_voice"


async def test_noise_reduction_keeps_its_strength() -> None:
    async with RealtimeServer() as server, PhoneSession(server) as client:
        for given, strength in (
            ({"type": "near_field"}, 1),
            ({"type": "near_field", "strength": 0.4}, 0.4),
            ({"type": "far_field"}, 0.4),
        ):
            change = {"audio": {"input": {"noise_reduction": given}}}
            await client.send("session.update", session={"type": "realtime", **change})
            updated = (await client.next())["session"]
            assert updated["audio"]["input"]["noise_reduction"] == {**given, "strength": strength}


@pytest.mark.parametrize("key", ["reasoning", "parallel_tool_calls"])
@pytest.mark.parametrize(
    ("model", "taken"),
    [
        ("gpt-realtime-2.1-mini", True),
        ("gpt-realtime-2025-08-28", False),
        ("gpt-realtime-mini", False),
        ("our-own-model", True),
    ],
)
def test_a_model_that_does_not_reason_takes_no_key_about_it(
    key: str, model: str, taken: bool
) -> None:
    change = {"type": "realtime", key: {"effort": "low"} if key == "reasoning" else True}
    if taken:
        updated = updated_config(default_config(model), change, spoken=False)
        assert updated[key] == change[key]
        return
    with pytest.raises(Refusal) as refusal:
        updated_config(default_config(model), change, spoken=False)
    assert refusal.value.param == f"session.{key}"


async def test_an_event_may_come_in_fragments() -> None:
    async with RealtimeServer() as server, PhoneSession(server) as client:
        await client.socket.send(['{"type": "input_audio', "_buffer.", 'clear"}'])
        assert (await client.next())["type"] == "input_audio_buffer.cleared"


async def test_invalid_json_and_invalid_base64_are_refused() -> None:
    async with RealtimeServer() as server, PhoneSession(server) as client:
        for broken in ("{", "[]", '"hi"', b"\xff\xfe"):
            await client.socket.send(broken)
            answer = await client.next()
            assert (answer["type"], answer["error"]["code"]) == ("error", "invalid_event")
        for audio in ("@@@@", "AAA", "AA=A"):
            error = await client.refused("input_audio_buffer.append", audio=audio)
            assert (error["code"], error["param"]) == ("invalid_value", "audio")
        assert (await server.session()).heard == b""
