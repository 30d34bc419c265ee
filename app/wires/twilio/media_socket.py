"""The media socket's sending side: messages go out in order, and a full socket is noticed.

An ASGI server takes messages only with `await send(...)`, and performing a command never waits. So
a message is given to `send` and taken one step: on a healthy socket that is all it needs. What a
full socket does not take waits here for the socket's writer.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, MutableMapping
from typing import Any

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

FULL_CHARS = 128 * 1024  # waiting for the socket: about twelve seconds of audio
EMPTY_CHARS = 16 * 1024


class MediaOutbox:
    """What one media stream is still to be told. `on_blocked` and `on_unblocked` are called as the
    socket stops and begins to take messages."""

    def __init__(
        self, send: Send, on_blocked: Callable[[], None], on_unblocked: Callable[[], None]
    ) -> None:
        self._send = send
        self._on_blocked = on_blocked
        self._on_unblocked = on_unblocked
        self._waiting: deque[str] = deque()
        self._waiting_chars = 0
        self._work = asyncio.Event()
        self._begun: _Begun | None = None  # a message that the socket did not take at once
        self._error: Exception | None = None
        self._blocked = False
        self._close_code: int | None = None

    def put(self, messages: list[str]) -> None:
        """Send these after all before them."""
        for message in messages:
            if self._work.is_set() or not self._sent_at_once(message):
                self._waiting.append(message)
                self._waiting_chars += len(message)
        if not self._blocked and self._waiting_chars > FULL_CHARS:
            self._blocked = True
            self._on_blocked()

    def close(self, code: int = 1000) -> None:
        """Close the socket when everything before is sent."""
        self._close_code = code
        self._work.set()

    async def run(self) -> None:
        """Write what had to wait, until `close` or until the socket fails: that is raised."""
        while True:
            await self._work.wait()
            if self._error is not None:
                raise self._error
            if self._begun is not None:
                await self._begun
                self._begun = None
            while self._waiting:
                message = self._waiting.popleft()
                self._waiting_chars -= len(message)
                await self._send(_text(message))
                if self._blocked and self._waiting_chars < EMPTY_CHARS:
                    self._blocked = False
                    self._on_unblocked()
            if self._close_code is not None:
                await self._send({"type": "websocket.close", "code": self._close_code})
                return
            self._work.clear()

    def _sent_at_once(self, message: str) -> bool:
        """Whether this message needs no more. If not, the writer has been woken for the rest: a
        message begun counts as sent, one that could not be begun is to wait."""
        sending = self._send(_text(message))
        if not isinstance(sending, Coroutine):  # a server may return any awaitable
            sending = _as_coroutine(sending)
        try:
            waits_for = sending.send(None)
        except StopIteration:
            return True
        except Exception as error:
            self._error = error
        else:
            self._begun = _Begun(sending, waits_for)
        self._work.set()
        return True


class _Begun:
    """The rest of a coroutine that was taken one step by hand, to be awaited."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], waits_for: object) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, None]:
        waits_for = self._waits_for
        while True:
            try:
                yield waits_for
            except BaseException as error:
                try:
                    waits_for = self._coroutine.throw(error)
                except StopIteration:
                    return
            else:
                try:
                    waits_for = self._coroutine.send(None)
                except StopIteration:
                    return


async def _as_coroutine(awaitable: Awaitable[None]) -> None:
    await awaitable


def _text(message: str) -> dict[str, str]:
    return {"type": "websocket.send", "text": message}
