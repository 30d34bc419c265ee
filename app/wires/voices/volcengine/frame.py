"""Volcengine's binary frame: its header, its sized fields, and gzip with a limit.

All integers are big-endian; sizes count bytes as they are on the wire, after compression.
(Volcengine: speech synthesis, WebSocket binary protocol)
"""

import gzip
import zlib
from dataclasses import dataclass
from enum import IntEnum

from app.errors import ProtocolError

LARGEST_INFLATED_BYTES = 8 << 20  # more than four minutes of sound at 16 kHz
GZIP_WINDOW = 31  # zlib's word for "gzip, with its own header and checksum"


class Kind(IntEnum):
    """Message types."""

    REQUEST = 0x1
    ANSWER = 0x9  # v3 only; deprecated in v1
    AUDIO = 0xB
    FRONTEND = 0xC
    ERROR = 0xF


class Flags(IntEnum):
    """What stands in front of a payload."""

    NONE = 0
    SEQUENCE = 1
    LAST = 2  # the demo counts here, the vendor's newer library does not
    LAST_SEQUENCE = 3
    EVENT = 4  # v3 only


_JSON = 1
_PLAIN, _GZIP = 0, 1


def request(flags: Flags, fields: bytes, payload: bytes, *, compress: bool) -> bytes:
    """A frame with JSON for the server. `fields`: what stands between the header and the size of
    the payload, as it goes over the wire."""
    header = bytes((0x11, Kind.REQUEST << 4 | flags, _JSON << 4 | compress, 0))
    return header + fields + sized(gzip.compress(payload) if compress else payload)


def sized(data: bytes) -> bytes:
    """Data behind its size."""
    return len(data).to_bytes(4, "big") + data


@dataclass(slots=True)
class Reader:
    """What stands in a frame behind its header, taken from the front. `kind`: a message type, known
    or not."""

    kind: int
    flags: int
    _compression: int
    _body: memoryview

    @classmethod
    def of(cls, frame: bytes) -> "Reader":
        """Read the header, its extensions too.

        Raises:
            ProtocolError: it is none.
        """
        if len(frame) < 4:
            raise ProtocolError("a frame is shorter than its header")
        size = (frame[0] & 15) * 4
        if frame[0] >> 4 != 1 or not 0 < size <= len(frame):
            raise ProtocolError("a frame's header is not of version 1, or cut off")
        body = memoryview(frame)[size:]
        return cls(frame[1] >> 4, frame[1] & 15, frame[2] & 15, body)

    @property
    def left(self) -> int:
        """Bytes that are not taken yet."""
        return len(self._body)

    @property
    def negative(self) -> bool:
        """Whether a number below zero comes next."""
        return self.left > 0 and self._body[0] >= 0x80

    @property
    def single(self) -> bool:
        """Whether what is left is one field."""
        after = self.left - 4
        return after >= 0 and 0 <= after - int.from_bytes(self._body[:4], "big") < 4

    def number(self, *, signed: bool = False) -> int:
        """Take a number of 32 bits."""
        return int.from_bytes(self._take(4), "big", signed=signed)

    def field(self) -> bytes:
        """Take a field that stands behind its size, as it is."""
        return self._take(self.number())

    def text(self) -> str:
        """Take a field as text; what is no UTF-8 in it is replaced."""
        return self.field().decode("utf-8", "replace")

    def payload(self) -> bytes:
        """Take a field that is compressed if the header says so.

        Raises:
            ProtocolError: it is not what the header says, or larger than `LARGEST_INFLATED_BYTES`.
        """
        data = self.field()
        if not data or self._compression == _PLAIN:
            return data
        if self._compression != _GZIP:
            raise ProtocolError(f"a frame is compressed in an unknown way, {self._compression}")
        return inflate(data)

    def _take(self, size: int) -> bytes:
        if size > self.left:
            raise ProtocolError("a frame is shorter than it says")
        taken = bytes(self._body[:size])
        self._body = self._body[size:]
        return taken


def inflate(data: bytes) -> bytes:
    """What was packed with gzip.

    Raises:
        ProtocolError: it was not, or it is larger than `LARGEST_INFLATED_BYTES`.
    """
    inflater = zlib.decompressobj(GZIP_WINDOW)
    try:
        # one byte more, so that what is exactly as large as allowed can be told apart
        plain = inflater.decompress(data, LARGEST_INFLATED_BYTES + 1)
    except zlib.error as error:
        raise ProtocolError(f"a frame's gzip is broken: {error}") from None
    if len(plain) > LARGEST_INFLATED_BYTES:
        raise ProtocolError(f"a frame inflates to more than {LARGEST_INFLATED_BYTES} bytes")
    if not inflater.eof:
        raise ProtocolError("a frame's gzip is cut off")
    return plain
