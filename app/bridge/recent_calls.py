"""Calls of the last minute: a webhook of Twilio's may arrive after the end of its call."""

from collections.abc import Callable
from time import monotonic

KEPT_S = 60.0


class RecentCalls:
    """Remembers call SIDs for `KEPT_S` at least. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._added_s: dict[str, float] = {}

    def __contains__(self, call_sid: str) -> bool:
        return call_sid in self._added_s

    def add(self, call_sid: str) -> None:
        """Remember a call from now on, and drop those that are too old."""
        now_s = self._clock()
        kept = {sid: at_s for sid, at_s in self._added_s.items() if at_s > now_s - KEPT_S}
        self._added_s = kept | {call_sid: now_s}
