"""The server's end of one Realtime socket: it numbers events and sends them."""

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Any, cast

import msgspec
from picows import WSCloseCode, WSMsgType, WSTransport

_CLOSE_WAIT_S = 1.0


class Wire:
    """Sends to one client; drops everything while the socket is closed or muted.

    `after_each` is called after every frame that is sent. `remembers`: keep `sent`.
    """

    def __init__(self, number: int, *, after_each: Callable[[], None], remembers: bool) -> None:
        self._number = number
        self._counter = itertools.count(1)
        self._transport: WSTransport | None = None
        self._after_each = after_each
        self._closing = False
        self._remembers = remembers
        #: Type and monotonic seconds of every event that was sent, in order.
        self.sent: list[tuple[str, float]] = []
        #: Drop everything from now on.
        self.muted = False
        #: Clear while the client reads too slowly: wait for it before generating more.
        self.writable = asyncio.Event()
        self.writable.set()
        #: The `error` objects of all `error` events.
        self.errors_sent: list[dict[str, Any]] = []

    def open(self, transport: WSTransport) -> None:
        self._transport = transport

    @property
    def is_open(self) -> bool:
        transport = self._transport
        return transport is not None and not self._closing and not transport.is_disconnected

    def new_id(self, kind: str) -> str:
        """An id that is unique among all sessions of this server."""
        return f"{kind}_{self._number:04d}{next(self._counter):06d}"

    def send(self, event_type: str, /, **fields: Any) -> None:
        """Send one event."""
        event = {"type": event_type, "event_id": self.new_id("event"), **fields}
        if self._remembers and self.is_open and not self.muted:
            self.sent.append((event_type, time.monotonic()))
        self.send_raw(msgspec.json.encode(event), WSMsgType.TEXT)

    def send_raw(self, data: str | bytes, kind: WSMsgType | None = None) -> None:
        """Send any frame. `kind`: None sends text as a text frame and bytes as a binary one."""
        if self._transport is None or not self.is_open or self.muted:
            return
        if kind is None:
            kind = WSMsgType.TEXT if isinstance(data, str) else WSMsgType.BINARY
        self._transport.send(kind, data.encode() if isinstance(data, str) else data)
        self._after_each()

    def send_error(
        self,
        code: str,
        message: str,
        *,
        param: str | None = None,
        cause_event_id: str | None = None,
        error_type: str = "invalid_request_error",
    ) -> None:
        """Send an `error` event and remember it in `errors_sent`."""
        error = {
            "type": error_type,
            "code": code,
            "message": message,
            "param": param,
            "event_id": cause_event_id,
        }
        self.errors_sent.append(error)
        self.send("error", error=error)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Send a close frame, and disconnect if the client does not answer it within a second."""
        if self._transport is None or not self.is_open:
            return
        self._closing = True
        # picows' enumeration has the standard codes only; 4000 and up are legal on the wire.
        self._transport.send_close(cast(WSCloseCode, code), reason.encode())
        asyncio.get_running_loop().call_later(_CLOSE_WAIT_S, self._transport.disconnect)

    def answer_close(self, code: WSCloseCode) -> None:
        """The client sent a close frame: answer it unless we sent ours first, then disconnect."""
        if self._transport is not None:
            if not self._closing:
                self._closing = True
                self._transport.send_close(code)
            self._transport.disconnect()

    def drop(self) -> None:
        """Break the connection: no close frame."""
        self._closing = True
        if self._transport is not None:
            self._transport.disconnect(False)
