"""A server without sockets: fake transports, a fake clock, and a small application."""

import asyncio
import heapq
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, cast

from fastapi import FastAPI, Request, WebSocket

from app.web.server import Limits, Server
from app.web.server.connection import Connection
from app.web.server.limits import READ_BYTES

HELLO = b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
UPGRADE = (
    b"Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


class _Timer:
    def __init__(self, at_s: float, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.at_s = at_s
        self._callback = callback
        self._args = args
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def fire(self) -> None:
        if not self.cancelled:
            self._callback(*self._args)


class Clock:
    """An event loop whose time only passes in `advance`. The rest is the running loop's."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self._timers: list[tuple[float, int, _Timer]] = []
        self._order = count()
        self._real = asyncio.get_running_loop()

    def time(self) -> float:
        return self.now_s

    def call_later(self, delay_s: float, callback: Callable[..., Any], *args: Any) -> _Timer:
        timer = _Timer(self.now_s + delay_s, callback, args)
        heapq.heappush(self._timers, (timer.at_s, next(self._order), timer))
        return timer

    def call_soon(self, callback: Callable[..., Any], *args: Any) -> asyncio.Handle:
        return self._real.call_soon(callback, *args)

    def create_task(self, work: Any) -> "asyncio.Task[Any]":
        return self._real.create_task(work)

    async def advance(self, seconds: float) -> None:
        """Let time pass, and fire the timers that are due meanwhile."""
        until_s = self.now_s + seconds
        await settled()
        while self._timers and self._timers[0][0] <= until_s:
            self.now_s, _, timer = heapq.heappop(self._timers)
            timer.fire()
            await settled()
        self.now_s = until_s
        await settled()

    @property
    def as_loop(self) -> asyncio.AbstractEventLoop:
        return cast(asyncio.AbstractEventLoop, self)


async def settled() -> None:
    """Let the loop run everything that is ready."""
    for _ in range(30):
        await asyncio.sleep(0)


class Wire:
    """The peer of one connection, and the transport between them."""

    def __init__(self, server: Server, clock: Clock, peer: str = "203.0.113.9") -> None:
        #: What the service wrote.
        self.sent = b""
        #: How many written bytes the peer has not read.
        self.unread = 0
        #: "half" once the service sends no more, "closed", "aborted", or empty.
        self.ended = ""
        self.paused = False
        #: The socket of this connection; None: unknown.
        self.socket: socket.socket | None = None
        self._peer = peer
        self.connection: Connection = server.connection(clock.as_loop)
        self.connection.connection_made(cast(asyncio.BaseTransport, self))

    # --- as the peer

    async def sends(self, data: bytes) -> int:
        """Send this, until the service pauses reading. Returns how many bytes it read."""
        done = 0
        while done < len(data) and not self.ended.startswith(("closed", "aborted")):
            if self.paused:
                await settled()
                if self.paused:
                    break
                continue
            piece = data[done : done + READ_BYTES]
            self.connection.get_buffer(-1)[: len(piece)] = piece
            self.connection.buffer_updated(len(piece))
            done += len(piece)
        await settled()
        return done

    async def disconnects(self) -> None:
        self.connection.eof_received()
        self.close()
        await settled()

    def has_ended(self, how: str) -> bool:
        return self.ended == how

    @property
    def status(self) -> int:
        """The status of the first answer; 0 without one."""
        return int(self.sent.split(b" ", 2)[1]) if self.sent else 0

    # --- as the transport

    def write(self, data: bytes) -> None:
        assert not self.ended
        self.sent += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = "half"

    def is_closing(self) -> bool:
        return self.ended in ("closed", "aborted")

    def close(self) -> None:
        self._end("closed")

    def abort(self) -> None:
        if self.ended != "closed" or self.unread:
            self.unread = 0
            self.ended = ""
            self._end("aborted")

    def _end(self, how: str) -> None:
        if self.ended not in ("closed", "aborted"):
            self.ended = how
            if not self.unread:
                asyncio.get_running_loop().call_soon(self.connection.connection_lost, None)

    def get_write_buffer_size(self) -> int:
        return self.unread

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_extra_info(self, name: str, default: object = None) -> object:
        known = {"peername": (self._peer, 4711), "socket": self.socket}
        return known.get(name, default)


class Stage:
    """A server with an application and a fake clock."""

    def __init__(self, limits: Limits, descriptors: int) -> None:
        self.clock = Clock()
        #: What `/waits` and `/late` wait for.
        self.go_on = asyncio.Event()
        self.bodies: list[int] = []
        self.messages: list[bytes] = []
        self.server = Server(self._application(), drain_s=0, limits=limits)
        self.server.registry._descriptors = descriptors

    def wire(self) -> Wire:
        """Connect a new peer."""
        return Wire(self.server, self.clock)

    def refusals(self, message: str = "connections refused") -> dict[str, int]:
        """Reasons of refusals, with their counts."""
        kinds = self.server.refusals._kinds
        return {why: kind.count for (_, said, why), kind in kinds.items() if said == message}

    def _application(self) -> FastAPI:
        app = FastAPI(openapi_url=None)

        @app.get("/hello")
        async def hello() -> str:
            return "hello"

        @app.get("/waits")
        async def waits() -> str:
            await self.go_on.wait()
            return "at last"

        @app.post("/body")
        async def body(request: Request) -> str:
            self.bodies.append(len(await request.body()))
            return "taken"

        @app.post("/late")
        async def late(request: Request) -> str:
            await self.go_on.wait()
            self.bodies.append(len(await request.body()))
            return "taken"

        @app.post("/refused")
        async def refused() -> str:
            return "no"

        @app.get("/signed")
        async def signed(request: Request) -> str:
            request.scope["extensions"]["connection.authenticated"]()
            return "known"

        @app.websocket("/media")
        async def media(socket: WebSocket) -> None:
            socket.scope["extensions"]["connection.authenticated"]()
            await socket.accept()
            socket.scope["extensions"]["media.direct"]["deliver_to"](
                self.messages.append, self.messages.extend
            )
            while (message := await socket.receive())["type"] == "websocket.receive":
                self.messages.append(message["bytes"])

        @app.websocket("/never")
        async def never(_socket: WebSocket) -> None:
            await asyncio.Event().wait()

        return app


@asynccontextmanager
async def stage(*, descriptors: int = 4096, **limits: Any) -> AsyncIterator[Stage]:
    """A server without a port; checks at the end that no task of it is left."""
    here = Stage(Limits(**limits), descriptors)
    try:
        yield here
    finally:
        here.go_on.set()
        for member in here.server.registry.members:
            member.abort()
        await settled()
        for task in list(here.server.server_state.tasks):
            task.cancel()
        await settled()
        here.server.refusals.flush()
        assert not here.server.server_state.tasks
