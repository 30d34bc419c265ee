"""The limits of a WebSocket: its handshake, its frames, and its close."""

import struct
from typing import cast

import pytest

from app.web.server.limits import READ_BYTES
from app.web.server.websocket import FLOOD, NOT_ANSWERED, WebSocket
from tests.web.server.fake_transport import HELLO, UPGRADE, Stage, Wire, settled, stage

CONT, TEXT, CLOSE, PING = 0, 1, 8, 9


def handshake(path: str = "/media", *headers: bytes) -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return f"GET {path} HTTP/1.1\r\n".encode() + UPGRADE + lines + b"\r\n"


def frame(opcode: int, data: bytes = b"", *, fin: bool = True) -> bytes:
    """A frame as a client sends it, masked with zeros."""
    size = len(data)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 1 << 16:
        length = b"\xfe" + struct.pack("!H", size)
    else:
        length = b"\xff" + struct.pack("!Q", size)
    return bytes([0x80 * fin | opcode]) + length + bytes(4) + data


def close_code(wire: Wire) -> int:
    """The code of the last close frame that the service sent."""
    at = wire.sent.rindex(b"\x88")
    return int.from_bytes(wire.sent[at + 2 : at + 4], "big")


async def media(s: Stage) -> Wire:
    wire = s.wire()
    await wire.sends(handshake())
    assert wire.status == 101
    return wire


# --- the handshake --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        [b"X-%d: y" % n for n in range(90)],  # the library takes 128, all others together
        [b"X-Long: " + b"y" * 20_000],  # the library takes lines of 8 KiB
        [b"Content-Length: 0"],
        [b"X-Latin: \xfc"],
    ],
)
async def test_other_headers_do_not_harm_a_handshake(
    headers: list[bytes],
) -> None:
    async with stage() as s:
        wire = s.wire()
        await wire.sends(handshake("/media", *headers))
        assert wire.status == 101
        await wire.sends(frame(TEXT, b"hello"))
        assert s.messages == [b"hello"]


WRONG = {
    "a body": (handshake("/media", b"Content-Length: 5"), 400),
    "chunks": (handshake("/media", b"Transfer-Encoding: chunked"), 400),
    "too many headers": (handshake("/media", *[b"a: b"] * 130), 431),
    "a long header": (handshake("/media", b"X: " + b"y" * 40_000), 431),
    "a POST": (handshake().replace(b"GET", b"POST"), 400),
    "HTTP/1.0": (handshake().replace(b"HTTP/1.1", b"HTTP/1.0"), 400),
    "no key": (handshake().replace(b"Key", b"Kay"), 400),
    "a wrong key": (handshake().replace(b"dGhl", b"####"), 400),
    "a key of Latin-1": (handshake().replace(b"dGhl", b"\xfc\xfc\xfc\xfc"), 400),
    "another version": (handshake().replace(b": 13", b": 12"), 400),
    "two origins": (handshake("/media", b"Origin: a", b"Origin: b"), 400),
    "a wrong option": (handshake().replace(b": Upgrade", b": Upgrade, @"), 400),
}


@pytest.mark.parametrize(("sent", "status"), WRONG.values(), ids=WRONG)
async def test_a_wrong_handshake_is_refused_in_one_line(
    sent: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage() as s:
        wire = s.wire()
        await wire.sends(sent)
        assert (wire.status, wire.ended) == (status, "half")
        assert list(s.refusals().values()) == [1]
        await s.clock.advance(2.1)  # the client neither reads nor closes
        assert not len(s.server.registry)
        assert not s.server.server_state.connections
    assert not [r for r in caplog.records if r.exc_info or r.levelname == "ERROR"]


async def test_a_handshake_that_the_application_does_not_answer_times_out() -> None:
    async with stage() as s:
        wire = s.wire()
        await wire.sends(handshake("/never"))
        await s.clock.advance(9.9)
        assert not wire.sent
        await s.clock.advance(0.2)
        assert (wire.status, wire.ended) == (500, "closed")
        assert s.refusals() == {NOT_ANSWERED: 1}
        await s.clock.advance(2.1)
        assert not len(s.server.registry)


@pytest.mark.parametrize("gone", [True, False])
async def test_a_refused_handshake_is_closed_whether_or_not_the_client_closes(gone: bool) -> None:
    async with stage() as s:
        wire = s.wire()
        await wire.sends(handshake("/nowhere") + b"more than that")
        assert (wire.status, wire.ended) == (403, "half")
        if gone:
            await wire.disconnects()
        else:
            await s.clock.advance(2.1)
        assert not len(s.server.registry)


async def test_frames_sent_before_the_handshake_is_answered_wait() -> None:
    async with stage() as s:
        wire = s.wire()
        await wire.sends(handshake() + frame(TEXT, b"early") + frame(TEXT, b"again"))
        assert b" 101 " in wire.sent and s.messages == [b"early", b"again"]


# --- frames ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "flood",
    [
        frame(TEXT, fin=False) + frame(CONT, fin=False) * 2_000_000,
        frame(TEXT, b'{"event":"mark"}') * 50_000,
        frame(PING) * 50_000,
        (frame(TEXT, b"x" * 700_000) + frame(TEXT)) * 20,
    ],
    ids=["empty fragments", "marks", "pings", "large messages"],
)
async def test_a_flood_of_frames_closes_the_socket(flood: bytes) -> None:
    async with stage() as s:
        wire = await media(s)
        await wire.sends(flood)
        assert (wire.ended, close_code(wire)) == ("half", 1008)
        assert len(s.messages) <= s.server.registry.limits.frames
        assert s.refusals() == {FLOOD: 1}


