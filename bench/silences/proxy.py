"""A TCP proxy between Twilio and the service that breaks media streams, on the service's side
first, and refuses or alters WebSocket handshakes."""

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Self

Manner = Literal["good", "404", "502", "unsigned", "badly signed"]

_PATH = re.compile(rb"^GET (\S+) ")
_SIGNATURE = re.compile(rb"\r\n(x-twilio-signature): [^\r]*", re.IGNORECASE)


@dataclass(slots=True)
class _Stream:
    """One media stream."""

    #: The path of its handshake.
    path: str
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    #: The service's side is closed, Twilio's is still open.
    parted: bool = False


class Proxy:
    """Listens on `port` and forwards everything to `to_port`, which must be set first.

    `manner`: what happens to WebSocket handshakes: forwarded, answered with a status, or their
    signature removed or altered.
    """

    def __init__(self, manner: Manner = "good") -> None:
        self.port = self.to_port = 0
        #: How many WebSocket handshakes arrived.
        self.handshakes = 0
        self._manner = manner
        self._streams: list[_Stream] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def cut(self, path: str, notices_after_s: float) -> None:
        """Break the stream with this path on the service's side, then on Twilio's side.

        `notices_after_s`: the time in between. Returns when both sides are closed.
        """
        stream = next(each for each in reversed(self._streams) if each.path == path)
        stream.parted = True
        stream.server.transport.abort()
        await asyncio.sleep(notices_after_s)
        stream.client.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await self._serve(reader, writer)
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        upgrades = b"\r\nupgrade: websocket" in head.lower()
        self.handshakes += upgrades
        if upgrades and self._manner in ("404", "502"):
            status = "404 Not Found" if self._manner == "404" else "502 Bad Gateway"
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
            return
        if upgrades and self._manner != "good":
            spoilt = b"" if self._manner == "unsigned" else rb"\r\n\1: bm90IFR3aWxpbydzIHNpZ24="
            head = _SIGNATURE.sub(spoilt, head)
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.to_port)
        up_writer.write(head)
        stream = None
        if upgrades and (path := _PATH.match(head)):
            stream = _Stream(path[1].decode(), writer, up_writer)
            self._streams.append(stream)
        back = asyncio.create_task(self._pass_on(up_reader, writer, stream))
        self._tasks.add(back)
        back.add_done_callback(self._tasks.discard)
        await self._pass_on(reader, up_writer, stream)

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stream: _Stream | None
    ) -> None:
        """Forward one direction until it ends. A parted stream is read and not forwarded."""
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                if stream is None or not stream.parted:
                    writer.write(data)
        if stream is None or not stream.parted:
            writer.close()
