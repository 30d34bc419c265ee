"""Volcengine's v3 wire, `bidirection`: events of a connection, and of one session after another.

Not to be mixed with the frames of v1, which carry sequence numbers.
(Volcengine: bidirectional streaming speech synthesis, WebSocket)
"""

from dataclasses import dataclass

from app.errors import ProtocolError
from app.wires.voices.volcengine.frame import Flags, Kind, Reader, request, sized

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

_OF_THE_CONNECTION = range(100)  # these carry a connection's id, the others a session's


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened. `id`: of the session, or of the connection; empty where none came.
    `payload`: JSON, or sound if `number` is `AUDIO`."""

    number: int
    id: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """The server gives up on the connection. `message`: plain or JSON."""

    code: int
    message: str


Frame = Event | Failed


def build(
    event: int, payload: bytes = b"{}", *, session: str = "", compress: bool = False
) -> bytes:
    """The frame of an event. `payload`: JSON. `session`: its id, for all but the events that belong
    to the connection."""
    fields = event.to_bytes(4, "big")
    if event not in _OF_THE_CONNECTION:
        fields += sized(session.encode())
    return request(Flags.EVENT, fields, payload, compress=compress)


def parse(frame: bytes) -> Frame:
    """A frame of the server. What stands behind the payload is ignored.

    Raises:
        ProtocolError: it is not one of v3.
    """
    reader = Reader.of(frame)
    if reader.kind == Kind.ERROR:
        code = reader.number()
        if reader.flags == Flags.EVENT:  # some write an event and ids here, too
            _, _, payload = _event(reader)
        else:
            payload = reader.payload()
        return Failed(code, payload.decode("utf-8", "replace"))
    if reader.kind not in (Kind.ANSWER, Kind.AUDIO):
        raise ProtocolError(f"a frame of v3 has the unexpected message type {reader.kind:#x}")
    if reader.flags != Flags.EVENT:
        raise ProtocolError(f"a frame of v3 has the flags {reader.flags} and no event")
    return Event(*_event(reader))


def _event(reader: Reader) -> tuple[int, str, bytes]:
    """An event's number, id and payload.

    The end of a frame says how many fields there are: whether a connection that failed has an id
    is told in two ways, and a session's last words may come without a payload.
    """
    number = reader.number(signed=True)
    name = "" if number in _OF_THE_CONNECTION and reader.single else reader.text()
    return number, name, reader.payload() if reader.left >= 4 else b""
