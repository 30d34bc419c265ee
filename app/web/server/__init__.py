"""The production server: connections within limits, and a stop that is always clean."""

from app.web.server.limits import Limits
from app.web.server.listener import bind
from app.web.server.server import Server

__all__ = ["Limits", "Server", "bind"]
