"""How the core is built: no part needs many others, and each says which commands it gives."""

import ast
from pathlib import Path

import app.call

FOLDER = Path(app.call.__path__[0])
MOST_ARGUMENTS = 5


def constructors() -> dict[str, int]:
    """The number of arguments of every constructor, by file and class."""
    found = {}
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ClassDef):
                continue
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                    named = [*method.args.posonlyargs, *method.args.args, *method.args.kwonlyargs]
                    found[f"{path.relative_to(FOLDER)} {node.name}"] = len(named) - 1
    return found


def test_no_constructor_takes_more_than_five_arguments() -> None:
    found = constructors()
    assert len(found) > 20
    assert {where: count for where, count in found.items() if count > MOST_ARGUMENTS} == {}


def test_every_mutable_object_that_parts_share_is_explained() -> None:
    """`wiring` passes these to more than one part, and says why."""
    tree = ast.parse((FOLDER / "wiring.py").read_text())
    passed: dict[str, int] = {}
    for call in ast.walk(tree):
        if isinstance(call, ast.Call):
            for name in {ast.unparse(argument) for argument in call.args}:
                passed[name] = passed.get(name, 0) + 1
    shared = {name for name, count in passed.items() if count > 1}
    explained = {
        "commands": "Commands",
        "conversation": "Conversation",
        "agent": "",  # frozen
        "self.ids": "Ids",
        "self.audio": "AgentAudio",
        "self.model": "Model",
        "self.speech": "AgentSpeech",
        "self.exits": "Exits",
        "self.floor": "Floor",
        "self.entries": "DigitEntries",
        "self.barge_in": "BargeIn",
    }
    assert shared <= explained.keys()
    docstring = ast.get_docstring(tree) or ""
    assert [each for each in explained.values() if f"`{each}`" not in docstring and each] == []
