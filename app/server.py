"""The production server: uvicorn with everything that matters pinned, and a drain of its own."""

import asyncio
import errno
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import cast

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from app.errors import ConfigError
from app.switchboard import Switchboard

LARGEST_MESSAGE_BYTES = 1 << 20
MOST_UNREAD = 100  # messages of one socket: two seconds of a caller
PING_S = 20.0
CLOSE_S = 2.0
REQUEST_S = 10.0


def bind(host: str, port: int) -> socket.socket:
    """Take the port before anything else is opened.

    Raises ConfigError when it cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except (socket.gaierror, UnicodeError):
        raise ConfigError(
            f"HOST: expected an address of this machine such as 127.0.0.1 or 0.0.0.0, got {host!r}"
        ) from None
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise ConfigError(f"HOST: {host} is no address of this machine") from None
        raise ConfigError(
            f"PORT: {host}:{port} cannot be listened on ({error.strerror}); "
            "end the program that holds it, or set PORT (and HOST) to something else"
        ) from None
    # Inherited by each connection: asyncio's own loop does it only for sockets that it made.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class PatientOnce(HttpToolsProtocol):
    """HTTP whose first request has to come in time: a connection that says nothing, or half a
    handshake, holds a place for nobody."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self.loop.call_later(REQUEST_S, self._close_if_silent)

    def _close_if_silent(self) -> None:
        # After an upgrade the transport belongs to the WebSocket protocol.
        if self.cycle is None and self.transport.get_protocol() is self:
            self.transport.close()


class MediaProtocol(WebSocketsSansIOProtocol):
    """WebSockets as media streams need them: messages go to the application as they are, and, once
    it asks for that, straight to it. uvicorn would take a task's turn for each of them, stop and
    start reading around it, which costs more than decoding it, and close the socket over text that
    is not UTF-8, where a call should go on."""

    taker: Callable[[bytes], None] | None = None

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):  # else the handshake was none
            self.scope["extensions"]["media.direct"] = {"deliver_to": self.deliver_to}

    def deliver_to(self, taker: Callable[[bytes], None]) -> None:
        """From now on messages go to `taker`, and only the end of the socket to `receive`."""
        self.taker = taker

    def send_receive_event_to_app(self) -> None:
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        if self.close_sent:
            return
        if self.taker is not None:
            self.taker(data)
            return
        self.queue.put_nowait({"type": "websocket.receive", "bytes": data})
        if self.queue.qsize() > MOST_UNREAD and not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()


class Server(uvicorn.Server):
    """SIGTERM drains: no new calls, live ones go on until they end or the time is over. A second
    one, or Ctrl-C, hangs up at once."""

    def __init__(self, app: FastAPI, drain_s: float) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                # A quarter of the cost of a call each; compression would cost more than it saves.
                loop="uvloop" if sys.platform != "win32" else "asyncio",
                http=PatientOnce,
                ws=MediaProtocol,
                ws_per_message_deflate=False,
                ws_max_size=LARGEST_MESSAGE_BYTES,
                ws_ping_interval=PING_S,
                ws_ping_timeout=PING_S,
                proxy_headers=False,  # forwarded headers are ours to judge (PUBLIC_URL)
                server_header=False,
                access_log=False,
                log_config=None,
                lifespan="on",
                timeout_graceful_shutdown=int(CLOSE_S),
            )
        )
        self._app = app
        self._drain_s = drain_s
        self._loop = asyncio.get_running_loop()
        self._stopping: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came. uvicorn would raise it again at its end, and so lose exit status 0."""
        self._loop.call_soon_threadsafe(self._stop, sig)

    def _stop(self, sig: int) -> None:
        at_once = sig == signal.SIGINT or self._stopping is not None
        if self._stopping is not None:
            self._stopping.cancel()
        self._stopping = asyncio.create_task(self._end(at_once=at_once))

    async def _end(self, *, at_once: bool) -> None:
        switchboard: Switchboard = self._app.state.switchboard
        if not at_once:
            await switchboard.drain(self._drain_s)
        await switchboard.close(CLOSE_S)
        self.should_exit = True
