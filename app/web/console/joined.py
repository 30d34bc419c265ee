"""Joins the page's modules into one script, for a page that is opened from a file.

A browser loads no module beside a file. Each module becomes a function that is called once and
returns what the module exports, so that names in one module are not seen by another.

Understood are the forms of import and export that the modules in `page/` use: names in braces, a
default, and `export` before a declaration.
"""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

_START = r"(?:^|(?<=;))"
_IMPORT = re.compile(
    _START + r'import\s*(?:(?P<whole>\w+)|\{(?P<names>[^}]*)\})\s*from\s*"(?P<path>[^"]+)";?',
    re.MULTILINE,
)
_FORWARD = re.compile(r'export\s*\{(?P<names>[^}]*)\}\s*from\s*"(?P<path>[^"]+)";?')
_LIST = re.compile(r"export\s*\{(?P<names>[^}]*)\};?")
_DEFAULT = re.compile(_START + r"export default ", re.MULTILINE)
_DECLARATION = re.compile(
    _START + r"export (?P<kind>const|async function|function|class) (?P<name>\w+)", re.MULTILINE
)
_LEFT = re.compile(_START + r"(?:import|export)\b", re.MULTILINE)
_DEFAULT_NAME = "exported"


class JoinError(ValueError):
    """A module is missing, or has an import or export that this module does not understand."""


def joined(modules: Mapping[str, str], entry: str) -> str:
    """One script that does what the module `entry` does.

    `modules`: the text of each by its path, `/` between the parts.

    Raises:
        JoinError: see there.
    """
    return f'"use strict";\n{_Joiner(modules).joined(entry)}'


class _Joiner:
    def __init__(self, modules: Mapping[str, str]) -> None:
        self._modules = modules
        self._names: dict[str, str] = {}  # of the variables with the exports, by path
        self._open: list[str] = []  # paths of the modules that import the present one
        self._functions: list[str] = []

    def joined(self, entry: str) -> str:
        self._name(entry)
        return "".join(self._functions)

    def _name(self, path: str) -> str:
        """The variable that holds a module's exports. Joins the module if it is not yet."""
        if path in self._open:
            raise JoinError(f"imports lead back: {' -> '.join([*self._open, path])}")
        if path not in self._names:
            if path not in self._modules:
                raise JoinError(f"there is no module {path}")
            self._open.append(path)
            body = self._body(path, self._modules[path])
            self._open.pop()
            self._names[path] = f"module{len(self._names)}"
            self._functions.append(
                f"// {path}\nconst {self._names[path]} = (() => {{\n{body}\n}})();\n"
            )
        return self._names[path]

    def _body(self, path: str, text: str) -> str:
        exports: list[str] = []

        def name_of(target: str) -> str:
            return self._name(_beside(path, target))

        def imported(found: re.Match[str]) -> str:
            name = name_of(found["path"])
            if found["whole"]:
                return f"const {{ default: {found['whole']} }} = {name};"
            pairs = (f"{outer}: {inner}" for outer, inner in _pairs(found["names"]))
            return f"const {{ {', '.join(pairs)} }} = {name};"

        def forwarded(found: re.Match[str]) -> str:
            name = name_of(found["path"])
            exports.extend(f"{outer}: {name}.{inner}" for inner, outer in _pairs(found["names"]))
            return ""

        def listed(found: re.Match[str]) -> str:
            exports.extend(f"{outer}: {inner}" for inner, outer in _pairs(found["names"]))
            return ""

        def whole(_: re.Match[str]) -> str:
            exports.append(f"default: {_DEFAULT_NAME}")
            return f"const {_DEFAULT_NAME} = "

        def declared(found: re.Match[str]) -> str:
            exports.append(found["name"])
            return f"{found['kind']} {found['name']}"

        forms = (_IMPORT, imported), (_FORWARD, forwarded), (_LIST, listed)
        for form, changed in (*forms, (_DEFAULT, whole), (_DECLARATION, declared)):
            text = form.sub(changed, text)
        if left := _LEFT.search(text):
            line = text[left.start() :].partition("\n")[0]
            raise JoinError(f"{path}: this form cannot be joined: {line[:80]}")
        return f"{text.strip()}\nreturn {{ {', '.join(exports)} }};"


def _pairs(names: str) -> list[tuple[str, str]]:
    """`a as b, c` as (a, b), (c, c)."""
    pairs = []
    for each in filter(None, map(str.strip, names.split(","))):
        first, _, second = each.partition(" as ")
        pairs.append((first.strip(), second.strip() or first.strip()))
    return pairs


def _beside(path: str, target: str) -> str:
    """The path of a module that another one imports as `./…`."""
    folder = PurePosixPath(path).parent
    if not target.startswith("./"):
        raise JoinError(f"{path}: imports are from `./…`, not from {target}")
    return (folder / target).as_posix()
