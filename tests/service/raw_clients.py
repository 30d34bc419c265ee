"""Strangers at the port: sockets that say what the test wants, and may never read or close."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

HANDSHAKE = (
    b"GET /media-stream/guess HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)

# What is begun and goes no further.
UNFINISHED = [
    b"",
    b"GET / HT",
    b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: y\r\n",
    b"POST /incoming-call HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n" + b"a" * 30_000,
    b"POST /calls HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n",
    b"POST /incoming-call HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",  # kept
    b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /hea",
    HANDSHAKE,
    HANDSHAKE + b"Content-Length: 5\r\n\r\n",
    HANDSHAKE + b"a: b\r\n" * 140 + b"\r\n",
    HANDSHAKE + b"X-Long: " + b"y" * 9000 + b"\r\n\r\n",
    HANDSHAKE + b"\r\n",  # refused, and not closed by the client
    bytes.fromhex("16030100c8010000c40303") + bytes(50),
]


class RawClient:
    """One connection, by a plain socket."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self._port = port
        self._loop = asyncio.get_running_loop()

    async def says(self, data: bytes) -> "RawClient":
        """Connect if need be, and send this, or as much as is taken before the connection ends."""
        try:
            if self.socket.getsockname()[1] == 0:
                await self._loop.sock_connect(self.socket, ("127.0.0.1", self._port))
            await self._loop.sock_sendall(self.socket, data)
        except OSError:
            pass
        return self

    async def hears(self) -> bytes:
        """Everything that the service sends, until it closes or resets the connection."""
        heard = b""
        try:
            while data := await self._loop.sock_recv(self.socket, 1 << 16):
                heard += data
        except OSError:
            pass
        return heard

    def resets(self) -> None:
        """Go without a goodbye."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


@asynccontextmanager
async def raw_clients(port: int, *said: bytes) -> AsyncIterator[list[RawClient]]:
    """So many connections, each of which has said its piece."""
    here = [RawClient(port) for _ in said]
    try:
        await asyncio.gather(*(s.says(data) for s, data in zip(here, said, strict=True)))
        yield here
    finally:
        for stranger in here:
            stranger.socket.close()
