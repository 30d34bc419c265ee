"""Client events of the Realtime API: session.update and all others, checked by openai's types."""

import json
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.realtime import RealtimeClientEvent, RealtimeClientEventParam
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from app.call import commands
from app.call.agent import Agent, Effort, ModelOptions, ToolSpec, Transcription, TurnTaking, Voice
from app.call.commands import (
    AddMessage,
    AddToolOutput,
    CancelResponse,
    ConfigureSession,
    CreateResponse,
    DeleteItem,
    SetTurnDetection,
    ToModel,
    TruncateItem,
)
from app.call.optional_settings import GROUPS, PART_OF, Setting
from app.wires.realtime.codec import encode
from app.wires.realtime.session_update import session_update

MODELS: dict[str, type[BaseModel]] = {
    get_args(model.model_fields["type"].annotation)[0]: model
    for model in get_args(get_args(RealtimeClientEvent)[0])
}
PARAMS: TypeAdapter[Any] = TypeAdapter(RealtimeClientEventParam, config=ConfigDict(extra="forbid"))

AGENT = Agent(
    name="reception",
    instructions="You answer the phone.",
    tools=(ToolSpec("get_weather", "How the weather is.", {"type": "object", "properties": {}}),),
)


def unknown_keys(value: Any, path: str = "$") -> list[str]:
    """Keys at any depth that openai's models do not have. The models accept them; the server
    rejects them."""
    if isinstance(value, list):
        return [key for each in value for key in unknown_keys(each, f"{path}[]")]
    if not isinstance(value, BaseModel):
        return []
    unknown = [f"{path}.{key}" for key in value.model_extra or {}]
    for name in type(value).model_fields:
        unknown += unknown_keys(getattr(value, name), f"{path}.{name}")
    return unknown


def without_nulls(event: dict[str, Any]) -> dict[str, Any]:
    sound = event.get("session", {}).get("audio", {}).get("input", {})
    if not sound:
        return event
    heard = {key: value for key, value in sound.items() if value is not None}
    audio = event["session"]["audio"] | {"input": heard}
    return event | {"session": event["session"] | {"audio": audio}}


def check(text: str | bytes) -> dict[str, Any]:
    """The event, validated by openai's types."""
    event: dict[str, Any] = json.loads(text)
    assert unknown_keys(MODELS[event["type"]].model_validate(event, strict=True)) == []
    # openai's typed dicts do not allow null, although the documentation uses it.
    PARAMS.validate_python(without_nulls(event))
    return event


def session(agent: Agent) -> dict[str, Any]:
    event = check(session_update(agent, "cfg_1"))
    assert event["type"] == "session.update"
    assert event["event_id"] == "cfg_1"
    return dict(event["session"])


# --- the check itself -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        ["speed"],
        ["session", "temperature"],
        ["session", "audio", "input", "format", "rate"],
        ["session", "audio", "input", "turn_detection", "silence_ms"],
        ["session", "audio", "input", "transcription", "hint"],
        ["session", "tools", 0, "strict"],
    ],
)
def test_the_check_finds_an_unknown_key(path: list[str | int]) -> None:
    event = json.loads(session_update(AGENT, "cfg_1"))
    part: Any = event
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = 5
    assert unknown_keys(MODELS[event["type"]].model_validate(event)) != []
    with pytest.raises(ValidationError):
        PARAMS.validate_python(without_nulls(event))


# --- the session ----------------------------------------------------------------------------------


def test_session_update_sets_everything_that_a_call_relies_on() -> None:
    assert session(AGENT) == {
        "type": "realtime",
        "output_modalities": ["audio"],
        "instructions": "You answer the phone.",
        "audio": {
            "input": {
                "format": {"type": "audio/pcmu"},
                "noise_reduction": None,
                "transcription": {"model": "gpt-transcribe", "language": "en"},
                "turn_detection": {
                    "type": "server_vad",
                    "threshold": 0.5,
                    "prefix_padding_ms": 300,
                    "silence_duration_ms": 500,
                    "create_response": True,
                    "interrupt_response": True,
                },
            },
            "output": {"format": {"type": "audio/pcmu"}, "voice": "marin"},
        },
        "tools": [
            {
                "type": "function",
                "name": "get_weather",
                "description": "How the weather is.",
                "parameters": {"type": "object", "properties": {}},
            }
        ],
        "tool_choice": "auto",
    }


