"""`@tool`: marks the functions that the model may call."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, overload

from app.tools.schema import Function

_NAME = "__tool_name__"
_PROCESS = "__tool_process__"
_DECLARED = "__tools__"

F = TypeVar("F", bound=Function)


@overload
def tool(function: F) -> F: ...
@overload
def tool(*, name: str = "", process: bool = False) -> Callable[[F], F]: ...
def tool(function: Any = None, *, name: str = "", process: bool = False) -> Any:
    """Mark a function as a tool that the model may call: `@tool`, or `@tool(name="...")`.

    The decorator returns the function unchanged.

    - Every parameter needs a type: str, int, float, bool, Literal, an Enum, list, dict, a dataclass
      or a pydantic model. The model's arguments are validated against it.
    - The docstring becomes the tool's description, its `Args:` section the parameters'.
    - A parameter of type `CallContext` receives the call; the model does not see it.
    - Return text, or anything that has a JSON form. The model receives at most 32 KiB.
    - To report a failure that the model shall know of, raise `ToolError`. Of any other exception
      the model learns only that the tool failed; its traceback is logged.
    - `async def` runs on the event loop and must not block it. A plain `def` runs in a thread.
    - The agent file's `[limits] tool_seconds` limits how long the call waits for the result.

    Args:
        name: The tool's name; empty: the function's.
        process: Run it in another process, at a lower priority, and end that process after
            `tool_seconds`. For tools that compute: in a thread they would delay the audio of every
            call. The tools file is executed in that process too, and no `CallContext` is there.
    """
    if function is None:
        return lambda marked: _marked(marked, name, process)
    return _marked(function, name, process)


def _marked(function: F, name: str, process: bool) -> F:
    if not inspect.isfunction(function):
        raise TypeError("@tool expects a function; put it directly above a def or async def")
    setattr(function, _NAME, name or function.__name__)
    setattr(function, _PROCESS, process)
    # A later def of the same name replaces this one in the namespace, so keep a list as well.
    function.__globals__.setdefault(_DECLARED, []).append(function)
    return function


def tool_name(function: Function) -> str:
    """The name that a function has as a tool."""
    name: str = getattr(function, _NAME, function.__name__)
    return name


def runs_in_process(function: Function) -> bool:
    """Whether it is marked with `process=True`."""
    return getattr(function, _PROCESS, False) is True


def marked_functions(namespace: dict[str, Any]) -> list[Function]:
    """The functions with `@tool` that a module defines or imports, in the order of their lines."""
    found: dict[int, Function] = {
        id(value): value
        for value in namespace.values()
        if inspect.isfunction(value) and hasattr(value, _NAME)
    }
    # A decorator above @tool wraps the marked function; use the wrapper then.
    wrapped = {id(inspect.unwrap(value)) for value in found.values()}
    for function in namespace.get(_DECLARED, []):
        if id(inspect.unwrap(function)) not in wrapped:
            found[id(function)] = function
    return sorted(found.values(), key=lambda each: inspect.unwrap(each).__code__.co_firstlineno)
