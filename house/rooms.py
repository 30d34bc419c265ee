"""The rooms of app/ in their order, and the imports between them, read from the source.

A room is a module or a package right below `app`. `HOUSE` is the one list to extend for a new one.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
APP = ROOT / "app"

# From the top down: the storeys by name, each with its layers. A module imports from layers below
# its own, or from its own room.
HOUSE: dict[str, list[set[str]]] = {
    "commands": [
        {"__main__"},
        {"cli"},
        {"calls_cli", "call_cli", "voices_cli", "demo"},
        {"server"},
        {"demo_screen", "call_screen", "demo_voices", "voice_sample"},
    ],
    "doors": [{"main"}, {"web"}],
    "live calls": [
        {"transfers"},
        {"away", "live_orders", "stored_attempts"},
        {"way_back"},
        {"switchboard"},
        {"tickets", "waiting", "legless_calls"},
        {"bridge"},
        {
            "model_side",
            "voice_side",
            "tool_runs",
            "caller_audio",
            "alarm",
            "returned",
            "leg_state",
            "surplus",
        },
        {"services"},
        {"recorder", "spent_tickets"},
        {"outbound"},
    ],
    "after a call": [
        {"report"},
        {"after_call"},
        {"summary", "webhook"},
    ],
    "the agent": [
        {"embedded", "own_voice"},
        {"agent_file", "agents"},
        {"agent_demo", "agent_transfer", "agent_voices"},
        {"agent_forms"},
    ],
    "wires and stores": [
        {"telephony", "realtime", "voices", "tools", "store", "settings", "telemetry", "bus"},
        {"report_queue", "prices", "recording", "retry_after"},
        {"database", "records"},
        {"numbers", "private_files", "toml_lines"},
        {"e164"},
    ],
    "the call itself": [{"call"}],
    "stand-ins": [{"simulator"}],
    "ground": [
        {"audio", "blank", "deadlines", "decisions", "errors", "line_tries", "visible"},
        {"__init__"},
    ],
}
LAYERS = [layer for storey in HOUSE.values() for layer in storey]
LAYER_OF = {room: number for number, rooms in enumerate(LAYERS) for room in rooms}
PURE_ROOM = "call"

# What lies beyond the walls, and which room goes there.
OUTSIDE = {
    "cli": "terminal",
    "web": "Twilio · programs",
    "agent_file": "agent file",
    "telephony": "Twilio",
    "realtime": "OpenAI",
    "tools": "your functions",
    "voices": "Qwen · Volcengine · HTTP",
    "settings": "environment",
    "database": "SQLite · Postgres",
    "recording": "WAV files",
    "webhook": "owner's URL",
}


def modules() -> dict[str, ast.Module]:
    """Every module of the service by its name, `app.call.machine`."""
    return {
        _name(path): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(APP.rglob("*.py"))
    }


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = modules()


def imports_of(name: str, tree: ast.Module) -> Iterator[str]:
    """The full names of the modules that a module imports, wherever in it."""
    package = name if (ROOT / Path(*name.split("."))).is_dir() else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield whole if whole in MODULES else base
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in ("__import__", "import_module", "importlib.import_module"):
                argument = node.args[0]
                assert isinstance(argument, ast.Constant), f"{name} imports a name it makes up"
                yield str(argument.value)


IMPORTS = {name: set(imports_of(name, tree)) for name, tree in MODULES.items()}
OWN = {
    name: {each for each in imported if each.split(".")[0] == "app"}
    for name, imported in IMPORTS.items()
}


def room(name: str) -> str:
    """The room of a module: the part behind `app`."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


# --- rooms as a whole -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Room:
    """`purpose`: the first line of its docstring. `modules`: their names, without the package's
    own. `lines`: of all its files. `imports`: the rooms that it imports from."""

    name: str
    purpose: str
    modules: tuple[str, ...]
    lines: int
    imports: frozenset[str]


def rooms() -> dict[str, Room]:
    """Every room that there is, from the top down.

    Raises:
        LookupError: one has no layer.
    """
    names = {room(name) for name in MODULES}
    if lost := names - LAYER_OF.keys():
        raise LookupError(f"no layer for {', '.join(sorted(lost))}; add to HOUSE in {__name__}")
    return {name: _room(name) for name in sorted(names, key=lambda each: (LAYER_OF[each], each))}


def _room(name: str) -> Room:
    own = [each for each in MODULES if room(each) == name]
    head = "app" if name == "__init__" else f"app.{name}"
    told = ast.get_docstring(MODULES[head]) or ""
    return Room(
        name=name,
        purpose=told.partition("\n\n")[0].replace("\n", " "),
        modules=tuple(each.removeprefix(f"{head}.") for each in own if each != head),
        lines=sum(_lines(each) for each in own),
        imports=frozenset(room(to) for each in own for to in OWN[each] if to in MODULES) - {name},
    )


def _lines(name: str) -> int:
    path = ROOT / Path(*name.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return file.read_text(encoding="utf-8").count("\n")


def reduced(imports: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """The imports without those that others imply: a room below one below is below anyway."""

    @cache
    def beneath(name: str) -> frozenset[str]:
        return imports[name].union(*(beneath(each) for each in imports[name]))

    return {
        name: frozenset(
            each for each in own if not any(each in beneath(other) for other in own - {each})
        )
        for name, own in imports.items()
    }
