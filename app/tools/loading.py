"""Imports the Python file that holds an agent's tools, and says plainly what is wrong with it."""

import linecache
import sys
import traceback
from pathlib import Path
from types import ModuleType

from app.errors import ConfigError
from app.tools.registry import ToolRegistry, marked_functions


def load_tools(path: Path) -> ToolRegistry:
    """Run the file and collect its `@tool` functions. Its folder becomes importable for it.

    Raises:
        ConfigError: lines of the form `file:line: what is wrong and how to mend it`.
        OSError: the file cannot be read.
    """
    source = path.read_bytes()
    linecache.checkcache(str(path))
    try:
        # Compiled here and not by the import system, so that no old bytecode is ever used.
        code = compile(source, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        raise ConfigError(f"{path}:{error.lineno or 1}: {error.msg}") from None
    except ValueError as error:
        raise ConfigError(f"{path}:1: not a Python file: {error}") from None

    folder = str(path.parent.resolve())
    if folder not in sys.path:
        sys.path.append(folder)  # last, so that it hides nothing
    module = ModuleType(f"agent_tools_{path.stem}")
    module.__file__ = str(path)
    # Dataclasses and pydantic look their module up there when they read annotations.
    sys.modules[module.__name__] = module
    try:
        exec(code, module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        raise ConfigError(_where_it_broke(path, error)) from error

    functions = marked_functions(module.__dict__)
    if not functions:
        raise ConfigError(
            f"{path}:1: no function in it is a tool; write 'from app.tools import tool' at the top "
            "and @tool above each function that the agent may call"
        )
    return ToolRegistry(functions)


def _where_it_broke(path: Path, error: BaseException) -> str:
    lines = [
        frame.lineno or 1
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(path)
    ]
    said = " ".join(str(error).split())
    if isinstance(error, NameError) and error.name in ("tool", "CallContext", "ToolError"):
        said += f"; write at the top: from app.tools import {error.name}"
    return f"{path}:{[1, *lines][-1]}: importing it failed: {type(error).__name__}: {said}"
