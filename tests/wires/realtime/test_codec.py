"""Decoding the Realtime API's server events."""

import json
from base64 import b64encode
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.realtime import ConversationItem, RealtimeResponse, RealtimeServerEvent
from openai.types.realtime.realtime_response_usage import RealtimeResponseUsage
from openai.types.realtime.response_done_event import ResponseDoneEvent

from app.audio import silence, tone
from app.call.events import (
    AudioReceived,
    CallerTranscribed,
    CallerTranscriptionFailed,
    CallerTurnCommitted,
    Event,
    ItemDeleted,
    ItemTruncated,
    ModelFaulted,
    ModelLost,
    OutputItemAdded,
    OutputItemDone,
    Refusal,
    ResponseCreated,
    ResponseDone,
    SessionConfigured,
    SessionCreated,
    SpeechStarted,
    SpeechStopped,
    TextReceived,
    ToolOutputTaken,
    TranscriptCompleted,
    TranscriptReceived,
)
from app.call.usage import Usage
from app.errors import ProtocolError
from app.wires.realtime.codec import UnknownEvent, decode

TRAFFIC = Path(__file__).parents[2] / "traffic" / "realtime_examples.jsonl"
EXAMPLES = {json.loads(line)["type"]: line for line in TRAFFIC.read_text().splitlines()}
AUDIO = b64encode(b"\xff\x7f\xfe\x7e" * 40).decode()
TRANSCRIPTION = "conversation.item.input_audio_transcription"

EXPECTED: dict[str, Event | None] = {
    "session.created": SessionCreated("sess_1", 1790000000),
    "session.updated": SessionConfigured(),
    "input_audio_buffer.speech_started": SpeechStarted("item_U", 1000),
    "input_audio_buffer.speech_stopped": SpeechStopped("item_U", 2400),
    "input_audio_buffer.committed": CallerTurnCommitted("item_U", "item_A"),
    "input_audio_buffer.cleared": None,
    "input_audio_buffer.timeout_triggered": None,
    "conversation.item.added": None,
    "conversation.item.done": None,
    "conversation.item.truncated": ItemTruncated("item_A", 1500),
    "conversation.item.deleted": ItemDeleted("item_A"),
    "conversation.item.retrieved": None,
    f"{TRANSCRIPTION}.delta": None,
    f"{TRANSCRIPTION}.completed": CallerTranscribed("item_U", "Is this the pizzeria?", 1300),
    f"{TRANSCRIPTION}.failed": CallerTranscriptionFailed("item_U", "…"),
    "response.created": ResponseCreated("resp_1"),
    "response.output_item.added": OutputItemAdded("resp_1", "item_A", "message"),
    "response.content_part.added": None,
    "response.output_audio.delta": AudioReceived("resp_1", "item_A", AUDIO, 160, quiet=True),
    "response.output_audio_transcript.delta": TranscriptReceived("item_A", "Hel", "resp_1"),
    "response.output_audio.done": None,
    "response.output_audio_transcript.done": TranscriptCompleted("item_A", "Hello."),
    "response.output_text.delta": TextReceived("item_C", "te", "resp_2"),
    "response.output_text.done": TranscriptCompleted("item_C", "text"),
    "response.function_call_arguments.delta": None,
    "response.function_call_arguments.done": None,
    "response.content_part.done": None,
    "response.output_item.done": OutputItemDone(
        "resp_1",
        "item_F",
        "function_call",
        "completed",
        call_id="call_1",
        name="get_weather",
        arguments='{"city":"Rome"}',
    ),
    "rate_limits.updated": None,
    "error": ModelFaulted("invalid_event", "The 'type' field is missing.", "client_evt"),
    "response.done": ResponseDone(
        "resp_1", "completed", "", Usage(180, 20, 150, 0, 25, 75), messages=("item_A",)
    ),
}


def event(type: str, /, **fields: Any) -> str:
    return json.dumps({"type": type, "event_id": "event_1", **fields})


def example(type: str, /, **changes: Any) -> str:
    return json.dumps(json.loads(EXAMPLES[type]) | changes)


# --- examples -------------------------------------------------------------------------------------


def test_every_example_has_an_expected_event() -> None:
    assert EXAMPLES.keys() == EXPECTED.keys()