async def test_a_burst_after_a_stall_of_a_minute_is_allowed() -> None:
    async with stage() as s:
        wire = await media(s)
        message = frame(TEXT, b"m" * 400)
        await wire.sends(message * 3000)
        for _ in range(600):  # then twice as fast as any media stream
            await wire.sends(message * 10)
            s.clock.now_s += 0.1
        assert len(s.messages) == 9000 and not wire.ended


async def test_one_turn_of_the_loop_reads_one_buffer_of_a_socket() -> None:
    async with stage() as s:
        wire = await media(s)
        wire.connection.get_buffer(-1)[:] = (frame(TEXT, b"x" * 10) * READ_BYTES)[:READ_BYTES]
        wire.connection.buffer_updated(READ_BYTES)
        assert wire.paused
        await settled()
        assert not wire.paused


async def test_fragments_become_one_message() -> None:
    async with stage() as s:
        wire = await media(s)
        await wire.sends(frame(TEXT, b"he", fin=False) + frame(PING, b"?"))
        await wire.sends(frame(CONT, fin=False) + frame(CONT, b"llo"))
        assert s.messages == [b"hello"] and wire.sent.endswith(b"\x8a\x01?")


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (HELLO, 1002),
        (b"\x81\x05hello", 1002),  # not masked
        (frame(3), 1002),
        (frame(CONT, b"x"), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"), 1002),
        (frame(CLOSE, b"\x01"), 1002),
        (frame(TEXT, b"x", fin=False) + frame(CLOSE), 1002),
        (frame(CLOSE, b"\x03\xe8\xff\xff"), 1007),
        (b"\x81\xff" + struct.pack("!Q", 1 << 40) + bytes(9000), 1009),
        (frame(TEXT, b"x" * (1 << 19), fin=False) * 2, 1002),
        (frame(TEXT, b"x" * (1 << 20), fin=False) + frame(CONT, b"x"), 1009),
    ],
)
async def test_a_protocol_violation_closes_the_socket_with_its_code(
    sent: bytes, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage() as s:
        wire = await media(s)
        await wire.sends(sent + bytes(100_000))
        assert (wire.ended, close_code(wire)) == ("half", code)
        assert list(s.refusals().values()) == [1]
        await s.clock.advance(2.1)
        assert not len(s.server.registry)
    assert not [r for r in caplog.records if r.exc_info or r.levelname == "ERROR"]


@pytest.mark.parametrize("answers", [True, False])
async def test_at_shutdown_a_socket_is_closed_though_its_client_is_silent(
    answers: bool,
) -> None:
    async with stage() as s:
        wire = await media(s)
        wire.connection.shutdown()
        assert close_code(wire) == 1012
        await s.clock.advance(0)
        assert wire.ended == "closed" and not len(s.server.registry)


async def test_a_shutdown_during_a_closing_handshake_is_not_an_error() -> None:
    async with stage() as s:
        closing, failed, refused = await media(s), await media(s), s.wire()
        for wire in (closing, failed, refused):
            wire.unread = 10
        await closing.sends(frame(CLOSE, b"\x03\xe8"))
        await failed.sends(frame(3))
        await refused.sends(handshake("/never"))
        for member in s.server.registry.members:
            member.shutdown()
        assert [wire.ended for wire in (closing, failed)] == ["closed", "half"]
        await s.clock.advance(31)
        assert not len(s.server.registry)


async def test_messages_sent_at_once_are_one_write_and_none_when_the_socket_takes_none() -> None:
    async with stage() as s:
        wire = await media(s)
        socket = cast(WebSocket, wire.connection.protocol)
        head = wire.sent
        assert socket.send_now(["a", "b" * 200])
        assert wire.sent == head + b"\x81\x01a" + b"\x81\x7e\x00\xc8" + b"b" * 200
        wire.connection.pause_writing()
        assert not socket.send_now(["later"])
        wire.connection.resume_writing()
        assert socket.send_now(["now"])
        await wire.sends(frame(CLOSE, b"\x03\xe8"))
        before = wire.sent
        assert not socket.send_now(["too late"]) and wire.sent == before
