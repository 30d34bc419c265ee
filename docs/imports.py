"""The modules of `app/` and the imports between them, read from the source."""

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
APP = ROOT / "app"


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_name(path): path for path in sorted(APP.rglob("*.py"))}
"""The file of every module by its name, such as `app.call.machine`."""


@cache
def tree(name: str) -> ast.Module:
    """A module, parsed."""
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


def trees() -> dict[str, ast.Module]:
    """Every module by its name, parsed."""
    return {name: tree(name) for name in MODULES}


def _imports_of(name: str, parsed: ast.Module) -> Iterator[str]:
    """Every module that `name` imports: at its top, inside functions, and for types."""
    for node in ast.walk(parsed):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level and node.module, f"{name} imports relatively"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else node.module
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in ("__import__", "import_module", "importlib.import_module"):
                argument = node.args[0]
                assert isinstance(argument, ast.Constant), f"{name} computes the name it imports"
                yield str(argument.value)


@cache
def imports() -> dict[str, set[str]]:
    """By module: every module that it imports."""
    return {name: set(_imports_of(name, parsed)) for name, parsed in trees().items()}


@cache
def own() -> dict[str, set[str]]:
    """By module: the modules of `app/` that it imports."""
    return {
        name: {each for each in imported if each.split(".")[0] == "app"}
        for name, imported in imports().items()
    }


def entries() -> dict[str, str]:
    """The entries of `app/` with their sentences, in the order of `app/__init__.py`: top first."""
    listed = ast.get_docstring(tree("app")) or ""
    return dict(re.findall(r"^ {4}(\w+) +(\S.*)$", listed, re.MULTILINE))


def entry_of(module: str) -> str:
    """The entry of `app/` that contains a module, such as `call`."""
    return module.split(".")[1]


def between(folder: str) -> dict[str, set[str]]:
    """The imports between the children of a package. `folder`: dotted, such as `app.call`."""
    arrows: dict[str, set[str]] = {}
    for name, imported in own().items():
        here = _child(folder, name)
        if here:
            arrows.setdefault(here, set())
            arrows[here] |= {_child(folder, each) for each in imported} - {"", here}
    return arrows


def _child(folder: str, module: str) -> str:
    prefix = f"{folder}."
    return module.removeprefix(prefix).split(".")[0] if module.startswith(prefix) else ""


def reduced(arrows: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The arrows without those that a longer path implies. `arrows` must have no cycle."""
    reached: dict[str, set[str]] = {}

    def reach(name: str) -> set[str]:
        if name not in reached:
            direct = arrows.get(name, set())
            reached[name] = direct.union(*(reach(each) for each in direct))
        return reached[name]

    return {
        name: {each for each in direct if not any(each in reach(via) for via in direct - {each})}
        for name, direct in arrows.items()
    }
