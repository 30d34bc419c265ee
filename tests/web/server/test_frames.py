"""Frames of a WebSocket: plain ones are parsed here, all others by the websockets library."""

from random import Random

import pytest
from websockets.client import ClientProtocol
from websockets.exceptions import ProtocolError
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from app.web.server.frames import MOST_PLAIN_BYTES, FrameReader, text_frame

TEXT, BINARY, CONT, CLOSE, PING = (
    Opcode.TEXT,
    Opcode.BINARY,
    Opcode.CONT,
    Opcode.CLOSE,
    Opcode.PING,
)
SIZES = (0, 1, 125, 126, 340, MOST_PLAIN_BYTES, MOST_PLAIN_BYTES + 1, 70_000)


def server() -> ServerProtocol:
    return ServerProtocol(state=State.OPEN, max_size=1 << 20)


def frame(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    """A frame as a client sends it, with a random mask."""
    masked = Frame(TEXT, data).serialize(mask=True)
    return bytes([0x80 * fin | opcode]) + masked[1:]


def as_message(received: bytes | Frame) -> tuple[bytes, bool]:
    if isinstance(received, bytes):
        return received, True
    return bytes(received.data), received.fin


def by_the_library(stream: bytes) -> tuple[list[tuple[bytes, bool]], str]:
    """What the library alone makes of this: frames, and the violation."""
    conn = server()
    conn.receive_data(stream)
    frames = [each for each in conn.events_received() if isinstance(each, Frame)]
    return [(bytes(each.data), each.fin) for each in frames], type(conn.parser_exc).__name__


def by_the_reader(stream: bytes, piece_bytes: int) -> tuple[list[tuple[bytes, bool]], str]:
    pieces = (stream[at : at + piece_bytes] for at in range(0, len(stream), piece_bytes))
    return in_reads(*pieces)


def in_reads(*reads: bytes) -> tuple[list[tuple[bytes, bool]], str]:
    """What the reader makes of these reads, as a connection gives them to it."""
    conn = server()
    reader = FrameReader(conn)
    received: list[bytes | Frame] = []
    for read in map(bytearray, reads):
        message = reader.receive_one(read)
        received += reader.receive(read) if message is None else [message]
    return [as_message(each) for each in received], type(conn.parser_exc).__name__


@pytest.mark.parametrize("size", SIZES)
def test_a_frame_that_is_a_read_of_its_own_arrives_whatever_came_before_it(size: int) -> None:
    text, long_text = frame(TEXT, b"b" * 340), frame(TEXT, b"a" * size)
    for before in (
        [long_text],
        [frame(BINARY, b"a" * size)],
        [frame(TEXT, b"a" * size, fin=False), frame(PING), text, frame(CONT)],
        [frame(TEXT, b"a" * size, fin=False), frame(CONT, text)],
        [long_text[:5], long_text[5:]],
        [long_text + text[:100], text[100:]],
        [frame(CLOSE)],
    ):
        reads = [*before, text, text + text]
        assert in_reads(*reads) == by_the_library(b"".join(reads))


def test_only_a_whole_text_frame_is_taken_as_one_message() -> None:
    reader, text = FrameReader(server()), bytearray(frame(TEXT, b"b" * 340))
    assert reader.receive_one(text) == b"b" * 340
    for other in (text[:-1], text + b"a", bytearray(text_frame("b" * 340)), text * 2):
        assert reader.receive_one(other) is None
    reader.receive(text[:20])
    assert reader.receive_one(text) is None


@pytest.mark.parametrize("piece_bytes", [1, 2, 3, 7, 100, 4096, 1 << 20])
def test_all_frames_arrive_in_order_however_the_network_cuts_them(piece_bytes: int) -> None:
    stream = b"".join(
        [
            *(frame(TEXT, bytes([65 + n]) * size) for n, size in enumerate(SIZES)),
            frame(PING, b"?"),
            frame(TEXT, b"he", fin=False) + frame(PING) + frame(CONT, b"l", fin=False),
            frame(CONT, b"lo") + frame(BINARY, b"\xff\xfe") + frame(TEXT, b"after"),
            frame(CLOSE, b"\x03\xe8") + frame(TEXT, b"too late"),
        ]
    )
    received, fault = by_the_reader(stream, piece_bytes)
    assert (received, fault) == by_the_library(stream)
    assert len(received) == len(SIZES) + 8 and fault == "NoneType"


def a_stream(random: Random) -> bytes:
    """Frames of a client, some of them wrong."""
    stream = b""
    for _ in range(random.randrange(1, 8)):
        opcode = random.choice([TEXT, TEXT, TEXT, BINARY, CONT, PING, Opcode.PONG, CLOSE])
        size = random.choice([0, 2, 5, 124, 127, 300, 5000])
        data = bytearray(frame(opcode, b"\x03\xe8" * (size // 2), fin=random.random() < 0.8))
        if random.random() < 0.1:
            data[random.randrange(2)] ^= 1 << random.randrange(8)
        stream += data
    return stream


def test_the_reader_and_the_library_agree_about_any_input() -> None:
    random = Random(4)
    faults = set()
    for _ in range(1500):
        stream = a_stream(random)
        received, fault = by_the_library(stream)
        assert by_the_reader(stream, random.choice([1, 9, 4096])) == (received, fault)
        faults.add(fault)
        cut = stream[: random.randrange(len(stream))]
        assert by_the_reader(cut, 9)[0] == by_the_library(cut)[0]
    assert faults > {"NoneType", "ProtocolError"}


def test_a_violation_is_reported_and_nothing_after_it_is_taken() -> None:
    conn = server()
    reader = FrameReader(conn)
    assert reader.receive(frame(TEXT, b"first") + b"\x81\x05hello" + frame(TEXT, b"x")) == [
        b"first"
    ]
    assert isinstance(conn.parser_exc, ProtocolError)
    assert reader.receive(frame(TEXT, b"more")) == []


@pytest.mark.parametrize("size", [0, 1, 125, 126, 10_240, 65_535, 65_536])
def test_a_client_reads_what_the_server_sends(size: int) -> None:
    conn = ClientProtocol(parse_uri("ws://a/"), state=State.OPEN)
    conn.receive_data(text_frame("µ" * (size // 2) + "x" * (size % 2)))
    (received,) = conn.events_received()
    assert isinstance(received, Frame) and received.opcode is TEXT and len(received.data) == size
