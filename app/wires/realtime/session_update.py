"""Builds `session.update` from the agent's settings.

OpenAI: Realtime API, session.update. The server accepts or rejects an update as a whole; after a
rejection its defaults remain (24 kHz PCM, default instructions). The update therefore sets every
field that a call relies on, those that the agent file sets, and no other.
"""

import json
from collections.abc import Collection
from typing import Any

import msgspec

from app.call.agent import Agent, ModelOptions, TurnTaking
from app.call.optional_settings import Setting
from app.wires.realtime.models import takes

# OpenAI: no `rate` here; the server rejects the key as unknown.
_MULAW = {"type": "audio/pcmu"}


def session_update(
    agent: Agent, event_id: str, *, speaks: bool = True, without: Collection[Setting] = ()
) -> str:
    """The `session.update` that configures a new session for this agent, as JSON text.

    `event_id`: returned in the server's error if it rejects the update. `speaks`: True for audio
    output, False for text output that an external voice speaks. `without`: settings that the server
    refused; their fields are left out. The model is not part of it: the socket's URL names it, and
    a session cannot change it.
    """
    audio = {"input": _input(agent, without), "output": _output(agent, without)}
    session = {
        "type": "realtime",
        "output_modalities": ["audio" if speaks else "text"],
        "instructions": agent.instructions,
        "audio": audio,
        "tools": [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters,
            }
            for tool in agent.tools
        ],
        "tool_choice": "auto",
        **_options(agent.model, without),
    }
    return to_text({"type": "session.update", "event_id": event_id, "session": session})


def turn_detection_update(agent: Agent, event_id: str, *, automatic: bool) -> str:
    """The `session.update` that only says whether turn detection acts by itself."""
    detection = _turn_detection(agent.turns)
    if not automatic:
        detection |= {"create_response": False, "interrupt_response": False}
    session = {"type": "realtime", "audio": {"input": {"turn_detection": detection}}}
    return to_text({"type": "session.update", "event_id": event_id, "session": session})


def _input(agent: Agent, without: Collection[Setting]) -> dict[str, Any]:
    """`audio.input`. A field that is left out keeps its default: off, for both of them."""
    settings: dict[str, Any] = {"format": _MULAW}
    if "noise_reduction" not in without:
        settings["noise_reduction"] = _noise_reduction(agent.turns, without)
    if "transcription" not in without:
        settings["transcription"] = _transcription(agent, without)
    return settings | {"turn_detection": _turn_detection(agent.turns, without)}


def _output(agent: Agent, without: Collection[Setting]) -> dict[str, Any]:
    """`audio.output`."""
    settings: dict[str, Any] = {"format": _MULAW}
    if "voice" not in without:
        settings["voice"] = agent.voice.name
    if agent.voice.speed != 1.0 and "speed" not in without:
        settings["speed"] = agent.voice.speed
    return settings


def _noise_reduction(turns: TurnTaking, without: Collection[Setting]) -> dict[str, Any] | None:
    if turns.noise_reduction == "none":
        return None
    settings: dict[str, Any] = {"type": turns.noise_reduction}
    if turns.noise_reduction_strength is not None and "noise_reduction_strength" not in without:
        settings["strength"] = turns.noise_reduction_strength
    return settings


def _transcription(agent: Agent, without: Collection[Setting]) -> dict[str, Any] | None:
    transcription = agent.transcription
    model = transcription.model
    if not model:
        return None
    given: dict[Setting, Any] = {
        "language": agent.language,
        "prompt": transcription.prompt,
        "keywords": list(transcription.keywords),
        "languages": list(transcription.languages),
    }
    taken = {k: v for k, v in given.items() if v and k not in without and takes(model, k)}
    if "languages" in taken:
        taken.pop("language", None)  # it is for callers who speak that one alone
    return {"model": model} | {str(key): value for key, value in taken.items()}


def _options(options: ModelOptions, without: Collection[Setting]) -> dict[str, Any]:
    """The fields of `session` that the agent's `[model]` sets."""
    effort, truncation = options.reasoning_effort, options.truncation
    given: dict[Setting, tuple[str, Any]] = {
        "reasoning_effort": ("reasoning", {"effort": effort} if effort else None),
        "max_output_tokens": ("max_output_tokens", options.max_output_tokens),
        "parallel_tool_calls": ("parallel_tool_calls", options.parallel_tool_calls),
        "truncation": (
            "truncation",
            {"type": "retention_ratio", "retention_ratio": truncation}
            if isinstance(truncation, float | int)
            else truncation,
        ),
    }
    return {
        field: value
        for setting, (field, value) in given.items()
        if value is not None and setting not in without
    }


def _turn_detection(turns: TurnTaking, without: Collection[Setting] = ()) -> dict[str, Any]:
    if "detection" in without:
        # The call relies on turn detection: what is left is its plainest form. Both flags default
        # to True.
        plain: dict[str, Any] = {"type": "server_vad"}
        return plain if turns.interruptible else plain | {"interrupt_response": False}
    settings: dict[str, Any] = {
        "type": turns.detection,
        "create_response": True,
        "interrupt_response": turns.interruptible,
    }
    if turns.detection == "semantic_vad":
        return settings | {"eagerness": turns.eagerness}
    # No idle_timeout_ms: the server does not know what Twilio still plays; the call has its own
    # idle timer.
    return settings | {
        "threshold": turns.threshold,
        "prefix_padding_ms": turns.prefix_padding_ms,
        "silence_duration_ms": turns.silence_ms,
    }


def to_text(event: dict[str, Any]) -> str:
    """A client event as JSON text. Lone surrogates, which a tool's result may hold, become `?`."""
    try:
        return msgspec.json.encode(event).decode()
    except UnicodeEncodeError:
        return json.dumps(event, ensure_ascii=False).encode(errors="replace").decode()
