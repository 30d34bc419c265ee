"""SIGINT and SIGTERM while the service opens and closes. While it serves, the server has them."""

import asyncio
import signal
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def cancel_on_signal() -> Generator[None, None, None]:
    """Around the present task: the first signal cancels it, and its cancellation ends here; further
    ones change nothing, because what is open is being closed by then."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    came = False

    def stop() -> None:
        nonlocal came
        if not came:
            came = True
            task.cancel()

    def handle(_number: int, _frame: FrameType | None) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(stop)

    before = {number: signal.signal(number, handle) for number in STOPPING}
    try:
        yield
    except asyncio.CancelledError:
        if not came:
            raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
