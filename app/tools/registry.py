"""The tools of an agent: marks functions with `@tool`, and runs them when the model asks."""

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
from app.errors import ConfigError, ToolError, ToolFault
from app.tools.builtin import RESERVED_NAMES
from app.tools.context import CallContext, ToolRun
from app.tools.schema import Function, FunctionTool, describe, where

MAX_RESULT_BYTES = 32 * 1024
_MAX_ERROR_CHARACTERS = 500
_LONGEST_CHAIN = 10  # of exceptions
_MARK = "__tool_name__"
_DECLARED = "__tools__"

F = TypeVar("F", bound=Function)


@overload
def tool(function: F) -> F: ...
@overload
def tool(*, name: str) -> Callable[[F], F]: ...
def tool(function: Any = None, *, name: str = "") -> Any:
    """Mark a function as a tool of the agent: `@tool`, or `@tool(name="...")`.

    The function stays what it is. Every parameter needs a type; the docstring tells the model what
    the tool does, and its `Args:` what the parameters mean. It may be sync (it then runs in a
    thread of its own) or async.
    """
    if function is None:
        return lambda marked: _marked(marked, name)
    return _marked(function, name)


def _marked(function: F, name: str) -> F:
    if not inspect.isfunction(function):
        raise TypeError("@tool marks a plain function; put it right above a def or async def")
    setattr(function, _MARK, name or function.__name__)
    # A later def of the same name hides this one from the module, so each module keeps a list.
    function.__globals__.setdefault(_DECLARED, []).append(function)
    return function


def marked_functions(namespace: dict[str, Any]) -> list[Function]:
    """Every function of a module that `@tool` marked there, or that it imported marked."""
    found: dict[int, Function] = {
        id(value): value
        for value in namespace.values()
        if inspect.isfunction(value) and hasattr(value, _MARK)
    }
    # A decorator above @tool wraps the function that was marked: the wrapper is what counts.
    wrapped = {id(inspect.unwrap(value)) for value in found.values()}
    for function in namespace.get(_DECLARED, []):
        if id(inspect.unwrap(function)) not in wrapped:
            found[id(function)] = function
    return sorted(found.values(), key=lambda each: inspect.unwrap(each).__code__.co_firstlineno)


class ToolRegistry:
    """The functions that the model may call.

    Raises:
        ConfigError: functions that cannot be tools, or share a name; one line per fault.
    """

    def __init__(self, functions: Iterable[Function] = ()) -> None:
        self._tools: dict[str, FunctionTool] = {}
        problems: list[str] = []
        owners: dict[str, str] = dict.fromkeys(RESERVED_NAMES, "a built-in tool")
        for function in functions:
            name = getattr(function, _MARK, function.__name__)
            if name in owners:
                problems.append(
                    f"{where(function)}: {name}: {owners[name]} has this name; "
                    'rename the function or use @tool(name="...")'
                )
                continue
            owners[name] = f"the tool at {where(function)}"
            try:
                self._tools[name] = describe(function, name)
            except ConfigError as error:
                problems += error.problems
        if problems:
            raise ConfigError(*problems)

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The tools as the model sees them."""
        return tuple(each.spec for each in self._tools.values())

    async def run(self, name: str, arguments: str, context: CallContext | None = None) -> str:
        """Run a tool. `arguments`: JSON text as the model wrote it. Returns what the model is told,
        32 KiB at most.

        There is no time limit: the caller cancels. A sync function cannot be stopped, so its thread
        runs on, as a daemon, and its result is dropped.

        Raises:
            ToolError: the tool is unknown, the arguments do not fit, or it raised one. The message
                is for the model.
            ToolFault: it raised something else, which is the fault's `__cause__`.
        """
        chosen = self._tools.get(name)
        if chosen is None:
            raise ToolError(f"There is no tool named {name!r}. Tools: {', '.join(self._tools)}.")
        run = ToolRun()
        try:
            values = _validated(chosen, arguments)
            mine = replace(context or CallContext(), _run=run)
            values |= dict.fromkeys(chosen.context_parameters, mine)
            return await _call(chosen, values, run)
        except ToolError as error:
            told = run.without_secrets(str(error))
            if told == str(error):
                raise
            raise ToolError(told) from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # The tool let something of its own be cancelled; nobody cancelled us.
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
    # What the model left out keeps the function's own default.
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
        # Wrapped here: a StopIteration or a CancelledError would mean something to our callers.
        raise _fault(error, run) from error
    return result if isinstance(result, str) else _as_text(await result, run)


async def _in_own_thread(work: Callable[[], Any], name: str) -> tuple[Any, BaseException | None]:
    # Not the loop's executor: Python waits for its threads at exit, and a tool that hangs would
    # keep the process alive.
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
        except BaseException as raised:  # a thread has nobody else to tell
            error = raised
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:
            pass  # the loop is closed: nobody waits for the result

    threading.Thread(target=run, name=f"tool-{name}", daemon=True).start()
    return await future


def _fault(error: BaseException, run: ToolRun) -> ToolFault:
    if not run.secrets:
        return ToolFault("".join(traceback.format_exception(error)))
    # Its words may quote a secret, in whatever form; where it was raised, and its kind, do not.
    parts: list[str] = []
    each: BaseException | None = error
    while each is not None and len(parts) < _LONGEST_CHAIN:
        frames = "".join(traceback.format_tb(each.__traceback__))
        parts.append(f"{frames}{type(each).__name__}: …\n")
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    return ToolFault("\n".join(reversed(parts)))


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_ERROR_CHARACTERS else text[:_MAX_ERROR_CHARACTERS] + "…"


def _as_text(result: object, run: ToolRun) -> str:
    text = result if type(result) is str else to_json(result).decode()
    data = run.without_secrets(text).encode(errors="replace")
    if len(data) <= MAX_RESULT_BYTES:
        return data.decode()
    note = f"\n[cut: the result has {len(data)} bytes, these are the first of them]"
    return data[: MAX_RESULT_BYTES - len(note)].decode(errors="ignore") + note
