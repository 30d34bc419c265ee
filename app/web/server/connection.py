"""One TCP connection from its acceptance to its end: what it may take, and when it is closed.

It is the transport's protocol all the time. The protocol inside, HTTP first and a WebSocket after a
handshake, uses it as its transport. It bounds what is read in a turn of the loop, what has to
happen by when, and how long an answer may wait to be read; what bytes mean is for the protocol inside.
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
from app.web.server.timeouts import Deadline, WriteTimeout, in_kernel

REFUSED = "connections refused"
NOT_READ = "its answer was not read"

_RESET = struct.pack("ii", 1, 0)

# All reads go through one buffer, because what is in it is used before the next read. Not so on
# Windows, whose loop reads ahead.
_SHARED = bytearray(READ_BYTES)


class InnerProtocol(Protocol):
    """What speaks HTTP or WebSocket on a connection."""

    @property
    def carries_call(self) -> bool: ...

    @property
    def idle(self) -> bool: ...

    @property
    def input_unfinished(self) -> bool:
        """Whether the peer is likely to be sending still."""
        ...

    def data_received(self, data: bytes | bytearray) -> None: ...
    def deadline_passed(self, why: str) -> None:
        """What was expected has not come in time."""
        ...

    def shutdown(self) -> None: ...
    def eof_received(self) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


class _Closed:
    """What is inside of a connection that was lost."""

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
    """Where an answer goes that its client will not read."""


class Connection(asyncio.BufferedProtocol):
    """`protocol_factory`: makes the protocol inside, once the transport is there."""

    write: Callable[[bytes], None]  # the transport's own, while there is one who reads
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
        self.peer = ""
        self.authenticated = False
        self.held_bytes = 0
        self.protocol: InnerProtocol
        self._protocol_factory = protocol_factory
        self._transport: asyncio.Transport
        self._buffer = _SHARED if sys.platform != "win32" else bytearray(READ_BYTES)
        self._view = memoryview(self._buffer)
        self._paused: set[str] = set()  # who paused it
        self._kept = bytearray()  # read, and not parsed yet
        self._lost = False
        self._lingering = False
        self._discarded_bytes = 0
        self._deadline = Deadline(loop, self._deadline_passed)
        self._why = ""  # something is expected
        limits = self.limits
        self._write_timeout = WriteTimeout(
            loop, limits.stuck_s, limits.stuck_bytes, self._unread, self._stuck
        )

    # --- the lock ---------------------------------------------------------------------------------

    def mark_authenticated(self) -> None:
        """A request on it bore a valid signature, token or ticket."""
        if not self.authenticated:
            self.authenticated = True
            self.registry.authenticated(self)

    @property
    def carries_call(self) -> bool:
        return self.protocol.carries_call

    @property
    def idle(self) -> bool:
        return self.protocol.idle

    def held(self, size_bytes: int) -> None:
        """So many bytes of an unfinished request came. May abort this connection."""
        if not self._lost:
            self.registry.held(self, size_bytes)

    def finished(self) -> None:
        """The request is answered: nothing of it is held any more."""
        if self.held_bytes:
            self.held(-self.held_bytes)
        if not self.is_closing():
            self._write_timeout.data_written()

    # --- as the transport's protocol --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's have a line of their own
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
        """Go on with what was read when strangers had had their part of the turn."""
        kept, self._kept = self._kept, bytearray()
        if not self._lost:
            self.protocol.data_received(kept)
            self.resume("turn")

    def _rest_a_turn(self) -> None:
        """There is more: the others first."""
        self.pause("turn")
        self.loop.call_soon(self.resume, "turn")

    def eof_received(self) -> None:
        """The peer is through, and the transport closes."""
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
        )  # no circle is left: memory is free at once
        protocol.connection_lost(exc)

    # --- as the transport of what is inside -------------------------------------------------------

    def set_protocol(self, protocol: InnerProtocol) -> None:
        """From now on this is the protocol inside."""
        self.protocol = protocol
        self.held(-self.held_bytes)
        if protocol.carries_call:
            self.registry.carries_call(self)

    def is_closing(self) -> bool:
        return self._lost or self._lingering or self._transport.is_closing()

    def pause_reading(self) -> None:
        """The inside takes no more for now. What is expected of the peer waits as well."""
        self._deadline.hold()
        self.pause("inside")

    def resume_reading(self) -> None:
        self._deadline.release()
        self.resume("inside")

    def pause(self, who: str) -> None:
        """Stop reading, until each `who` has resumed."""
        if not self._paused and not self.is_closing():
            self._transport.pause_reading()
        self._paused.add(who)

    def resume(self, who: str) -> None:
        if who in self._paused:
            self._paused.discard(who)
            if not self._paused and not self._lost and not self._transport.is_closing():
                self._transport.resume_reading()

    def close(self, *, lingers: bool = True) -> None:
        """Close once everything is written. `lingers`: to a peer that is likely to send on, so that
        it can read the answer."""
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
        """The server stops."""
        if not self.is_closing():
            self.protocol.shutdown()
        elif self._lingering and not self._transport.get_write_buffer_size():
            self.abort()

    def abort(self) -> None:
        """Close at once."""
        if not self._lost:
            self.write = _nowhere
            self._transport.abort()

    # --- deadlines --------------------------------------------------------------------------------

    def expect(self, within_s: float, why: str) -> None:
        """Unless `expect` or `expect_nothing` is called before, the inside is `deadline_passed` then."""
        self._why = why
        self._deadline.expect(within_s)

    def expect_nothing(self) -> None:
        self._deadline.expect_nothing()

    def _deadline_passed(self) -> None:
        if self._lingering or self._transport.is_closing():
            self.abort()
        else:
            self.protocol.deadline_passed(self._why)

    # --- the ends ---------------------------------------------------------------------------------

    def refused(
        self, why: str, message: str = REFUSED, level: int = logging.WARNING, detail: str = ""
    ) -> None:
        """Log that something on this connection was refused, see `Refusals.add`."""
        self.registry.refusals.add(message, why, self.peer, level, detail)

    def _linger(self) -> None:
        """Write what is left, and discard what the peer still sends: closed with unread input, the
        kernel would reset the connection, and the answer would be lost."""
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
        if connected is not None:  # what the kernel holds for it is dropped as well
            with suppress(OSError):
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.abort()
