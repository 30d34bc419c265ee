"""What the model bills, as its messages tell it: tokens of responses, audio of transcriptions."""

from typing import Annotated, Any

import msgspec

from app.call.usage import Usage

# Servers write numbers as 1000 or 1000.0; what is past any call or bill is refused.
Number = Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)]


def count(number: float | None) -> int:
    """A number of things: whole, and never below 0."""
    return max(0, int(number or 0))


class _Tokens(msgspec.Struct):
    text_tokens: Number | None = None
    audio_tokens: Number | None = None


class _InputTokens(_Tokens):
    cached_tokens_details: _Tokens | None = None


class UsageBody(msgspec.Struct):
    """`usage` of a response.done."""

    input_tokens: Number | None = None
    output_tokens: Number | None = None
    input_token_details: _InputTokens | None = None
    output_token_details: _Tokens | None = None

    def usage(self) -> Usage:
        # A server that does not tell text from audio is taken to mean text.
        taken = self.input_token_details or _InputTokens(text_tokens=self.input_tokens)
        cached = taken.cached_tokens_details or _Tokens()
        given = self.output_token_details or _Tokens(text_tokens=self.output_tokens)
        return Usage(
            input_text=count(taken.text_tokens),
            input_audio=count(taken.audio_tokens),
            input_text_cached=count(cached.text_tokens),
            input_audio_cached=count(cached.audio_tokens),
            output_text=count(given.text_tokens),
            output_audio=count(given.audio_tokens),
        )


def billed_ms(usage: Any) -> int:
    """Audio billed by the second, or by tokens of 100 ms (protocol: input transcription); 0 when
    nothing that makes sense is said."""
    if not isinstance(usage, dict):
        return 0
    details = usage.get("input_token_details")
    tokens = details.get("audio_tokens") if isinstance(details, dict) else None
    for number, ms in ((usage.get("seconds"), 1000), (tokens, 100)):
        if isinstance(number, int | float) and 0 < number < 1e6:
            return round(ms * number)
    return 0
