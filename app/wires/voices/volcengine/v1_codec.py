"""Volcengine's v1 wire, `ws_binary`: one JSON request, and the frames that answer it.

Not to be mixed with the frames of v3, which carry events.
(Volcengine: online speech synthesis, WebSocket)
"""

from dataclasses import dataclass

from app.errors import ProtocolError
from app.wires.voices.volcengine.frame import Flags, Kind, Reader, request


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The request has arrived. There is no sound in it."""


@dataclass(frozen=True, slots=True)
class Audio:
    """A piece of the sound; the last one may carry some, too. `sequence`: what the server counts,
    negative in the last one; None where it does not count."""

    sequence: int | None
    data: bytes
    last: bool


@dataclass(frozen=True, slots=True)
class Frontend:
    """What the text's analysis found, such as timestamps: JSON."""

    json: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """The server gives up. `message`: plain or JSON."""

    code: int
    message: str


Frame = Acknowledged | Audio | Frontend | Failed


def build(payload: bytes, *, compress: bool = False) -> bytes:
    """The frame of a request. `payload`: JSON."""
    return request(Flags.NONE, b"", payload, compress=compress)


def parse(frame: bytes) -> Frame:
    """A frame of the server. What stands behind the payload is ignored.

    Raises:
        ProtocolError: it is not one of v1.
    """
    reader = Reader.of(frame)
    match reader.kind:
        case Kind.AUDIO:
            return _audio(reader)
        case Kind.ERROR:
            code = reader.number()
            return Failed(code, reader.payload().decode("utf-8", "replace"))
        case Kind.FRONTEND:
            return Frontend(reader.payload())
    raise ProtocolError(f"a frame of v1 has the unexpected message type {reader.kind:#x}")


def _audio(reader: Reader) -> Acknowledged | Audio:
    match reader.flags:
        case Flags.NONE:
            return Acknowledged()
        case Flags.SEQUENCE | Flags.LAST_SEQUENCE:
            sequence = reader.number(signed=True)
            last = reader.flags == Flags.LAST_SEQUENCE or sequence < 0
            return Audio(sequence, reader.payload(), last)
        case Flags.LAST if reader.left >= 8 and reader.negative:
            sequence = reader.number(signed=True)
            return Audio(sequence, reader.payload(), True)
        case Flags.LAST:
            return Audio(None, reader.payload(), True)
    hint = ", which is v3's" if reader.flags == Flags.EVENT else ""
    raise ProtocolError(f"a frame of sound has the unknown flags {reader.flags}{hint}")
