"""Volcengine's binary frame: header, length-prefixed fields, gzip with a limit.

Volcengine: speech synthesis, WebSocket binary protocol. Integers are big-endian; lengths count
bytes on the wire, after compression.
"""

import gzip
import zlib
from dataclasses import dataclass
from enum import IntEnum

from app.errors import ProtocolError

#: More than four minutes of sound at 16 kHz.
LARGEST_INFLATED_BYTES = 8 << 20
#: zlib's `wbits` for the gzip format.
GZIP_WINDOW = 31


class MessageType(IntEnum):
    """The message type in a frame's header."""

    REQUEST = 0x1
    ANSWER = 0x9  # v3 only; deprecated in v1
    AUDIO = 0xB
    FRONTEND = 0xC
    ERROR = 0xF


class Flags(IntEnum):
    """The header's flags: which fields precede the payload."""

    NONE = 0
    SEQUENCE = 1
    LAST = 2  # with a sequence in the vendor's demo, without one in its newer library
    LAST_SEQUENCE = 3
    EVENT = 4  # v3 only


_JSON = 1
_PLAIN, _GZIP = 0, 1


def request(flags: Flags, fields: bytes, payload: bytes, *, compress: bool) -> bytes:
    """A client frame with a JSON payload. `fields`: the bytes between header and payload."""
    header = bytes((0x11, MessageType.REQUEST << 4 | flags, _JSON << 4 | compress, 0))
    return header + fields + sized(gzip.compress(payload) if compress else payload)


def sized(data: bytes) -> bytes:
    """The data with its length as a prefix of 4 bytes."""
    return len(data).to_bytes(4, "big") + data


@dataclass(slots=True)
class Reader:
    """Reads a frame's fields in order, from the end of its header."""

    #: May be none of `MessageType`.
    message_type: int
    #: May be none of `Flags`.
    flags: int
    _compression: int
    _body: memoryview

    @classmethod
    def of(cls, frame: bytes) -> "Reader":
        """Reads the header, and skips its extensions.

        Raises:
            ProtocolError: the header is malformed.
        """
        if len(frame) < 4:
            raise ProtocolError("a frame is shorter than its header")
        size = (frame[0] & 15) * 4
        if frame[0] >> 4 != 1 or not 0 < size <= len(frame):
            raise ProtocolError("a frame's header is not of version 1, or incomplete")
        body = memoryview(frame)[size:]
        return cls(frame[1] >> 4, frame[1] & 15, frame[2] & 15, body)

    @property
    def remaining(self) -> int:
        """Bytes that are not read yet."""
        return len(self._body)

    @property
    def negative(self) -> bool:
        """Whether the next number, read as signed, is negative."""
        return self.remaining > 0 and self._body[0] >= 0x80

    @property
    def single(self) -> bool:
        """Whether exactly one length-prefixed field remains."""
        after = self.remaining - 4
        return after >= 0 and 0 <= after - int.from_bytes(self._body[:4], "big") < 4

    def number(self, *, signed: bool = False) -> int:
        """Reads a 32-bit integer."""
        return int.from_bytes(self._take(4), "big", signed=signed)

    def field(self) -> bytes:
        """Reads a length-prefixed field, without decompression."""
        return self._take(self.number())

    def text(self) -> str:
        """Reads a field as UTF-8; invalid bytes become U+FFFD."""
        return self.field().decode("utf-8", "replace")

    def payload(self) -> bytes:
        """Reads a field, and decompresses it if the header says so.

        Raises:
            ProtocolError: the compression is unknown or malformed, or the data inflates to more
                than `LARGEST_INFLATED_BYTES`.
        """
        data = self.field()
        if not data or self._compression == _PLAIN:
            return data
        if self._compression != _GZIP:
            raise ProtocolError(f"a frame has the unknown compression {self._compression}")
        return inflate(data)

    def _take(self, size: int) -> bytes:
        if size > self.remaining:
            raise ProtocolError("a frame is shorter than its length fields")
        taken = bytes(self._body[:size])
        self._body = self._body[size:]
        return taken


def inflate(data: bytes) -> bytes:
    """Decompresses gzip data.

    Raises:
        ProtocolError: the data is not gzip, or inflates to more than `LARGEST_INFLATED_BYTES`.
    """
    inflater = zlib.decompressobj(GZIP_WINDOW)
    try:
        # One byte above the limit, to distinguish data of exactly the allowed size.
        plain = inflater.decompress(data, LARGEST_INFLATED_BYTES + 1)
    except zlib.error as error:
        raise ProtocolError(f"a frame's gzip data is malformed: {error}") from None
    if len(plain) > LARGEST_INFLATED_BYTES:
        raise ProtocolError(f"a frame inflates to more than {LARGEST_INFLATED_BYTES} bytes")
    if not inflater.eof:
        raise ProtocolError("a frame's gzip data is incomplete")
    return plain
