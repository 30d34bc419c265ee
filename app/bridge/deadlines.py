"""A deadline that holds even for work that is slow to be cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_Result = TypeVar("_Result")

#: Work that was cancelled at its deadline and is not done yet. Only tests need to wait for it.
abandoned: set[asyncio.Task[Any]] = set()


async def within(seconds: float, work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run `work` and return its result. At the deadline it is cancelled and this returns at once:
    a database driver may need a second more to abort a query.

    Raises:
        TimeoutError: `work` took longer.
    """
    task = asyncio.create_task(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        _abandon(task)
        raise
    if not done:
        _abandon(task)
        raise TimeoutError(f"no result within {seconds:g} s")
    return task.result()


def _abandon(task: asyncio.Task[Any]) -> None:
    task.cancel()
    abandoned.add(task)
    task.add_done_callback(_done)


def _done(task: asyncio.Task[Any]) -> None:
    abandoned.discard(task)
    if not task.cancelled():
        task.exception()  # mark it as retrieved: the caller has a TimeoutError already
