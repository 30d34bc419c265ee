"""How often the line of a call failed lately, and when it is tried again.

Pure: time is an argument. A line fails when Twilio asks what comes after a stream though the call
goes on: its handshake was refused, it never came, or it was lost.
"""

from dataclasses import dataclass, field

NO_HANDSHAKE = "no WebSocket handshake arrived; does the proxy pass WebSockets on?"


@dataclass(frozen=True, slots=True)
class RetryLimits:
    """When a line counts as broken for good. Seconds."""

    #: A stream that carried the call so long has worked.
    works_s: float = 3.0
    #: So many streams that worked and were lost within `window_s` are too many.
    most_losses: int = 5
    window_s: float = 60.0
    #: So many failures in a row without a stream that worked are too many,
    most_failures: int = 5
    #: and so is one that comes so long after the first of them.
    give_up_s: float = 12.0
    #: Waits before the next try, one after the other, while no stream works.
    pauses_s: tuple[int, ...] = (1, 2, 4, 6)


@dataclass(slots=True)
class StreamRetries:
    """The failures of one call's line. A minute that went well makes up for all before it."""

    limits: RetryLimits = field(default_factory=RetryLimits)
    #: Why the present handshake failed, as far as the media door said.
    cause: str = ""
    _lost_s: list[float] = field(default_factory=list)
    _failed_s: list[float] = field(default_factory=list)  # since a stream worked last

    def failed(self, now_s: float, carried_s: float) -> int | None:
        """The line failed once more. `carried_s`: how long its stream carried the call, 0 if it
        never began. Returns how many seconds to wait before the next try (0: try at once, without
        a word), or None: give it up."""
        limits, self.cause = self.limits, ""
        forgotten_s = now_s - limits.window_s
        if carried_s >= limits.works_s:
            self._failed_s.clear()
            self._lost_s = [at_s for at_s in self._lost_s if at_s > forgotten_s] + [now_s]
            return 0 if len(self._lost_s) < limits.most_losses else None
        if self._failed_s and self._failed_s[-1] <= forgotten_s:
            self._failed_s.clear()
        self._failed_s.append(now_s)
        count = len(self._failed_s)
        if count >= limits.most_failures or now_s >= self._failed_s[0] + limits.give_up_s:
            return None
        if carried_s > 0 and count == 1:
            return 0
        return limits.pauses_s[min(count, len(limits.pauses_s)) - 1]
