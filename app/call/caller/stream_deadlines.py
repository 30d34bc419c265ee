"""The line to the caller: a media stream that starts in time, and does not stay blocked."""

from app.call.deadlines import NEVER, next_after

#: Deadline for the media stream of a leg to start.
UNCLAIMED_MS = 30_000.0
#: Deadline for a blocked stream to take messages again.
STUCK_MS = 30_000.0


class StreamDeadlines:
    """The state of the media stream. A leg whose stream misses a deadline ends."""

    def __init__(self) -> None:
        #: The stream has started: the caller is on the line until the leg is over.
        self.connected = False
        self._start_by_ms = NEVER
        self._unblock_by_ms = NEVER

    def opened(self, now_ms: float) -> None:
        """The leg exists, and waits for its stream."""
        self._start_by_ms = now_ms + UNCLAIMED_MS

    def started(self) -> None:
        self.connected, self._start_by_ms = True, NEVER

    def blocked(self, now_ms: float) -> None:
        """The stream takes no messages."""
        self._unblock_by_ms = now_ms + STUCK_MS

    def unblocked(self) -> None:
        self._unblock_by_ms = NEVER

    def missed(self, now_ms: float) -> tuple[str, str] | None:
        """The deadline that has passed: what ended the leg, and why. None: none has."""
        if now_ms >= self._start_by_ms:
            return "unclaimed", f"no stream came for the call in {UNCLAIMED_MS:g} ms"
        if now_ms >= self._unblock_by_ms:
            return "stuck", f"the stream took nothing in {STUCK_MS:g} ms"
        return None

    def next_ms(self, now_ms: float) -> float:
        return next_after(now_ms, self._start_by_ms, self._unblock_by_ms)
