"""TOML files whose faults can be named by their line: tomllib does not tell where a key stands."""

import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from app.errors import ConfigError

KeyPath = tuple[str, ...]

_MOST_SHOWN_CHARACTERS = 60
_MOST_NESTED = (
    64  # tables and arrays within each other; tomllib gives up, or never ends, far beyond
)

_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'  # a multi-line string may end in quotes of its own
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
    """What a TOML file says, and on which line each key of it stands; see `key_lines`.

    Raises:
        ConfigError: it is no TOML, with the line.
        OSError: it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: not UTF-8 text; save the file again as UTF-8") from None
    if deep := _too_deep(text):
        raise ConfigError(
            f"{path}:{deep}: nested too deep; at most {_MOST_NESTED} tables and arrays may lie "
            "within each other"
        )
    try:
        return tomllib.loads(text, parse_float=parse_float), key_lines(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_syntax_problem(path, text, str(error))) from None


def _syntax_problem(path: Path, text: str, said: str) -> str:
    place = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", said)
    what = said[: place.start()] if place else said
    if place is None or place[1] is None:
        return (
            f"{path}:{len(text.splitlines()) or 1}: not valid TOML: {what} at the end of the file"
        )
    return f"{path}:{place[1]}: not valid TOML: {what} at column {place[2]}"


def _too_deep(text: str) -> int:
    """The line on which something is nested too deep; 0 if nothing is."""
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
        if depth > _MOST_NESTED or dots > _MOST_NESTED:
            return line
        line += token.count("\n")
    return 0


def shown(value: object) -> str:
    """A value as a fault shows it, short."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "an array"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _MOST_SHOWN_CHARACTERS else text[:_MOST_SHOWN_CHARACTERS] + "…"


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line of each table header and of each `key =` of a valid TOML document, from 1.

    A table of an array of tables stands under its number, from 0: `("array", "0", "key")`. Keys
    inside an inline table or an inline array are not listed: they stand in their key's value.
    """
    lines: dict[KeyPath, int] = {}
    counts: dict[KeyPath, int] = {}  # tables so far of each array of tables
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
    """What a header below `path` means by it: of an array of tables, the last one so far."""
    return (*path, str(counts[path] - 1)) if path in counts else path


def _statements(text: str) -> Iterator[tuple[str, int]]:
    """Each header, and each key up to its `=`, with its line."""
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
    # tomllib itself undoes the quotes and the dots.
    node: Any = tomllib.loads(statement if statement.startswith("[") else f"{statement} = 0")
    path: list[str] = []
    while isinstance(node, (dict, list)) and node:
        if isinstance(node, list):
            node = node[0]
            continue
        key, node = next(iter(node.items()))
        path.append(key)
    return tuple(path)
