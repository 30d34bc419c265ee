"""The WebSocket to the Realtime API: the protocol that the bridge uses, implemented with picows.

picows sends a frame without waiting and without a task, for about half the CPU time of the
alternatives at fifty frames per second and call.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from aiohappyeyeballs import AddrInfoType, start_connection
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
from app.wires.realtime.client_frames import text_frames
from app.wires.realtime.endpoint import Endpoint
from app.wires.realtime.shared_reads import share_reads

#: Deadline for the TCP connection, TLS and the WebSocket handshake together.
CONNECT_S = 8.0
#: Delay before the host's next address is tried in parallel (RFC 8305).
HAPPY_EYEBALLS_S = 0.25
#: A ping is sent after so long without a frame; its pong is due after the same time.
IDLE_PING_S = 20.0
#: `session.updated` repeats the whole session, long instructions included.
LARGEST_MESSAGE_BYTES = 16 << 20
#: picows' read buffer at first. It is doubled when a message does not fit, and never gets smaller.
READ_BUFFER_BYTES = 4096
#: picows keeps a buffer of the longest message that it sent: longer ones are sent without it.
LONGEST_KEPT_BYTES = 1024
#: A socket whose write buffer stays full for so long counts as lost.
STUCK_S = 10.0

# `on_lost` reports why a connection ended; picows would log it a second time.
logging.getLogger("picows.realtime").setLevel(logging.CRITICAL)


class RealtimeSocket(Protocol):
    """An open Realtime connection, as the bridge uses it."""

    @property
    def writable(self) -> bool:
        """False while the write buffer is full. `send` still works then, but messages queue up;
        wait for `on_writable`."""
        ...

    def send(self, message: bytes) -> None:
        """Send one client event without waiting. Does nothing after the connection has ended."""
        ...

    def hold(self) -> None:
        """Keep what is sent until `release`."""
        ...

    def release(self) -> None:
        """Send what was kept since `hold`, in one write."""
        ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        """Send a close frame and disconnect. `on_lost` is not called afterwards."""
        ...


OnOpened = Callable[[RealtimeSocket], None]
OnMessage = Callable[[bytes], None]
OnLost = Callable[[str], None]
OnWritable = Callable[[], None]


class HandshakeRefused(ModelError):
    """The server answered the WebSocket handshake with an HTTP status other than 101."""

    def __init__(self, status: int) -> None:
        hints = {
            401: "check OPENAI_API_KEY, or the key in OPENAI_API_HEADERS",
            403: "the key may not use the Realtime API",
            404: "check OPENAI_REALTIME_MODEL, OPENAI_BASE_URL and OPENAI_API_QUERY",
        }
        hint = hints.get(status)
        text = f"the model refused the session with HTTP {status}"
        super().__init__(f"{text}; {hint}" if hint else text, fatal=hint is not None)
        self.status = status


async def connect(
    endpoint: Endpoint,
    *,
    on_opened: OnOpened,
    on_message: OnMessage,
    on_lost: OnLost,
    on_writable: OnWritable,
) -> None:
    """Open a Realtime connection (OpenAI: Realtime API, WebSocket).

    Returns once the socket is open. Close the socket that `on_opened` receives when the call no
    longer needs it. There is no `OpenAI-Beta` header: the server rejects it. A redirect counts as a
    refusal: credentials go to the endpoint's host alone.

    Args:
        on_opened: Called with the socket, before its first message.
        on_message: Called with each server event, complete.
        on_lost: Called once with the reason if the connection ends before `close`.
        on_writable: Called when the write buffer has room again.

    Raises:
        HandshakeRefused: the server answered with an HTTP status instead of 101.
        ModelError: the server is unreachable or did not answer within `CONNECT_S`.
    """
    opening = _PicowsSocket(on_opened, on_message, on_lost, on_writable)
    try:
        async with asyncio.timeout(CONNECT_S):
            await ws_connect(
                lambda: opening,
                endpoint.address,
                extra_headers=endpoint.handshake_headers,
                websocket_handshake_timeout=None,
                socket_factory=opening.dial,
                max_frame_size=LARGEST_MESSAGE_BYTES,
                read_buffer_init_size=READ_BUFFER_BYTES,
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
        opening.abort()
        raise ModelError(f"the model did not answer within {CONNECT_S:g} s") from None
    except (OSError, UnicodeError) as error:  # UnicodeError: an invalid host name
        reason = str(error) or "the connection was reset"  # as where the peer speaks no TLS
        raise ModelError(f"the model cannot be reached: {reason}") from None
    except asyncio.CancelledError:
        opening.abort()
        raise
    if not opening.opened:  # picows returns normally when the peer disconnects mid-handshake
        raise ModelError("the model's server closed the connection during the handshake")


class _DialedSocket(socket.socket):
    """A TCP connection that the event loop does not watch any more when it is closed.

    When the first write fails, because the peer has reset the connection, the transport of picows
    (aiofastnet 1.2) gives the connection up, then has the loop watch it, then closes it. The loop
    would go on watching the number of a closed file descriptor. The next connection with that
    number, maybe a caller's, would hang or be refused.
    """

    @classmethod
    def of(cls, address: AddrInfoType) -> "_DialedSocket":
        """A socket for an address of `getaddrinfo`."""
        return cls(*address[:3])

    def close(self) -> None:
        if self.fileno() != -1:
            # RuntimeError: the loop has ended. NotImplementedError: the loop of Windows.
            with suppress(RuntimeError, NotImplementedError):
                asyncio.get_running_loop().remove_reader(self)
        super().close()


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
        self._held: list[bytes] | None = None  # None: each message is sent at once
        self._fragments = bytearray()
        self._closed = False
        #: `close` or `abort` was called: `on_lost` is not called any more.
        self._closed_by_us = False
        self._reporting: asyncio.Task[None] | None = None
        self._reason = "connection lost"
        self._stuck_timer: asyncio.TimerHandle | None = None

    @property
    def opened(self) -> bool:
        """Whether the handshake was completed."""
        return self._transport is not None

    # --- RealtimeSocket ---

    def send(self, message: bytes) -> None:
        if self._held is not None:
            self._held.append(message)
        elif self._transport is not None and not self._closed:
            if len(message) > LONGEST_KEPT_BYTES:
                self._transport.underlying_transport.write(text_frames([message]))
            else:
                self._transport.send(WSMsgType.TEXT, message)

    def hold(self) -> None:
        self._held = []

    def release(self) -> None:
        held, self._held = self._held or (), None
        if self._transport is None or self._closed:
            return
        if len(held) == 1:
            self.send(held[0])
        elif held:
            self._transport.underlying_transport.write(text_frames(held))

    def pause_reading(self) -> None:
        if self._transport is not None and not self._closed:
            self._transport.underlying_transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and not self._closed:
            self._transport.underlying_transport.resume_reading()

    def close(self) -> None:
        self._closed_by_us = True
        if self._closed:
            return
        self.release()
        self._closed = True
        if self._transport is not None:
            self._transport.send_close(WSCloseCode.OK)
            self._transport.disconnect()

    # --- opening ---

    async def dial(self, url: WSParsedURL) -> socket.socket:
        """Open the TCP connection for picows, and keep it for `abort`: picows does not close it
        when the handshake is cancelled."""
        loop = asyncio.get_running_loop()
        addresses = await loop.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
        self._tcp = await start_connection(
            addresses, happy_eyeballs_delay=HAPPY_EYEBALLS_S, socket_factory=_DialedSocket.of
        )
        self._tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._tcp

    def abort(self) -> None:
        """Disconnect without a close frame, during the handshake as well."""
        self._closed = self._closed_by_us = True
        if self._transport is not None:
            self._transport.disconnect(graceful=False)
        elif self._tcp is not None:
            with suppress(OSError):  # closed already
                self._tcp.shutdown(socket.SHUT_RDWR)

    # --- picows ---

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        share_reads(transport)
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
            self._reporting = asyncio.create_task(self._report_lost(transport))

    async def _report_lost(self, transport: WSTransport) -> None:
        """Call `on_lost` with the reason. picows sets it on a future after `on_ws_disconnected`
        returns; the future must be awaited, or asyncio logs its exception as never retrieved."""
        try:
            await transport.wait_disconnected()
        except WSProtocolError as error:
            self._reason = _reason_of(error)
        except Exception as error:  # raised by one of our callbacks, which is a bug
            self._reason = f"fault at a message: {error!r}"
        if not self._closed_by_us:
            self._on_lost(self._reason)

    def pause_writing(self) -> None:
        self.writable = False
        loop = asyncio.get_running_loop()
        self._stuck_timer = loop.call_later(STUCK_S, self._abort_stuck)

    def resume_writing(self) -> None:
        self.writable = True
        if self._stuck_timer is not None:
            self._stuck_timer.cancel()
            self._stuck_timer = None
            if not self._closed:
                self._on_writable()

    def _abort_stuck(self) -> None:
        self._reason = f"took nothing for {STUCK_S:g} s"
        if self._transport is not None:
            self._transport.disconnect(graceful=False)


def _reason_of(error: WSProtocolError) -> str:
    code, *words = error.args
    if code is WSCloseCode.MESSAGE_TOO_BIG:
        return f"the model sent a message above the limit of {LARGEST_MESSAGE_BYTES >> 20} MiB"
    return f"the model broke the WebSocket protocol: {' '.join(map(str, words))}"
