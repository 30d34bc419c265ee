"""The codec of Volcengine's v1 protocol, `ws_binary`: a JSON request, then frames of sound.

Volcengine: online speech synthesis, WebSocket. v3's frames differ: they carry events.
"""

from dataclasses import dataclass

import msgspec

from app.errors import ProtocolError
from app.wires.voices.voice import SpokenWord
from app.wires.voices.volcengine.frame import Flags, MessageType, Reader, request


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The server has received the request. No sound."""


@dataclass(frozen=True, slots=True)
class Audio:
    """A piece of the sound. The last one may have sound as well."""

    #: The frame's number, negative in the last frame; None if the frame has none.
    sequence: int | None
    #: PCM; may end within a sample.
    data: bytes
    last: bool


@dataclass(frozen=True, slots=True)
class Frontend:
    """JSON with timestamps of the text; see `spoken_words`. The server sends it if the request has
    `with_timestamp`."""

    json: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """The server reports an error and ends the request."""

    code: int
    #: Plain text or JSON.
    message: str


Frame = Acknowledged | Audio | Frontend | Failed


class _TimedWord(msgspec.Struct):
    word: str
    #: Seconds from the start of the sound.
    start_time: float
    end_time: float


class _Timestamps(msgspec.Struct):
    words: list[_TimedWord] = []


_timestamps = msgspec.json.Decoder(_Timestamps)


def spoken_words(frontend: Frontend) -> tuple[SpokenWord, ...]:
    """The times of the words. Large-model voices time what they spoke, such as "two thousand" for
    "2000".

    Raises:
        ProtocolError: the JSON is malformed, or the times are not in order.
    """
    try:
        words = _timestamps.decode(frontend.json).words
    except (ValueError, RecursionError):
        raise ProtocolError("a frame of timestamps is malformed") from None
    times = [0.0, *(at for word in words for at in (word.start_time, word.end_time))]
    if any(later < earlier for earlier, later in zip(times, times[1:], strict=False)):
        raise ProtocolError("a frame of timestamps is out of order")
    return tuple(SpokenWord(w.word, w.start_time * 1000, w.end_time * 1000) for w in words)


def build(payload: bytes, *, compress: bool = False) -> bytes:
    """The frame of a request. `payload`: JSON."""
    return request(Flags.NONE, b"", payload, compress=compress)


def parse(frame: bytes) -> Frame:
    """Parses a frame from the server. Bytes after the payload are ignored.

    Raises:
        ProtocolError: it is not a valid v1 frame.
    """
    reader = Reader.of(frame)
    match reader.message_type:
        case MessageType.AUDIO:
            return _audio(reader)
        case MessageType.ERROR:
            code = reader.number()
            return Failed(code, reader.payload().decode("utf-8", "replace"))
        case MessageType.FRONTEND:
            return Frontend(reader.payload())
    raise ProtocolError(f"a frame of v1 has the unexpected message type {reader.message_type:#x}")


def _audio(reader: Reader) -> Acknowledged | Audio:
    match reader.flags:
        case Flags.NONE:
            return Acknowledged()
        case Flags.SEQUENCE | Flags.LAST_SEQUENCE:
            sequence = reader.number(signed=True)
            last = reader.flags == Flags.LAST_SEQUENCE or sequence < 0
            return Audio(sequence, reader.payload(), last)
        case Flags.LAST if reader.remaining >= 8 and reader.negative:
            sequence = reader.number(signed=True)
            return Audio(sequence, reader.payload(), True)
        case Flags.LAST:
            return Audio(None, reader.payload(), True)
    hint = ", which is v3's" if reader.flags == Flags.EVENT else ""
    raise ProtocolError(f"a frame of sound has the unknown flags {reader.flags}{hint}")
