"""Connections to the service's port: raw sockets, kept open and watched until they close."""

import asyncio
import socket
import struct
import time
from contextlib import suppress

import aiohttp

from bench.ledger import Call, Ledger
from bench.line import Line

CONNECT_S = 3.0
STUCK_S = 4.0  # for a write that the service does not read
ANSWER_S = 3.0
KEPT_BYTES = 400  # of an answer
SMALL_BUFFER_BYTES = 4096  # of a client that reads no answer
FIRST_CALL = 100_000  # the calls of ticket holders are not measured


class Connection:
    """One socket. Times are monotonic seconds."""

    def __init__(self, sock: socket.socket) -> None:
        self.opened_s = time.monotonic()
        #: When the service closed it; None: it is open.
        self.closed_s: float | None = None
        self._sock = sock
        self._answer = b""
        self._heard = asyncio.Event()  # data or the end arrived
        self._watcher: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """Read in the background, and record the close."""
        self._watcher = asyncio.create_task(self._read())

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while data := await loop.sock_recv(self._sock, 1 << 16):
                if len(self._answer) < KEPT_BYTES:
                    self._answer += data[:KEPT_BYTES]
                self._heard.set()
        except OSError:
            pass
        self._ended()

    def _ended(self) -> None:
        self.closed_s = self.closed_s or time.monotonic()
        self._heard.set()

    async def send(self, data: bytes) -> bool:
        """Send all data. Returns False if the service has closed the socket or stopped reading."""
        try:
            async with asyncio.timeout(STUCK_S):
                await asyncio.get_running_loop().sock_sendall(self._sock, data)
        except TimeoutError:
            return False
        except OSError:
            self._ended()
            return False
        return True

    async def answered(self) -> bytes:
        """Wait for data, at most `ANSWER_S`. Returns it, or nothing."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                await self._heard.wait()
        self._heard.clear()
        answer, self._answer = self._answer, b""
        return answer

    @property
    def port(self) -> int:
        """The port of this side."""
        port: int = self._sock.getsockname()[1]
        return port

    def reset(self) -> None:
        """Close the connection with a TCP reset."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """Close the socket."""
        if self._watcher is not None:
            self._watcher.cancel()
        self._sock.close()


class Target:
    """Opens connections to one port, and keeps them."""

    def __init__(self, port: int) -> None:
        self.port = port
        #: Connections that are kept open.
        self.connections: list[Connection] = []
        #: Connections that failed.
        self.refused = 0
        #: The media streams of ticket holders.
        self.lines: list[Line] = []
        self._ledger = Ledger(0)

    async def connect(self, *, reads: bool = True, keep: bool = True) -> Connection | None:
        """Connect. Returns None on failure. `reads`: read answers. `keep`: keep it open."""
        sock = socket.socket()
        sock.setblocking(False)
        if not reads:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
        try:
            async with asyncio.timeout(CONNECT_S):
                await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        except (OSError, TimeoutError):
            sock.close()
            self.refused += 1
            return None
        connection = Connection(sock)
        if reads:
            connection.watch()
        if keep:
            self.connections.append(connection)
        return connection

    @property
    def ports(self) -> list[int]:
        """The ports of this side, of all connections and streams."""
        streams = (line.transport.underlying_transport for line in self.lines)
        names = [stream.get_extra_info("sockname")[1] for stream in streams]
        return [*(connection.port for connection in self.connections), *names]

    def close(self) -> None:
        """Close all connections and streams."""
        for connection in self.connections:
            connection.close()
        for line in self.lines:
            line.transport.disconnect(False)

    async def each(self, count: int, data: bytes) -> list[Connection]:
        """Open `count` connections and send the same data on each."""
        opened = []
        for _ in range(count):
            connection = await self.connect()
            if connection is not None and await connection.send(data):
                opened.append(connection)
        return opened

    async def ticket_holder(self, *, starts: bool = True) -> Line:
        """Open the media stream of a call, with its ticket. `starts`: send `start`."""
        call = Call(FIRST_CALL + len(self.lines))
        line = Line(call, self._ledger) if starts else SilentLine(call, self._ledger)
        self.lines.append(line)
        async with aiohttp.ClientSession() as http, asyncio.timeout(ANSWER_S):
            await line.dial(http, self.port, webhook=True)
        return line


class SilentLine(Line):
    """A media stream that never sends `start`."""

    def start(self, parameters: dict[str, str]) -> None:
        self.call.stream_open = True
