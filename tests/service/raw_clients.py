"""Plain TCP clients, which send what the test wants and may never read or close."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

HANDSHAKE = (
    b"GET /media-stream/guess HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)

# Requests that are started and never finished.
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
    """One connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self._port = port
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> "RawClient":
        """Connect if necessary, and send this, or as much as the peer takes before it closes."""
        try:
            if self.socket.getsockname()[1] == 0:
                await self._loop.sock_connect(self.socket, ("127.0.0.1", self._port))
            await self._loop.sock_sendall(self.socket, data)
        except OSError:
            pass
        return self

    async def receive(self) -> bytes:
        """Everything that the service sends, until it closes or resets the connection."""
        received = b""
        try:
            while data := await self._loop.sock_recv(self.socket, 1 << 16):
                received += data
        except OSError:
            pass
        return received

    def reset(self) -> None:
        """Close with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


@asynccontextmanager
async def raw_clients(port: int, *sent: bytes) -> AsyncIterator[list[RawClient]]:
    """One client for each of `sent`, which it has sent."""
    clients = [RawClient(port) for _ in sent]
    try:
        await asyncio.gather(*(c.send(data) for c, data in zip(clients, sent, strict=True)))
        yield clients
    finally:
        for client in clients:
            client.socket.close()
