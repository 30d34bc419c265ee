"""Tools: Python functions that the model may call.

    from app.tools import CallContext, ToolError, tool

    @tool
    async def opening_hours(day: str, call: CallContext) -> str:
        '''Tell when the shop is open.

        Args:
            day: A day of the week, in English.
        '''
        if day.lower() == "sunday":
            raise ToolError("The shop is closed on Sundays.")
        return "9 to 18"

`@tool` marks the function, its types and docstring become the schema that the model sees,
`ToolError` reports a failure to the model, and `CallContext` tells which call the tool runs for.
"""

from app.errors import ToolError
from app.tools.context import CallContext
from app.tools.registry import ToolRegistry, tool

__all__ = ["CallContext", "ToolError", "ToolRegistry", "tool"]
