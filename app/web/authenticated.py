"""A request that has passed a lock says so to the connection that it came on.

Locks are Twilio's signature, the API's tokens and the ticket of a media stream. Connections that
have passed none are closed first when too many are open (app/web/server/registry.py).
"""

from starlette.types import Scope

EXTENSION = "connection.authenticated"


def mark_authenticated(scope: Scope) -> None:
    """The request's signature, token or ticket was valid. Does nothing on other servers."""
    tell = scope.get("extensions", {}).get(EXTENSION)
    if tell is not None:
        tell()
