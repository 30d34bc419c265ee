"""`GET /events`: what happens on the live calls, as a stream of JSON lines.

The first line has all live calls; each line after it has what changed of one. A client that gets
the stream again after it was cut starts over with the first line.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query
from fastapi.responses import Response

from app.web.api.endless import EndlessResponse
from app.web.api_token import TokenRoute, require_token
from app.web.app_state import State
from app.web.live.board import Board, Client

GATHER_S = 0.2  # changes within it share a batch
QUIET_S = 15.0  # after so long without news an empty line shows that the stream is open
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
    board = state.board
    if board.clients >= MOST_CLIENTS:
        detail = f"{MOST_CLIENTS} clients follow the calls; close one of them"
        raise HTTPException(503, detail, {"Retry-After": "5"})
    return EndlessResponse(lambda: _lines(board, call), "application/x-ndjson", "live calls")


async def _lines(board: Board, call_sid: str) -> AsyncGenerator[bytes, None]:
    client = board.follow(call_sid)
    try:
        yield client.first()
        while not client.closed:
            if batch := await _next(client):
                yield batch
    finally:
        board.leave(client)


async def _next(client: Client) -> bytes:
    try:
        async with asyncio.timeout(QUIET_S):
            await client.news()
    except TimeoutError:
        return b"\n"
    if not client.closed:
        await asyncio.sleep(GATHER_S)
    return client.batch()
