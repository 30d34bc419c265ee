"""Attacks at the service's port: each takes a few seconds, and all of them are bounded.

An attack connects through its `Target`. Sockets that it leaves open stay open until the attacker's
process ends. `ATTACKS` lists them by name.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import count

from bench.line import PUBLIC_URL, Line
from bench.strangers.target import Connection, Target

MANY = 300  # sockets at once
FEW_DESCRIPTORS = 256  # a limit on the service's files and sockets below that
TICKETS = 20
LASTS_S = 5.0  # of an attack without an end of its own
TRICKLE_S = 0.2  # per byte
PER_S = 300.0  # requests; more would use a whole core
SEND_AT_ONCE_BYTES = 1 << 18

_HOST = f"Host: {PUBLIC_URL.removeprefix('https://')}\r\n".encode()
GET = b"GET /healthz HTTP/1.1\r\n" + _HOST
WHOLE = GET + b"\r\n"
FORM = (
    b"POST /incoming-call HTTP/1.1\r\n" + _HOST + b"Content-Length: 1000\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n\r\n"
)
ANSWER_UNREAD = b"GET /openapi.json HTTP/1.1\r\n" + _HOST + b"\r\n"
UPGRADE = (
    b"GET /media-stream/" + b"x" * 32 + b" HTTP/1.1\r\n" + _HOST + b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)

Action = Callable[[Target], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack, and the service that it meets."""

    name: str
    action: Action
    #: The service's limit on files and sockets; 0: that of this process.
    descriptors: int = 0
    #: False: the service's log is a pipe that fills up.
    reads_log: bool = True


# --- heads that are too large ---------------------------------------------------------------------


async def nothing(_target: Target) -> None:
    """No attack: the calls without one."""


async def header_lines(target: Target) -> None:
    await _pour(target, GET, (b"X-Padding: " + b"a" * 1011 + b"\r\n") * 1024, 300)


async def tiny_headers(target: Target) -> None:
    await _pour(target, GET, b"a:b\r\n" * 20_000, 84)


async def request_line(target: Target) -> None:
    await _pour(target, b"GET /", b"a" * (1 << 20), 64)


async def _pour(target: Target, begin: bytes, piece: bytes, times: int) -> None:
    connection = await target.connect()
    if connection is not None and await connection.send(begin):
        for _ in range(times):
            if connection.closed_s or not await connection.send(piece):
                return


# --- heads and bodies that do not arrive ----------------------------------------------------------


async def idle(target: Target) -> None:
    await target.each(MANY, b"")


async def trickled_head(target: Target) -> None:
    await _trickle(await target.each(MANY, b"G"), b"ET /healthz HTTP/1.1\r\nHost: " + b"a" * 1000)


async def second_request(target: Target) -> None:
    for connection in await target.each(MANY, WHOLE):
        await connection.answered()
        await connection.send(GET)


async def no_body(target: Target) -> None:
    await target.each(MANY, FORM)


async def trickled_body(target: Target) -> None:
    await _trickle(await target.each(MANY, FORM), b"a" * 1000)


async def _trickle(connections: Sequence[Connection], text: bytes) -> None:
    until_s = time.monotonic() + LASTS_S
    for at in count():
        began_s = time.monotonic()
        if began_s >= until_s:
            return
        for connection in connections:
            if connection.closed_s is None:
                await connection.send(text[at : at + 1])
        await asyncio.sleep(began_s + TRICKLE_S - time.monotonic())


# --- requests without end -------------------------------------------------------------------------


async def pipelined(target: Target) -> None:
    connection = await target.connect(reads=False)
    if connection is not None:
        for _ in range(200):
            if not await connection.send(WHOLE * 2000):
                return


async def unread_answers(target: Target) -> None:
    until_s = time.monotonic() + LASTS_S
    ask = ANSWER_UNREAD * 20
    connections = [each for _ in range(50) if (each := await target.connect(reads=False))]
    while time.monotonic() < until_s:
        await asyncio.gather(*(each.send(ask) for each in connections if not each.closed_s))
        await asyncio.sleep(TRICKLE_S)


async def resets(target: Target) -> None:
    halves = (GET, FORM + b"CallSid=", UPGRADE, FORM + b"a" * 1000)
    async for number in _paced():
        connection = await target.connect(keep=False)
        if connection is not None:
            await connection.send(halves[number % len(halves)])
            connection.reset()


async def wrong_tokens(target: Target) -> None:
    connection = None
    async for number in _paced():
        if connection is None or connection.closed_s:
            connection = await target.connect(keep=False)
        if connection is not None:
            token = f"Authorization: Bearer guess-{number}\r\n\r\n".encode()
            await connection.send(b"GET /calls HTTP/1.1\r\n" + _HOST + token)
            await connection.answered()


async def noise(target: Target) -> None:
    """Requests that a service might log."""
    said = (
        b"GET /no/such/path HTTP/1.1\r\n" + _HOST + b"\r\n",
        FORM + b"a" * 1000,
        UPGRADE + b"\r\n",
        b"GET /media-stream HTTP/1.1\r\n" + _HOST + b"\r\n",
        b"\x16\x03\x01\x02\x00 this is TLS\r\n\r\n",
    )
    async for number in _paced():
        connection = await target.connect(keep=False)
        if connection is not None:
            await connection.send(said[number % len(said)])
            await connection.answered()
            connection.close()


