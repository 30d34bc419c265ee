"""Client events whose optional fields are null: clients that write out their whole objects send
them.

The cases come from the openai package's types: each optional field of each object, as null.
"""

import copy
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from openai import BaseModel
from openai.types.realtime import RealtimeClientEvent

from app.simulator.realtime import RealtimeServer, Script
from app.simulator.realtime.schema import checked_event
from tests.simulator.realtime.realtime_client import PhoneSession

# One event or more of each kind; together they hold every object that the types have and the
# server takes. A field that is missing here is added as null all the same.
_FORMAT = {"type": "audio/pcm", "rate": 24000}
_FUNCTION = {"type": "function", "name": "book", "description": "Book.", "parameters": {}}
_TURN_DETECTION = {"type": "server_vad", "threshold": 0.5, "idle_timeout_ms": 5000}
_RATIO = {
    "type": "retention_ratio",
    "retention_ratio": 0.8,
    "token_limits": {"post_instructions": 100},
}
_MCP = {
    "type": "mcp",
    "server_label": "x",
    "allowed_tools": {"tool_names": ["a"]},
    "require_approval": {"always": {"tool_names": ["a"]}, "never": {"tool_names": ["b"]}},
}
_SESSION = {
    "type": "realtime",
    "instructions": "x",
    "model": "gpt-realtime",
    "audio": {
        "input": {
            "format": _FORMAT,
            "noise_reduction": {"type": "near_field", "strength": 0.5},
            "transcription": {"model": "gpt-transcribe", "language": "en", "keywords": ["x"]},
            "turn_detection": _TURN_DETECTION,
        },
        "output": {"format": {"type": "audio/pcmu"}, "voice": {"id": "voice_1"}, "speed": 1.0},
    },
    "prompt": {"id": "x", "version": "1", "variables": {"a": "b"}},
    "reasoning": {"effort": "low"},
    "tool_choice": {"type": "function", "name": "book"},
    "tools": [_FUNCTION, _MCP],
    "tracing": {"workflow_name": "x", "group_id": "y", "metadata": {}},
    "truncation": _RATIO,
}
_MORE_SETTINGS = {
    "type": "realtime",
    "tool_choice": {"type": "mcp", "server_label": "x", "name": "y"},
    "audio": {
        "input": {"format": {"type": "audio/pcma"}, "turn_detection": {"type": "semantic_vad"}}
    },
}


def _message(role: str, **part: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "id": "x", "status": "completed", "content": [part]}


_ITEMS: list[dict[str, Any]] = [
    _message("system", type="input_text", text="x"),
    _message("user", type="input_text", text="x"),
    _message("user", type="input_audio", audio="AAAA", transcript="x"),
    _message("user", type="input_image", image_url="data:x", detail="auto"),
    _message("assistant", type="output_text", text="x"),
    {"type": "function_call", "name": "x", "arguments": "{}", "call_id": "y"},
    {"type": "function_call_output", "call_id": "y", "output": "z"},
]
_RESPONSE = {
    "instructions": "x",
    "audio": {"output": {"format": {"type": "audio/pcmu"}, "voice": {"id": "voice_1"}}},
    "conversation": "none",
    "input": _ITEMS,
    "metadata": {"a": "b"},
    "prompt": {"id": "x"},
    "reasoning": {"effort": "low"},
    "tool_choice": {"type": "function", "name": "book"},
    "tools": [_FUNCTION, _MCP],
}
EVENTS: list[dict[str, Any]] = [
    {"type": "session.update", "session": _SESSION},
    {"type": "session.update", "session": _MORE_SETTINGS},
    {"type": "input_audio_buffer.append", "audio": "AAAA"},
    {"type": "input_audio_buffer.commit"},
    {"type": "input_audio_buffer.clear"},
    *({"type": "conversation.item.create", "item": item} for item in _ITEMS),
    {"type": "conversation.item.truncate", "item_id": "x", "content_index": 0, "audio_end_ms": 1},
    {"type": "conversation.item.delete", "item_id": "x"},
    {"type": "conversation.item.retrieve", "item_id": "x"},
    {"type": "response.create", "response": _RESPONSE},
    {"type": "response.cancel"},
]

# The types make these optional, yet their object means nothing without them.
NEEDED = {
    "Content.type",
    "Content.text",
    "Content.audio",
    "Content.image_url",
    "AudioPCM.type",
    "AudioPCMU.type",
    "AudioPCMA.type",
    "RealtimeFunctionTool.name",
    "NoiseReduction.type",
    "AudioTranscription.model",
}
# Null switches these off, or back to the default; any other null changes nothing.
OFF = {
    "RealtimeAudioConfigInput.transcription",
    "RealtimeAudioConfigInput.noise_reduction",
    "RealtimeAudioConfigInput.turn_detection",
    "ServerVad.idle_timeout_ms",
    "RealtimeSessionCreateRequest.tracing",
    "RealtimeSessionCreateRequest.prompt",
    "RealtimeResponseCreateParams.prompt",
}
# What the server does not do, beside items of MCP: transcription sessions, WebRTC and SIP.
UNSUPPORTED = {"RealtimeTranscriptionSessionCreateRequest", "OutputAudioBufferClearEvent"}

