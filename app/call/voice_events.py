"""What external voices tell the call: everything that becomes of an utterance."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VoiceReceived:
    """A piece of what a voice makes of an utterance. `payload`: base64 µ-law of `size_bytes`
    decoded bytes."""

    utterance_id: str
    payload: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class VoicePaused:
    """The voice pauses in what came of an utterance: from `start` to `end`, bytes of its µ-law."""

    utterance_id: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class VoiceFinished:
    """All of an utterance has come."""

    utterance_id: str


@dataclass(frozen=True, slots=True)
class VoiceFailed:
    """Nothing more comes of an utterance. `kind`: passing (another try may help), late (it
    would only take longer), text (not with this text) or fatal (not in this call)."""

    utterance_id: str
    reason: str
    kind: str = "passing"


VoiceEvent = VoiceReceived | VoicePaused | VoiceFinished | VoiceFailed
