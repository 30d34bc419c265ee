"""The schema of GA client events: an event with one unknown key is refused.

Keys, values and ranges: OpenAI API reference, Realtime client events. The bridge does not use these
tables, so that a mistake in the bridge is refused here.
"""

from typing import Any

from app.simulator.realtime.checks import (
    Check,
    Refusal,
    anything,
    array,
    boolean,
    constant_or,
    integer,
    json_object,
    nullable,
    number,
    obj,
    one_of,
    tagged,
    text,
    type_of,
    wrong,
)

LONGEST_APPEND_BYTES = 15 * 1024 * 1024


def checked_event(event: Any) -> Any:
    """A decoded client event as the server reads it: without optional keys that are null.

    Raises Refusal for the first fault found.
    """
    if not isinstance(event, dict):
        raise Refusal("invalid_event", "The event is not a JSON object.")
    kind = event.get("type")
    if not isinstance(kind, str):
        raise Refusal("invalid_event", "The 'type' field is missing.", "type")
    check = _EVENTS.get(kind)
    if check is None:
        known = ", ".join(f"'{name}'" for name in _EVENTS)
        raise wrong(kind, "type", f"Supported values are: {known}.")
    return check(event, "")


def _modalities(value: Any, path: str) -> Any:
    if value not in (["audio"], ["text"]):
        raise wrong(value, path, "Supported combinations are: ['text'] and ['audio'].")
    return value


def _voice(value: Any, path: str) -> Any:
    check = obj({"id": text()}) if isinstance(value, dict) else text(64)
    return check(value, path)


def _metadata(value: Any, path: str) -> Any:
    type_of(value, path, dict, "an object")
    if len(value) > 16:
        raise wrong(len(value), path, "At most 16 pairs are allowed.")
    for key, element in value.items():
        text(64)(key, f"{path}.{key}")
        text(512)(element, f"{path}.{key}")
    return value


# --- a session's settings -----------------------------------------------------------------------

_TAG = anything  # `tagged` has checked it

_format = tagged(
    "type",
    {
        "audio/pcmu": obj({"type": _TAG}),  # no rate: it is refused as unknown
        "audio/pcma": obj({"type": _TAG}),
        "audio/pcm": obj({"type": _TAG}, {"rate": one_of(24000)}),
    },
)

_vad_flags: dict[str, Check] = {"create_response": boolean, "interrupt_response": boolean}
_turn_detection = tagged(
    "type",
    {
        "server_vad": obj(
            {"type": _TAG},
            {
                "threshold": number(0, 1),
                "prefix_padding_ms": integer(),
                "silence_duration_ms": integer(),
                "idle_timeout_ms": nullable(integer(5000, 30000)),
                **_vad_flags,
            },
        ),
        "semantic_vad": obj(
            {"type": _TAG},
            {"eagerness": one_of("low", "medium", "high", "auto"), **_vad_flags},
        ),
    },
)

_language: dict[str, Check] = {"model": _TAG, "language": text()}
_prompt: dict[str, Check] = {**_language, "prompt": text()}
_hints: dict[str, Check] = {**_prompt, "keywords": array(text()), "languages": array(text())}
_delay: dict[str, Check] = {
    **_language,
    "delay": one_of("minimal", "low", "medium", "high", "xhigh"),
}


def _transcribing(settings: dict[str, Check]) -> Check:
    others = (_hints | _delay).keys() - settings.keys()
    return obj({}, settings, elsewhere=others)


_transcription = tagged(
    "model",
    {
        "gpt-transcribe": _transcribing(_hints),
        "gpt-live-transcribe": _transcribing(_hints),
        "gpt-realtime-whisper": _transcribing(_delay),
        "whisper-1": _transcribing(_prompt),
        "gpt-4o-transcribe": _transcribing(_prompt),
        "gpt-4o-mini-transcribe": _transcribing(_prompt),
        "gpt-4o-mini-transcribe-2025-12-15": _transcribing(_prompt),
        "gpt-4o-transcribe-diarize": _transcribing(_language),
    },
)
_noise_reduction = obj({}, {"type": one_of("near_field", "far_field"), "strength": number(0, 1)})

_mcp_options = (
    "server_url", "connector_id", "server_description", "authorization", "headers",
    "allowed_tools", "allowed_callers", "require_approval", "defer_loading", "tunnel_id",
)  # fmt: skip
_tool = tagged(
    "type",
    {
        # flat: no nested "function", no "strict"
        "function": obj(
            {"type": _TAG, "name": text(64, "_-")},
            {"description": text(), "parameters": json_object},
        ),
        "mcp": obj({"type": _TAG, "server_label": text()}, dict.fromkeys(_mcp_options, anything)),
    },
    default="function",
)
_forced_tool = tagged(
    "type",
    {
        "function": obj({"type": _TAG, "name": text(64, "_-")}),
        "mcp": obj({"type": _TAG, "server_label": text()}, {"name": text()}),
    },
)


