"""The settings of a model's session that a call can do without, named by the agent file's keys."""

from typing import Literal

from app.call.agent import Agent

Setting = Literal[
    "transcription",
    "language",
    "languages",
    "prompt",
    "keywords",
    "noise_reduction",
    "noise_reduction_strength",
    "reasoning_effort",
    "max_output_tokens",
    "parallel_tool_calls",
    "truncation",
    "voice",
    "speed",
    "detection",
]
"""An optional setting. Left out, the model's own default holds: no transcription, another voice,
turns that end by silence."""

#: Part of another setting: without that one it is left out as well.
PART_OF: dict[Setting, Setting] = {
    "language": "transcription",
    "languages": "transcription",
    "prompt": "transcription",
    "keywords": "transcription",
    "noise_reduction_strength": "noise_reduction",
}
#: In which order to leave them out when it is not known which one was refused.
GROUPS: tuple[tuple[Setting, ...], ...] = (
    (
        "transcription",
        "noise_reduction",
        "reasoning_effort",
        "max_output_tokens",
        "parallel_tool_calls",
        "truncation",
    ),
    ("voice", "speed", "detection"),
)


def set_by(agent: Agent) -> frozenset[Setting]:
    """The optional settings with which this agent changes what the model does by default."""
    transcription, model, turns = agent.transcription, agent.model, agent.turns
    has: dict[Setting, bool] = {
        "transcription": bool(transcription.model),
        "language": bool(agent.language),
        "languages": bool(transcription.languages),
        "prompt": bool(transcription.prompt),
        "keywords": bool(transcription.keywords),
        "noise_reduction": turns.noise_reduction != "none",
        "noise_reduction_strength": turns.noise_reduction_strength is not None,
        "reasoning_effort": model.reasoning_effort is not None,
        "max_output_tokens": model.max_output_tokens is not None,
        "parallel_tool_calls": model.parallel_tool_calls is not None,
        "truncation": model.truncation is not None,
        "voice": True,
        "speed": agent.voice.speed != 1.0,
        "detection": True,
    }
    return frozenset(name for name, is_set in has.items() if is_set)
