"""One TCP connection: its read limits, its deadlines, and how it is closed.

A `Connection` sits between asyncio's transport and an inner protocol: HTTP first, a WebSocket after
a handshake. To the transport it is the protocol, to the inner protocol it is the transport. It
limits how much is read in one turn of the event loop, how long the peer may take to send, and how
long it may take to read an answer. The inner protocol parses the bytes.
"""

import asyncio
import logging
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, cast

from app.web.server.limits import READ_BYTES, Limits
from app.web.server.registry import Registry
from app.web.server.timeouts import Deadline, WriteTimeout, in_kernel, received_in_kernel

REFUSED = "connections refused"
NOT_READ = "the client did not read its answer"

_RESET = struct.pack("ii", 1, 0)

# All connections read into one buffer: its bytes are used before the next read. On Windows each has
# its own, because that loop reads ahead.
_SHARED = bytearray(READ_BYTES)


class InnerProtocol(Protocol):
    """The protocol on a connection: `Http` or `WebSocket`."""

    @property
    def carries_call(self) -> bool:
        """Whether this is a WebSocket, which only media streams use."""
        ...

    @property
    def idle(self) -> bool:
        """Whether the connection waits for a next request, with none in progress."""
        ...

    @property
    def input_unfinished(self) -> bool:
        """Whether the peer is probably still sending."""
        ...

    def data_received(self, data: bytes | bytearray) -> None: ...
    def deadline_passed(self, why: str) -> None:
        """The deadline set by `Connection.expect` passed. `why`: its reason."""
        ...

    def shutdown(self) -> None: ...
    def eof_received(self) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


class _Closed:
    """The inner protocol of a lost connection: ignores everything."""

    carries_call = False
    idle = False
    input_unfinished = False

    def data_received(self, data: bytes | bytearray) -> None: ...
    def deadline_passed(self, why: str) -> None: ...
    def shutdown(self) -> None: ...
    def eof_received(self) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


_CLOSED = _Closed()


def _nowhere(_data: bytes) -> None:
    """Discards what is written after the connection was closed."""


