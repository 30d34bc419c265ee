"""The transcription events of a caller's turn: deltas, then the whole text with its usage."""

from app.simulator.realtime.items import Item, text_tokens
from app.simulator.realtime.wire import Wire

_EVENT = "conversation.item.input_audio_transcription"


def send_transcript(
    wire: Wire, item: Item, text: str, audio_ms: float, *, content_index: int, failed: bool
) -> None:
    """Send the transcription events of one part of an item of the caller."""
    place = {"item_id": item.id, "content_index": content_index}
    if failed:
        error = {
            "type": "transcription_error",
            "code": "audio_unintelligible",
            "message": "The audio could not be transcribed.",
            "param": None,
        }
        wire.send(f"{_EVENT}.failed", **place, error=error)
        return
    for number, word in enumerate(text.split(" ") if text else ()):
        wire.send(f"{_EVENT}.delta", **place, delta=f" {word}" if number else word)
    tokens_in, tokens_out = round(audio_ms / 100), text_tokens(text)
    usage = {
        "type": "tokens",
        "total_tokens": tokens_in + tokens_out,
        "input_tokens": tokens_in,
        "input_token_details": {"text_tokens": 0, "audio_tokens": tokens_in},
        "output_tokens": tokens_out,
    }
    wire.send(f"{_EVENT}.completed", **place, transcript=text, usage=usage)
