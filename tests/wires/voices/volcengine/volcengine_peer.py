"""Frames of a Volcengine server, and a scripted server."""

import gzip
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

LOGID = "20240717-log-0001"


def sized(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def audio(
    data: bytes,
    sequence: int | None = None,
    *,
    flags: int | None = None,
    compress: bool = False,
    compression: int | None = None,
) -> bytes:
    """A v1 audio frame. Without `flags`, they follow from the sequence."""
    if flags is None:
        flags = 2 if sequence is None else 1 if sequence > 0 else 3
    method = int(compress) if compression is None else compression
    count = b"" if sequence is None else struct.pack(">i", sequence)
    packed = gzip.compress(data) if compress else data
    return bytes((0x11, 0xB0 | flags, method, 0)) + count + sized(packed)


def event(number: int, name: str | None, data: bytes | None, *, compress: bool = False) -> bytes:
    """A v3 event. None omits a field."""
    kind = 0xB4 if number == 352 else 0x94
    body = struct.pack(">i", number) + (b"" if name is None else sized(name.encode()))
    if data is not None:
        body += sized(gzip.compress(data) if compress else data)
    return bytes((0x11, kind, 0x10 | compress, 0)) + body


def failure(code: int, message: bytes, *, compress: bool = False) -> bytes:
    packed = gzip.compress(message) if compress else message
    return bytes((0x11, 0xF0, 0x10 | compress, 0)) + struct.pack(">I", code) + sized(packed)


ACK = b"\x11\xb0\x00\x00"
FRONTEND = b"\x11\xc0\x10\x00" + sized(b'{"phonemes":[],"words":[]}')

Answer = Callable[["Peer", ServerConnection], Awaitable[None]]


@dataclass
class Peer:
    """A server that handles connections with `answers` in order, and repeats the last one."""

    answers: list[Answer]
    #: The JSON of v1's requests, or of v3's START_SESSION.
    requests: list[dict[str, Any]] = field(default_factory=list)
    connections: int = 0
    url: str = ""

    async def request(self, socket: ServerConnection) -> dict[str, Any]:
        """Receive a v1 request."""
        frame = await socket.recv()
        assert isinstance(frame, bytes)
        body = gzip.decompress(frame[8:]) if frame[2] & 15 else frame[8:]
        self.requests.append(json.loads(body))
        return self.requests[-1]

    async def event(self, socket: ServerConnection) -> tuple[int, str, dict[str, Any]]:
        """Receive a v3 event: its number, session id and JSON."""
        frame = await socket.recv()
        assert isinstance(frame, bytes)
        (number,) = struct.unpack_from(">i", frame, 4)
        if number < 100:
            return number, "", json.loads(frame[12:])
        (length,) = struct.unpack_from(">I", frame, 8)
        return number, frame[12 : 12 + length].decode(), json.loads(frame[16 + length :])

    async def handle(self, socket: ServerConnection) -> None:
        self.connections += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        with suppress(ConnectionClosed):
            await answer(self, socket)


@asynccontextmanager
async def peer(*answers: Answer) -> AsyncIterator[Peer]:
    service = Peer(list(answers))

    def logid(_socket: Any, _request: Any, response: Any) -> None:
        response.headers["X-Tt-Logid"] = LOGID

    async with serve(
        service.handle, "127.0.0.1", 0, process_response=logid, close_timeout=0.1
    ) as server:
        service.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield service


def sends(*frames: bytes | str) -> Answer:
    """Answers every v1 request on a connection with these frames."""

    async def answer(server: Peer, socket: ServerConnection) -> None:
        while True:
            await server.request(socket)
            for frame in frames:
                await socket.send(frame)

    return answer


Say = Callable[[ServerConnection, str], Awaitable[None]]


def sessions(*says: Say, starts: bool = True) -> Answer:
    """Handles the v3 sessions of a connection with `says` in order, and repeats the last one.
    `starts`: start the session and receive its text before that."""

    async def answer(server: Peer, socket: ServerConnection) -> None:
        rest = list(says)
        assert (await server.event(socket))[0] == 1
        await socket.send(event(50, "conn-1", b"{}"))
        while True:
            number, session, body = await server.event(socket)
            server.requests.append(body)
            if number == 101:
                continue
            assert number == 100
            if starts:
                await socket.send(event(150, session, b"{}"))
                assert (await server.event(socket))[0] == 200
                assert (await server.event(socket))[0] == 102
            await (rest.pop(0) if len(rest) > 1 else rest[0])(socket, session)

    return answer
