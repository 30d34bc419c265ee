"""What the model may call: schemas from plain typed functions."""

from app.errors import ToolError
from app.tools.context import CallContext
from app.tools.registry import ToolRegistry, tool

__all__ = ["CallContext", "ToolError", "ToolRegistry", "tool"]
