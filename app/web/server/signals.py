"""SIGINT and SIGTERM while the service starts and closes; `Server` handles them in between."""

import asyncio
import signal
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def cancel_on_signal() -> Generator[None, None, None]:
    """While the block runs, the first signal cancels the current task; the block then ends without
    an exception. Further signals are ignored, because the service is closing already."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    signalled = False

    def stop() -> None:
        nonlocal signalled
        if not signalled:
            signalled = True
            task.cancel()

    def handle(_number: int, _frame: FrameType | None) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(stop)

    before = {number: signal.signal(number, handle) for number in STOPPING}
    try:
        yield
    except asyncio.CancelledError:
        if not signalled:
            raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
