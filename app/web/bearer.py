"""Bearer tokens: read from a request, and compared."""

from hmac import compare_digest

from fastapi import Request


def token_matches(given: str, expected: str) -> bool:
    """Whether `given` is the expected token, compared in constant time.

    An empty `expected` matches nothing. `given`: from a header, so one character per byte.
    """
    return bool(expected) and compare_digest(
        given.encode("latin-1", "replace"), expected.encode("utf-8")
    )


def bearer_in(authorization: str) -> str:
    """The bearer token of an Authorization header (RFC 6750); empty if there is none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def bearer_of(request: Request) -> str:
    """The bearer token of a request; empty if there is none."""
    return bearer_in(request.headers.get("authorization", ""))
