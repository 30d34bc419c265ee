"""Deadlines for the many waits of one text, with one timer."""

import asyncio
from types import TracebackType


class Waits:
    """The waits of one task, one after the other, each with its deadline.

        with waits.within(2.0):
            piece = await more()

    As `asyncio.timeout` for each, at a fraction of the cost: a timer is set once, and moved only
    when it fires. Call `close` after the last one.

    Raises:
        TimeoutError: a deadline passed, and the wait was cancelled for it.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0  # requests to cancel the task that came before the wait
        self._due_s: float | None = None  # None: nothing is awaited
        self._timer: asyncio.TimerHandle | None = None
        self._passed = False

    def within(self, wait_s: float) -> "Waits":
        """The next wait lasts at most `wait_s` seconds from now on."""
        self._task = asyncio.current_task()
        assert self._task is not None, "only a task can be cancelled"
        self._cancelling = self._task.cancelling()
        self._due_s = due_s = self._loop.time() + wait_s
        if self._timer is not None and self._timer.when() > due_s:
            self.close()
        if self._timer is None:
            self._timer = self._loop.call_at(due_s, self._fired)
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._due_s = None
        if self._passed:
            self._passed = False
            assert self._task is not None
            others = self._task.uncancel() > self._cancelling
            if kind is asyncio.CancelledError and not others:
                raise TimeoutError from error

    def close(self) -> None:
        """End the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fired(self) -> None:
        self._timer = None
        if self._due_s is None or self._task is None:
            return  # the next wait sets a timer
        if self._loop.time() < self._due_s:
            self._timer = self._loop.call_at(self._due_s, self._fired)
        else:
            self._passed = True
            self._task.cancel()
