"""A text-to-speech server of the custom HTTP standard on plain sockets.

It shares no code with our client or our stand-in, not even an HTTP library: it implements
keep-alive and chunked bodies itself. It is as careless as the standard permits: it sends its
headers before any sound, labels PCM as MPEG, and ends chunks in mid-sample.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

CHUNK_BYTES = 1001  # odd, so that most chunks end in mid-sample

_HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nTransfer-Encoding: chunked\r\n\r\n"
_NOT_ALLOWED = b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n"


@dataclass
class BareServer:
    #: The sound of every text: raw PCM.
    pcm: bytes
    url: str = ""
    connections: int = 0
    #: The JSON of every POST, in order.
    requests: list[dict[str, Any]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests until the client closes it."""
        self.connections += 1
        try:
            while request := await _request(reader):
                method, body = request
                if method == "POST":
                    self.requests.append(json.loads(body))
                    self._write_sound(writer)
                else:
                    writer.write(_NOT_ALLOWED)
                await writer.drain()
        finally:
            writer.close()

    def _write_sound(self, writer: asyncio.StreamWriter) -> None:
        writer.write(_HEADERS)
        for start in range(0, len(self.pcm), CHUNK_BYTES):
            chunk = self.pcm[start : start + CHUNK_BYTES]
            writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        writer.write(b"0\r\n\r\n")


async def _request(reader: asyncio.StreamReader) -> tuple[str, bytes] | None:
    """The next request's method and body; None when the client closes the connection."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines if line)
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return first.partition(" ")[0], body


@asynccontextmanager
async def bare_server(pcm: bytes) -> AsyncIterator[BareServer]:
    """A listening server that answers every text with `pcm`."""
    server = BareServer(pcm)
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        server.url = f"http://127.0.0.1:{port}/speech"
        yield server