@pytest.mark.parametrize("type", EXPECTED)
def test_an_example_decodes_to_the_expected_event(type: str) -> None:
    assert decode(EXAMPLES[type]) == EXPECTED[type]
    assert decode(EXAMPLES[type].encode()) == EXPECTED[type]


def documented_types() -> list[str]:
    models = get_args(get_args(RealtimeServerEvent)[0])
    return [get_args(model.model_fields["type"].annotation)[0] for model in models]


@pytest.mark.parametrize("type", documented_types())
def test_every_documented_type_is_known(type: str) -> None:
    try:
        decode(event(type))
    except ProtocolError as error:
        assert not isinstance(error, UnknownEvent)  # known, but its fields are missing


@pytest.mark.parametrize(
    ("beta", "now"),
    [
        ("response.audio.delta", "response.output_audio.delta"),
        ("response.audio.done", "response.output_audio.done"),
        ("response.audio_transcript.delta", "response.output_audio_transcript.delta"),
        ("response.audio_transcript.done", "response.output_audio_transcript.done"),
        ("response.text.delta", "response.output_text.delta"),
        ("response.text.done", "response.output_text.done"),
        ("conversation.item.created", "conversation.item.added"),
    ],
)
def test_the_betas_names_are_accepted(beta: str, now: str) -> None:
    assert decode(example(now, type=beta)) == EXPECTED[now]


def test_an_unknown_event_is_distinguished_from_a_malformed_one() -> None:
    with pytest.raises(UnknownEvent) as unknown:
        decode(event("response.dance.started"))
    assert unknown.value.type == "response.dance.started"
    with pytest.raises(ProtocolError, match=r"malformed response\.created") as malformed:
        decode(event("response.created"))
    assert not isinstance(malformed.value, UnknownEvent)


# --- audio ----------------------------------------------------------------------------------------


@given(st.binary(min_size=1, max_size=8000))
def test_audio_is_passed_through_with_its_size(audio: bytes) -> None:
    payload = b64encode(audio).decode()
    decoded = decode(example("response.output_audio.delta", delta=payload))
    assert isinstance(decoded, AudioReceived)
    assert replace(decoded, quiet=False) == AudioReceived("resp_1", "item_A", payload, len(audio))


def note(level_dbfs: float) -> bytes:
    return tone((440,), note_ms=200, level_dbfs=level_dbfs)


@pytest.mark.parametrize(
    ("ulaw", "quiet"),
    [
        (note(-30), False),
        (note(-60), True),
        (silence(200), True),
        (silence(150) + note(-30), False),
    ],
)
def test_audio_that_cannot_be_heard_is_marked_as_quiet(ulaw: bytes, quiet: bool) -> None:
    payload = b64encode(ulaw).decode()
    decoded = decode(example("response.output_audio.delta", delta=payload))
    assert decoded == AudioReceived("resp_1", "item_A", payload, len(ulaw), quiet)


def test_empty_audio_is_ignored() -> None:
    assert decode(example("response.output_audio.delta", delta="")) is None


@pytest.mark.parametrize("delta", ["f39", "f3 9/", "====", "é39/", "f39_"])
def test_audio_that_is_not_base64_is_refused(delta: str) -> None:
    with pytest.raises(ProtocolError, match="not base64"):
        decode(example("response.output_audio.delta", delta=delta))


# --- the session ----------------------------------------------------------------------------------


def updated(**audio: Any) -> str:
    return event("session.updated", session={"audio": audio})


@pytest.mark.parametrize(
    "message",
    [
        updated(input={"format": {"type": "audio/pcmu"}}, output={"format": None}),
        updated(input=None),
        updated(),
        event("session.updated", session={}),
        event("session.updated", session={"audio": None}),
    ],
)
def test_a_session_with_the_right_format_is_configured(message: str) -> None:
    assert decode(message) == SessionConfigured()


@pytest.mark.parametrize("way", ["input", "output"])
def test_a_session_with_another_audio_format_is_lost(way: str) -> None:
    lost = decode(updated(**{way: {"format": {"type": "audio/pcm", "rate": 24000}}}))
    assert isinstance(lost, ModelLost)
    assert not lost.fatal
    assert "audio/pcm," in lost.reason


