"""The settings of a Realtime session: defaults, updates, audio formats."""

import audioop
import copy
import random
import re
from dataclasses import dataclass
from typing import Any, Literal

from app.audio import ULAW_HZ, resample_pcm16, ulaw_decode, ulaw_encode
from app.simulator.realtime.checks import Refusal

_PCM_HZ = 24000
# A dated snapshot of the first generation, gpt-realtime-2025-08-28, is no reasoning model.
_REASONS = re.compile(r"gpt-realtime-2(?!\d)")
_FOR_REASONING = ("reasoning", "parallel_tool_calls")

_VAD_DEFAULTS: dict[str, dict[str, Any]] = {
    "server_vad": {
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 500,
        "idle_timeout_ms": None,
        "create_response": True,
        "interrupt_response": True,
    },
    "semantic_vad": {
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": True,
        "interrupt_response": True,
    },
}


def default_config(model: str) -> dict[str, Any]:
    """The settings before the first update: PCM at 24 kHz, which is noise on a phone line."""
    pcm = {"type": "audio/pcm", "rate": _PCM_HZ}
    return {
        "type": "realtime",
        "model": model,
        "output_modalities": ["audio"],
        "instructions": "Help the user.",
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "include": None,
        "audio": {
            "input": {
                "format": pcm,
                "transcription": None,
                "noise_reduction": None,
                "turn_detection": dict(_VAD_DEFAULTS["server_vad"]),
            },
            "output": {"format": dict(pcm), "voice": "alloy", "speed": 1.0},
        },
    }


def updated_config(
    config: dict[str, Any], change: dict[str, Any], *, spoken: bool
) -> dict[str, Any]:
    """The settings after a `session.update` that passed the schema; `config` is not changed.

    Keys that the update leaves out keep their values. `spoken`: the session has generated audio.
    Raises Refusal: the model cannot change, nor the voice once there is audio; a model of OpenAI's
    that does not reason takes no key about reasoning.
    """
    merged = copy.deepcopy(config)
    model = config["model"]
    for key in _FOR_REASONING:
        if key in change and model.startswith("gpt-") and not _REASONS.match(model):
            message = f"'session.{key}' is not supported with the model '{model}'."
            raise Refusal("unsupported_parameter", message, f"session.{key}")
    if change.get("model", config["model"]) != config["model"]:
        raise Refusal("invalid_value", "A session's model cannot be changed.", "session.model")
    for key, value in change.items():
        if key != "audio":
            merged[key] = value
    audio = change.get("audio", {})
    merged["audio"]["output"].update(audio.get("output", {}))
    if spoken and merged["audio"]["output"]["voice"] != config["audio"]["output"]["voice"]:
        raise Refusal(
            "cannot_update_voice",
            "Cannot update a conversation's voice if assistant audio is present.",
            "session.audio.output.voice",
        )
    given = dict(audio.get("input", {}))
    detection = given.get("turn_detection")
    if detection is not None:
        before = config["audio"]["input"]["turn_detection"] or {}
        same_kind = before if before.get("type") == detection["type"] else {}
        given["turn_detection"] = {**_VAD_DEFAULTS[detection["type"]], **same_kind, **detection}
    if given.get("noise_reduction") is not None:
        reduced = config["audio"]["input"]["noise_reduction"] or {"strength": 1}
        given["noise_reduction"] = {**reduced, **given["noise_reduction"]}
    merged["audio"]["input"].update(given)
    return merged


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """One of the three audio formats of a session, converted to and from µ-law."""

    type: str

    @property
    def bytes_per_ms(self) -> int:
        return _PCM_HZ // 1000 * 2 if self.type == "audio/pcm" else ULAW_HZ // 1000

    def to_pcm16(self, data: bytes) -> bytes:
        """16-bit PCM at the format's own rate."""
        if self.type == "audio/pcm":
            return data[: len(data) // 2 * 2]
        return ulaw_decode(data) if self.type == "audio/pcmu" else audioop.alaw2lin(data, 2)

    def to_ulaw(self, data: bytes) -> bytes:
        if self.type == "audio/pcmu":
            return data
        pcm = self.to_pcm16(data)
        if self.type == "audio/pcm":
            pcm = resample_pcm16(pcm, _PCM_HZ, ULAW_HZ)
        return ulaw_encode(pcm)

    def from_ulaw(self, ulaw: bytes) -> bytes:
        if self.type == "audio/pcmu":
            return ulaw
        pcm = ulaw_decode(ulaw)
        if self.type == "audio/pcma":
            return audioop.lin2alaw(pcm, 2)
        return resample_pcm16(pcm, ULAW_HZ, _PCM_HZ)


def made_up_audio(seed: str, duration_ms: int) -> bytes:
    """µ-law bytes that differ from seed to seed, so that a test can tell which item it heard."""
    return random.Random(seed).randbytes(duration_ms * ULAW_HZ // 1000)


@dataclass(frozen=True, slots=True)
class ResponseConfig:
    """The settings of one response: those of `response.create` over those of the session."""

    #: direct: the `response.create` has instructions of its own.
    kind: Literal["direct", "reply"]
    instructions: str
    modality: str
    tools: tuple[dict[str, Any], ...]
    tool_choice: Any
    format: dict[str, Any]
    voice: Any
    max_output_tokens: Any
    metadata: dict[str, str] | None
    #: False: the response is out of band and writes no items to the conversation.
    in_conversation: bool


def response_config(config: dict[str, Any], params: dict[str, Any]) -> ResponseConfig:
    """The session's settings, overridden by the parameters of a `response.create`."""
    merged = {**config, **params}
    output = {**config["audio"]["output"], **params.get("audio", {}).get("output", {})}
    return ResponseConfig(
        kind="direct" if params.get("instructions") else "reply",
        instructions=merged["instructions"],
        modality=merged["output_modalities"][0],
        tools=tuple(merged["tools"]),
        tool_choice=merged["tool_choice"],
        format=output["format"],
        voice=output["voice"],
        max_output_tokens=merged["max_output_tokens"],
        metadata=params.get("metadata"),
        in_conversation=params.get("conversation", "auto") == "auto",
    )
