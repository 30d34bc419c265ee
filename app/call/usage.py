"""What a call uses that is billed: tokens, transcribed audio, synthesized characters."""

from dataclasses import dataclass, fields
from operator import add, attrgetter


@dataclass(frozen=True, slots=True)
class Usage:
    """The usage of one response, or of a whole call. Tokens unless a field says otherwise."""

    input_text: int = 0
    input_audio: int = 0
    #: Part of `input_text`.
    input_text_cached: int = 0
    #: Part of `input_audio`.
    input_audio_cached: int = 0
    output_text: int = 0
    output_audio: int = 0
    #: The caller's audio that was transcribed, in ms; billed apart from the tokens.
    transcribed_ms: int = 0
    #: Number of transcriptions.
    transcripts: int = 0
    #: Characters that external voices were given to say, retries included.
    voice_characters: int = 0
    #: Part of `voice_characters`: given to a fallback voice.
    fallback_characters: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(*map(add, _amounts(self), _amounts(other)))


_amounts = attrgetter(*(each.name for each in fields(Usage)))
