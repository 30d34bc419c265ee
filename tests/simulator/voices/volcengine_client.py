"""A client of Volcengine's v1 wire (`ws_binary`), for the tests of the stand-in.

Written from the protocol alone: it shares no code with the bridge's codec or with the stand-in.
"""

import gzip
import json
import struct
from dataclasses import dataclass
from typing import Any, Literal
from uuid import uuid4

from websockets.asyncio.client import connect

APPID, TOKEN, VOICE = "APPID_PLACEHOLDER", "TOKEN_PLACEHOLDER", "VOICE_PLACEHOLDER"
BEARER = {"Authorization": f"Bearer; {TOKEN}"}
TEXT = "One moment, please."

_AUDIO_FIELDS = ("voice_type", "encoding", "rate", "speed_ratio")
_GZIP = 1

Kind = Literal["acknowledgment", "sound", "timestamps", "error"]


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame from the server."""

    kind: Kind
    #: What the frame carries, inflated.
    payload: bytes = b""
    #: The sequence number of sound, the code of an error; None where the frame has no number.
    number: int | None = None
    #: No frame of this request follows.
    last: bool = False


def request(operation: object = "submit", **changes: Any) -> bytes:
    """The frame that asks for speech, in gzip.

    `changes`: fields of the sections `audio` and `request`; None leaves the field out.
    """
    fields: dict[str, Any] = {
        "voice_type": VOICE,
        "encoding": "pcm",
        "rate": 8000,
        "reqid": str(uuid4()),
        "text": TEXT,
        "operation": operation,
        **changes,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    audio = {name: given.pop(name) for name in _AUDIO_FIELDS if name in given}
    body = {
        "app": {"appid": APPID, "token": "unused", "cluster": "volcano_tts"},
        "user": {"uid": "caller-1"},
        "audio": audio,
        "request": given,
    }
    payload = gzip.compress(json.dumps(body).encode())
    return struct.pack(">4BI", 0x11, 0x10, 0x10 | _GZIP, 0, len(payload)) + payload


def read(frame: bytes) -> Frame:
    """What a frame from the server means. Raises ValueError if v1 has no such frame."""
    version, words = divmod(frame[0], 16)
    kind, flags = divmod(frame[1], 16)
    if version != 1:
        raise ValueError(f"version {version}")
    body = frame[words * 4 :]
    inflate = frame[2] & 15 == _GZIP
    match kind, flags:
        case 0xB, 0:
            return Frame("acknowledgment")
        case 0xB, 1 | 2 | 3:
            # A last frame may come without a sequence number; a number there would be negative.
            numbered = flags != 2 or (len(body) >= 8 and body[0] >= 0x80)
            number = struct.unpack_from(">i", body)[0] if numbered else None
            sound = _sized(body[4:] if numbered else body, inflate)
            return Frame("sound", sound, number, last=flags != 1)
        case 0xC, 0:
            return Frame("timestamps", _sized(body, inflate))
        case 0xF, 0:
            (code,) = struct.unpack_from(">I", body)
            return Frame("error", _sized(body[4:], inflate), code, last=True)
    raise ValueError(f"message type {kind:#x} with flags {flags}")


def _sized(field: bytes, inflate: bool) -> bytes:
    (size,) = struct.unpack_from(">I", field)
    data = field[4 : 4 + size]
    if len(data) < size:
        raise ValueError(f"{len(data)} bytes of {size}")
    return gzip.decompress(data) if inflate else data


async def speech(url: str, operation: str = "submit", **changes: Any) -> bytes:
    """The whole sound of one request on a connection of its own.

    Raises RuntimeError if the server answers with an error.
    """
    sound = b""
    async with connect(url, additional_headers=BEARER, max_size=None) as socket:
        await socket.send(request(operation, **changes))
        async for message in socket:
            if isinstance(message, str):
                raise RuntimeError(message)
            frame = read(message)
            if frame.kind == "error":
                raise RuntimeError(f"{frame.number}: {frame.payload!r}")
            if frame.kind == "sound":
                sound += frame.payload
            if frame.last:
                return sound
    raise RuntimeError("the connection closed before the last frame")
