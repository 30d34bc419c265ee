"""Who may use the HTTP API: whoever holds the token."""

import logging
from collections.abc import Awaitable, Callable
from hmac import compare_digest
from typing import Annotated

from fastapi import Depends, HTTPException, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import Message

from app.web import lock

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


def check_token(request: Request) -> None:
    """Raises HTTPException 401 unless the request bears `request.app.state.api_token`."""
    expected: str = request.app.state.api_token
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token_matches(token.strip(), expected):
        logger.warning("request without the API's token refused", extra=_where(request))
        raise HTTPException(
            401,
            "send the header Authorization: Bearer with the value of API_TOKEN",
            headers={"WWW-Authenticate": "Bearer"},
        )
    lock.passed(request.scope)


def _where(request: Request) -> dict[str, str]:
    return {"method": request.method, "path": request.url.path}


async def require_token(
    request: Request,
    _credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> None:
    """A route's dependency: 401 without the token. `_bearer` is how OpenAPI learns of it."""
    check_token(request)


class TokenRoute(APIRoute):
    """A route that reads a body: nothing of it is read, and nothing said about it, without the
    token, for FastAPI asks its dependencies only after it has parsed the body."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        answer = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            check_token(request)
            try:
                return await answer(Request(request.scope, _bounded(request)))
            except StarletteHTTPException as error:
                if error.status_code in (400, 413):
                    logger.warning("request that cannot be read refused", extra=_where(request))
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
