"""A WebSocket on a connection: uvicorn's protocol with limits, made fast for media streams."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from starlette.types import Receive, Scope, Send
from uvicorn import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.exceptions import InvalidHeader
from websockets.frames import CTRL_OPCODES, CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State

from app.web import authenticated
from app.web.server.connection import Connection
from app.web.server.frames import MOST_PLAIN_BYTES, FrameReader, text_frame
from app.wires.flag import Flag, Mailbox

MOST_UNREAD = 100  # messages of one socket: two seconds of the caller's audio
MOST_COUNTED = 2 + (MOST_PLAIN_BYTES >> 10)  # a read of one plain frame counts as fewer frames

NOT_ANSWERED = "a WebSocket handshake was not answered in time"
HANDSHAKE = "a WebSocket handshake is wrong"
BROKEN = "a WebSocket was closed: the client violated the protocol"
FLOOD = "a WebSocket was closed: it had more frames than a media stream has"


def is_about(name: bytes) -> bool:
    """Whether a header of this name belongs to the handshake."""
    return name in (b"connection", b"upgrade", b"origin") or name.startswith(b"sec-websocket-")


class WebSocket(WebSocketsSansIOProtocol):
    """Passes messages to the application as bytes.

    The scope's extension `media.direct` lets the application take messages in a function
    (`deliver_to`) and send them with one (`send_now`). ASGI's own way costs more than the rest of a
    message: a coroutine to send it, a task switch to receive it, with reading paused and resumed
    around it. uvicorn's protocol also closes the socket on text that is not UTF-8, where a call
    should go on.
    """

    carries_call = True
    idle = False

    def __init__(
        self, connection: Connection, config: Config, state: ServerState, app_state: dict[str, Any]
    ) -> None:
        super().__init__(config, state, app_state, connection.loop)
        self.queue = cast(Any, Mailbox())
        self.writable = cast(Any, Flag())
        self.writable.set()
        self._application: Any = self.app
        self.app = self._run
        self.connection = connection
        self.close_timeout = connection.limits.handshake_s
        self._take: Callable[[bytes], None] | None = None
        self._take_all: Callable[[list[bytes]], None] | None = None
        self._early = b""
        self._reader = FrameReader(self.conn)
        self._extensions: dict[str, Any] = {}
        self._accepted = False
        self._failed = False
        self._frames_per_s = connection.limits.frames_per_s
        self._most_frames = self._frames_left = float(connection.limits.frames)
        self._counted_s = self.loop.time()

    def open(self, path: bytes, headers: list[tuple[bytes, bytes]], early: bytes) -> None:
        """Start with a handshake that the HTTP parser has read.

        `early`: bytes received after it. They, and all that follow, wait until the application
        accepts the handshake.
        """
        self._early = early
        self.connection.set_protocol(self)
        self.connection_made(cast(asyncio.Transport, self.connection))
        self.connection.pause("handshake")
        self.connection.expect(self.connection.limits.handshake_s, NOT_ANSWERED)
        # websockets only parses a head itself: give it a short one, then set the real headers.
        self.conn.receive_data(b"GET / HTTP/1.1\r\n\r\n")
        (request,) = self.conn.events_received()
        assert isinstance(request, Request)
        request.path = path.decode("ascii")
        for name, value in headers:
            if is_about(name):
                request.headers[name.decode("ascii")] = value.decode("ascii")
        self.handle_connect(request)
        if self.response.status_code == 101:
            self.scope["headers"] = headers
            self._extensions = cast(dict[str, Any], self.scope["extensions"])
            direct = {"deliver_to": self.deliver_to, "send_now": self.send_now}
            self._extensions["media.direct"] = direct
            self._extensions[authenticated.EXTENSION] = self.connection.mark_authenticated
        else:
            self.connection.refused(HANDSHAKE, detail=_fault(self.conn.handshake_exc))

    def deliver_to(
        self, take: Callable[[bytes], None], take_all: Callable[[list[bytes]], None]
    ) -> None:
        """Call `take` with the message of each read from now on, or `take_all` with the messages of
        a read that has several; `receive` only returns the disconnect."""
        self._take, self._take_all = take, take_all

    def send_now(self, messages: list[str]) -> bool:
        """Send text messages at once, in one write. Returns False if the socket takes none now, or
        is closing: pass them to ASGI's `send` then, which waits, or raises."""
        if (
            not self._accepted
            or self.close_sent
            or self.disconnected
            or self.conn.state is not State.OPEN
            or not self.writable.is_set()
        ):
            return False
        if len(messages) == 1:  # nearly always
            self.transport.write(text_frame(messages[0]))
        else:
            self.transport.write(b"".join(map(text_frame, messages)))
        return True

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._application(scope, receive, send)
            if self.initial_response is not None:  # uvicorn would take it for no answer
                self.handshake_complete = True
        except asyncio.CancelledError:  # the server stops; uvicorn would log a failure
            self.handshake_complete = True
            self.connection.abort()

    # --- as the connection's inner protocol -------------------------------------------------------

    @property
    def input_unfinished(self) -> bool:
        """A client whose handshake is refused may have sent more already."""
        return not self._accepted or self._failed

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # Breaks the reference cycles.
        self.app, self.conn.parser_exc = self._application, None
        self._extensions.clear()

    def deadline_passed(self, why: str) -> None:
        self.connection.refused(why)
        self.send_500_response()
        self.connection.close(lingers=False)

    def shutdown(self) -> None:
        if self._accepted and self.conn.state is not State.OPEN:  # the closing handshake has begun
            self.stop_keepalive()
            self.connection.close()
        else:
            super().shutdown()

    # --- messages ---------------------------------------------------------------------------------

    def start_keepalive(self) -> None:
        """uvicorn calls this when the application accepts the handshake."""
        super().start_keepalive()
        self._accepted = True
        del self.request, self.response  # 3 kB that nothing reads any more
        self.connection.expect_nothing()
        early, self._early = self._early, b""
        if early:
            self.data_received(early)
        self.connection.resume("handshake")

    def data_received(self, data: bytes | bytearray) -> None:
        message, take = self._reader.receive_one(data), self._take
        if message is None or take is None or self._frames_left < MOST_COUNTED:
            self._receive(data)
            return
        self._frames_left -= 1 + (len(data) >> 10)
        if not self.close_sent:
            take(message)

    def _receive(self, data: bytes | bytearray) -> None:
        """Take a read of any form."""
        received = self._reader.receive(data)
        if self.conn.parser_exc is not None:
            self.connection.refused(BROKEN, detail=type(self.conn.parser_exc).__name__)
            self._failed = True
            self.handle_parser_exception()
            return
        self._frames_left -= len(received) + (len(data) >> 10)
        if self._frames_left < 0 and not self._refilled():
            self.connection.refused(FLOOD)
            self._fail(CloseCode.POLICY_VIOLATION, "too many frames")
            return
        messages = []
        for each in received:
            if isinstance(each, bytes):
                messages.append(each)
            elif each.opcode in CTRL_OPCODES:
                self._deliver(messages)
                messages = []
                self._control(each)
            elif (message := self._message(each)) is not None:
                messages.append(message)
        self._deliver(messages)

    def _message(self, frame: Frame) -> bytes | None:
        """The message that a frame completes; None: it goes on."""
        if frame.opcode is not Opcode.CONT:
            self.frames = []
        if frame.data or not self.frames:
            self.frames.append(bytes(frame.data))
        if not frame.fin:
            return None
        message, self.frames = b"".join(self.frames), []
        return message

    def _control(self, frame: Frame) -> None:
        opcode = frame.opcode
        if opcode is Opcode.PING:
            self.handle_ping()
        elif opcode is Opcode.PONG:
            self.handle_pong(frame)
        else:
            self.handle_close(frame)

    def _refilled(self) -> bool:
        """Add the frames that the elapsed time allows. Returns whether the limit is kept."""
        now_s = self.loop.time()
        earned = (now_s - self._counted_s) * self._frames_per_s
        self._frames_left = min(self._most_frames, self._frames_left + earned)
        self._counted_s = now_s
        return self._frames_left >= 0

    def _deliver(self, messages: list[bytes]) -> None:
        """Give the messages of one read to the application."""
        if self.close_sent or not messages:
            return
        if self._take_all is not None:
            self._take_all(messages)
            return
        for message in messages:
            self.queue.put_nowait({"type": "websocket.receive", "bytes": message})
        if self.queue.qsize() > MOST_UNREAD and not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def _fail(self, code: CloseCode, reason: str) -> None:
        """Close because the client violated a rule, and ignore what it still sends."""
        self.conn.fail(code, reason)
        self._failed = True
        self.handle_parser_exception()


def _fault(error: Exception | None) -> str:
    """What is wrong with a handshake, without quoting the client."""
    if isinstance(error, InvalidHeader):
        return f"wrong or missing {error.name}"
    return type(error).__name__