def _tool_choice(value: Any, path: str) -> Any:
    check = one_of("auto", "none", "required") if isinstance(value, str) else _forced_tool
    return check(value, path)


_truncation = constant_or(
    "auto",
    constant_or(
        "disabled",
        obj(
            {"type": one_of("retention_ratio"), "retention_ratio": number(0, 1)},
            {"token_limits": obj({}, {"post_instructions": integer()})},
        ),
    ),
)
_tracing = constant_or(
    "auto", obj({}, {"workflow_name": text(), "group_id": text(), "metadata": json_object})
)
_answering: dict[str, Check] = {
    "instructions": text(),
    "output_modalities": _modalities,
    "tools": array(_tool),
    "tool_choice": _tool_choice,
    "parallel_tool_calls": boolean,
    "reasoning": obj({}, {"effort": one_of("minimal", "low", "medium", "high", "xhigh")}),
    "max_output_tokens": constant_or("inf", integer(1, 4096)),
    "prompt": nullable(obj({"id": text()}, {"version": text(), "variables": json_object})),
}
_session = obj(
    {"type": one_of("realtime")},
    {
        "model": text(),
        "audio": obj(
            {},
            {
                "input": obj(
                    {},
                    {
                        "format": _format,
                        "transcription": nullable(_transcription),
                        "noise_reduction": nullable(_noise_reduction),
                        "turn_detection": nullable(_turn_detection),
                    },
                ),
                "output": obj({}, {"format": _format, "voice": _voice, "speed": number(0.25, 1.5)}),
            },
        ),
        "include": array(one_of("item.input_audio_transcription.logprobs")),
        "tracing": nullable(_tracing),
        "truncation": _truncation,
        **_answering,
    },
)

# --- items of the conversation ------------------------------------------------------------------

_text_keys, _sound_keys = ("audio", "transcript"), ("text", "image_url", "detail")
_image_keys = ("image_url", "detail")
_part = {
    "system": tagged("type", {"input_text": obj({"type": _TAG, "text": text()})}),
    "user": tagged(
        "type",
        {
            "input_text": obj(
                {"type": _TAG, "text": text()}, elsewhere=(*_text_keys, *_image_keys)
            ),
            "input_audio": obj(
                {"type": _TAG, "audio": text()}, {"transcript": text()}, elsewhere=_sound_keys
            ),
            "input_image": obj(
                {"type": _TAG, "image_url": text()},
                {"detail": one_of("auto", "low", "high")},
                elsewhere=("text", *_text_keys),
            ),
        },
    ),
    # The API reference lists output_audio, but a client cannot create an assistant's audio.
    "assistant": tagged(
        "type", {"output_text": obj({"type": _TAG, "text": text()}, elsewhere=_text_keys)}
    ),
}
_anyhow: dict[str, Check] = {
    "id": text(32),
    "object": one_of("realtime.item"),
    "status": one_of("completed", "incomplete", "in_progress"),
}
_item_kinds: dict[str, Check] = {
    "message": tagged(
        "role",
        {
            role: obj({"type": _TAG, "role": _TAG, "content": array(part, least=1)}, _anyhow)
            for role, part in _part.items()
        },
    ),
    "function_call": obj(
        {"type": _TAG, "name": text(64, "_-"), "arguments": text()},
        {"call_id": text(32, "_-"), **_anyhow},
    ),
    "function_call_output": obj(
        {"type": _TAG, "call_id": text(32, "_-"), "output": text()}, _anyhow
    ),
}
_reference = obj({"type": _TAG, "id": text()})

# --- the events ---------------------------------------------------------------------------------

_response = obj(
    {},
    {
        "audio": obj({}, {"output": obj({}, {"format": _format, "voice": _voice})}),
        "conversation": one_of("auto", "none"),
        "input": array(tagged("type", {**_item_kinds, "item_reference": _reference})),
        "metadata": _metadata,
        **_answering,
    },
)


def _event(required: dict[str, Check], optional: dict[str, Check] | None = None) -> Check:
    return obj({"type": _TAG, **required}, {"event_id": text(512), **(optional or {})})


_EVENTS: dict[str, Check] = {
    "session.update": _event({"session": _session}),
    "input_audio_buffer.append": _event({"audio": text()}),
    "input_audio_buffer.commit": _event({}),
    "input_audio_buffer.clear": _event({}),
    "conversation.item.create": _event(
        {"item": tagged("type", _item_kinds)}, {"previous_item_id": text()}
    ),
    "conversation.item.truncate": _event(
        {"item_id": text(), "content_index": integer(), "audio_end_ms": integer()}
    ),
    "conversation.item.delete": _event({"item_id": text()}),
    "conversation.item.retrieve": _event({"item_id": text()}),
    "response.create": _event({}, {"response": _response}),
    "response.cancel": _event({}, {"response_id": text()}),
}
