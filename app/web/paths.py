"""Which paths there are, as strangers and proxies spell them, and a line for each that is none."""

import difflib
import logging
from collections.abc import Callable
from typing import NoReturn

from fastapi import APIRouter, HTTPException, Request
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app.web.api.stream_audio import SPEECH, check_speech_token
from app.web.api_token import TokenRoute, check_token, peer_of
from app.web.twilio.refused_stream import report_refused_stream
from app.web.twilio.request import Gate, form_of
from app.web.twilio.signed_route import SignedRoute

logger = logging.getLogger(__name__)

MEDIA = "media-stream"


class StripTrailingSlash:
    """A path with a slash at its end is the one without: a redirect would cost a webhook its form,
    and many of Twilio's users type the slash. What was signed stays in `raw_path`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if path.endswith("/") and path != "/":
            scope = {**scope, "path": path.rstrip("/") or "/"}
        await self._app(scope, receive, send)


class KnownPaths:
    """The paths of these routers, for requests that fit none of them."""

    def __init__(self, *routers: APIRouter) -> None:
        routes = [route for router in routers for route in router.routes]
        self._api = {_head(each.path) for each in routes if isinstance(each, TokenRoute)}
        self._twilios = {_head(each.path) for each in routes if isinstance(each, SignedRoute)}

    async def check_access(self, request: Request) -> None:
        """A request that fits no route, or none of its method: whoever may not use what lies there
        is not fields so. Logs it.

        Raises:
            HTTPException: 401 or 403, as the routes beside it answer; 426 at the media stream.
        """
        head = _head(request.url.path)
        if head == MEDIA:
            _no_upgrade(request)
        if head in self._api:
            check_token(request)
        if f"/{head}" == SPEECH:
            check_speech_token(request)
        if head in self._twilios:
            await form_of(request)
        extra = self._log_fields(request.scope)
        logger.warning("request for a path that does not exist", extra=extra)

    def unknown_websocket(self) -> WebSocketRoute:
        """Takes the WebSockets that no other route does, and refuses them."""
        return WebSocketRoute("/{path:path}", _UnknownWebSocket(self._log_fields))

    def _log_fields(self, scope: Scope) -> dict[str, str]:
        """What the log tells: the path, who asked, and the path that was probably meant."""
        fields = {"method": str(scope.get("method", "GET")), "path": str(scope["path"])}
        known = [f"/{head}" for head in (*self._twilios, *self._api, MEDIA, SPEECH.strip("/"))]
        near = difflib.get_close_matches(f"/{_head(scope['path'])}", known, n=1)
        if near and near[0] != scope["path"]:
            fields["near"] = near[0]
        return fields | {"peer": peer_of(scope["app"], scope)}


def _no_upgrade(request: Request) -> NoReturn:
    gate: Gate = request.app.state.gate
    report_refused_stream(request.scope, request.url.path.removeprefix(f"/{MEDIA}").strip("/"))
    if not gate.admits_stream({**request.scope, "type": "websocket"}):
        raise HTTPException(403, "the request is not signed by this service's Twilio account")
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    raise HTTPException(426, "media streams are WebSockets", headers)


class _UnknownWebSocket:
    def __init__(self, fields: Callable[[Scope], dict[str, str]]) -> None:
        self._log_fields = fields

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        extra = self._log_fields(scope) | {"reason": "there is no such path"}
        logger.warning("media socket refused", extra=extra)
        await send({"type": "websocket.close", "code": 1008})


def _head(path: str) -> str:
    """The first part of a path."""
    return path[:100].split("/")[1] if path.startswith("/") else ""
