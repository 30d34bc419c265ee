"""A server that takes everything and keeps nothing: what an attack costs the machine without the
service, so that the undisturbed run is under the same load."""

import asyncio
import hashlib
import re
from base64 import b64encode
from typing import cast

from bench.line import PUBLIC_URL

_KEY = re.compile(rb"Sec-WebSocket-Key: *(\S+)", re.IGNORECASE)
_STREAM = f'<Stream url="wss://{PUBLIC_URL.removeprefix("https://")}/media-stream/x"/>'
_TWIML = f"<Response><Connect>{_STREAM}</Connect></Response>"


class Sink(asyncio.Protocol):
    """Answers whole requests, as far as a client needs it to go on."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._upgraded = False

    def data_received(self, data: bytes) -> None:
        if self._upgraded or b"\r\n\r\n" not in data:
            return
        key = _KEY.search(data[:4096])
        if key is not None:
            self._upgraded = True
            self._transport.write(_switching(key[1]))
        elif data.startswith(b"POST /incoming-call"):
            self._transport.write(_answer("200 OK", _TWIML))
        else:
            self._transport.write(_answer("403 Forbidden", ""))


def _answer(status: str, body: str) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


def _switching(key: bytes) -> bytes:
    magic = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
    accept = b64encode(hashlib.sha1(key + magic).digest())
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    return head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"


async def listen() -> tuple[asyncio.Server, int]:
    """Listen on a free port of the loopback interface. Returns the server and the port."""
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0, backlog=512)
    return server, server.sockets[0].getsockname()[1]