def test_semantic_vad_sends_its_own_settings() -> None:
    turns = TurnTaking(detection="semantic_vad", eagerness="low", interruptible=False)
    assert session(replace(AGENT, turns=turns))["audio"]["input"]["turn_detection"] == {
        "type": "semantic_vad",
        "eagerness": "low",
        "create_response": True,
        "interrupt_response": False,
    }


@pytest.mark.parametrize(
    ("transcription", "language", "sent"),
    [
        (Transcription(model=""), "en", None),
        (Transcription(), "", {"model": "gpt-transcribe"}),
        (
            Transcription(prompt="names"),
            "de",
            {"model": "gpt-transcribe", "language": "de", "prompt": "names"},
        ),
        (
            Transcription("gpt-realtime-whisper", prompt="names"),
            "de",
            {"model": "gpt-realtime-whisper", "language": "de"},
        ),
        (
            Transcription("gpt-4o-transcribe-diarize", "names"),
            "",
            {"model": "gpt-4o-transcribe-diarize"},
        ),
    ],
)
def test_transcription_sends_only_what_its_model_supports(
    transcription: Transcription, language: str, sent: dict[str, str] | None
) -> None:
    agent = replace(AGENT, transcription=transcription, language=language)
    assert session(agent)["audio"]["input"]["transcription"] == sent


OWNERS = replace(
    AGENT,
    voice=Voice("cedar", 1.25),
    turns=TurnTaking(
        detection="semantic_vad", noise_reduction="far_field", noise_reduction_strength=0.5
    ),
    model=ModelOptions("xhigh", 2000, parallel_tool_calls=False, truncation=0.8),
    transcription=Transcription(prompt="food", keywords=("Margherita",), languages=("en", "it")),
)
"""An agent that sets every optional setting."""


def test_the_owner_s_settings_are_sent() -> None:
    sent = session(OWNERS)
    heard = sent["audio"]["input"]

    assert sent["reasoning"] == {"effort": "xhigh"}
    assert sent["max_output_tokens"] == 2000
    assert sent["parallel_tool_calls"] is False
    assert sent["truncation"] == {"type": "retention_ratio", "retention_ratio": 0.8}
    assert heard["noise_reduction"] == {"type": "far_field", "strength": 0.5}
    assert heard["transcription"] == {
        "model": "gpt-transcribe",
        "prompt": "food",
        "keywords": ["Margherita"],
        "languages": ["en", "it"],
    }


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        (ModelOptions(), {}),
        (ModelOptions(max_output_tokens="inf"), {"max_output_tokens": "inf"}),
        (ModelOptions(truncation="auto"), {"truncation": "auto"}),
        (ModelOptions(truncation="disabled"), {"truncation": "disabled"}),
        (
            ModelOptions(truncation=0.0),
            {"truncation": {"type": "retention_ratio", "retention_ratio": 0.0}},
        ),
        (ModelOptions(parallel_tool_calls=True), {"parallel_tool_calls": True}),
    ],
)
def test_only_what_the_owner_sets_is_sent(options: ModelOptions, sent: dict[str, Any]) -> None:
    assert session(replace(AGENT, model=options)) == session(AGENT) | sent


@pytest.mark.parametrize(
    "model", ["whisper-1", "gpt-realtime-whisper", "gpt-4o-mini-transcribe-2025-12-15"]
)
def test_hints_go_to_the_models_that_take_them(model: str) -> None:
    hints = Transcription(model, keywords=("Bella",), languages=("de", "it"))
    sent = session(replace(AGENT, transcription=hints))["audio"]["input"]["transcription"]
    assert sent == {"model": model, "language": "en"}


