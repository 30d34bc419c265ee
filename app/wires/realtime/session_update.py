"""The agent's settings as a Realtime session: what `session.update` carries.

OpenAI: Realtime API, session.update. An update is taken whole or refused whole, and a refused one
leaves the server's defaults running (24 kHz PCM, somebody else's instructions). So everything that
a call relies on is said explicitly, and nothing that we did not mean.
"""

import json
from typing import Any

import msgspec

from app.call.agent import Agent, Transcription, TurnTaking

# OpenAI: no `rate` here; the key is refused as unknown.
_MULAW = {"type": "audio/pcmu"}
_TAKE_NO_PROMPT = ("gpt-realtime-whisper", "gpt-4o-transcribe-diarize")


def session_update(agent: Agent, event_id: str, *, speaks: bool = True) -> str:
    """The event that turns a fresh session into this agent. `event_id`: named by a refusal.
    `speaks`: with its own voice; otherwise it writes, for another voice.

    It names no model: that is in the socket's URL and cannot be changed.
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


def _transcription(transcription: Transcription, language: str) -> dict[str, Any] | None:
    if not transcription.model:
        return None
    settings: dict[str, Any] = {"model": transcription.model}
    if language:
        settings["language"] = language
    if transcription.prompt and not transcription.model.startswith(_TAKE_NO_PROMPT):
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
    # No idle_timeout_ms: the server cannot see what Twilio still plays, the call's own clock can.
    return settings | {
        "threshold": turns.threshold,
        "prefix_padding_ms": turns.prefix_padding_ms,
        "silence_duration_ms": turns.silence_ms,
    }


def to_text(event: dict[str, Any]) -> str:
    """A client event as JSON text that a server can take, whatever strings a tool came up with."""
    try:
        return msgspec.json.encode(event).decode()
    except UnicodeEncodeError:
        # A lone surrogate is no text; a question mark is.
        return json.dumps(event, ensure_ascii=False).encode(errors="replace").decode()
