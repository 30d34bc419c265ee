"""A leg's one timer: wakes its machine when something is due."""

import asyncio
from collections.abc import Callable


class DeadlineTimer:
    """`due_ms()`: when something is due, on the clock `now_ms()`; `ring()` is called then."""

    def __init__(
        self, now_ms: Callable[[], float], due_ms: Callable[[], float], ring: Callable[[], None]
    ) -> None:
        self._now_ms = now_ms
        self._due_ms = due_ms
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._set_for_ms = 0.0

    def set(self, now_ms: float) -> None:
        """To be called when what is due may have changed. A timer that fires early is left alone:
        it then looks again."""
        due_ms = self._due_ms()
        if self._timer is not None:
            if self._set_for_ms <= due_ms:
                return
            self.cancel()
        if due_ms != float("inf"):
            self._set_for_ms = due_ms
            self._timer = self._loop.call_later(max(0.0, due_ms - now_ms) / 1000, self._fired)

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
            self._ring()
