"""WebSocket frames of a client (RFC 6455, section 5.2): several text messages for one write.

picows makes one write of each message, and the websockets library takes several times as long.
"""

import os
import struct
from collections.abc import Sequence

try:
    from websockets.speedups import apply_mask
except ImportError:  # no compiled extension on this platform
    from websockets.utils import apply_mask

_TEXT = 0x81  # with FIN and no reserved bit
_MASKED = 0x80
_MASK_BYTES = 4
_16_BITS, _64_BITS = 126, 127  # in place of a length: it follows in so many bits
_LONGEST_16_BITS = 0xFFFF
_HEAD_16_BITS, _HEAD_64_BITS = struct.Struct("!BBH").pack, struct.Struct("!BBQ").pack


def text_frames(messages: Sequence[bytes]) -> bytes:
    """Whole text messages in UTF-8, each masked with random bytes of its own."""
    masks = os.urandom(_MASK_BYTES * len(messages))
    parts: list[bytes] = []
    for number, message in enumerate(messages):
        mask = masks[_MASK_BYTES * number : _MASK_BYTES * (number + 1)]
        parts += (_head(len(message)), mask, apply_mask(message, mask))
    return b"".join(parts)


def _head(size_bytes: int) -> bytes:
    if size_bytes < _16_BITS:
        return bytes((_TEXT, _MASKED | size_bytes))
    if size_bytes <= _LONGEST_16_BITS:
        return _HEAD_16_BITS(_TEXT, _MASKED | _16_BITS, size_bytes)
    return _HEAD_64_BITS(_TEXT, _MASKED | _64_BITS, size_bytes)
