"""The service's port as a stranger meets it: raw sockets, kept open, watched until they close."""

import asyncio
import socket
import struct
import time
from contextlib import suppress

import aiohttp

from bench.ledger import Call, Ledger
from bench.line import Line

CONNECT_S = 3.0
STUCK_S = 4.0  # for a write that the other side does not take
ANSWER_S = 3.0
KEPT_BYTES = 400  # of an answer
SMALL_BUFFER_BYTES = 4096  # of a client that reads no answer
FIRST_CALL = 100_000  # ticket holders are no calls that are measured


class Connection:
    """One socket. `closed_s`: when the other side closed it, on `time.monotonic`; None: not yet."""

    def __init__(self, sock: socket.socket) -> None:
        self.opened_s = time.monotonic()
        self.closed_s: float | None = None
        self._sock = sock
        self._answer = b""
        self._heard = asyncio.Event()  # something came, or the end
        self._watcher: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """Read what comes, and notice the end."""
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
        """Send all of it. False when the other side has closed, or takes no more."""
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
        """Wait for the next that comes, for a while. Returns it; nothing if nothing came."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                await self._heard.wait()
        self._heard.clear()
        answer, self._answer = self._answer, b""
        return answer

    @property
    def port(self) -> int:
        """Ours."""
        port: int = self._sock.getsockname()[1]
        return port

    def reset(self) -> None:
        """Go away without a word: the other side gets a reset."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """Let go of the socket."""
        if self._watcher is not None:
            self._watcher.cancel()
        self._sock.close()


class Door:
    """Where connections are made. `connections`: those that are kept; `refused`: how many could not
    be had. `lines`: media streams of ticket holders."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connections: list[Connection] = []
        self.refused = 0
        self.lines: list[Line] = []
        self._ledger = Ledger(0)

    async def connect(self, *, reads: bool = True, keep: bool = True) -> Connection | None:
        """A connection; None when none is to be had. `reads`: answers are read."""
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
        """This side's, of everything that is open here."""
        streams = (line.transport.underlying_transport for line in self.lines)
        names = [stream.get_extra_info("sockname")[1] for stream in streams]
        return [*(connection.port for connection in self.connections), *names]

    def close(self) -> None:
        """Let go of everything."""
        for connection in self.connections:
            connection.close()
        for line in self.lines:
            line.transport.disconnect(False)

    async def each(self, count: int, data: bytes) -> list[Connection]:
        """So many connections that say the same."""
        opened = []
        for _ in range(count):
            connection = await self.connect()
            if connection is not None and await connection.send(data):
                opened.append(connection)
        return opened

    async def ticket_holder(self, *, starts: bool = True) -> Line:
        """The media stream of a call that Twilio announced. `starts`: it says which call it is."""
        call = Call(FIRST_CALL + len(self.lines))
        line = Line(call, self._ledger) if starts else SilentLine(call, self._ledger)
        self.lines.append(line)
        async with aiohttp.ClientSession() as http, asyncio.timeout(ANSWER_S):
            await line.dial(http, self.port, webhook=True)
        return line


class SilentLine(Line):
    """A media stream that never says which call it is."""

    def start(self, parameters: dict[str, str]) -> None:
        self.call.stream_open = True