ABSENT: dict[Setting, str] = {
    "transcription": "audio.input.transcription",
    "languages": "audio.input.transcription.languages",
    "prompt": "audio.input.transcription.prompt",
    "keywords": "audio.input.transcription.keywords",
    "noise_reduction": "audio.input.noise_reduction",
    "noise_reduction_strength": "audio.input.noise_reduction.strength",
    "reasoning_effort": "reasoning",
    "max_output_tokens": "max_output_tokens",
    "parallel_tool_calls": "parallel_tool_calls",
    "truncation": "truncation",
    "voice": "audio.output.voice",
    "speed": "audio.output.speed",
    "detection": "audio.input.turn_detection.eagerness",
}
FLAGS = {f"audio.input.turn_detection.{each}_response" for each in ("create", "interrupt")}


def paths(part: Any, path: str = "") -> set[str]:
    """The paths of all fields of a JSON object."""
    if not isinstance(part, dict):
        return set()
    found = {f"{path}{key}" for key in part}
    return found.union(*(paths(value, f"{path}{key}.") for key, value in part.items()))


@pytest.mark.parametrize("setting", ABSENT)
def test_a_refused_setting_is_left_out_and_nothing_else(setting: Setting) -> None:
    left_out = check(encode(ConfigureSession("cfg_1", without=(setting,)), OWNERS))["session"]
    missing = paths(session(OWNERS)) - paths(left_out) - FLAGS
    assert {path for path in missing if not path.startswith(f"{ABSENT[setting]}.")} == {
        ABSENT[setting]
    }


def test_every_optional_setting_can_be_left_out() -> None:
    settings = set(get_args(Setting))
    assert settings == {*GROUPS[0], *GROUPS[1], *PART_OF}
    assert settings == {*ABSENT, "language"}
    everything = ConfigureSession("cfg_1", without=tuple(settings))
    assert check(encode(everything, OWNERS))["session"]["audio"] == {
        "input": {
            "format": {"type": "audio/pcmu"},
            "turn_detection": {"type": "server_vad"},
        },
        "output": {"format": {"type": "audio/pcmu"}},
    }
    uninterrupted = replace(OWNERS, turns=replace(OWNERS.turns, interruptible=False))
    heard = check(encode(everything, uninterrupted))["session"]["audio"]["input"]
    assert heard["turn_detection"] == {"type": "server_vad", "interrupt_response": False}


def test_without_languages_the_agent_s_language_is_sent() -> None:
    command = ConfigureSession("cfg_1", without=("languages",))
    sent = check(encode(command, OWNERS))["session"]["audio"]["input"]["transcription"]
    assert sent["language"] == "en"
    command = ConfigureSession("cfg_1", without=("language", "languages"))
    sent = check(encode(command, OWNERS))["session"]["audio"]["input"]["transcription"]
    assert not {"language", "languages"} & set(sent)


def test_speed_is_sent_unless_it_is_1() -> None:
    agent = replace(AGENT, voice=Voice("cedar", 1.25))
    output = session(agent)["audio"]["output"]
    assert output == {"format": {"type": "audio/pcmu"}, "voice": "cedar", "speed": 1.25}


# --- every other event ----------------------------------------------------------------------------


def test_client_events_are_as_openai_documents_them() -> None:
    sent: dict[ToModel, dict[str, Any]] = {
        AddMessage("m1", "user", "hi"): {
            "type": "conversation.item.create",
            "event_id": "m1",
            "item": {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "hi"}],
            },
        },
        AddMessage("m2", "assistant", "hello"): {
            "type": "conversation.item.create",
            "event_id": "m2",
            "item": {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "hello"}],
            },
        },
        AddToolOutput("o1", "call_1", '{"temp":21}'): {
            "type": "conversation.item.create",
            "event_id": "o1",
            "item": {"type": "function_call_output", "call_id": "call_1", "output": '{"temp":21}'},
        },
        CreateResponse("r1"): {"type": "response.create", "event_id": "r1"},
        CancelResponse("x1", "resp_1"): {
            "type": "response.cancel",
            "event_id": "x1",
            "response_id": "resp_1",
        },
        TruncateItem("t1", "item_A", 1500): {
            "type": "conversation.item.truncate",
            "event_id": "t1",
            "item_id": "item_A",
            "content_index": 0,
            "audio_end_ms": 1500,
        },
        DeleteItem("d1", "item_A"): {
            "type": "conversation.item.delete",
            "event_id": "d1",
            "item_id": "item_A",
        },
    }
    for command, expected in sent.items():
        assert check(encode(command, AGENT)) == expected


