"""Imports between the entries of app/ run downwards and in no cycle; every kind counts."""

import ast
import re
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions

from docs.imports import APP, MODULES, ROOT, between, entries, entry_of, imports, own, trees

ENTRIES = list(entries())
LAYERED = [name for name in MODULES if name not in ("app", "app.__main__")]
FOLDERS = sorted({name.rpartition(".")[0] for name in LAYERED})

MOST_ENTRIES = 12
SEE_SETTINGS = (
    "app.cli", "app.main", "app.bridge.services", "app.config.settings_warnings",
    "app.config.url_warnings",
)  # fmt: skip
# What runs calls without an account is no part of the service.
SEE_SIMULATOR = ("app.cli", "app.simulator")
# What needs the extra `demo`, and says so where it is not installed.
NEED_DEMO = ("app.cli", "app.simulator")
# ... the extra `tunnel`.
NEED_TUNNEL = ("app.cli.tunnel",)
PURE = {"binascii", "base64", "collections", "collections.abc", "dataclasses", "difflib", "enum"}
PURE |= {"functools", "datetime", "itertools", "json", "math", "re", "statistics", "typing"}
PURE |= {"array", "operator", "unicodedata", "zoneinfo"}
COMES_WITH = {"pydantic-core": "pydantic", "starlette": "fastapi", "yarl": "aiohttp"}
# ... are parts of the interface of what they come with.


def test_app_has_the_entries_that_it_lists_and_no_more() -> None:
    there = {path.stem for path in APP.glob("[a-z]*.py")}
    there |= {path.parent.name for path in APP.glob("*/__init__.py")}

    assert there == set(ENTRIES) and len(ENTRIES) <= MOST_ENTRIES


def test_every_module_says_what_it_is_for_in_a_sentence() -> None:
    for name, tree in trees().items():
        sentence = (ast.get_docstring(tree) or "").split("\n\n")[0]
        assert sentence.endswith(".") or name == "app.__main__", name


def test_imports_run_downwards() -> None:
    upwards = [
        f"{name} imports {imported}"
        for name in LAYERED
        for imported in sorted(own()[name] - {"app"})
        if ENTRIES.index(entry_of(name)) > ENTRIES.index(entry_of(imported))
    ]

    assert upwards == []


def test_no_import_leads_back() -> None:
    """Not between what is directly in a folder, folders taken as one."""
    assert [cycle for folder in FOLDERS if (cycle := cycle_in(folder))] == []


def cycle_in(folder: str) -> str:
    """One cycle among the imports between the children of a package; empty: there is none."""
    try:
        TopologicalSorter(between(folder)).prepare()
    except CycleError as error:
        return f"{folder}: {' -> '.join(error.args[1])}"
    return ""


def test_wires_do_not_know_each_other() -> None:
    wires = between("app.wires")

    for name in ("twilio", "realtime", "voices"):
        assert wires[name] <= {"extra_headers", "flag", "form", "model", "retry_after"}, name


def test_calls_know_no_kind_of_model() -> None:
    seeing = [
        name
        for name, imported in own().items()
        if name.startswith(("app.bridge", "app.web"))
        and any(each.startswith("app.wires.realtime") for each in imported)
    ]

    assert set(seeing) <= {"app.bridge.services"}


def test_few_see_the_settings() -> None:
    seeing = [name for name, imported in own().items() if "app.config.settings" in imported]

    assert [name for name in seeing if not name.startswith(SEE_SETTINGS)] == []


def test_the_simulator_knows_nothing_of_the_bridge_and_the_bridge_nothing_of_it() -> None:
    for name, imported in own().items():
        entries = {entry_of(each) for each in imported - {"app"}}
        if name.startswith("app.simulator"):
            assert entries <= {"simulator", "audio"}, f"{name} imports from {entries}"
        elif not name.startswith(SEE_SIMULATOR):
            assert "simulator" not in entries, f"{name} imports the simulator"


def test_the_call_is_pure() -> None:
    for name, imported in imports().items():
        if name.startswith("app.call"):
            own = {each for each in imported if each.startswith("app")}
            assert {entry_of(each) for each in own} <= {"call", "audio", "errors"}, name
            assert imported - own <= PURE, f"{name} imports {imported - own - PURE}"


def test_audio_and_errors_import_nothing_of_ours() -> None:
    assert own()["app.audio"] == own()["app.errors"] == set()


def test_every_imported_package_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {_distribution(each) for each in project["dependencies"]}
    extras = project["optional-dependencies"]
    demo, tunnel = ({_distribution(each) for each in extras[e]} for e in ("demo", "tunnel"))
    owners = packages_distributions()
    for name, imported in imports().items():
        allowed = declared | (demo if name.startswith(NEED_DEMO) else set())
        allowed |= tunnel if name in NEED_TUNNEL else set()
        for package in {each.split(".")[0] for each in imported} - {"app"}:
            if package not in sys.stdlib_module_names:
                found = {_distribution(each) for each in owners.get(package, [package])}
                found |= {COMES_WITH[each] for each in found & COMES_WITH.keys()}
                assert found & allowed, f"{name} imports {package}: declare it in pyproject.toml"


def _distribution(requirement: str) -> str:
    found = re.match("[A-Za-z0-9._-]+", requirement)
    assert found is not None
    return found[0].lower().replace("_", "-")
