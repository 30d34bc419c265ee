"""HTTP on a connection: uvicorn's protocol with limits; every refusal is logged with its reason."""

import asyncio
import logging
from functools import partial
from http import HTTPStatus
from typing import Any, cast

import httptools
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from app.web import authenticated
from app.web.problems import problem
from app.web.server.connection import Connection
from app.web.server.websocket import WebSocket, is_about

logger = logging.getLogger(__name__)

NO_REQUEST = "no request came in time"
HEAD_LATE = "the request's head did not come in time"
BODY_LATE = "the request's body did not come in time"
NO_HTTP = "not HTTP/1.1"
DISCONNECTED = "requests not answered"
TLS = "TLS, and this port speaks plain HTTP: let a proxy or tunnel terminate TLS before it"

_BLANK_LINE = b"\r\n\r\n"
_TLS_HANDSHAKE = b"\x16\x03"


class _Refused(Exception):
    """Raised in the parser's callbacks to stop the parser; `_refuse_for` answers it."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class Http(HttpToolsProtocol):
    """Reads one request after the other: while one is not answered, the next is not parsed.

    Input is fed to the parser in pieces that end at a blank line. So no piece holds two heads, and
    the size of a head is counted to the byte.
    """

    carries_call = False

    def __init__(
        self, connection: Connection, config: Config, state: ServerState, app_state: dict[str, Any]
    ) -> None:
        super().__init__(config, state, app_state, connection.loop)
        self.connection = connection
        self.limits = connection.limits
        self.timeout_keep_alive = connection.limits.idle_s  # type: ignore[assignment] # a float
        self._receiving = "head"  # or "body", or "nothing" between two requests
        self._head_bytes = 0
        self._body_bytes = 0
        self._header_count = 0
        self._answering: RequestResponseCycle | None = None
        self._waiting = bytearray()  # received after a request that is not answered yet
        self._pipelined = 0
        self._ignores_input = False
        self._to_websocket = False
        self._extensions = {authenticated.EXTENSION: connection.mark_authenticated}
        self.connection_made(cast(asyncio.Transport, connection))
        connection.expect(self.limits.head_s, NO_REQUEST)

    # --- as the connection's inner protocol -------------------------------------------------------

    @property
    def idle(self) -> bool:
        return self._receiving == "nothing" and not self._unanswered

    @property
    def input_unfinished(self) -> bool:
        return self._ignores_input or self._receiving == "body" or self._head_bytes > 0

    @property
    def _unanswered(self) -> bool:
        answering = self._answering
        return bool(self.pipeline) or (answering is not None and not answering.response_complete)

    def deadline_passed(self, why: str) -> None:
        if why != NO_REQUEST:
            self._refuse(408, why, lingers=False)
        elif self._head_bytes:
            self._refuse(408, HEAD_LATE, lingers=False)
        else:  # INFO: browsers open connections in advance
            self.connection.refused(why, level=logging.INFO)
            self.connection.close()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, unless its next request has arrived: a busy loop runs timers
        before it reads."""
        if not self.connection.input_waits:
            super().timeout_keep_alive_handler()

    def shutdown(self) -> None:
        """Finish the answer in progress; do not wait for the rest of an unfinished request."""
        if self.input_unfinished and (not self._unanswered or self._receiving == "body"):
            self._disconnect(self._answering)
            self.connection.abort()
        else:
            super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._waiting.clear()
        self._disconnect(self._answering)

    # --- input ------------------------------------------------------------------------------------

    def data_received(self, data: bytes | bytearray) -> None:
        self._unset_keepalive_if_required()
        start = 0
        while start < len(data) and not self._ignores_input and not self.connection.is_closing():
            if self._receiving == "nothing":
                if self._unanswered:
                    self._waiting += data[start:]
                    self.connection.pause("answer")
                    return
                self._receiving = "head"
                self.connection.expect(self.limits.head_s, HEAD_LATE)
            end = data.find(_BLANK_LINE, start) + len(_BLANK_LINE)
            start = self._feed(data, start, end if end >= len(_BLANK_LINE) else len(data))

    def _feed(self, data: bytes | bytearray, start: int, end: int) -> int:
        """Parse `data[start:end]`. Returns where the next piece begins."""
        self.connection.held(end - start)
        try:
            self._count(end - start)
            self.parser.feed_data(data[start:end])
        except httptools.HttpParserUpgrade as upgrade:
            begin = start + int(upgrade.args[0])
            if self._to_websocket:
                self._become_websocket(bytes(data[begin:]))
                return len(data)
            # An upgrade to anything else is ignored: HTTP/1.1 goes on, with a new parser.
            self.parser = httptools.HttpRequestParser(self)
            return begin
        except (httptools.HttpParserError, _Refused) as error:
            self._refuse_for(error, data)
            return len(data)
        return end

    def _count(self, size: int) -> None:
        if self._receiving == "head":
            self._head_bytes += size
            if self._head_bytes > self.limits.head_bytes:
                raise _Refused(431, f"a request's head has at most {self.limits.head_bytes} bytes")
        else:
            self._body_bytes += size
            if self._body_bytes > self.limits.body_bytes:
                raise _Refused(413, f"a request's body has at most {self.limits.body_bytes} bytes")

    def _go_on(self) -> None:
        """The request before `_waiting` is answered: parse what waits."""
        waiting, self._waiting = self._waiting, bytearray()
        if self.connection.is_closing():
            return
        self._pipelined += 1
        if self._pipelined > self.limits.pipelined:
            self._refuse(429, "too many requests were sent without waiting for an answer")
            return
        self.data_received(waiting)
        if not self._waiting:
            self.connection.resume("answer")

    # --- the parser's callbacks -------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = self._extensions  # type: ignore[typeddict-item]
        self._header_count = 0
        self._to_websocket = False
        if self._receiving == "nothing":  # it came directly after a body
            self._receiving = "head"
            self.connection.expect(self.limits.head_s, HEAD_LATE)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_count += 1
        if self._header_count > self.limits.headers:
            raise _Refused(431, f"a request has at most {self.limits.headers} header lines")
        if self._receiving == "head":  # trailers of a chunked body are ignored
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            self._check_upgrade()
        self._receiving = "body"
        self._head_bytes = self._body_bytes = 0
        self.connection.expect(self.limits.body_s, BODY_LATE)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._receiving = "nothing"
        self.connection.expect_nothing()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.connection.finished()
        if self._waiting:
            self.loop.call_soon(self._go_on)
        elif not self.pipeline:
            self._pipelined = 0

    def _check_upgrade(self) -> None:
        """Check a request with `Connection: Upgrade`: the parser stops after its head.

        Raises:
            _Refused: it is a CONNECT, has a body, or is an invalid WebSocket handshake.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise _Refused(405, "CONNECT: this is not a proxy")
        if any(
            name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0 "))
            for name, value in self.headers
        ):
            raise _Refused(400, "a request that asks for another protocol has no body")
        self._to_websocket = self._should_upgrade()
        if self._to_websocket:
            if not all(value.isascii() for name, value in self.headers if is_about(name)):
                raise _Refused(400, "a WebSocket handshake is written in ASCII")
            if method != b"GET" or self.parser.get_http_version() != "1.1":
                raise _Refused(400, "a WebSocket handshake is a GET of HTTP/1.1")
            if self._unanswered:
                raise _Refused(400, "a WebSocket handshake waits for the answer before it")

    # --- answers ----------------------------------------------------------------------------------

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, partial(self._answer, app, cycle))

    async def _answer(
        self, app: ASGIApp, cycle: RequestResponseCycle, scope: Scope, receive: Receive, send: Send
    ) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and self._receives_body_of(cycle):
                cycle.keep_alive = False  # do not wait for the rest of the body
            await send(message)

        try:
            await app(scope, receive, sending)
        except ClientDisconnect:
            self.connection.refused("the client disconnected", DISCONNECTED, logging.INFO)
        except asyncio.CancelledError:  # the server stops; uvicorn would log a failure
            cycle.disconnected = True
            self.connection.abort()

    def _receives_body_of(self, cycle: RequestResponseCycle) -> bool:
        return self._receiving == "body" and cycle is self.cycle

    def _refuse_for(self, error: Exception, data: bytes | bytearray) -> None:
        cause = error if isinstance(error, _Refused) else error.__context__
        if isinstance(cause, _Refused):
            self._refuse(cause.status, cause.why)
        elif data.startswith(_TLS_HANDSHAKE):
            self._refuse(400, TLS)
        elif cause is None or isinstance(cause, (httptools.HttpParserError, UnicodeError)):
            self._refuse(400, NO_HTTP, str(cause or error))
        else:
            logger.error("request could not be started", exc_info=cause)
            self._refuse(500, "the request could not be started")

    def _refuse(self, status: int, why: str, detail: str = "", *, lingers: bool = True) -> None:
        """Answer the request that is being received with an error, and close the connection."""
        self.connection.refused(why, detail=detail)
        self.connection.expect_nothing()
        self._ignores_input = True
        answering = self._answering if self._unanswered else None
        if answering is not None and not self._receives_body_of(answering):
            # The request before it is valid: send its answer first, as the last one.
            self.pipeline.clear()
            answering.keep_alive = False
            self.connection.pause("answer")
            return
        self._disconnect(answering)
        if answering is not None and answering.response_started:
            self.connection.abort()
            return
        answer = problem(status, f"{why}: {detail}" if detail else why, {"Connection": "close"})
        head = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()]
        for name, value in [*self.server_state.default_headers, *answer.raw_headers]:
            head.append(name + b": " + value)
        self.connection.write(b"\r\n".join([*head, b"", bytes(answer.body)]))
        self.connection.close(lingers=lingers)

    @staticmethod
    def _disconnect(answering: RequestResponseCycle | None) -> None:
        """Let the application receive `http.disconnect`."""
        if answering is not None and not answering.response_complete:
            answering.disconnected = True
            answering.message_event.set()

    # --- the handshake ----------------------------------------------------------------------------

    def _become_websocket(self, early: bytes) -> None:
        """Hand the connection over to a WebSocket. `early`: bytes received after the handshake."""
        try:
            url = httptools.parse_url(self.url)
        except httptools.HttpParserError as error:
            self._refuse(400, NO_HTTP, str(error))
            return
        self.connections.discard(self)
        path = url.path + (b"?" + url.query if url.query else b"")
        WebSocket(self.connection, self.config, self.server_state, self.app_state).open(
            path, self.headers, early
        )
        self.parser = None  # type: ignore[assignment] # breaks the reference cycle
