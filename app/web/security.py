"""Who may use the HTTP API: whoever holds the token."""

from hmac import compare_digest
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

_bearer = HTTPBearer(auto_error=False, description="the value of API_TOKEN")


def token_matches(given: str, expected: str) -> bool:
    """Whether `given` is the token, in a time that does not tell how much of it is right.

    An empty `expected` matches nothing. `given` comes from a header, one character a byte.
    """
    return bool(expected) and compare_digest(
        given.encode("latin-1", "replace"), expected.encode("utf-8")
    )


async def require_token(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> None:
    """A route's dependency: 401 unless the request bears `request.app.state.api_token`."""
    expected: str = request.app.state.api_token
    if credentials is None or not token_matches(credentials.credentials, expected):
        raise HTTPException(
            401,
            "send the header Authorization: Bearer with the value of API_TOKEN",
            headers={"WWW-Authenticate": "Bearer"},
        )
