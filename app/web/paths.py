"""Which paths there are, as strangers and proxies spell them, and a line for each that is none."""

import difflib
import logging
from collections.abc import Iterator
from typing import NoReturn

from fastapi import FastAPI, HTTPException, Request
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app.web.media_door import refused
from app.web.security import TokenRoute, check_token, peer_of
from app.web.signed import SignedRoute
from app.web.webhooks import Gate, form_of

logger = logging.getLogger(__name__)

MEDIA = "/media-stream"


class WithoutSlash:
    """A path with a slash at its end is the one without: a redirect would cost a webhook its form,
    and many of Twilio's users type the slash. What was signed stays in `raw_path`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if path.endswith("/") and path != "/":
            scope = {**scope, "path": path.rstrip("/") or "/"}
        await self._app(scope, receive, send)


async def check_lock(app: FastAPI, request: Request) -> None:
    """A request that fits no route, or none of its method: whoever may not use what lies there is
    not told so. Logs it.

    Raises:
        HTTPException: 401 or 403, as the routes beside it answer; 426 at the media stream.
    """
    head = _head(request.url.path)
    if request.url.path.startswith(f"{MEDIA}/") or request.url.path == MEDIA:
        _no_upgrade(app, request)
    if head in _heads(app, TokenRoute):
        check_token(request)
    if head in _heads(app, SignedRoute):
        await form_of(request)
    logger.warning("request for a path that does not exist", extra=_told(app, request.scope))


def _no_upgrade(app: FastAPI, request: Request) -> NoReturn:
    gate: Gate = app.state.gate
    refused(request.scope, request.url.path.removeprefix(MEDIA).strip("/"))
    if not gate.admits_stream({**request.scope, "type": "websocket"}):
        raise HTTPException(403, "the request is not signed by this service's Twilio account")
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    raise HTTPException(426, "media streams are WebSockets", headers)


class _NoSuchStream:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        extra = _told(scope["app"], scope)
        logger.warning("media socket refused", extra={**extra, "reason": "there is no such path"})
        await send({"type": "websocket.close", "code": 1008})


def no_such_stream() -> WebSocketRoute:
    """Takes the WebSockets that no other route does."""
    return WebSocketRoute("/{path:path}", _NoSuchStream())


def _told(app: FastAPI, scope: Scope) -> dict[str, str]:
    """What the log tells: the path, who asked, and the path that was probably meant."""
    told = {"method": str(scope.get("method", "GET")), "path": str(scope["path"])}
    known = [*_paths(app), MEDIA]
    near = difflib.get_close_matches(f"/{_head(scope['path'])}", known, n=1)
    if near and near[0] != scope["path"]:
        told["near"] = near[0]
    return told | {"peer": peer_of(app, scope)}


def _head(path: str) -> str:
    return path[:100].split("/")[1] if path.startswith("/") else ""


def _heads(app: FastAPI, kind: type[TokenRoute | SignedRoute]) -> set[str]:
    """The first parts of the paths that routes of a kind have."""
    return {_head(route.path) for route in app.routes if isinstance(route, kind)}


def _paths(app: FastAPI) -> Iterator[str]:
    for route in app.routes:
        if isinstance(route, (TokenRoute, SignedRoute)):
            yield f"/{_head(route.path)}"
