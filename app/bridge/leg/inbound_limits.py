"""Limits of what a leg accepts from its peers; the rest is dropped and counted.

Any client with a ticket can open a media socket. The server ends sockets that flood it
(app/web/server/websocket.py); slower ones could still feed a machine more than a call contains.
"""

import logging

from app.errors import ProtocolError

logger = logging.getLogger(__name__)

MOST_KEYS = 200  # at once: after a stall, from a machine that dials
KEYS_PER_S = 20.0  # such machines press about twelve
MOST_LINES = 500  # of the log, about malformed messages


class InboundLimits:
    """Call `mark_sent` for each mark, ask before a mark or key is fed to the machine, and call
    `log_dropped` at the leg's end."""

    def __init__(self, call_sid: str) -> None:
        self._call_sid = call_sid
        self._marks_out = 0
        self._keys_left = float(MOST_KEYS)
        self._keys_ms = 0.0
        self._dropped_marks = 0
        self._dropped_keys = 0
        self._bad_messages = 0

    def mark_sent(self) -> None:
        self._marks_out += 1

    def accepts_mark(self) -> bool:
        """Whether a mark that came may be the echo of one that was sent."""
        if self._marks_out:
            self._marks_out -= 1
            return True
        self._dropped_marks += 1
        return False

    def accepts_key(self, now_ms: float) -> bool:
        """Whether keys come no faster than a caller or a dialling machine presses them."""
        earned = (now_ms - self._keys_ms) / 1000 * KEYS_PER_S
        self._keys_left, self._keys_ms = min(MOST_KEYS, self._keys_left + earned), now_ms
        if self._keys_left >= 1:
            self._keys_left -= 1
            return True
        self._dropped_keys += 1
        return False

    def bad_message(self, sender: str, error: ProtocolError) -> None:
        """Log a malformed message that is ignored; from `MOST_LINES` on only count it."""
        self._bad_messages += 1
        if self._bad_messages <= MOST_LINES:
            extra = {
                "call_sid": self._call_sid,
                "sender": sender,
                "count": self._bad_messages,
                "error": str(error),
            }
            logger.warning("message ignored", extra=extra)

    def log_dropped(self) -> None:
        """Log how much was dropped without a line of its own."""
        more_messages = max(0, self._bad_messages - MOST_LINES)
        if self._dropped_marks or self._dropped_keys or more_messages:
            extra = {
                "call_sid": self._call_sid,
                "marks": self._dropped_marks,
                "keys": self._dropped_keys,
                "bad_messages": more_messages,
            }
            logger.warning("surplus messages dropped", extra=extra)
