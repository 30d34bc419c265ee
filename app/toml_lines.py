"""On which line of a TOML file each key stands, which tomllib does not tell."""

import re
import tomllib
from collections.abc import Iterator
from typing import Any

KeyPath = tuple[str, ...]

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


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line of each table header and of each `key =` of a valid TOML document, from 1.

    Keys inside an inline table or an array are not listed: they stand in their key's value.
    """
    lines: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for statement, line in _statements(text):
        path = _path(statement)
        if statement.startswith("["):
            table = path
            lines.setdefault(table, line)
            continue
        for length in range(1, len(path) + 1):
            lines.setdefault(table + path[:length], line)
    return lines


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
