"""A leg's one timer: fires at the machine's next deadline."""

import asyncio
from collections.abc import Callable
from math import ceil


class DeadlineTimer:
    """Call `set` after each event, and after `on_due`.

    Args:
        now_ms: the leg's clock.
        due_ms: the next deadline on it; infinity: none.
        on_due: called at the deadline.
    """

    def __init__(
        self, now_ms: Callable[[], float], due_ms: Callable[[], float], on_due: Callable[[], None]
    ) -> None:
        self._now_ms = now_ms
        self._due_ms = due_ms
        self._on_due = on_due
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._set_for_ms = 0.0

    def set(self, now_ms: float) -> None:
        """Call this when the deadline may have changed. A timer that is set for an earlier time is
        kept: when it fires, the deadline is read again."""
        due_ms = self._due_ms()
        if self._timer is not None:
            if self._set_for_ms <= due_ms:
                return
            self.cancel()
        if due_ms != float("inf"):
            self._set_for_ms = due_ms
            # uvloop rounds to whole ms: what is rounded to 0 would fire again and again until then.
            wait_ms = max(0, ceil(due_ms - now_ms))
            self._timer = self._loop.call_later(wait_ms / 1000, self._fired)

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fired(self) -> None:
        self._timer = None
        now_ms = self._now_ms()
        if now_ms < self._due_ms():
            self.set(now_ms)
        else:
            self._on_due()
