"""`GET /events`: what happens on the live calls, as a stream of JSON lines.

The first line has all live calls; each line after it has what changed of one. A client that gets
the stream again after it was cut starts over with the first line.
"""

import asyncio
import logging
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from app.web.api_token import TokenRoute, require_token
from app.web.app_state import State
from app.web.live.board import Board, Client

logger = logging.getLogger(__name__)

GATHER_S = 0.2  # changes within it share a batch
QUIET_S = 15.0  # after so long without news an empty line shows that the stream is open
STUCK_S = 30.0  # a client that reads nothing for so long is disconnected
MOST_CLIENTS = 50

router = APIRouter(
    tags=["calls"],
    route_class=TokenRoute,
    dependencies=[Depends(require_token)],
    include_in_schema=False,  # it never ends: programs that try every route would wait
)

Followed = Annotated[str, Query(description="the call whose turns are sent too", max_length=64)]


@router.get("/events")
async def events(state: State, call: Followed = "") -> Response:
    """JSON lines, by `type`: `calls` with every live call, first; `call` with a call that changed;
    `ended` with a `call_sid`; `turns` with the changed turns of the call that `call` names. Empty
    lines have no meaning."""
    if state.board.clients >= MOST_CLIENTS:
        detail = f"{MOST_CLIENTS} clients follow the calls; close one of them"
        raise HTTPException(503, detail, {"Retry-After": "5"})
    return _Stream(state.board, call)


class _Stream(Response):
    """One client's stream. It ends when the client disconnects, or does not read."""

    def __init__(self, board: Board, call_sid: str) -> None:
        super().__init__()
        self._board = board
        self._call_sid = call_sid

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = self._board.follow(self._call_sid)
        try:
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(self._send(client, send))
                leaving = group.create_task(_disconnected(receive))
                leaving.add_done_callback(lambda _: sending.cancel())
                sending.add_done_callback(lambda _: leaving.cancel())
        finally:
            self._board.leave(client)

    async def _send(self, client: Client, send: Send) -> None:
        headers = [
            (b"content-type", b"application/x-ndjson"),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            (b"x-accel-buffering", b"no"),  # a buffering proxy would delay the lines
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        batch = client.first()
        try:
            while not client.closed:
                if batch:
                    await self._write(send, batch)
                batch = await self._next(client)
            await self._write(send, batch, last=True)
        except TimeoutError:
            logger.info("stream of live calls closed: its client does not read")

    @staticmethod
    async def _write(send: Send, body: bytes, *, last: bool = False) -> None:
        async with asyncio.timeout(STUCK_S):
            await send({"type": "http.response.body", "body": body, "more_body": not last})

    async def _next(self, client: Client) -> bytes:
        try:
            async with asyncio.timeout(QUIET_S):
                await client.news()
        except TimeoutError:
            return b"\n"
        if not client.closed:
            await asyncio.sleep(GATHER_S)
        return client.batch()


async def _disconnected(receive: Receive) -> None:
    """Wait until the client disconnects, or the server stops."""
    while (await receive())["type"] != "http.disconnect":
        pass
