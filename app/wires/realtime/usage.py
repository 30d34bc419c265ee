"""Usage that the Realtime API reports: a response's tokens, a transcription's audio.

OpenAI: Realtime API, `response.done` and `conversation.item.input_audio_transcription.completed`.
"""

from typing import Annotated, Any

import msgspec

from app.call.usage import Usage

# Servers write 1000 or 1000.0. The bounds reject values that no call can reach.
Number = Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)]


def count(number: float | None) -> int:
    """The number as a whole number of at least 0; None counts as 0."""
    return max(0, int(number or 0))


class _Tokens(msgspec.Struct):
    text_tokens: Number | None = None
    audio_tokens: Number | None = None


class _InputTokens(_Tokens):
    cached_tokens_details: _Tokens | None = None


class UsageBody(msgspec.Struct):
    """`usage` of a `response.done`, in tokens."""

    input_tokens: Number | None = None
    output_tokens: Number | None = None
    input_token_details: _InputTokens | None = None
    output_token_details: _Tokens | None = None

    def usage(self) -> Usage:
        # Without details, all tokens count as text.
        sent = self.input_token_details or _InputTokens(text_tokens=self.input_tokens)
        cached = sent.cached_tokens_details or _Tokens()
        received = self.output_token_details or _Tokens(text_tokens=self.output_tokens)
        return Usage(
            input_text=count(sent.text_tokens),
            input_audio=count(sent.audio_tokens),
            input_text_cached=count(cached.text_tokens),
            input_audio_cached=count(cached.audio_tokens),
            output_text=count(received.text_tokens),
            output_audio=count(received.audio_tokens),
        )


def billed_ms(usage: Any) -> int:
    """Milliseconds of audio that a transcription is billed for.

    `usage`: as received; the server reports seconds, or audio tokens of 100 ms each. 0: it is
    missing or malformed.
    """
    if not isinstance(usage, dict):
        return 0
    details = usage.get("input_token_details")
    tokens = details.get("audio_tokens") if isinstance(details, dict) else None
    for number, ms in ((usage.get("seconds"), 1000), (tokens, 100)):
        if isinstance(number, int | float) and 0 < number < 1e6:
            return round(ms * number)
    return 0