def test_a_session_without_an_id_is_a_session() -> None:
    assert decode(event("session.created", session={})) == SessionCreated("", None)


def error(**fields: Any) -> str:
    return event("error", error=fields)


@pytest.mark.parametrize(
    "code",
    [
        "insufficient_quota",
        "invalid_api_key",
        "account_deactivated",
        "billing_hard_limit_reached",
        "beta_api_shape_disabled",
    ],
)
def test_errors_that_a_retry_cannot_help_are_fatal(code: str) -> None:
    assert decode(error(type="invalid_request_error", code=code)) == ModelLost(code, fatal=True)


def test_an_expired_session_is_lost_and_not_fatal() -> None:
    assert decode(error(code="session_expired", message="60 minutes")) == ModelLost(
        "session_expired", fatal=False
    )


def test_any_other_error_does_not_end_the_session() -> None:
    assert decode(error(type="server_error", code=None, message="oh")) == ModelFaulted(
        "server_error", "oh", None
    )
    assert decode(error(param=None)) == ModelFaulted("unknown", "", None)


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("conversation_already_has_active_response", "Wait for it.", ("busy", 0)),
        ("invalid_value", "Audio content of 1200ms is already shorter than 1500ms",
         ("too_short", 1200)),
        ("invalid_value", "Audio content of 0 ms is already shorter than 9ms", ("too_short", 0)),
        ("invalid_value", "Only model output audio messages can be truncated", ("", 0)),
    ],
)  # fmt: skip
def test_a_refusal_says_what_the_core_has_to_know(
    code: str, message: str, expected: tuple[Refusal, int]
) -> None:
    fault = decode(error(code=code, message=message, event_id="bridge_7"))

    assert fault == ModelFaulted(code, message, "bridge_7", *expected)


@pytest.mark.parametrize(
    ("param", "message", "setting"),
    [
        ("session.audio.input.transcription.model", "Invalid value: 'x'.", "transcription"),
        ("session.audio.input.transcription", "", "transcription"),
        ("session.audio.input.transcription.keywords[0]", "", "keywords"),
        ("session.audio.input.transcription.languages", "", "languages"),
        ("session.audio.input.transcription.language", "", "language"),
        ("session.audio.input.transcription.prompt", "", "prompt"),
        ("audio.input.noise_reduction.type", "", "noise_reduction"),
        ("session.audio.input.noise_reduction.strength", "", "noise_reduction_strength"),
        ("session.audio.input.turn_detection.eagerness", "", "detection"),
        ("session.audio.output.voice", "", "voice"),
        ("session.audio.output.speed", "", "speed"),
        ("session.reasoning.effort", "", "reasoning_effort"),
        ("reasoning", "", "reasoning_effort"),
        ("session.max_output_tokens", "", "max_output_tokens"),
        ("session.parallel_tool_calls", "", "parallel_tool_calls"),
        ("session.truncation.retention_ratio", "", "truncation"),
        ("session.input_audio_transcription.model", "", "transcription"),
        ("session.audio.output.format.rate", "", "required"),
        ("session.tools[3].parameters", "", "required"),
        (None, "Unknown parameter: 'session.audio.input.transcription.keywords'.", "keywords"),
        ("session", "session.truncation is not a thing here.", "truncation"),
        ("", "The parameter 'parallel_tool_calls' is not for this model.", "parallel_tool_calls"),
        (7, "Invalid `reasoning`.", "reasoning_effort"),
        (None, "The 'type' field is missing.", ""),
        (None, "Invalid value: 'far_field'.", ""),
        (None, "Unknown parameter: 'keywords'.", "keywords"),
        (None, "This model takes no 'noise_reduction'.", "noise_reduction"),
        ("transcription.keywords", "", "keywords"),
        ("input.noise_reduction.strength", "", "noise_reduction_strength"),
        ("session.audio.input", "", ""),
        ("response.max_output_tokens", "", ""),
        ("item.content[0].text", "", ""),
    ],
)
def test_a_refusal_says_which_setting_it_means(param: object, message: str, setting: Any) -> None:
    fault = decode(error(code="invalid_value", message=message, param=param, event_id="bridge_1"))

    assert fault == ModelFaulted("invalid_value", message, "bridge_1", setting=setting)


# --- responses ------------------------------------------------------------------------------------


