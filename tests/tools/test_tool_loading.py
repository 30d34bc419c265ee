"""Loading a tools file: the tools that it defines, and the errors for a faulty file."""

import sys
from pathlib import Path

import pytest

from app.errors import ConfigError
from app.tools.loading import load_tools


@pytest.fixture(autouse=True)
def own_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "agent_tools_my_tools", raising=False)
    monkeypatch.setattr(sys, "path", sys.path.copy())


def names(path: Path) -> list[str]:
    return [spec.name for spec in load_tools(path).specs]


def write(folder: Path, source: str, name: str = "my_tools.py") -> Path:
    path = folder / name
    path.write_text(source)
    return path


def faults(folder: Path, source: str) -> list[str]:
    """The error messages for a file, each from its line number on."""
    path = write(folder, source)
    with pytest.raises(ConfigError) as caught:
        load_tools(path)
    assert all(line.startswith(f"{path}:") and "\n" not in line for line in caught.value.problems)
    return [line.removeprefix(f"{path}:") for line in caught.value.problems]


def test_only_marked_functions_are_tools_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from app.tools import tool\n"
        "@tool\ndef zebra(item: Item) -> None: ...\n"
        "def helper(anything): ...\n"
        "@tool(name='ant')\nasync def other() -> None: ...\n"
        "also = zebra\n"
        "@dataclass\nclass Item:\n    name: str\n",
    )
    assert names(path) == ["zebra", "ant"]


def test_a_tools_file_may_import_from_its_folder(tmp_path: Path) -> None:
    write(
        tmp_path,
        "from app.tools import tool\n@tool\ndef shared() -> None: ...\n",
        "tools_lying_beside.py",
    )
    path = write(tmp_path, "from tools_lying_beside import shared\n")
    try:
        assert names(path) == ["shared"]
    finally:
        del sys.modules["tools_lying_beside"]


def test_a_decorator_above_tool_is_kept(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "import functools\n"
        "from app.tools import tool\n"
        "def loud(function):\n"
        "    @functools.wraps(function)\n"
        "    def wrapper(**arguments):\n"
        "        return function(**arguments).upper()\n"
        "    return wrapper\n"
        "@loud\n@tool\ndef greet(name: str) -> str:\n    return name\n",
    )
    registry = load_tools(path)
    assert [spec.name for spec in registry.specs] == ["greet"]
    assert list(registry.specs[0].parameters["properties"]) == ["name"]


async def test_a_changed_file_is_executed_again(tmp_path: Path) -> None:
    source = "from app.tools import tool\n@tool\ndef say() -> str:\n    return '{}'\n"
    assert await load_tools(write(tmp_path, source.format(1))).run("say", "") == "1"
    assert await load_tools(write(tmp_path, source.format(2))).run("say", "") == "2"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\ndef broken(:\n", "2: invalid syntax"),
        ("import os\n\n1 / 0\n", "3: import failed: ZeroDivisionError: division by zero"),
        ("def f():\n    int('x')\n\nf()\n", "2: import failed: ValueError: invalid literal"),
        ("import sys\nsys.exit(3)\n", "2: import failed: SystemExit: 3"),
        ("import not_there_at_all\n", "1: import failed: ModuleNotFoundError: No module"),
        ("from app.tools import tool\n@tool\nclass X: ...\n", "2: import failed: TypeError"),
        (
            "def forgotten(): ...\n",
            "1: expected a function with @tool, found none; write 'from app.tools import tool'",
        ),
        ("", "1: expected a function with @tool"),
    ],
)
def test_a_faulty_file_gives_one_line(tmp_path: Path, source: str, message: str) -> None:
    (line,) = faults(tmp_path, source)
    assert line.startswith(message)


def test_bytes_other_than_python_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "my_tools.py"
    for content in (b"x = '\xff'\n", b"x = 1\n\0"):
        path.write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            load_tools(path)
        (line,) = caught.value.problems
        assert line.startswith(f"{path}:1: ")


def test_two_tools_of_one_name_are_a_fault(tmp_path: Path) -> None:
    source = "from app.tools import tool\n\n@tool\ndef book() -> None: ...\n\n" + (
        "@tool\ndef book(day: str) -> None: ...\n"
    )
    (line,) = faults(tmp_path, source)
    assert line.startswith("7: book: the tool at ")
    assert ":4 has this name; rename the function" in line


def test_a_parameter_without_a_type_names_the_line_of_its_def(tmp_path: Path) -> None:
    (line,) = faults(
        tmp_path, "from app.tools import tool\n\n@tool(\n    name='x'\n)\ndef book(day): ...\n"
    )
    assert line == "6: x: parameter 'day' has no type; write for example 'day: str'"


def test_a_missing_file_raises_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_tools(tmp_path / "none.py")
