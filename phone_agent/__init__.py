"""What the owner of an agent imports: `from phone_agent import tool`.

A tools file needs no more than this. Whatever else the service is made of lives in `app`.
"""

from app import __version__
from app.tools import CallContext, ToolError, tool

__all__ = ["CallContext", "ToolError", "__version__", "tool"]
