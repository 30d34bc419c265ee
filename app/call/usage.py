"""What a response cost, in tokens."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one response, or of a whole call. Cached ones are a part of the input ones
    (protocol: response.done usage). `transcribed_ms`: the caller's audio that was written down,
    which is billed by itself, and `transcripts` how often. `voice_characters`: what external voices
    were given to say, and `fallback_characters`, what of it those were that stood in."""

    input_text: int = 0
    input_audio: int = 0
    input_text_cached: int = 0
    input_audio_cached: int = 0
    output_text: int = 0
    output_audio: int = 0
    transcribed_ms: int = 0
    transcripts: int = 0
    voice_characters: int = 0
    fallback_characters: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))
