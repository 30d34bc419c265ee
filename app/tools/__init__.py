"""What the model may call: schemas from plain typed functions."""

from app.errors import ToolError
from app.tools.registry import ToolRegistry, tool
from app.tools.schema import CallContext

__all__ = ["CallContext", "ToolError", "ToolRegistry", "tool"]
