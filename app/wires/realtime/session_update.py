"""Builds `session.update` from the agent's settings.

OpenAI: Realtime API, session.update. The server accepts or rejects an update as a whole; after a
rejection its defaults remain (24 kHz PCM, default instructions). The update therefore sets every
field that a call relies on, and no other.
"""

import json
from typing import Any

import msgspec

from app.call.agent import Agent, Transcription, TurnTaking

# OpenAI: no `rate` here; the server rejects the key as unknown.
_MULAW = {"type": "audio/pcmu"}
_MODELS_WITHOUT_PROMPT = ("gpt-realtime-whisper", "gpt-4o-transcribe-diarize")


def session_update(agent: Agent, event_id: str, *, speaks: bool = True) -> str:
    """The `session.update` that configures a new session for this agent, as JSON text.

    `event_id`: returned in the server's error if it rejects the update. `speaks`: True for audio
    output, False for text output that an external voice speaks. The model is not part of it: the
    socket's URL names it, and a session cannot change it.
    """
    output: dict[str, Any] = {"format": _MULAW, "voice": agent.voice.name}
    if agent.voice.speed != 1.0:
        output["speed"] = agent.voice.speed
    event = {
        "type": "session.update",
        "event_id": event_id,
        "session": {
            "type": "realtime",
            "output_modalities": ["audio" if speaks else "text"],
            "instructions": agent.instructions,
            "audio": {
                "input": {
                    "format": _MULAW,
                    "noise_reduction": None,
                    "transcription": _transcription(agent.transcription, agent.language),
                    "turn_detection": _turn_detection(agent.turns),
                },
                "output": output,
            },
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
        },
    }
    return to_text(event)


def turn_detection_update(agent: Agent, event_id: str, *, automatic: bool) -> str:
    """The `session.update` that only says whether turn detection acts by itself."""
    detection = _turn_detection(agent.turns)
    if not automatic:
        detection |= {"create_response": False, "interrupt_response": False}
    session = {"type": "realtime", "audio": {"input": {"turn_detection": detection}}}
    return to_text({"type": "session.update", "event_id": event_id, "session": session})


def _transcription(transcription: Transcription, language: str) -> dict[str, Any] | None:
    if not transcription.model:
        return None
    settings: dict[str, Any] = {"model": transcription.model}
    if language:
        settings["language"] = language
    if transcription.prompt and not transcription.model.startswith(_MODELS_WITHOUT_PROMPT):
        settings["prompt"] = transcription.prompt
    return settings


def _turn_detection(turns: TurnTaking) -> dict[str, Any]:
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
