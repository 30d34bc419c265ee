"""The media socket's sending side: messages go out in order, and a full socket is noticed.

An ASGI server takes messages only with `await send(...)`, and performing a command never waits. So
one writer per socket drains a queue; on a healthy socket a message is out before the event loop
comes round again.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
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
        self._blocked = False
        self._close_code: int | None = None

    def put(self, messages: list[str]) -> None:
        """Send these after all before them."""
        self._waiting.extend(messages)
        self._waiting_chars += sum(map(len, messages))
        self._work.set()
        if not self._blocked and self._waiting_chars > FULL_CHARS:
            self._blocked = True
            self._on_blocked()

    def close(self, code: int = 1000) -> None:
        """Close the socket when everything before is sent."""
        self._close_code = code
        self._work.set()

    async def run(self) -> None:
        """Write until `close`, or until the socket fails (OSError and what the server raises)."""
        while True:
            await self._work.wait()
            while self._waiting:
                message = self._waiting.popleft()
                self._waiting_chars -= len(message)
                await self._send({"type": "websocket.send", "text": message})
                if self._blocked and self._waiting_chars < EMPTY_CHARS:
                    self._blocked = False
                    self._on_unblocked()
            if self._close_code is not None:
                await self._send({"type": "websocket.close", "code": self._close_code})
                return
            self._work.clear()
