"""The agent as the call sees it: plain values, which `config/agent/` reads from the agent file."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from app.call.destinations import Destination


@dataclass(frozen=True, slots=True)
class Voice:
    """The voice of the model itself."""

    name: str = "marin"
    #: 0.25 to 1.5; 1.0 is normal.
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class TurnTaking:
    """How the model detects the caller's turns, and whether the caller may barge in."""

    detection: Literal["server_vad", "semantic_vad"] = "server_vad"
    #: For server_vad: how loud speech is, 0 to 1.
    threshold: float = 0.5
    #: For server_vad: audio kept from before the speech.
    prefix_padding_ms: int = 300
    #: For server_vad: silence that ends a turn.
    silence_ms: int = 500
    #: For semantic_vad: how soon a turn counts as ended.
    eagerness: Literal["auto", "low", "medium", "high"] = "auto"
    #: Barge-in: the caller's speech or key interrupts the agent.
    interruptible: bool = True
    #: A cough or a "mm-hm" pauses the agent, and it goes on where it was; False: every sound that
    #: counts as speech interrupts it for good.
    resume_false_interruptions: bool = False
    #: How long the words of short speech are awaited.
    false_interruption_ms: int = 1000
    #: What listeners say without meaning to interrupt, as `pause.normalized` writes it.
    backchannels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Transcription:
    """How the caller's speech is transcribed."""

    #: Transcription model; empty: no transcription.
    model: str = "gpt-transcribe"
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take, in milliseconds, and how often they may be repeated."""

    #: Silence of the caller after which the agent asks whether they are still there; 0: never.
    idle_ms: int = 15_000
    #: How often the agent asks before it says goodbye.
    idle_nudges: int = 2
    #: Longest call; 0: no limit.
    longest_call_ms: int = 30 * 60_000
    #: The agent warns the caller this long before the longest call ends.
    warning_ms: int = 60_000
    #: Deadline of a tool; then the model gets an error as its answer.
    tool_ms: int = 15_000
    #: A caller who waits for an answer hears something at least this often.
    hold_ms: int = 7_000
    #: Deadline for the first audio, text or tool call of a response; then it is requested again.
    first_sound_ms: int = 4_000
    #: Most responses in a row that may call tools, without a word or key of the caller's.
    tool_rounds: int = 10


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the model sees it."""

    name: str
    description: str
    #: JSON schema of type object.
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outbound:
    """What differs on an outbound call."""

    #: What the agent says first; empty: `Agent.greeting`.
    greeting: str = ""
    #: What the agent says after the beep of an answering machine; empty: hang up.
    voicemail: str = ""
    #: Whether Twilio detects who answers.
    answering_machine: Literal["detect", "off"] = "detect"


@dataclass(frozen=True, slots=True)
class Agent:
    """Everything that a call needs to know about its agent."""

    name: str
    instructions: str
    #: What the agent says first; empty: the caller begins.
    greeting: str = ""
    #: ISO 639-1 code.
    language: str = "en"
    #: The model's own voice: speaks when there are no external voices, or when all of them fail.
    voice: Voice = Voice()
    #: Labels of the external voices: the preferred one, then its fallbacks in order.
    voices: tuple[str, ...] = ()
    turns: TurnTaking = TurnTaking()
    transcription: Transcription = Transcription()
    limits: Limits = Limits()
    #: Every tool that the model is offered, built-in ones included.
    tools: tuple[ToolSpec, ...] = field(default=())
    #: Where callers can be transferred, in the order in which a lone 0 tries them.
    destinations: tuple[Destination, ...] = ()
    outbound: Outbound = Outbound()

    def calling(self, greeting: str = "", context: str = "") -> "Agent":
        """This agent on an outbound call.

        Args:
            greeting: What it says first on this call; empty: as `Outbound.greeting` says.
            context: What it has to know about this call; becomes part of its instructions.
        """
        instructions = f"{self.instructions}\n\nYou are calling somebody yourself now."
        return replace(
            self,
            greeting=greeting or self.outbound.greeting or self.greeting,
            instructions=f"{instructions} About this call: {context}" if context else instructions,
        )
