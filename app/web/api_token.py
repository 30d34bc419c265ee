"""The bearer token of the HTTP API: how it is compared, demanded and rate limited."""

import logging
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, HTTPException, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message, Scope

from app.web import authenticated
from app.web.app_state import state_of
from app.web.bearer import bearer_of, token_matches

logger = logging.getLogger(__name__)

LARGEST_BODY_BYTES = 256 << 10

bearer = HTTPBearer(auto_error=False, description="the value of API_TOKEN")


def check_token(request: Request, *others: str) -> None:
    """Demand `AppState.api_token` in the Authorization header. The right token marks the connection
    as authenticated.

    Args:
        others: further tokens that are good for this request; empty ones are not.

    Raises:
        HTTPException: 401 without it, 429 after too many wrong tokens.
    """
    given = bearer_of(request)
    tokens = (state_of(request.app).api_token, *others)
    if any(token_matches(given, token) for token in tokens):
        authenticated.mark_authenticated(request.scope)
        return
    reason = "the token is wrong" if given else "there is no token"
    logger.warning(
        "request without the API's token refused",
        extra={**request_fields(request), "reason": reason},
    )
    if given:
        count_wrong_token(request)
    raise HTTPException(
        401,
        "send the header Authorization: Bearer with the value of API_TOKEN",
        headers={"WWW-Authenticate": "Bearer"},
    )


def count_wrong_token(request: Request) -> None:
    """Count a wrong token. Do not call this for a right one.

    Raises:
        HTTPException: 429 when this peer has sent too many.
    """
    rate_limit = state_of(request.app).token_rate_limit
    if wait_s := rate_limit.failed(peer_of(request.scope)):
        raise HTTPException(
            429,
            f"too many wrong tokens came from your address; try again in {wait_s} s",
            headers={"Retry-After": str(wait_s)},
        )


def peer_of(scope: Scope) -> str:
    """The address of the client that sent a request, for the log and the rate limit."""
    return state_of(scope["app"]).gate.peer(scope)


def request_fields(request: Request) -> dict[str, str]:
    """The log fields of a refused request."""
    return {
        "method": request.method,
        "path": request.url.path,
        "peer": peer_of(request.scope),
    }


async def require_token(
    request: Request,
    _credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> None:
    """A route's dependency that demands the token. `TokenRoute` checks it earlier; `bearer` puts
    it into the OpenAPI description."""
    check_token(request)


class TokenRoute(APIRoute):
    """A route of the API. It checks the token before it reads the body or answers anything else:
    FastAPI parses the body before it calls a dependency."""

    def check(self, request: Request) -> None:
        """Raises HTTPException without a token that is good for this route."""
        check_token(request)

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        answer = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            self.check(request)
            try:
                return await answer(Request(request.scope, _bounded(request)))
            except StarletteHTTPException as error:
                if isinstance(error.__cause__, ClientDisconnect):
                    raise error.__cause__ from None
                if error.status_code in (400, 413):
                    logger.warning(
                        "request that cannot be read refused", extra=request_fields(request)
                    )
                if error.status_code != 400:
                    raise
                # FastAPI answers 400 for a body that is not UTF-8, or nested too deeply.
                raise HTTPException(422, "body: expected a flat JSON object in UTF-8") from error

        return guarded


def _bounded(request: Request) -> Callable[[], Awaitable[Message]]:
    """The request's `receive`; raises HTTPException 413 past `LARGEST_BODY_BYTES`."""
    size_bytes = 0

    async def receive() -> Message:
        nonlocal size_bytes
        message = await request.receive()
        size_bytes += len(message.get("body", b""))
        if size_bytes > LARGEST_BODY_BYTES:
            raise HTTPException(413, f"send at most {LARGEST_BODY_BYTES} bytes")
        return message

    return receive
