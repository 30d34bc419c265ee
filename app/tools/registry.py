"""The registry that runs an agent's tools when the model calls them."""

import asyncio
import inspect
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from app.call.agent import ToolSpec
from app.call.exits.built_in_tools import BUILT_IN
from app.errors import ConfigError, ToolError
from app.tools.context import CallContext, ToolRun
from app.tools.decorator import runs_in_process, tool_name
from app.tools.loop_watch import Who, run_on_loop
from app.tools.outcome import Outcome, as_text, as_tool_error, validated
from app.tools.processes import ToolProcesses
from app.tools.schema import Function, FunctionTool, describe, where
from app.tools.threads import ToolThreads

#: The threads are the process's, whichever registry starts them.
_threads = ToolThreads()


class ToolRegistry:
    """An agent's tools by name. `aclose` ends the processes of its tools.

    Raises:
        ConfigError: one line per fault: a function cannot be a tool, or its name is taken.
    """

    def __init__(
        self,
        functions: Iterable[Function] = (),
        file: Path | None = None,
        threads: ToolThreads = _threads,
    ) -> None:
        """
        Args:
            functions: The tools.
            file: The file that they come from; None: none, so no tool can have `process=True`.
            threads: For sync tools.
        """
        self._tools: dict[str, FunctionTool] = {}
        self._threads = threads
        self._processes = ToolProcesses(file) if file else None
        problems: list[str] = []
        taken: dict[str, str] = dict.fromkeys(BUILT_IN, "a built-in tool")
        for function in functions:
            name = tool_name(function)
            if name in taken:
                problems.append(
                    f"{where(function)}: {name}: {taken[name]} has this name; "
                    'rename the function or use @tool(name="...")'
                )
                continue
            taken[name] = f"the tool at {where(function)}"
            try:
                self._tools[name] = self._described(function, name)
            except ConfigError as error:
                problems += error.problems
        if problems:
            raise ConfigError(*problems)

    def _described(self, function: Function, name: str) -> FunctionTool:
        found = describe(function, name)
        if not runs_in_process(function):
            return found
        faults = [
            f"parameter '{each}' is a CallContext, and a tool with process=True runs without the "
            "call; remove the parameter or process=True"
            for each in found.context_parameters
        ]
        if sys.platform == "win32":
            faults.append("process=True needs Linux or macOS; remove it")
        if self._processes is None:
            faults.append("process=True needs a tools file; load the tool from a file")
        if faults:
            raise ConfigError(*(f"{where(function)}: {name}: {each}" for each in faults))
        return found

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The tools' names, descriptions and schemas, as sent to the model."""
        return tuple(each.spec for each in self._tools.values())

    async def run(
        self,
        name: str,
        arguments: str,
        context: CallContext | None = None,
        offered: Iterable[str] = (),
    ) -> str:
        """Run a tool. Returns its result as text for the model, at most `MAX_RESULT_BYTES`.

        There is no time limit: cancel the task to stop waiting. The thread of a sync tool cannot be
        stopped; it continues as a daemon, and its result is dropped. The process of a tool with
        `process=True` is killed.

        Args:
            name: The tool's name.
            arguments: JSON text from the model.
            context: The call. None: a context without one.
            offered: The names of all tools that the model has, for the error of an unknown one.
                Empty: the names of these tools.

        Raises:
            ToolError: the tool is unknown, the arguments are invalid, too many tools run, or the
                tool raised it. The message is worded for the model.
            ToolFault: the tool raised any other exception, or its process ended.
        """
        chosen = self._chosen(name, offered)
        context, run = context or CallContext(), ToolRun()
        try:
            if self._processes is not None and runs_in_process(chosen.function):
                return await self._processes.run(name, arguments, context.call_sid)
            result, error = await self._outcome(chosen, arguments, context, run)
        except Exception as raised:
            result, error = None, raised
        finally:
            run.close()
        if error is None:
            assert isinstance(result, str)
            return result
        told = as_tool_error(error, run)
        if told is error:
            raise told
        raise told from error

    async def _outcome(
        self, chosen: FunctionTool, arguments: str, context: CallContext, run: ToolRun
    ) -> Outcome:
        who = Who(chosen.spec.name, context.call_sid)

        def call() -> Any:
            values = validated(chosen, arguments)
            values |= dict.fromkeys(chosen.context_parameters, replace(context, _run=run))
            return chosen.function(**values)

        async def on_loop(begin: Callable[[], Awaitable[Any]]) -> str:
            return as_text(await begin(), run)

        def in_thread() -> Any:
            result = call()
            return result if inspect.isawaitable(result) else as_text(result, run)

        if inspect.iscoroutinefunction(chosen.function):
            return await run_on_loop(partial(on_loop, call), who)
        result, error = await self._threads.run(in_thread, who.tool, who.call_sid)
        if error is None and not isinstance(result, str):  # a wrapper around an async function
            return await run_on_loop(partial(on_loop, lambda: result), who)
        return result, error

    def run_here(self, name: str, arguments: str) -> str:
        """Run a tool in this thread, which has no event loop. Arguments, result and errors are
        those of `run`."""
        chosen = self._chosen(name)
        try:
            result = chosen.function(**validated(chosen, arguments))
            return as_text(asyncio.run(_awaited(result)) if inspect.isawaitable(result) else result)
        except BaseException as error:
            told = as_tool_error(error)
            if told is error:
                raise
            raise told from error

    def _chosen(self, name: str, offered: Iterable[str] = ()) -> FunctionTool:
        if name in self._tools:
            return self._tools[name]
        names = ", ".join(offered or self._tools)
        raise ToolError(f"There is no tool named {name!r}. Tools: {names or 'none'}.")

    async def aclose(self) -> None:
        """End the processes of the tools. The registry can be used again."""
        if self._processes is not None:
            await self._processes.aclose()


async def _awaited(result: Any) -> Any:
    return await result
