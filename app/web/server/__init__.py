"""The production server: limits on every connection, and a graceful shutdown.

`listener` accepts sockets; each gets a `Connection`, which carries `Http`, and `WebSocket` after a
handshake; `registry` closes unauthenticated connections when there are too many; `server` drains.
"""

from app.web.server.limits import Limits
from app.web.server.listener import bind
from app.web.server.server import Server

__all__ = ["Limits", "Server", "bind"]
