"""Loads the Python file with an agent's tools, and reports its faults by file and line."""

import linecache
import sys
import traceback
from pathlib import Path
from types import ModuleType

from app.errors import ConfigError
from app.tools.decorator import marked_functions
from app.tools.registry import ToolRegistry


def load_tools(path: Path) -> ToolRegistry:
    """Execute the file and collect its `@tool` functions. It can import modules from its folder,
    which is added to the end of `sys.path`.

    Raises:
        ConfigError: one line per fault, `file:line: what is wrong; how to fix it`.
        OSError: the file cannot be read.
    """
    source = path.read_bytes()
    linecache.checkcache(str(path))
    try:
        # The import system could use outdated bytecode.
        code = compile(source, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        raise ConfigError(f"{path}:{error.lineno or 1}: {error.msg}") from None
    except ValueError as error:
        raise ConfigError(f"{path}:1: expected Python source: {error}") from None

    folder = str(path.parent.resolve())
    if folder not in sys.path:
        sys.path.append(folder)  # at the end, so that it shadows no other module
    module = ModuleType(f"agent_tools_{path.stem}")
    module.__file__ = str(path)
    # Dataclasses and pydantic look up their module here to resolve annotations.
    sys.modules[module.__name__] = module
    try:
        exec(code, module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        raise ConfigError(_import_fault(path, error)) from error

    functions = marked_functions(module.__dict__)
    if not functions:
        raise ConfigError(
            f"{path}:1: expected a function with @tool, found none; write "
            "'from app.tools import tool' at the top and @tool above each function that the agent "
            "may call"
        )
    return ToolRegistry(functions, path.resolve())


def _import_fault(path: Path, error: BaseException) -> str:
    lines = [
        frame.lineno or 1
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(path)
    ]
    message = " ".join(str(error).split())
    if isinstance(error, NameError) and error.name in ("tool", "CallContext", "ToolError"):
        message += f"; write at the top: from app.tools import {error.name}"
    return f"{path}:{[1, *lines][-1]}: import failed: {type(error).__name__}: {message}"
