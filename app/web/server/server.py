"""The production server: uvicorn with its options pinned, and a drain of live calls."""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Awaitable
from contextlib import suppress
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from app.bridge.switchboard import Switchboard
from app.web.app_state import find_state
from app.web.server import descriptors
from app.web.server.connection import Connection
from app.web.server.http import Http
from app.web.server.limits import Limits
from app.web.server.listener import Listener
from app.web.server.refusals import Refusals
from app.web.server.registry import Registry
from app.web.server.websocket import WebSocket

logger = logging.getLogger(__name__)

PING_S = 20.0
CLOSE_S = 2.0  # for hanging up calls
ANSWERS_S = 1.0  # for answers in progress, and for clients to read them
CANCELLED_S = 0.5  # for cancelled tasks
DEFAULT_LIMITS = Limits()


class Server(uvicorn.Server):
    """Serves `app` until a signal.

    SIGTERM drains: no new calls; live ones go on until they end, or for `drain_s` seconds. Then
    other replicas get them, if there are any. A second SIGTERM, or SIGINT (Ctrl-C), hangs up at
    once. Before `serve` returns or raises, it hangs up calls, writes their records and closes the
    application.
    """

    def __init__(self, app: FastAPI, drain_s: float, limits: Limits = DEFAULT_LIMITS) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                # uvloop saves a fifth of the cost of a call; uvicorn's sansio WebSocket, instead of
                # its legacy one, a quarter. Compression costs more than it saves.
                loop="uvloop" if sys.platform != "win32" else "asyncio",
                http=Http,
                ws=WebSocket,
                ws_per_message_deflate=False,
                ws_max_size=limits.message_bytes,
                ws_ping_interval=PING_S,
                ws_ping_timeout=PING_S,
                proxy_headers=False,  # `SignatureChecker` decides about forwarded headers
                server_header=False,
                access_log=False,
                log_config=None,
                lifespan="off",  # `serve` opens and closes the application
            )
        )
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        self.refusals = Refusals()
        self.registry = Registry(limits, self.refusals, descriptors.limit())
        self._app = app
        self._drain_s = drain_s
        self._loop = asyncio.get_running_loop()
        self._stopping: asyncio.Task[None] | None = None
        self._at_once = False

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve on these listening sockets until a signal, or until `should_exit` is set."""
        with self.capture_signals():
            async with self._app.router.lifespan_context(self._app):
                await self._serve(sockets)

    async def _serve(self, sockets: list[socket.socket] | None = None) -> None:
        listeners = [Listener(each, self.connection, self.registry) for each in sockets or ()]
        self.started = True
        try:
            await self.main_loop()
        finally:
            self._at_once = True  # ignore further signals
            if (state := find_state(self._app)) is not None:
                state.board.close()
                state.listening.close()
            await self._log_failure("calls were not hung up", self._hang_up())
            for listener in listeners:
                listener.close()
            await self._log_failure("connections were not closed", self._close_connections())
            self.refusals.flush()

    def connection(self, loop: asyncio.AbstractEventLoop | None = None) -> Connection:
        """A protocol for a new transport. `loop`: instead of the running one, for tests."""
        return Connection(self.registry, self._http, loop or self._loop)

    def _http(self, connection: Connection) -> Http:
        return Http(connection, self.config, self.server_state, self.lifespan.state)

    # --- signals ----------------------------------------------------------------------------------

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal. uvicorn's own handler would raise it again at the end, and so change the
        exit status from 0."""
        self._loop.call_soon_threadsafe(self._stop, sig)

    def _stop(self, sig: int) -> None:
        if self._at_once:
            return  # it is stopping at once already
        self._at_once = sig == signal.SIGINT or self._stopping is not None
        if self._stopping is not None:
            self._stopping.cancel()
        self._stopping = asyncio.create_task(self._end())

    async def _end(self) -> None:
        try:
            if self._switchboard is not None and not self._at_once:
                await self._switchboard.drain(self._drain_s)
                await self._switchboard.hand_over()
            await self._hang_up()
        except asyncio.CancelledError:  # by a second signal; its task continues
            raise
        except Exception as error:
            logger.error("service could not be drained", exc_info=error)
        self.should_exit = True

    # --- shutdown ---------------------------------------------------------------------------------

    @property
    def _switchboard(self) -> Switchboard | None:
        """The application's switchboard; None before its lifespan began."""
        state = find_state(self._app)
        return state.switchboard if state is not None else None

    async def _hang_up(self) -> None:
        if self._switchboard is not None:
            await self._switchboard.close(CLOSE_S)

    async def _close_connections(self) -> None:
        """Let answers in progress be sent for `ANSWERS_S`, then abort all connections and tasks."""
        for connection in self.registry.members:
            try:
                connection.shutdown()
            except Exception as error:
                logger.error("connection was not shut down", exc_info=error)
                connection.abort()
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWERS_S):
                await self.registry.wait_empty()
        for connection in self.registry.members:
            connection.abort()
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CANCELLED_S)

    async def _log_failure(self, message: str, work: Awaitable[Any]) -> None:
        """Await `work`; log an exception with `message` instead of raising it."""
        try:
            await work
        except Exception as error:
            logger.error(message, exc_info=error)