_MODELS: dict[str, type[BaseModel]] = {
    get_args(model.model_fields["type"].annotation)[0]: model
    for model in get_args(get_args(RealtimeClientEvent)[0])
}

Path = tuple[str | int, ...]


def _objects(value: Any, path: Path = ()) -> Iterator[tuple[BaseModel, Path]]:
    """Every object inside a parsed event, with its place in the JSON."""
    if isinstance(value, BaseModel):
        yield value, path
        for name in type(value).model_fields:
            yield from _objects(getattr(value, name), (*path, name))
    elif isinstance(value, list):
        for index, element in enumerate(value):
            yield from _objects(element, (*path, index))


def _cases() -> Iterator[Any]:
    for event in EVENTS:
        for found, path in _objects(_MODELS[event["type"]].model_validate(event)):
            for name, field in type(found).model_fields.items():
                key = f"{type(found).__name__}.{name}"
                given = _at(event, path).get(name)
                needed = key in NEEDED and given is not None
                if type(None) in get_args(field.annotation) and not needed:
                    yield pytest.param(event, path, name, key, id=f"{event['type']}-{path}-{name}")


def _at(event: dict[str, Any], path: Path) -> Any:
    place: Any = event
    for step in path:
        place = place[step]
    return place


@pytest.mark.parametrize(("event", "path", "name", "key"), list(_cases()))
def test_an_optional_field_may_be_null(
    event: dict[str, Any], path: Path, name: str, key: str
) -> None:
    with_null, without = copy.deepcopy(event), copy.deepcopy(event)
    _at(with_null, path)[name] = None
    _at(without, path).pop(name, None)
    if key in OFF:
        assert _at(checked_event(with_null), path)[name] is None
    elif key == "RealtimeFunctionTool.type":
        assert _at(checked_event(with_null), path)["type"] == "function"
    elif "require_approval" in path or "allowed_tools" in path:  # taken as it is, and not used
        assert checked_event(with_null) == with_null
    else:
        assert checked_event(with_null) == checked_event(without)


def test_every_object_of_the_types_is_tried() -> None:
    tried = {
        type(found).__name__
        for event in EVENTS
        for found, _ in _objects(_MODELS[event["type"]].model_validate(event))
    }
    known = {model.__name__ for model in _reachable()}
    assert {name for name in known - tried if "Mcp" not in name} == UNSUPPORTED


def _reachable() -> set[type[BaseModel]]:
    """Every class that client events are built of, except those inside unsupported ones and in the
    variables of a prompt, which the server does not read."""
    reached: set[type[BaseModel]] = set()
    waiting: list[Any] = list(_MODELS.values())
    while waiting:
        each = waiting.pop()
        if isinstance(each, type) and issubclass(each, BaseModel):
            if each not in reached:
                reached.add(each)
                name = each.__name__
                if name not in {*UNSUPPORTED, "ResponsePrompt"} and "Mcp" not in name:
                    waiting += [field.annotation for field in each.model_fields.values()]
        else:
            waiting += get_args(each)
    return reached


async def test_a_response_with_null_for_everything_is_answered() -> None:
    async with (
        RealtimeServer(Script("Hello.")) as server,
        PhoneSession(server) as client,
    ):
        model = _MODELS["response.create"].model_fields["response"].annotation
        fields = get_args(model)[0].model_fields
        await client.send("response.create", event_id=None, response=dict.fromkeys(fields))
        done = await client.until("response.done")
        assert done["response"]["status"] == "completed"
        assert done["response"]["output"][0]["content"][0]["transcript"] == "Hello."


async def test_a_session_update_with_null_for_everything_changes_no_more_than_what_is_off() -> None:
    async with RealtimeServer() as server, PhoneSession(server) as client:
        session = await server.session()
        before = copy.deepcopy(session.config)
        audio: dict[str, Any] = {
            "input": {"format": None, "turn_detection": None},
            "output": {"format": None, "voice": None, "speed": None},
        }
        nulls = dict.fromkeys(("instructions", "tools", "tool_choice", "include", "tracing"))
        await client.send("session.update", session={"type": "realtime", **nulls, "audio": audio})
        await client.until("session.updated")
        before["audio"]["input"]["turn_detection"] = None
        assert session.config == before
