"""A flag that a task waits for, and a queue: as asyncio's, for what every call has of its own.

An `asyncio.Event` takes 0.8 kB and an `asyncio.Queue` 3 kB: each of their deques is 0.7 kB, empty
too.
"""

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Flag:
    """As `asyncio.Event`."""

    __slots__ = ("_set", "_waiting")

    def __init__(self) -> None:
        self._set = False
        self._waiting: list[asyncio.Future[None]] | None = None

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        waiting, self._waiting = self._waiting or (), None
        for each in waiting:
            if not each.done():
                each.set_result(None)

    def clear(self) -> None:
        self._set = False

    async def wait(self) -> None:
        """Wait until it is set; it may be clear again when this returns."""
        if not self._set:
            if self._waiting is None:
                self._waiting = []
            future = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            try:
                await future
            finally:
                if self._waiting is not None and future in self._waiting:  # cancelled
                    self._waiting.remove(future)


class Mailbox(Generic[T]):
    """As an `asyncio.Queue` without a bound, for one reader."""

    __slots__ = ("_has_any", "_messages")

    def __init__(self) -> None:
        self._messages: list[T] = []
        self._has_any = Flag()

    def qsize(self) -> int:
        return len(self._messages)

    def empty(self) -> bool:
        return not self._messages

    def put_nowait(self, message: T) -> None:
        self._messages.append(message)
        self._has_any.set()

    async def get(self) -> T:
        """The oldest message, as soon as there is one."""
        while not self._messages:
            self._has_any.clear()
            await self._has_any.wait()
        return self._messages.pop(0)
