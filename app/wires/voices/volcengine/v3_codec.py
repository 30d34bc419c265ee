"""The codec of Volcengine's v3 protocol, `bidirection`: events of the connection and its sessions.

Volcengine: bidirectional streaming speech synthesis, WebSocket. v1's frames differ: they carry
sequence numbers.
"""

from dataclasses import dataclass

from app.errors import ProtocolError
from app.wires.voices.volcengine.frame import Flags, MessageType, Reader, request, sized

START_CONNECTION = 1
FINISH_CONNECTION = 2
CONNECTION_STARTED = 50
CONNECTION_FAILED = 51
CONNECTION_FINISHED = 52
START_SESSION = 100
CANCEL_SESSION = 101
FINISH_SESSION = 102
SESSION_STARTED = 150
SESSION_CANCELED = 151
SESSION_FINISHED = 152
SESSION_FAILED = 153
USAGE = 154
TASK_REQUEST = 200
SENTENCE_START = 350
SENTENCE_END = 351
AUDIO = 352
TTS_ENDED = 359

#: Events with a connection's id; all others have a session's.
_CONNECTION_EVENTS = range(100)


@dataclass(frozen=True, slots=True)
class Event:
    """An event from the server."""

    #: One of the constants above, or unknown.
    number: int
    #: The session's id, or the connection's; empty if the frame has none.
    id: str
    #: Sound (PCM) if `number` is `AUDIO`, else JSON; may be empty.
    payload: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """The server reports an error and ends the connection."""

    code: int
    #: Plain text or JSON.
    message: str


Frame = Event | Failed


def build(
    event: int, payload: bytes = b"{}", *, session: str = "", compress: bool = False
) -> bytes:
    """The frame of an event. `payload`: JSON. `session`: the session's id, unless the event is the
    connection's."""
    fields = event.to_bytes(4, "big")
    if event not in _CONNECTION_EVENTS:
        fields += sized(session.encode())
    return request(Flags.EVENT, fields, payload, compress=compress)


def parse(frame: bytes) -> Frame:
    """Parses a frame from the server. Bytes after the payload are ignored.

    Raises:
        ProtocolError: it is not a valid v3 frame.
    """
    reader = Reader.of(frame)
    if reader.message_type == MessageType.ERROR:
        code = reader.number()
        if reader.flags == Flags.EVENT:  # some servers add an event and its id
            _, _, payload = _event(reader)
        else:
            payload = reader.payload()
        return Failed(code, payload.decode("utf-8", "replace"))
    if reader.message_type not in (MessageType.ANSWER, MessageType.AUDIO):
        raise ProtocolError(
            f"a frame of v3 has the unexpected message type {reader.message_type:#x}"
        )
    if reader.flags != Flags.EVENT:
        raise ProtocolError(f"a frame of v3 has the flags {reader.flags} and no event")
    return Event(*_event(reader))


def _event(reader: Reader) -> tuple[int, str, bytes]:
    """An event's number, id and payload.

    The frame's length decides which fields it has: the vendor documents CONNECTION_FAILED with and
    without an id, and a session's last events may have no payload.
    """
    number = reader.number(signed=True)
    id_ = "" if number in _CONNECTION_EVENTS and reader.single else reader.text()
    return number, id_, reader.payload() if reader.remaining >= 4 else b""