def done(**fields: Any) -> str:
    return event("response.done", response={"id": "resp_1", "status": "completed"} | fields)


@pytest.mark.parametrize(
    ("status", "details", "reason"),
    [
        ("completed", None, ""),
        ("cancelled", {"type": "cancelled", "reason": "turn_detected"}, "turn_detected"),
        ("incomplete", {"reason": "max_output_tokens"}, "max_output_tokens"),
        (
            "failed",
            {"type": "failed", "error": {"type": "server_error", "code": "rate_limit_exceeded"}},
            "rate_limit_exceeded",
        ),
        ("failed", {"error": {"type": "server_error", "code": None}}, "server_error"),
        ("failed", {"error": None}, ""),
    ],
)
def test_a_response_says_why_it_ended(
    status: str, details: dict[str, Any] | None, reason: str
) -> None:
    assert decode(done(status=status, status_details=details)) == ResponseDone(
        "resp_1", status, reason
    )


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"input_token_details": None, "output_token_details": None},
        {"input_token_details": {"text_tokens": None, "cached_tokens_details": None}},
        {"output_token_details": {"audio_tokens": -3}},
    ],
)
def test_missing_usage_counts_as_zero(usage: dict[str, Any] | None) -> None:
    assert decode(done(usage=usage)) == ResponseDone("resp_1", "completed")


def test_usage_in_floats_is_counted() -> None:
    ended = decode(done(usage={"output_token_details": {"text_tokens": 3.0, "audio_tokens": 4.5}}))
    assert isinstance(ended, ResponseDone)
    assert ended.usage == Usage(output_text=3, output_audio=4)


COUNTS = st.none() | st.integers(0, 10**9)


@given(st.builds(lambda *counts: counts, *[COUNTS] * 6))
def test_usage_as_openais_types_write_it_is_counted(counts: tuple[int | None, ...]) -> None:
    text_in, audio_in, text_cached, audio_cached, text_out, audio_out = counts
    usage = RealtimeResponseUsage.model_validate(
        {
            "input_token_details": {
                "text_tokens": text_in,
                "audio_tokens": audio_in,
                "cached_tokens_details": {
                    "text_tokens": text_cached,
                    "audio_tokens": audio_cached,
                },
            },
            "output_token_details": {"text_tokens": text_out, "audio_tokens": audio_out},
        }
    )
    response = RealtimeResponse(id="resp_1", status="completed", usage=usage)
    message = ResponseDoneEvent(event_id="event_1", type="response.done", response=response)
    ended = decode(message.model_dump_json())
    assert isinstance(ended, ResponseDone)
    assert ended.usage == Usage(*(count or 0 for count in counts))


def test_an_incomplete_tool_call_keeps_its_fragment_and_status() -> None:
    item = {"id": "item_F", "type": "function_call", "status": "incomplete", "arguments": '{"ci'}
    assert decode(event("response.output_item.done", response_id="resp_1", item=item)) == (
        OutputItemDone("resp_1", "item_F", "function_call", "incomplete", arguments='{"ci')
    )


@pytest.mark.parametrize("missing", ["call_id", "name"])
def test_a_tool_call_without_id_or_name_is_malformed(missing: str) -> None:
    item = json.loads(EXAMPLES["response.output_item.done"])["item"]
    del item[missing]
    with pytest.raises(ProtocolError, match="call_id or a name"):
        decode(example("response.output_item.done", item=item))


@pytest.mark.parametrize("type", ["conversation.item.added", "conversation.item.created"])
def test_a_tools_answer_is_acknowledged(type: str) -> None:
    item = {"id": "item_O", "type": "function_call_output", "call_id": "call_1", "output": "{}"}
    assert decode(event(type, previous_item_id=None, item=item)) == ToolOutputTaken("call_1")


# --- numbers and garbage --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "read"),
    [("1000", 1000), ("1000.0", 1000), ("999.9", 999), ("-12", 0), ("1e3", 1000)],
)
def test_numbers_may_be_integers_or_floats(written: str, read: int) -> None:
    message = EXAMPLES["input_audio_buffer.speech_started"].replace("1000", written)
    assert decode(message) == SpeechStarted("item_U", read)