class Connection(asyncio.BufferedProtocol):
    """The connection of one peer. `protocol_factory`: makes the first inner protocol."""

    #: The transport's `write`; `_nowhere` once the connection closes.
    write: Callable[[bytes], None]
    get_extra_info: Callable[..., Any]

    def __init__(
        self,
        registry: Registry,
        protocol_factory: "Callable[[Connection], InnerProtocol]",
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.registry = registry
        self.limits: Limits = registry.limits
        self.loop = loop
        #: The peer's IP address; empty if unknown.
        self.peer = ""
        #: Whether any request on it had a valid signature, token or ticket.
        self.authenticated = False
        #: Received bytes of an unfinished request; see `Registry.held`.
        self.held_bytes = 0
        self.protocol: InnerProtocol
        self._protocol_factory = protocol_factory
        self._transport: asyncio.Transport
        self._buffer = _SHARED if sys.platform != "win32" else bytearray(READ_BYTES)
        self._view = memoryview(self._buffer)
        self._paused: set[str] = set()  # the reasons for which reading is paused
        self._kept = bytearray()  # read, but not parsed yet
        self._lost = False
        self._lingering = False
        self._discarded_bytes = 0
        self._deadline = Deadline(loop, self._deadline_passed)
        self._why = ""  # the reason of the current deadline
        limits = self.limits
        self._write_timeout = WriteTimeout(
            loop, limits.stuck_s, limits.stuck_bytes, self._unread, self._stuck
        )

    # --- for the registry -------------------------------------------------------------------------

    def mark_authenticated(self) -> None:
        """A request on this connection had a valid signature, token or ticket."""
        if not self.authenticated:
            self.authenticated = True
            self.registry.authenticated(self)

    @property
    def carries_call(self) -> bool:
        return self.protocol.carries_call

    @property
    def idle(self) -> bool:
        return self.protocol.idle

    @property
    def input_waits(self) -> bool:
        """Whether bytes of the peer's have arrived that the inner protocol has not got yet."""
        return bool(self._kept) or received_in_kernel(self.get_extra_info("socket")) > 0

    def held(self, size_bytes: int) -> None:
        """`size_bytes` more of an unfinished request were received. May abort this connection."""
        if not self._lost:
            self.registry.held(self, size_bytes)

    def finished(self) -> None:
        """The request is answered: its bytes no longer count as held."""
        if self.held_bytes:
            self.held(-self.held_bytes)
        if not self.is_closing():
            self._write_timeout.data_written()

    # --- as the transport's protocol --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self.write = self._transport.write
        self.get_extra_info = transport.get_extra_info
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if isinstance(peer, (tuple, list)) and peer else ""
        self.protocol = self._protocol_factory(self)
        self.registry.opened(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        if self._lingering:
            self._discard(nbytes)
            return
        data = self._buffer[:nbytes]
        if not self.authenticated and not self.registry.may_read(self):
            self._kept = data
            self.pause("turn")
            return
        if nbytes == READ_BYTES:
            self._rest_a_turn()
        self.protocol.data_received(data)

    def take_turn(self) -> None:
        """Parse what `buffer_updated` kept, because `Registry.may_read` had returned False."""
        kept, self._kept = self._kept, bytearray()
        if not self._lost:
            self.protocol.data_received(kept)
            self.resume("turn")

    def _rest_a_turn(self) -> None:
        """The buffer was full, so there is probably more: read it after the other connections."""
        self.pause("turn")
        self.loop.call_soon(self.resume, "turn")

    def eof_received(self) -> None:
        """The peer sends no more. The transport closes."""
        if not self._lingering:
            self.protocol.eof_received()
        self.write = _nowhere

    def pause_writing(self) -> None:
        self.protocol.pause_writing()
        self._write_timeout.data_written()

    def resume_writing(self) -> None:
        self.protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._deadline.stop()
        self._write_timeout.stop()
        self.registry.closed(self)
        protocol, self.protocol = (
            self.protocol,
            _CLOSED,
        )  # breaks the reference cycle
        protocol.connection_lost(exc)

    # --- as the transport of the inner protocol ---------------------------------------------------

    def set_protocol(self, protocol: InnerProtocol) -> None:
        """Replace the inner protocol (HTTP 101 Switching Protocols)."""
        self.protocol = protocol
        self.held(-self.held_bytes)
        if protocol.carries_call:
            self.registry.carries_call(self)

    def is_closing(self) -> bool:
        return self._lost or self._lingering or self._transport.is_closing()

    def pause_reading(self) -> None:
        """The inner protocol takes no more for now. The peer's deadline is suspended as well."""
        self._deadline.hold()
        self.pause("protocol")

    def resume_reading(self) -> None:
        self._deadline.release()
        self.resume("protocol")

    def pause(self, reason: str) -> None:
        """Stop reading until `resume` was called for every reason."""
        if not self._paused and not self.is_closing():
            self._transport.pause_reading()
        self._paused.add(reason)

    def resume(self, reason: str) -> None:
        if reason in self._paused:
            self._paused.discard(reason)
            if not self._paused and not self._lost and not self._transport.is_closing():
                self._transport.resume_reading()

    def close(self, *, lingers: bool = True) -> None:
        """Close once everything is written.

        `lingers`: if the peer is probably still sending, read and discard that for a while, so that
        it can read the answer.
        """
        if self.is_closing():
            return
        if lingers and self.protocol.input_unfinished:
            self._linger()
            return
        self.expect_nothing()
        self.write = _nowhere
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._write_timeout.data_written()

    def shutdown(self) -> None:
        """The server stops: finish the answer in progress, then close."""
        if not self.is_closing():
            self.protocol.shutdown()
        elif self._lingering and not self._transport.get_write_buffer_size():
            self.abort()

    def abort(self) -> None:
        """Close at once; unsent data is lost."""
        if not self._lost:
            self.write = _nowhere
            self._transport.abort()

    # --- deadlines --------------------------------------------------------------------------------

    def expect(self, within_s: float, why: str) -> None:
        """Call the inner protocol's `deadline_passed(why)` in `within_s` seconds. Replaces the
        current deadline; `expect_nothing` cancels it."""
        self._why = why
        self._deadline.expect(within_s)

    def expect_nothing(self) -> None:
        self._deadline.expect_nothing()

    def _deadline_passed(self) -> None:
        if self._lingering or self._transport.is_closing():
            self.abort()
        else:
            self.protocol.deadline_passed(self._why)

    # --- closing ----------------------------------------------------------------------------------

    def refused(
        self, why: str, message: str = REFUSED, level: int = logging.WARNING, detail: str = ""
    ) -> None:
        """Log that something on this connection was refused; see `Refusals.add`."""
        self.registry.refusals.add(message, why, self.peer, level, detail)

    def _linger(self) -> None:
        """Write what is left, and discard what the peer still sends, within limits.

        If a socket is closed with unread input, the kernel resets the connection, and the peer
        loses the answer.
        """
        self._lingering = True
        self.write = _nowhere
        if not self._transport.can_write_eof():
            self.abort()
            return
        self._transport.write_eof()
        if self._paused:
            self._paused.clear()
            self._transport.resume_reading()
        self._deadline.release()
        self._deadline.expect(self.limits.linger_s)

    def _discard(self, size_bytes: int) -> None:
        self._discarded_bytes += size_bytes
        if self._discarded_bytes > self.limits.linger_bytes:
            self.abort()
        elif size_bytes == READ_BYTES:
            self._rest_a_turn()

    def _unread(self) -> int:
        return self._transport.get_write_buffer_size() + in_kernel(self.get_extra_info("socket"))

    def _stuck(self) -> None:
        self.refused(NOT_READ)
        connected = self.get_extra_info("socket")
        if connected is not None:  # a reset also frees the kernel's send buffer
            with suppress(OSError):
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.abort()
