"""How often the stream of a call failed lately, and how long to wait before the next one.

Pure: time is an argument. A stream fails when Twilio asks what comes after it though the call goes
on: its handshake was refused, or never came, or the stream was lost.
"""

from dataclasses import dataclass, field

NO_HANDSHAKE = "no WebSocket handshake arrived; does the proxy pass WebSockets on?"


@dataclass(frozen=True, slots=True)
class RetryLimits:
    """When to give a call's stream up."""

    #: A stream that carried the call for this long has worked.
    works_s: float = 3.0
    #: Give up at this many streams that worked and were lost within `window_s`.
    most_losses: int = 5
    window_s: float = 60.0
    #: Give up at this many failures in a row without a stream that worked,
    most_failures: int = 5
    #: and at a failure that comes this long after the first of them.
    give_up_s: float = 12.0
    #: Waits before each retry while no stream works, in seconds.
    pauses_s: tuple[int, ...] = (1, 2, 4, 6)


@dataclass(slots=True)
class StreamRetries:
    """The failures of one call's streams. After `window_s` without a failure they are forgotten."""

    limits: RetryLimits = field(default_factory=RetryLimits)
    #: Why the handshake was refused last; empty: unknown. `failed` clears it.
    cause: str = ""
    _lost_s: list[float] = field(default_factory=list)
    _failed_s: list[float] = field(default_factory=list)  # since a stream worked last

    @property
    def times(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """When streams that worked were lost, and when others failed since."""
        return tuple(self._lost_s), tuple(self._failed_s)

    def failed(self, now_s: float, carried_s: float) -> int | None:
        """Count one more failure.

        Args:
            now_s: seconds of a clock, for all of a call's streams the same one.
            carried_s: how long the stream carried the call; 0 if it never started.

        Returns:
            Seconds to wait before the next stream, 0: open it at once, without a word to the
            caller. None: give up.
        """
        limits, self.cause = self.limits, ""
        too_old_s = now_s - limits.window_s
        if carried_s >= limits.works_s:
            self._failed_s.clear()
            self._lost_s = [at_s for at_s in self._lost_s if at_s > too_old_s] + [now_s]
            return 0 if len(self._lost_s) < limits.most_losses else None
        if self._failed_s and self._failed_s[-1] <= too_old_s:
            self._failed_s.clear()
        self._failed_s.append(now_s)
        count = len(self._failed_s)
        if count >= limits.most_failures or now_s >= self._failed_s[0] + limits.give_up_s:
            return None
        if carried_s > 0 and count == 1:
            return 0
        return limits.pauses_s[min(count, len(limits.pauses_s)) - 1]
