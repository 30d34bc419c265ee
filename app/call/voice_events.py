"""Events of the external voices, which synthesize the agent's text one utterance at a time.

Answers to the command `Synthesize`, until `VoiceFinished` or `VoiceFailed` ends the utterance.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VoiceReceived:
    """More audio of an utterance."""

    utterance_id: str
    #: Base64 of µ-law, 8000 Hz.
    payload: str
    #: Decoded size of `payload`; 8 bytes are 1 ms.
    size_bytes: int


@dataclass(frozen=True, slots=True)
class VoicePaused:
    """The voice pauses within an utterance: words end there."""

    utterance_id: str
    #: First byte of the pause, and the first byte after it, in the µ-law of the utterance.
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class VoiceTimed:
    """The voice says when its words sound. Its words may differ from those of the text: "two" for
    "2"."""

    utterance_id: str
    #: Each word, and its first byte and the first byte after it in the µ-law of the utterance.
    words: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class VoiceFinished:
    """All audio of an utterance has come."""

    utterance_id: str


@dataclass(frozen=True, slots=True)
class VoiceFailed:
    """The voice failed: no more audio of this utterance comes."""

    utterance_id: str
    reason: str
    #: passing: a retry may help. late: a retry takes too long. text: this text cannot be
    #: synthesized. fatal: the voice cannot be used on this call.
    kind: str = "passing"


VoiceEvent = VoiceReceived | VoicePaused | VoiceTimed | VoiceFinished | VoiceFailed