def test_a_directed_response_keeps_the_instructions_and_calls_no_tool() -> None:
    assert check(encode(CreateResponse("r1", "Greet the caller."), AGENT)) == {
        "type": "response.create",
        "event_id": "r1",
        "response": {
            "instructions": "You answer the phone.\n\nGreet the caller.",
            "tool_choice": "none",
        },
    }


def test_the_session_is_configured_by_a_command() -> None:
    assert encode(ConfigureSession("cfg_1"), AGENT) == session_update(AGENT, "cfg_1")


def test_lone_surrogates_become_question_marks() -> None:
    event = check(encode(AddToolOutput("o1", "call_1", "a\ud800b é"), AGENT))
    assert event["item"]["output"] == "a?b é"


TEXT = st.text(max_size=30)
SCHEMAS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
AGENTS = st.builds(
    Agent,
    name=TEXT,
    instructions=TEXT,
    greeting=TEXT,
    language=st.sampled_from(["", "en", "de"]),
    voice=st.builds(Voice, TEXT, st.floats(0.25, 1.5)),
    turns=st.builds(
        TurnTaking,
        threshold=st.floats(0, 1),
        noise_reduction=st.sampled_from(["none", "near_field", "far_field"]),
        noise_reduction_strength=st.none() | st.floats(0, 1),
    ),
    model=st.builds(
        ModelOptions,
        st.none() | st.sampled_from(get_args(Effort)),
        st.none() | st.just("inf") | st.integers(1, 4096),
        st.none() | st.booleans(),
        st.none() | st.sampled_from(["auto", "disabled"]) | st.floats(0, 1),
    ),
    transcription=st.builds(
        Transcription,
        TEXT | st.sampled_from(["gpt-transcribe", "gpt-realtime-whisper"]),
        TEXT,
        st.lists(TEXT, max_size=2).map(tuple),
        st.lists(TEXT, max_size=2).map(tuple),
    ),
    tools=st.lists(
        st.builds(ToolSpec, TEXT, TEXT, st.dictionaries(TEXT, SCHEMAS, max_size=3)), max_size=3
    ).map(tuple),
)
COMMANDS: dict[type[ToModel], st.SearchStrategy[ToModel]] = {
    ConfigureSession: st.builds(
        ConfigureSession,
        TEXT,
        st.booleans(),
        st.lists(st.sampled_from(get_args(Setting)), max_size=4).map(tuple),
    ),
    SetTurnDetection: st.builds(SetTurnDetection, TEXT, st.booleans()),
    AddMessage: st.builds(AddMessage, TEXT, st.sampled_from(["system", "user", "assistant"]), TEXT),
    AddToolOutput: st.builds(AddToolOutput, TEXT, TEXT, TEXT),
    CreateResponse: st.builds(CreateResponse, TEXT, TEXT),
    CancelResponse: st.builds(CancelResponse, TEXT, TEXT),
    TruncateItem: st.builds(TruncateItem, TEXT, TEXT, st.integers(1, 10**9)),
    DeleteItem: st.builds(DeleteItem, TEXT, TEXT),
}


def test_every_command_to_the_model_is_in_the_next_test() -> None:
    assert set(COMMANDS) == set(get_args(commands.ToModel))


@given(st.one_of(*COMMANDS.values()), AGENTS)
def test_every_client_event_fits_openais_types(command: ToModel, agent: Agent) -> None:
    event = check(encode(command, agent))
    assert event["event_id"] == command.event_id


@pytest.mark.parametrize("detection", ["server_vad", "semantic_vad"])
def test_turn_detection_only_reports_while_the_agent_speaks(detection: Any) -> None:
    agent = replace(AGENT, turns=replace(AGENT.turns, detection=detection))
    whole = json.loads(session_update(agent, "e1"))["session"]["audio"]["input"]["turn_detection"]

    for automatic in (True, False):
        event = check(encode(SetTurnDetection("e2", automatic), agent))
        changed = event["session"]["audio"]["input"].pop("turn_detection")
        acts = {"create_response": automatic, "interrupt_response": automatic}
        assert changed == whole | acts
        assert event["session"] == {"type": "realtime", "audio": {"input": {}}}
