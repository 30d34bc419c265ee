"""The modules of `app/` and the imports between them, read from the source."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
APP = ROOT / "app"


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


TREES = {
    _name(path): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(APP.rglob("*.py"))
}
"""Every module by its name, such as `app.call.machine`."""


def _imports_of(name: str, tree: ast.Module) -> Iterator[str]:
    """The full names of what a module imports: at its top, inside functions, and for types."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level and node.module, f"{name} imports relatively"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in TREES else node.module
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in ("__import__", "import_module", "importlib.import_module"):
                argument = node.args[0]
                assert isinstance(argument, ast.Constant), f"{name} computes the name it imports"
                yield str(argument.value)


IMPORTS = {name: set(_imports_of(name, tree)) for name, tree in TREES.items()}
"""What each module imports."""

OWN = {
    name: {each for each in imported if each.split(".")[0] == "app"}
    for name, imported in IMPORTS.items()
}
"""What each module imports of `app/`."""


def entries() -> dict[str, str]:
    """The entries of `app/` from the top down, each with its sentence, as `app/__init__.py` lists
    them."""
    listed = ast.get_docstring(TREES["app"]) or ""
    return dict(re.findall(r"^ {4}(\w+) +(\S.*)$", listed, re.MULTILINE))


def entry_of(module: str) -> str:
    """The entry of `app/` that a module is in, such as `call`."""
    return module.split(".")[1]


def between(folder: str) -> dict[str, set[str]]:
    """The imports between what is directly in a folder. `folder`: dotted, such as `app.call`."""
    arrows: dict[str, set[str]] = {}
    for name, imported in OWN.items():
        here = _child(folder, name)
        if here:
            arrows.setdefault(here, set())
            arrows[here] |= {_child(folder, each) for each in imported} - {"", here}
    return arrows


def _child(folder: str, module: str) -> str:
    prefix = f"{folder}."
    return module.removeprefix(prefix).split(".")[0] if module.startswith(prefix) else ""


def reduced(arrows: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The arrows that no longer way implies. There must be no circle."""
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
