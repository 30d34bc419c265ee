"""Tasks that their starter does not wait for: each is kept until it ends, and none outlives it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Tasks:
    """The tasks of one object. Call `aclose` when it ends."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task; the event loop alone would keep only a weak reference to it."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def wait(self, timeout_s: float | None = None) -> None:
        """Wait until those that run now have ended, or for so long."""
        if self._running:
            await asyncio.wait({*self._running}, timeout=timeout_s)

    async def aclose(self) -> None:
        """Cancel those that still run, and wait until they have ended."""
        tasks = [*self._running]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
