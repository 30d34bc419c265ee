"""Tools: Python functions that the model may call.

    from app.tools import CallContext, ToolError, tool

    @tool
    async def order_status(city: str, call: CallContext) -> dict[str, str]:
        '''Tell where an order is. The caller enters its number on the keypad.

        Args:
            city: Where the order was placed.
        '''
        number = await call.ask_digits(6, prompt="Ask for the six digits of the order.")
        if number not in ORDERS:
            raise ToolError("There is no such order. Ask for the number again.")
        return ORDERS[number]

`@tool` marks the function; its types and docstring become the schema that the model sees.
`CallContext` is the call that the tool runs for. `ToolError` reports a failure to the model.
"""

from app.errors import ToolError
from app.tools.context import CallContext
from app.tools.decorator import tool
from app.tools.registry import ToolRegistry

__all__ = ["CallContext", "ToolError", "ToolRegistry", "tool"]