async def _paced() -> AsyncIterator[int]:
    """Numbers, `PER_S` each second."""
    began_s = time.monotonic()
    for number in range(int(LASTS_S * PER_S)):
        await asyncio.sleep(max(0.0, began_s + number / PER_S - time.monotonic()))
        if time.monotonic() > began_s + LASTS_S:
            return
        yield number


# --- handshakes -----------------------------------------------------------------------------------


async def refused_handshakes(target: Target) -> None:
    await target.each(MANY, UPGRADE + b"\r\n")


async def half_handshakes(target: Target) -> None:
    await target.each(MANY, UPGRADE)


async def crowded_handshakes(target: Target) -> None:
    headers = b"".join(b"X-%d: 1\r\n" % number for number in range(200))
    await target.each(MANY, UPGRADE + headers + b"\r\n")


async def long_handshakes(target: Target) -> None:
    await target.each(MANY, UPGRADE + b"Cookie: " + b"a" * 9000 + b"\r\n\r\n")


async def handshakes_with_body(target: Target) -> None:
    await target.each(MANY, UPGRADE + b"Content-Length: 10\r\n\r\n")


# --- ticket holders -------------------------------------------------------------------------------


async def no_start(target: Target) -> None:
    for _ in range(TICKETS):
        await target.ticket_holder(starts=False)


async def fragments(target: Target) -> None:
    line = await target.ticket_holder()
    begin, more = b"\x01\x80" + bytes(4), b"\x00\x80" + bytes(4)
    await _write(line, begin + more * 1_999_999)


async def marks(target: Target) -> None:
    line = await target.ticket_holder()
    await _write(line, _texts(line, b'"event":"mark","mark":{"name":"m%d"}', 50_000))


async def keys(target: Target) -> None:
    line = await target.ticket_holder()
    key = b'"event":"dtmf","dtmf":{"track":"inbound_track","digit":"5"},"n":"%d"'
    await _write(line, _texts(line, key, 20_000))


async def big_frames(target: Target) -> None:
    frame = b"\x81\xff" + (8 << 20).to_bytes(8, "big") + bytes(4) + b"a" * (8 << 20)
    for number in range(8):
        await _write(await target.ticket_holder(starts=number % 2 == 0), frame)


def _texts(line: Line, body: bytes, times: int) -> bytes:
    """Text frames, masked with zeros, which RFC 6455 permits."""
    frames = []
    for number in range(times):
        sid = line.stream_sid.encode()
        text = b'{"sequenceNumber":"%d","streamSid":"%b",%b}' % (number, sid, body % number)
        frames.append(b"\x81\xfe" + len(text).to_bytes(2, "big") + bytes(4) + text)
    return b"".join(frames)


async def _write(line: Line, data: bytes) -> None:
    """Write raw bytes, as fast as the service reads them."""
    if not hasattr(line, "transport"):
        return  # the stream was refused
    transport = line.transport.underlying_transport
    sent = 0
    while sent < len(data) and not transport.is_closing():
        if transport.get_write_buffer_size():
            await asyncio.sleep(0.001)
        else:
            transport.write(data[sent : sent + SEND_AT_ONCE_BYTES])
            sent += SEND_AT_ONCE_BYTES


ATTACKS = (
    Attack("none", nothing),
    Attack("300 MiB of header lines", header_lines),
    Attack("8 MiB of tiny headers", tiny_headers),
    Attack("a request line of 64 MiB", request_line),
    Attack("400,000 pipelined requests", pipelined),
    Attack("answers that are not read", unread_answers),
    Attack("300 idle sockets", idle, FEW_DESCRIPTORS),
    Attack("300 heads byte by byte", trickled_head, FEW_DESCRIPTORS),
    Attack("300 second requests without end", second_request, FEW_DESCRIPTORS),
    Attack("300 bodies that never come", no_body, FEW_DESCRIPTORS),
    Attack("300 bodies byte by byte", trickled_body, FEW_DESCRIPTORS),
    Attack("300 refused handshakes, held", refused_handshakes, FEW_DESCRIPTORS),
    Attack("300 half handshakes", half_handshakes, FEW_DESCRIPTORS),
    Attack("handshakes with 200 headers", crowded_handshakes),
    Attack("handshakes with a header of 9 kB", long_handshakes),
    Attack("handshakes with a Content-Length", handshakes_with_body),
    Attack("20 streams without start", no_start),
    Attack("2,000,000 empty fragments", fragments),
    Attack("50,000 marks", marks),
    Attack("20,000 keys", keys),
    Attack("8 messages of 8 MiB", big_frames),
    Attack("1,500 resets amid requests", resets),
    Attack("1,500 wrong API tokens", wrong_tokens),
    Attack("1,500 lines' worth of noise", noise),
    Attack("the same, and stderr is not read", noise, reads_log=False),
)
