"""`GET /calls/{call_sid}/listen`: both sides of a live call, as they are heard."""

from collections.abc import AsyncGenerator

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from app.bridge.listening import Heard
from app.bridge.operator_orders import OrderRefused
from app.web.api.calls import Sid
from app.web.api.endless import EndlessResponse
from app.web.api_token import TokenRoute, peer_of, require_token
from app.web.app_state import State

#: RFC 4856, interleaved: the caller's byte, the agent's byte.
MEDIA_TYPE = "audio/PCMU;rate=8000;channels=2"

router = APIRouter(
    prefix="/calls",
    tags=["calls"],
    route_class=TokenRoute,
    dependencies=[Depends(require_token)],
    include_in_schema=False,  # it never ends: programs that try every route would wait
)


@router.get("/{call_sid}/listen")
async def listen(request: Request, call_sid: Sid, state: State) -> Response:
    """Both sides of a live call while it lives, µ-law at 8000 Hz: of each sample the caller's byte
    and the agent's. The caller is silent while they enter secret digits. Who listens, and when, is
    in the call's record."""
    try:
        heard = await state.listening.begin(call_sid, peer_of(request.scope))
    except OrderRefused as refused:
        raise HTTPException(refused.status, str(refused)) from refused
    return _Listening(heard)


class _Listening(EndlessResponse):
    """It ends the listening in every case, also where the client is gone already."""

    def __init__(self, heard: Heard) -> None:
        super().__init__(self._sound, MEDIA_TYPE, "listening in")
        self._heard = heard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._heard.aclose()

    async def _sound(self) -> AsyncGenerator[bytes, None]:
        while (piece := await self._heard.piece()) is not None:
            if piece:
                yield piece
