"""`@tool`, and the registry that runs an agent's tools when the model calls them."""

import asyncio
import contextvars
import inspect
import threading
import traceback
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar, overload

from pydantic import ValidationError
from pydantic_core import to_json

from app.call.agent import ToolSpec
from app.call.exits.built_in_tools import BUILT_IN
from app.errors import ConfigError, ToolError, ToolFault
from app.tools.context import CallContext, ToolRun
from app.tools.schema import Function, FunctionTool, describe, where

#: The longest result that the model receives; a longer one is truncated, with a note.
MAX_RESULT_BYTES = 32 * 1024
_MAX_ERROR_CHARACTERS = 500
_MAX_CHAINED_EXCEPTIONS = 10
_MARK = "__tool_name__"
_DECLARED = "__tools__"

F = TypeVar("F", bound=Function)


@overload
def tool(function: F) -> F: ...
@overload
def tool(*, name: str) -> Callable[[F], F]: ...
def tool(function: Any = None, *, name: str = "") -> Any:
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
    """
    if function is None:
        return lambda marked: _marked(marked, name)
    return _marked(function, name)


def _marked(function: F, name: str) -> F:
    if not inspect.isfunction(function):
        raise TypeError("@tool expects a function; put it directly above a def or async def")
    setattr(function, _MARK, name or function.__name__)
    # A later def of the same name replaces this one in the namespace, so keep a list as well.
    function.__globals__.setdefault(_DECLARED, []).append(function)
    return function


def marked_functions(namespace: dict[str, Any]) -> list[Function]:
    """The functions with `@tool` that a module defines or imports, in the order of their lines."""
    found: dict[int, Function] = {
        id(value): value
        for value in namespace.values()
        if inspect.isfunction(value) and hasattr(value, _MARK)
    }
    # A decorator above @tool wraps the marked function; use the wrapper then.
    wrapped = {id(inspect.unwrap(value)) for value in found.values()}
    for function in namespace.get(_DECLARED, []):
        if id(inspect.unwrap(function)) not in wrapped:
            found[id(function)] = function
    return sorted(found.values(), key=lambda each: inspect.unwrap(each).__code__.co_firstlineno)


class ToolRegistry:
    """An agent's tools by name.

    Raises:
        ConfigError: one line per fault: a function cannot be a tool, or its name is taken.
    """

    def __init__(self, functions: Iterable[Function] = ()) -> None:
        self._tools: dict[str, FunctionTool] = {}
        problems: list[str] = []
        taken: dict[str, str] = dict.fromkeys(BUILT_IN, "a built-in tool")
        for function in functions:
            name = getattr(function, _MARK, function.__name__)
            if name in taken:
                problems.append(
                    f"{where(function)}: {name}: {taken[name]} has this name; "
                    'rename the function or use @tool(name="...")'
                )
                continue
            taken[name] = f"the tool at {where(function)}"
            try:
                self._tools[name] = describe(function, name)
            except ConfigError as error:
                problems += error.problems
        if problems:
            raise ConfigError(*problems)

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The tools' names, descriptions and schemas, as sent to the model."""
        return tuple(each.spec for each in self._tools.values())

    async def run(self, name: str, arguments: str, context: CallContext | None = None) -> str:
        """Run a tool. Returns its result as text for the model, at most `MAX_RESULT_BYTES`.

        There is no time limit: cancel the task to stop waiting. The thread of a sync tool cannot be
        stopped; it continues as a daemon, and its result is dropped.

        Args:
            name: The tool's name.
            arguments: JSON text from the model.
            context: The call. None: a context without one.

        Raises:
            ToolError: the tool is unknown, the arguments are invalid, or the tool raised it. The
                message is worded for the model.
            ToolFault: the tool raised another exception, which is the `__cause__`.
        """
        chosen = self._tools.get(name)
        if chosen is None:
            raise ToolError(f"There is no tool named {name!r}. Tools: {', '.join(self._tools)}.")
        run = ToolRun()
        try:
            values = _validated(chosen, arguments)
            run_context = replace(context or CallContext(), _run=run)
            values |= dict.fromkeys(chosen.context_parameters, run_context)
            return await _call(chosen, values, run)
        except ToolError as error:
            redacted = run.redacted(str(error))
            if redacted == str(error):
                raise
            raise ToolError(redacted) from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # This task was not cancelled: a task or future of the tool's own was.
            raise _fault(error, run) from error
        except (Exception, SystemExit) as error:
            raise _fault(error, run) from error
        finally:
            run.close()


def _validated(chosen: FunctionTool, arguments: str) -> dict[str, Any]:
    try:
        model = chosen.arguments.model_validate_json(arguments.strip() or "{}")
    except ValidationError as error:
        faults = "; ".join(
            ": ".join(filter(None, (".".join(map(str, each["loc"])), each["msg"])))
            for each in error.errors(include_url=False, include_context=False)
        )
        raise ToolError(
            f"{chosen.spec.name}: wrong arguments: {_shortened(faults)}. "
            "Correct them and call it again."
        ) from error
    # Arguments that the model omits keep the function's defaults.
    return {chosen.parameters[field]: getattr(model, field) for field in model.model_fields_set}


async def _call(chosen: FunctionTool, values: dict[str, Any], run: ToolRun) -> str:
    if inspect.iscoroutinefunction(chosen.function):
        return _as_text(await chosen.function(**values), run)

    def work() -> Any:
        result = chosen.function(**values)
        return result if inspect.isawaitable(result) else _as_text(result, run)

    name = chosen.spec.name
    result, error = await _in_own_thread(work, name)
    if isinstance(error, ToolError):
        raise error
    if error is not None:
        # Wrapped here, because asyncio treats a StopIteration or a CancelledError specially.
        raise _fault(error, run) from error
    return result if isinstance(result, str) else _as_text(await result, run)


async def _in_own_thread(work: Callable[[], Any], name: str) -> tuple[Any, BaseException | None]:
    # Not the event loop's executor: Python waits for its threads at exit, so a tool that hangs
    # would keep the process alive.
    loop = asyncio.get_running_loop()
    future: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
    variables = contextvars.copy_context()

    def settle(result: Any, error: BaseException | None) -> None:
        if not future.done():
            future.set_result((result, error))

    def run() -> None:
        result, error = None, None
        try:
            result = variables.run(work)
        except BaseException as raised:  # passed on to the event loop, whatever it is
            error = raised
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:
            pass  # the event loop is closed: the service has stopped

    threading.Thread(target=run, name=f"tool-{name}", daemon=True).start()
    return await future


def _fault(error: BaseException, run: ToolRun) -> ToolFault:
    if not run.secrets:
        return ToolFault("".join(traceback.format_exception(error)))
    # An exception's message may quote a secret in any form. Its type and traceback do not.
    parts: list[str] = []
    each: BaseException | None = error
    while each is not None and len(parts) < _MAX_CHAINED_EXCEPTIONS:
        frames = "".join(traceback.format_tb(each.__traceback__))
        parts.append(f"{frames}{type(each).__name__}: …\n")
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    return ToolFault("\n".join(reversed(parts)))


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_ERROR_CHARACTERS else text[:_MAX_ERROR_CHARACTERS] + "…"


def _as_text(result: object, run: ToolRun) -> str:
    text = result if type(result) is str else to_json(result).decode()
    data = run.redacted(text).encode(errors="replace")
    if len(data) <= MAX_RESULT_BYTES:
        return data.decode()
    note = f"\n[cut: the result has {len(data)} bytes, these are the first of them]"
    return data[: MAX_RESULT_BYTES - len(note)].decode(errors="ignore") + note
