"""Requests for paths that do not exist: access checks, and a log line with the likely path."""

import difflib
import logging
from collections.abc import Callable
from typing import NoReturn

from fastapi import APIRouter, HTTPException, Request
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app.web.api.stream_audio import SPEECH, check_speech_token
from app.web.api_token import TokenRoute, check_token, peer_of
from app.web.app_state import find_state, state_of
from app.web.twilio.refused_stream import report_refused_stream
from app.web.twilio.request import form_of
from app.web.twilio.signed_route import SignedRoute
from app.wires.twilio.public_address import collapsed, without_prefix

logger = logging.getLogger(__name__)

MEDIA = "media-stream"


class NormalizePath:
    """Middleware: routes see one form of a path, whatever its proxy and its sender made of it.

    - The prefix of PUBLIC_URL, or of a trusted proxy's X-Forwarded-Prefix, is removed if the proxy
      left it in place.
    - `//path` is served like `/path`: PUBLIC_URL with a slash at its end, typed before a path.
    - `/path/` is served like `/path`. A redirect would lose a webhook's form, and users often type
      the slash in Twilio's console.

    `raw_path` keeps the path that Twilio signed. `heads`: the first segments of all routes.
    """

    def __init__(self, app: ASGIApp, heads: frozenset[str]) -> None:
        self._app = app
        self._heads = heads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if path and path != (normal := self._normal(scope, path)):
            scope = {**scope, "path": normal}
        await self._app(scope, receive, send)

    def _normal(self, scope: Scope, path: str) -> str:
        path = collapsed(path)
        state = find_state(scope["app"])
        for prefix in state.gate.prefixes(scope) if state is not None else ():
            below = without_prefix(path, prefix)
            if below is not None and self._is_left_in_place(path, below):
                path = below
                break
        return path.rstrip("/") or "/"

    def _is_left_in_place(self, path: str, below: str) -> bool:
        """Whether the proxy left its prefix in `path`. Behind `https://host/calls` a proxy that
        strips it passes on `/calls/calls/CA1` as `/calls/CA1`."""
        return _head(below) in self._heads or _head(path) not in self._heads


class KnownPaths:
    """The paths of these routers, and what happens to requests that match none of them."""

    def __init__(self, *routers: APIRouter) -> None:
        routes = [route for router in routers for route in router.routes]
        #: The first segments of all routes; `/` has none.
        self.heads = frozenset(_head(getattr(each, "path", "")) for each in routes) - {""}
        api = [route for route in routes if isinstance(route, TokenRoute)]
        self._api = {_head(each.path) for each in api}
        self._checks = {each.path: each.check for each in api}
        self._twilios = {_head(each.path) for each in routes if isinstance(each, SignedRoute)}

    async def check_access(self, request: Request) -> None:
        """Demand the credentials of the routes next to a request that matches no route or method.

        Without them, a client cannot find out which paths exist. Logs the request if it has them.

        Raises:
            HTTPException: 401 or 403, as the routes next to it answer; 426 for the media stream.
        """
        head = _head(request.url.path)
        if head == MEDIA:
            _no_upgrade(request)
        if head in self._api:
            self._checks.get(request.url.path, check_token)(request)
        if f"/{head}" == SPEECH:
            check_speech_token(request)
        if head in self._twilios:
            await form_of(request)
        extra = self._log_fields(request.scope)
        logger.warning("request for a path that does not exist", extra=extra)

    def unknown_websocket(self) -> WebSocketRoute:
        """The last route: refuses every WebSocket that no other route takes."""
        return WebSocketRoute("/{path:path}", _UnknownWebSocket(self._log_fields))

    def _log_fields(self, scope: Scope) -> dict[str, str]:
        """The log fields: the path, the peer, and in `near` the path that was probably meant."""
        fields = {"method": str(scope.get("method", "GET")), "path": str(scope["path"])}
        known = [f"/{head}" for head in (*self._twilios, *self._api, MEDIA, SPEECH.strip("/"))]
        near = difflib.get_close_matches(f"/{_head(scope['path'])}", known, n=1)
        if near and near[0] != scope["path"]:
            fields["near"] = near[0]
        return fields | {"peer": peer_of(scope)}


def _no_upgrade(request: Request) -> NoReturn:
    """Refuse an HTTP request for the media stream: probably a proxy dropped its Upgrade header."""
    gate = state_of(request.app).gate
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
    """The first segment of a path."""
    return path[:100].split("/")[1] if path.startswith("/") else ""
