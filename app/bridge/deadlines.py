"""A deadline that holds even for work that takes long to be cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_Result = TypeVar("_Result")

_late: set[asyncio.Task[Any]] = set()  # cancelled, and not done yet


async def within(seconds: float, work: Coroutine[Any, Any, _Result]) -> _Result:
    """The result of `work`. Past the deadline it is cancelled and not waited for: a database's
    driver may need a second to let go of what it is doing.

    Raises:
        TimeoutError: it took longer.
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
    _late.add(task)
    task.add_done_callback(_let_go)


def _let_go(task: asyncio.Task[Any]) -> None:
    _late.discard(task)
    if not task.cancelled():
        task.exception()  # its own fault comes too late to matter
