"""Responses whose bodies do not end by themselves: streams of what happens on live calls."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

logger = logging.getLogger(__name__)

STUCK_S = 30.0  # a client that reads nothing for so long is disconnected


class EndlessResponse(Response):
    """It ends when the client disconnects, or does not read, or when there are no more pieces.

    Args:
        pieces: makes the pieces of the body. It is closed in every case.
        name: of the stream, for the log.
    """

    def __init__(
        self, pieces: Callable[[], AsyncGenerator[bytes, None]], media_type: str, name: str
    ) -> None:
        super().__init__()
        self._pieces = pieces
        self._media_type = media_type
        self._name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(self._send(send))
            leaving = group.create_task(_disconnected(receive))
            leaving.add_done_callback(lambda _: sending.cancel())
            sending.add_done_callback(lambda _: leaving.cancel())

    async def _send(self, send: Send) -> None:
        headers = [
            (b"content-type", self._media_type.encode("latin-1")),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            (b"x-accel-buffering", b"no"),  # a buffering proxy would delay the pieces
        ]
        async with aclosing(self._pieces()) as pieces:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            try:
                async for piece in pieces:
                    await self._write(send, piece)
                await self._write(send, b"", last=True)
            except TimeoutError:
                logger.info("stream closed: its client does not read", extra={"stream": self._name})

    @staticmethod
    async def _write(send: Send, body: bytes, *, last: bool = False) -> None:
        async with asyncio.timeout(STUCK_S):
            await send({"type": "http.response.body", "body": body, "more_body": not last})


async def _disconnected(receive: Receive) -> None:
    """Wait until the client disconnects, or the server stops."""
    while (await receive())["type"] != "http.disconnect":
        pass
