"""One read buffer for all sessions: the buffer that picows has for each never gets smaller.

A model sends its audio in bursts, and a burst is read at once: the buffer of a session would soon
take 60 kB, for as long as the call lasts.
"""

import asyncio
import sys

from picows import WSTransport

_READ_BYTES = 64 << 10
# Its bytes are used before the next read.
_shared = memoryview(bytearray(_READ_BYTES))


def share_reads(transport: WSTransport) -> None:
    """Have a connection read into the shared buffer. Not on Windows, whose loop reads ahead."""
    if sys.platform != "win32":
        tcp = transport.underlying_transport
        tcp.set_protocol(_SharedReads(tcp, tcp.get_protocol()))


class _SharedReads(asyncio.BufferedProtocol):
    """Between a transport and the protocol of picows, which gets what was read in pieces: its own
    buffer is doubled only when a message does not fit."""

    __slots__ = ("_picows", "_tcp")

    def __init__(self, tcp: asyncio.Transport, picows: asyncio.BaseProtocol) -> None:
        self._tcp = tcp
        self._picows: asyncio.BufferedProtocol = picows  # type: ignore[assignment]

    def get_buffer(self, sizehint: int) -> memoryview:
        return _shared

    def buffer_updated(self, nbytes: int) -> None:
        start = 0
        while start < nbytes and not self._tcp.is_closing():
            room = memoryview(self._picows.get_buffer(-1))
            size = min(nbytes - start, (len(room) + 1) // 2)
            room[:size] = _shared[start : start + size]
            self._picows.buffer_updated(size)
            start += size

    def eof_received(self) -> bool | None:
        return self._picows.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._picows.connection_lost(exc)

    def pause_writing(self) -> None:
        self._picows.pause_writing()

    def resume_writing(self) -> None:
        self._picows.resume_writing()
