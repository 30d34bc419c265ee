"""The messages that the bridge may send on a media stream; any other is a fault (31924)."""

import base64
import binascii
import json
from dataclasses import dataclass


class StreamFault(Exception):
    """Why a stream did not start or ended, with Twilio's error code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True)
class Media:
    """Audio to play: µ-law at 8000 Hz."""

    audio: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """Echo this name when the media before it have played."""

    name: str


@dataclass(frozen=True, slots=True)
class Clear:
    """Empty the playback buffer."""


def decode(message: bytes, stream_sid: str) -> Media | Mark | Clear:
    """Decode one message from the bridge to the stream `stream_sid`.

    (Twilio: Media Streams, WebSocket messages to Twilio)

    Raises:
        StreamFault: 31924, Twilio does not accept the message.
    """
    try:
        order = json.loads(message)
    except ValueError:
        raise StreamFault(31924, f"not JSON: {message[:80]!r}") from None
    if not isinstance(order, dict):
        raise StreamFault(31924, f"not a JSON object: {message[:80]!r}")
    event = order.get("event")
    if event not in ("media", "mark", "clear"):
        raise StreamFault(31924, f"event {event!r} is none of media, mark, clear")
    if order.get("streamSid") != stream_sid:
        raise StreamFault(31924, f"streamSid {order.get('streamSid')!r} is not this stream's")
    if event == "clear":
        return Clear()
    body = order.get(event)
    if not isinstance(body, dict):
        raise StreamFault(31924, f"{event} without a {event!r} object")
    return _media(body.get("payload")) if event == "media" else _mark(body.get("name"))


def _media(payload: object) -> Media:
    if not isinstance(payload, str):
        raise StreamFault(31924, "media without a payload")
    try:
        audio = base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError):
        raise StreamFault(31924, "media payload is not base64") from None
    if audio.startswith((b"RIFF", b".snd", b"ID3")):
        raise StreamFault(31924, "media payload has a file header; send raw u-law")
    return Media(audio)


def _mark(name: object) -> Mark:
    if not isinstance(name, str) or not name:
        raise StreamFault(31924, "mark without a name")
    return Mark(name)
