"""Who answers the phone: the agent as the call sees it. Plain values, read from the agent file."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from app.call.destinations import Destination


@dataclass(frozen=True, slots=True)
class Voice:
    """The model's own voice. `speed`: 0.25 to 1.5, 1.0 is normal."""

    name: str = "marin"
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class TurnTaking:
    """When the model decides that the caller began or finished to speak.

    `threshold`, `prefix_padding_ms`, `silence_ms` belong to `server_vad`, `eagerness` to
    `semantic_vad` (protocol: session.audio.input.turn_detection). `interruptible`: whether the
    caller's speech stops the agent's.
    """

    detection: Literal["server_vad", "semantic_vad"] = "server_vad"
    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_ms: int = 500
    eagerness: Literal["auto", "low", "medium", "high"] = "auto"
    interruptible: bool = True


@dataclass(frozen=True, slots=True)
class Transcription:
    """How the caller's speech is written down. `model` empty: not at all."""

    model: str = "gpt-transcribe"
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take, all in milliseconds. 0 switches a limit off where it says so.

    `idle_ms`: silence while listening before the agent asks whether anybody is there (0: never);
    `idle_nudges`: how often it asks before it says goodbye. `longest_call_ms` (0: no limit), with a
    spoken warning `warning_ms` before it. `tool_ms`: a tool that takes longer is answered for.
    `hold_ms`: a caller who waits for an answer hears something at least this often.
    `first_sound_ms`: how long an answer may take to its first audio, text or tool call before it is
    asked for again.
    """

    idle_ms: int = 15_000
    idle_nudges: int = 2
    longest_call_ms: int = 30 * 60_000
    warning_ms: int = 60_000
    tool_ms: int = 15_000
    hold_ms: int = 7_000
    first_sound_ms: int = 4_000


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the model sees it. `parameters`: a JSON schema of type object."""

    name: str
    description: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outbound:
    """What is different when the agent calls somebody. `greeting`: what is said first, in place of
    the agent's own if not empty. `voicemail`: what is said after the beep of an answering machine,
    or empty to hang up on it."""

    greeting: str = ""
    voicemail: str = ""


@dataclass(frozen=True, slots=True)
class Agent:
    """Everything that a call needs to know about its agent.

    `greeting`: what is said first, or empty to let the caller begin. `language`: ISO 639-1 code.
    `tools`: every tool offered to the model, built-in ones included. `destinations`: the humans
    whom a caller can be handed to, in the order in which they are tried for nobody in particular.
    `voices`: the labels of the external voices that speak, first the one that is to, then those
    that stand in for it; with none, or when all fail, the model speaks with its own `voice`.
    """

    name: str
    instructions: str
    greeting: str = ""
    language: str = "en"
    voice: Voice = Voice()
    voices: tuple[str, ...] = ()
    turns: TurnTaking = TurnTaking()
    transcription: Transcription = Transcription()
    limits: Limits = Limits()
    tools: tuple[ToolSpec, ...] = field(default=())
    destinations: tuple[Destination, ...] = ()
    outbound: Outbound = Outbound()

    def calling(self, greeting: str = "", context: str = "") -> "Agent":
        """This agent when it calls somebody. `greeting`: for this call; `context`: what it has to
        know about it."""
        told = f"{self.instructions}\n\nYou are calling somebody yourself now."
        return replace(
            self,
            greeting=greeting or self.outbound.greeting or self.greeting,
            instructions=f"{told} About this call: {context}" if context else told,
        )
