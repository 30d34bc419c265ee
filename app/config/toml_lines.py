"""Reads TOML files with the line number of every key, which tomllib does not provide."""

import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from app.errors import ConfigError

KeyPath = tuple[str, ...]

_MOST_SHOWN_CHARACTERS = 60
#: Levels of tables and arrays. Far beyond, tomllib raises RecursionError or takes very long.
_DEEPEST = 64

_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'  # a multi-line string may end with up to two more quotes
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*"
    r"|[\[\]{}=\n]"
    r"|[^\[\]{}=\n\"'\#]+",
    re.DOTALL,
)


def read_toml(
    path: Path, *, parse_float: Callable[[str], Any] = float
) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    """A TOML file's contents, and the line of each of its keys; see `key_lines`.

    `parse_float`: as for `tomllib.loads`.

    Raises:
        ConfigError: the file is not valid TOML. The message begins with `file:line:`.
        OSError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: not UTF-8 text; save the file again as UTF-8") from None
    if line := _too_deep(text):
        raise ConfigError(
            f"{path}:{line}: nested too deep; expected at most {_DEEPEST} levels of tables and "
            "arrays"
        )
    try:
        return tomllib.loads(text, parse_float=parse_float), key_lines(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_syntax_problem(path, text, str(error))) from None


def _syntax_problem(path: Path, text: str, message: str) -> str:
    place = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    what = message[: place.start()] if place else message
    if place is None or place[1] is None:
        return (
            f"{path}:{len(text.splitlines()) or 1}: not valid TOML: {what} at the end of the file"
        )
    return f"{path}:{place[1]}: not valid TOML: {what} at column {place[2]}"


def _too_deep(text: str) -> int:
    """The line on which the nesting passes `_DEEPEST`; 0 if it does not."""
    line, depth, dots, in_value = 1, 0, 0, False
    for found in _TOKEN.finditer(text):
        token = found[0]
        if token == "\n" and depth <= 0:
            depth, dots, in_value = 0, 0, False
        elif token == "=":
            in_value, dots = True, 0
        elif in_value and token in "[]{}":
            depth += 1 if token in "[{" else -1
            dots = 0
        elif token[0] not in "\"'#":
            _, comma, rest = token.rpartition(",")
            dots = rest.count(".") + (0 if comma else dots)
        if depth > _DEEPEST or dots > _DEEPEST:
            return line
        line += token.count("\n")
    return 0


def shown(value: object) -> str:
    """A value for an error message, shortened."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "an array"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _MOST_SHOWN_CHARACTERS else text[:_MOST_SHOWN_CHARACTERS] + "…"


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line, from 1, of each table header and each `key =` of a valid TOML document.

    The path of a table in an array of tables has its index, from 0: `("array", "0", "key")`. Keys
    within inline tables and inline arrays are not listed; use the line of the key that holds them.
    """
    lines: dict[KeyPath, int] = {}
    #: How many tables each array of tables has so far.
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for statement, line in _statements(text):
        path = _path(statement)
        if statement.startswith("["):
            table = ()
            for part in path[:-1]:
                table = _newest((*table, part), counts)
            table += path[-1:]
            lines.setdefault(table, line)
            if statement.startswith("[["):
                counts[table] = counts.get(table, 0) + 1
                table = _newest(table, counts)
                lines[table] = line
            continue
        for length in range(1, len(path) + 1):
            lines.setdefault(table + path[:length], line)
    return lines


def _newest(path: KeyPath, counts: dict[KeyPath, int]) -> KeyPath:
    """`path`, with the index of its latest table if it is an array of tables."""
    return (*path, str(counts[path] - 1)) if path in counts else path


def _statements(text: str) -> Iterator[tuple[str, int]]:
    """Each table header, and each key up to its `=`, with its line."""
    head, head_line, line, depth = "", 1, 1, 0
    in_value = False
    for token in _TOKEN.findall(text):
        if token == "\n" and depth == 0:
            if head.strip():
                yield head.strip(), head_line
            head, in_value = "", False
        elif token.startswith("#"):
            pass
        elif token == "=" and depth == 0 and not in_value:
            yield head.strip(), head_line
            head, in_value = "", True
        elif in_value:
            depth += (token in "[{") - (token in "]}")
        else:
            head_line = line if not head.strip() else head_line
            head += token
        line += token.count("\n")
    if head.strip():
        yield head.strip(), head_line


def _path(statement: str) -> KeyPath:
    # tomllib parses quoted and dotted keys.
    node: Any = tomllib.loads(statement if statement.startswith("[") else f"{statement} = 0")
    path: list[str] = []
    while isinstance(node, (dict, list)) and node:
        if isinstance(node, list):
            node = node[0]
            continue
        key, node = next(iter(node.items()))
        path.append(key)
    return tuple(path)
