"""The socket to the model: a seam of a few methods, and picows behind it.

picows, because sending a frame neither waits nor makes a task, and costs half of what the
alternatives do at fifty frames a second and call.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol
from urllib.parse import urlencode

from aiohappyeyeballs import start_connection
from picows import (
    WSCloseCode,
    WSFrame,
    WSHandshakeError,
    WSListener,
    WSMsgType,
    WSProtocolError,
    WSTransport,
    ws_connect,
)
from picows.url import WSParsedURL

from app.errors import ModelError

CONNECT_S = 8.0
HAPPY_EYEBALLS_S = 0.25  # before the next address is tried beside the one that does not answer
IDLE_PING_S = 20.0
LARGEST_MESSAGE_BYTES = 16 << 20  # a session with a long prompt is echoed whole
STUCK_S = 10.0  # a socket that takes nothing for so long is lost

# What it would say of a connection's end is the reason that `on_lost` is given.
logging.getLogger("picows.realtime").setLevel(logging.CRITICAL)


class RealtimeSocket(Protocol):
    """What the bridge needs of a Realtime connection."""

    @property
    def writable(self) -> bool:
        """Whether it takes messages without piling them up."""
        ...

    def send(self, message: bytes) -> None:
        """Send one event, now. Never waits; after the end it does nothing."""
        ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        """Say goodbye and let go. `on_lost` is not called after it."""
        ...


OnOpened = Callable[[RealtimeSocket], None]
OnMessage = Callable[[bytes], None]
OnLost = Callable[[str], None]
OnWritable = Callable[[], None]


class HandshakeRefused(ModelError):
    """The server answered, but not with a session. `fatal`: asking again cannot help."""

    def __init__(self, status: int) -> None:
        hints = {
            401: "check OPENAI_API_KEY",
            403: "the key may not use the Realtime API",
            404: "check OPENAI_REALTIME_MODEL and OPENAI_BASE_URL",
        }
        hint = hints.get(status)
        text = f"the model refused the session with HTTP {status}"
        super().__init__(f"{text}; {hint}" if hint else text)
        self.fatal = hint is not None


async def connect(
    url: str,
    model: str,
    api_key: str,
    *,
    on_opened: OnOpened,
    on_message: OnMessage,
    on_lost: OnLost,
    on_writable: OnWritable,
) -> None:
    """Open a Realtime connection (OpenAI: Realtime API, WebSocket).

    `url`: ws(s) address of the endpoint, without query. `on_opened` gets the socket before its
    first message; `on_message` each event whole; `on_lost` is called once if the connection ends
    before `close`; `on_writable` when a socket that was full takes messages again.
    There is no `OpenAI-Beta` header: the server refuses it.

    Raises:
        HandshakeRefused: HTTP status instead of a session.
        ModelError: unreachable, or no answer in time.
    """
    opening = _PicowsSocket(on_opened, on_message, on_lost, on_writable)
    try:
        async with asyncio.timeout(CONNECT_S):
            await ws_connect(
                lambda: opening,
                f"{url}?{urlencode({'model': model})}",
                extra_headers={"Authorization": f"Bearer {api_key}"},
                websocket_handshake_timeout=None,
                socket_factory=opening.dial,
                max_frame_size=LARGEST_MESSAGE_BYTES,
                max_redirects=0,
                enable_auto_ping=True,
                auto_ping_idle_timeout=IDLE_PING_S,
                auto_ping_reply_timeout=IDLE_PING_S,
                logger_name="realtime",
            )
    except WSHandshakeError as error:
        if error.response is None:
            raise ModelError("the model's server does not speak WebSocket") from None
        raise HandshakeRefused(int(error.response.status)) from None
    except TimeoutError:
        opening.abandon()
        raise ModelError(f"the model did not answer within {CONNECT_S:g} s") from None
    except (OSError, UnicodeError) as error:  # a host that is no name raises the latter
        raise ModelError(f"the model cannot be reached: {error}") from None
    except asyncio.CancelledError:
        opening.abandon()
        raise
    if not opening.opened:  # picows takes an end amid the handshake for its completion
        raise ModelError("the model's server closed the connection amid the handshake")


class _PicowsSocket(WSListener):
    def __init__(
        self,
        on_opened: OnOpened,
        on_message: OnMessage,
        on_lost: OnLost,
        on_writable: OnWritable,
    ) -> None:
        self.writable = True
        self._on_opened = on_opened
        self._on_message = on_message
        self._on_lost = on_lost
        self._on_writable = on_writable
        self._transport: WSTransport | None = None
        self._tcp: socket.socket | None = None
        self._fragments = bytearray()
        self._closed = False
        self._left = False  # by `close` or `abandon`: there is no one left to tell
        self._ending: asyncio.Task[None] | None = None
        self._reason = "connection lost"
        self._stuck: asyncio.TimerHandle | None = None

    @property
    def opened(self) -> bool:
        """Whether the handshake was completed."""
        return self._transport is not None

    # --- the seam ---

    def send(self, message: bytes) -> None:
        if self._transport is not None and not self._closed:
            self._transport.send(WSMsgType.TEXT, message)

    def pause_reading(self) -> None:
        if self._transport is not None and not self._closed:
            self._transport.underlying_transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and not self._closed:
            self._transport.underlying_transport.resume_reading()

    def close(self) -> None:
        self._left = True
        if self._closed:
            return
        self._closed = True
        if self._transport is not None:
            self._transport.send_close(WSCloseCode.OK)
            self._transport.disconnect()

    # --- while it opens ---

    async def dial(self, url: WSParsedURL) -> socket.socket:
        """The TCP connection, kept in sight: picows lets go of nothing when it is cancelled amid a
        handshake."""
        loop = asyncio.get_running_loop()
        addresses = await loop.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
        self._tcp = await start_connection(addresses, happy_eyeballs_delay=HAPPY_EYEBALLS_S)
        self._tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._tcp

    def abandon(self) -> None:
        """End it, however far it has come."""
        self._closed = self._left = True
        if self._transport is not None:
            self._transport.disconnect(graceful=False)
        elif self._tcp is not None:
            with suppress(OSError):  # closed already
                self._tcp.shutdown(socket.SHUT_RDWR)

    # --- picows ---

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self._on_opened(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind is WSMsgType.TEXT or kind in (WSMsgType.BINARY, WSMsgType.CONTINUATION):
            payload = frame.get_payload_as_bytes()
            if not frame.fin or self._fragments:
                self._fragments += payload
                if len(self._fragments) > LARGEST_MESSAGE_BYTES:
                    raise WSProtocolError(WSCloseCode.MESSAGE_TOO_BIG, "fragments without an end")
                if not frame.fin:
                    return
                payload = bytes(self._fragments)
                self._fragments.clear()
            if not self._closed:
                self._on_message(payload)
        elif kind is WSMsgType.CLOSE:
            code = frame.get_close_code()
            self._reason = f"closed by the model with code {getattr(code, 'value', code)}"
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.resume_writing()
        if not self._closed:
            self._closed = True
            self._ending = asyncio.create_task(self._tell_lost(transport))

    async def _tell_lost(self, transport: WSTransport) -> None:
        """picows knows why it ended the connection as soon as this callback is over, and keeps it
        in a future: if no one asked, asyncio would complain of that."""
        try:
            await transport.wait_disconnected()
        except WSProtocolError as error:
            self._reason = _why(error)
        except Exception as error:  # a callback's; those do not raise
            self._reason = f"fault at a message: {error!r}"
        if not self._left:
            self._on_lost(self._reason)

    def pause_writing(self) -> None:
        self.writable = False
        loop = asyncio.get_running_loop()
        self._stuck = loop.call_later(STUCK_S, self._give_up)

    def resume_writing(self) -> None:
        self.writable = True
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
            if not self._closed:
                self._on_writable()

    def _give_up(self) -> None:
        self._reason = f"took nothing for {STUCK_S:g} s"
        if self._transport is not None:
            self._transport.disconnect(graceful=False)


def _why(error: WSProtocolError) -> str:
    code, *words = error.args
    if code is WSCloseCode.MESSAGE_TOO_BIG:
        return f"the model sent a message above the limit of {LARGEST_MESSAGE_BYTES >> 20} MiB"
    return f"the model broke the WebSocket protocol: {' '.join(map(str, words))}"
