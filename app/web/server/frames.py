"""WebSocket frames (RFC 6455, section 5.2): the frames of media streams, parsed and made quickly.

Nearly every frame of a client has the same form: one whole text message, masked, shorter than
`MOST_PLAIN_BYTES`. `FrameReader` parses these plain frames, at a fifth of the cost of the
websockets library. It passes every other frame to the library: control frames, fragments, long
messages, and violations of the protocol.
"""

import struct

from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

try:
    from websockets.speedups import apply_mask
except ImportError:  # no compiled extension on this platform
    from websockets.utils import apply_mask

#: The longest plain frame. Twilio's media messages have about 340 bytes.
MOST_PLAIN_BYTES = 4096

_TEXT, _PLAIN = 0x81, (0x81, 0x82)  # text; text and binary; with FIN and no reserved bit
_MASKED = 0x80
_MASK_BYTES = 4
_16_BITS, _64_BITS = 126, 127  # in place of a length: it follows in so many bits
_MASKED_16_BITS = _MASKED | _16_BITS
_HEADER_BYTES = 8  # of a masked frame with a length of 16 bits
_TEXT_16_BITS = struct.Struct("!BBH").pack
_LONGEST_16_BITS = 0xFFFF


class FrameReader:
    """The frames of one client. `conn`: the library's side of the connection, after the handshake;
    it answers pings and closing frames: write its `data_to_send`."""

    def __init__(self, conn: ServerProtocol) -> None:
        self._conn = conn
        self._kept = b""  # the beginning of a plain frame, or of a header
        self._left_bytes = 0  # of a frame that the library parses, not received so far
        self._fragmented = False  # a message has begun, and continues in another frame
        self._ended = False
        self._amid = False  # any of these is set: what comes next is no frame of its own

    def receive_one(self, data: bytes | bytearray) -> bytes | None:
        """Parse a read that is one whole text frame, as nearly all reads of a media stream are.

        Returns:
            Its message. None: it is something else; pass it to `receive`.
        """
        size_bytes = len(data)
        if (
            size_bytes > _HEADER_BYTES
            and data[0] == _TEXT
            and data[1] == _MASKED_16_BITS
            and size_bytes == _HEADER_BYTES + (data[2] << 8) + data[3]
            and size_bytes <= _HEADER_BYTES + MOST_PLAIN_BYTES
            and not self._amid
        ):
            return apply_mask(data[_HEADER_BYTES:], data[4:_HEADER_BYTES])
        return None

    def receive(self, data: bytes | bytearray) -> list[bytes | Frame]:
        """Parse more bytes of the client.

        Returns:
            The frames that they complete, in order: of a plain one its message. If
            `conn.parser_exc` is set afterwards, the client violated the protocol: close. What
            follows that, or a closing frame, is ignored.
        """
        if self._kept:
            data, self._kept = self._kept + data, b""
        received: list[bytes | Frame] = []
        start, end = 0, len(data)
        while start < end and not self._ended:
            if self._left_bytes:
                stop = start + self._left_bytes
                self._pass_on(data[start:stop], received)
                start = stop
                continue
            if end - start < 2:
                self._kept = bytes(data[start:])
                break
            first, second = data[start], data[start + 1]
            size, header_bytes = second & 0x7F, 2
            if size >= _16_BITS:
                header_bytes = 4 if size == _16_BITS else 10
                if end - start < header_bytes:
                    self._kept = bytes(data[start:])
                    break
                size = int.from_bytes(data[start + 2 : start + header_bytes], "big")
            if second & _MASKED:
                header_bytes += _MASK_BYTES
            begin = start + header_bytes
            stop = begin + size
            if (
                first not in _PLAIN
                or self._fragmented
                or size > MOST_PLAIN_BYTES
                or not second & _MASKED
            ):
                self._left_bytes = stop - start
            elif stop > end:
                self._kept = bytes(data[start:])
                break
            else:
                received.append(apply_mask(data[begin:stop], data[begin - _MASK_BYTES : begin]))
                start = stop
        self._amid = bool(self._kept or self._left_bytes or self._fragmented or self._ended)
        return received

    def _pass_on(self, data: bytes | bytearray, received: list[bytes | Frame]) -> None:
        """Let the library parse a frame, or a part of it."""
        conn = self._conn
        self._left_bytes -= len(data)
        conn.receive_data(data)
        for frame in conn.events_received():
            assert isinstance(frame, Frame)  # the request came before
            received.append(frame)
            if frame.opcode is Opcode.CLOSE:
                self._ended = True
            elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._fragmented = not frame.fin
        if conn.parser_exc is not None:
            self._ended = True


def text_frame(message: str) -> bytes:
    """A server's frame with one whole text message."""
    data = message.encode()
    size = len(data)
    if size < _16_BITS:
        return bytes((0x81, size)) + data
    if size <= _LONGEST_16_BITS:
        return _TEXT_16_BITS(0x81, _16_BITS, size) + data
    return struct.pack("!BBQ", 0x81, _64_BITS, size) + data
