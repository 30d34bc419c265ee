"""Tell the connection of a request that it is authenticated.

A valid Twilio signature, API token or media stream ticket authenticates it. Unauthenticated
connections are closed first when too many are open (app/web/server/registry.py).
"""

from starlette.types import Scope

EXTENSION = "connection.authenticated"


def mark_authenticated(scope: Scope) -> None:
    """A request's signature, token or ticket is valid. Does nothing on other servers."""
    mark = scope.get("extensions", {}).get(EXTENSION)
    if mark is not None:
        mark()
