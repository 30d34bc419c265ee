"""Who may use the HTTP API: whoever holds the token."""

import logging
from collections.abc import Awaitable, Callable
from hmac import compare_digest
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message, Scope

from app.web import authenticated
from app.web.token_rate_limit import TokenRateLimit

logger = logging.getLogger(__name__)

LARGEST_BODY_BYTES = 256 << 10

_bearer = HTTPBearer(auto_error=False, description="the value of API_TOKEN")


def token_matches(given: str, expected: str) -> bool:
    """Whether `given` is the token, in a time that does not tell how much of it is right.

    An empty `expected` matches nothing. `given` comes from a header, one character a byte.
    """
    return bool(expected) and compare_digest(
        given.encode("latin-1", "replace"), expected.encode("utf-8")
    )


def bearer_of(request: Request) -> str:
    """The token in the request's Authorization header; empty if there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def check_token(request: Request) -> None:
    """Raises HTTPException, 401 or 429, unless the request bears `request.app.state.api_token`."""
    expected: str = request.app.state.api_token
    given = bearer_of(request)
    if token_matches(given, expected):
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
    """A wrong token came. Raises HTTPException 429 when this peer sent too many of them; one that
    is right is not to get here."""
    state = request.app.state
    if not hasattr(state, "token_rate_limit"):
        state.token_rate_limit = TokenRateLimit()
    rate_limit: TokenRateLimit = state.token_rate_limit
    if wait_s := rate_limit.failed(peer_of(request.app, request.scope)):
        raise HTTPException(
            429,
            f"too many wrong tokens came from your address; try again in {wait_s} s",
            headers={"Retry-After": str(wait_s)},
        )
    authenticated.mark_authenticated(request.scope)


def peer_of(app: FastAPI, scope: Scope) -> str:
    """Who sent a request, for the log and the rate_limit: an address."""
    gate = getattr(app.state, "gate", None)
    if gate is not None:
        return str(gate.peer(scope))
    return str((scope.get("client") or ("",))[0])


def request_fields(request: Request) -> dict[str, str]:
    """What the log tells of a request that is refused."""
    return {
        "method": request.method,
        "path": request.url.path,
        "peer": peer_of(request.app, request.scope),
    }


async def require_token(
    request: Request,
    _credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> None:
    """A route's dependency: 401 without the token, if `TokenRoute` has not said so. `_bearer` is
    how OpenAPI learns of it."""
    check_token(request)


class TokenRoute(APIRoute):
    """A route of the API: nothing of a request is read, and nothing is said about it, without the
    token. FastAPI would parse the body before it asks a dependency."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        answer = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            check_token(request)
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
                # FastAPI's word for a body that is no UTF-8, or nested too deep to be parsed.
                raise HTTPException(422, "body: expected a flat JSON object in UTF-8") from error

        return guarded


def _bounded(request: Request) -> Callable[[], Awaitable[Message]]:
    size_bytes = 0

    async def receive() -> Message:
        nonlocal size_bytes
        message = await request.receive()
        size_bytes += len(message.get("body", b""))
        if size_bytes > LARGEST_BODY_BYTES:
            raise HTTPException(413, f"send at most {LARGEST_BODY_BYTES} bytes")
        return message

    return receive
