"""What a leg is sent and no call has: dropped where it costs least, and counted.

A ticket opens a socket to any client that has it. Floods of frames end in the server
(app/web/server/websocket.py); what is below that may still be more than a machine should be fed.
"""

import logging

from app.errors import ProtocolError

logger = logging.getLogger(__name__)

MOST_KEYS = 200  # at once: after a stall, from a machine that dials
KEYS_PER_S = 20.0  # such machines press about twelve
MOST_LINES = 500  # of the log, about messages that are none


class InboundLimits:
    """Tell it of each mark sent; ask it whether a mark or key that came may be one of the call's.
    Call `tell` at the leg's end."""

    def __init__(self, call_sid: str) -> None:
        self._call_sid = call_sid
        self._marks_out = 0
        self._keys_left = float(MOST_KEYS)
        self._keys_ms = 0.0
        self._marks = 0
        self._keys = 0
        self._bad_messages = 0

    def mark_sent(self) -> None:
        self._marks_out += 1

    def takes_mark(self) -> bool:
        """Whether a mark that came may be the echo of one that was sent."""
        if self._marks_out:
            self._marks_out -= 1
            return True
        self._marks += 1
        return False

    def takes_key(self, now_ms: float) -> bool:
        """Whether a key that came may have been pressed."""
        earned = (now_ms - self._keys_ms) / 1000 * KEYS_PER_S
        self._keys_left, self._keys_ms = min(MOST_KEYS, self._keys_left + earned), now_ms
        if self._keys_left >= 1:
            self._keys_left -= 1
            return True
        self._keys += 1
        return False

    def bad_message(self, sender: str, error: ProtocolError) -> None:
        """A message was ignored."""
        self._bad_messages += 1
        if self._bad_messages <= MOST_LINES:
            extra = {
                "call_sid": self._call_sid,
                "sender": sender,
                "count": self._bad_messages,
                "error": str(error),
            }
            logger.warning("message ignored", extra=extra)

    def tell(self) -> None:
        """Log what was not told message by message."""
        more_messages = max(0, self._bad_messages - MOST_LINES)
        if self._marks or self._keys or more_messages:
            extra = {
                "call_sid": self._call_sid,
                "marks": self._marks,
                "keys": self._keys,
                "bad_messages": more_messages,
            }
            logger.warning("surplus messages dropped", extra=extra)