@pytest.mark.parametrize(
    "absurd", ["9" * 5000, "1e400", "1e13", "-1e13", '"1000"', "null", "true", "NaN", "[1]"]
)
def test_a_number_out_of_bounds_is_malformed(absurd: str) -> None:
    with pytest.raises(ProtocolError, match="malformed input_audio_buffer|malformed event"):
        decode(EXAMPLES["input_audio_buffer.speech_started"].replace("1000", absurd))


NASTY: list[str | bytes] = [
    "",
    " ",
    "null",
    "[]",
    "12",
    "{}",
    '{"type":null}',
    '{"type":5}',
    '{"type":["error"]}',
    '{"type":"error"}',
    '{"type":"error","error":"text"}',
    '{"type":"response.done","response":null}',
    '{"type":"response.done","response":{"id":"r","status":"completed","usage":5}}',
    '{"type":"response.output_audio.delta","response_id":"r","item_id":5,"delta":"f39/"}',
    '{"type":"response.output_audio.delta","response_id":"r","item_id":"i","delta":null}',
    EXAMPLES["response.done"][:-1],
    EXAMPLES["response.done"] + "}",
    '{"type":"conversation.item.deleted","item_id":"\\ud800"}',
    '{"type":"conversation.item.deleted","item_id":"\ud800"}',
    "\ud800",
    "\x00",
    "[" * 100_000,
    '{"type":"rate_limits.updated","x":' + "[" * 100_000 + "]" * 100_000 + "}",
    '{"type":"session.updated","session":' + '{"audio":' * 100_000,
    b"\xff\xfe",
    b"\x00" * 100,
    b'{"type":"\xff"}',
    b'{"type":"conversation.item.deleted","item_id":"\xff"}',
    EXAMPLES["response.done"].encode("utf-16"),
]


@pytest.mark.parametrize("message", NASTY, ids=range(len(NASTY)))
def test_garbage_raises_protocol_error(message: str | bytes) -> None:
    with pytest.raises(ProtocolError) as refused:
        decode(message)
    assert not isinstance(refused.value, UnknownEvent)
    assert len(str(refused.value)) < 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.text() | st.binary() | JSON.map(json.dumps))
def test_no_event_raises_any_other_error(message: str | bytes) -> None:
    try:
        decode(message)
    except ProtocolError:
        pass


def damaged(value: Any, data: st.DataObject) -> Any:
    """The value with one part, at any depth, replaced."""
    if isinstance(value, dict) and value and data.draw(st.integers(0, 4)):
        key = data.draw(st.sampled_from(sorted(value)))
        return value | {key: damaged(value[key], data)}
    return data.draw(JSON)


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_event_raises_no_other_error(data: st.DataObject) -> None:
    example = json.loads(data.draw(st.sampled_from(sorted(EXAMPLES.values()))))
    key = data.draw(st.sampled_from(sorted(example)))
    message = example | {key: damaged(example[key], data)}
    try:
        decode(json.dumps(message))
    except ProtocolError:
        pass


def test_items_of_every_kind_may_be_added() -> None:
    for model in get_args(get_args(ConversationItem)[0]):
        [kind] = get_args(model.model_fields["type"].annotation)
        item = {"id": "item_1", "type": kind, "content": [], "call_id": "call_1"}
        expected = ToolOutputTaken("call_1") if kind == "function_call_output" else None
        assert decode(event("conversation.item.added", item=item)) == expected


@pytest.mark.parametrize(
    ("usage", "audio_ms"),
    [
        ({"type": "duration", "seconds": 2.5}, 2500),
        ({"type": "tokens", "input_token_details": {"audio_tokens": 13}}, 1300),
        ({"type": "tokens", "input_tokens": 13}, 0),
        ({"type": "tokens", "input_token_details": None}, 0),
        ({"type": "duration", "seconds": -1}, 0),
        ({"type": "duration", "seconds": "3"}, 0),
        ({"type": "duration", "seconds": 1e300}, 0),
        ("free", 0),
        (None, 0),
    ],
)
def test_transcribed_audio_is_counted_by_seconds_or_tokens(usage: object, audio_ms: int) -> None:
    told = event(f"{TRANSCRIPTION}.completed", item_id="item_U", transcript="Hey", usage=usage)
    assert decode(told) == CallerTranscribed("item_U", "Hey", audio_ms)
