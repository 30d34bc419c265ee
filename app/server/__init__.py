"""The production server: connections within limits, and a stop that is always clean."""

from app.server.limits import Limits
from app.server.listener import bind
from app.server.server import Server

__all__ = ["Limits", "Server", "bind"]
