"""Imports run one way, in layers, with no circle; those inside functions and for types count."""

import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest

from house.rooms import IMPORTS, LAYER_OF, MODULES, OWN, ROOT, room

ADAPTERS = {"telephony", "realtime", "voices", "tools", "store", "bus"}
SEE_SETTINGS = {"cli", "call_cli", "calls_cli", "voices_cli", "demo", "main", "services"}
# What runs calls for a demonstration is not part of the service.
SEE_SIMULATOR = {"demo", "demo_voices", "cli", "embedded"}
# What needs the extra `demo`, and says so where it is not installed.
NEED_DEMO = {"simulator", "demo", "report"}
PURE = {"binascii", "base64", "collections", "collections.abc", "dataclasses", "enum", "functools"}
PURE |= {"datetime", "itertools", "json", "math", "re", "statistics", "typing", "zoneinfo"}
COMES_WITH = {"pydantic-core": "pydantic", "starlette": "fastapi", "yarl": "aiohttp"}
# ... are parts of the interface of what they come with.


def test_every_room_has_its_layer() -> None:
    assert {room(name) for name in MODULES} <= LAYER_OF.keys()


@pytest.mark.parametrize("name", MODULES)
def test_imports_run_downwards(name: str) -> None:
    for imported in OWN[name]:
        here, there = room(name), room(imported)
        assert here == there or LAYER_OF[there] > LAYER_OF[here], f"{name} imports {imported}"


def test_no_import_leads_back() -> None:
    done: set[str] = set()

    def follow(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path, name])
        if name not in done:
            for imported in OWN[name]:
                follow(imported, (*path, name))
            done.add(name)

    for name in MODULES:
        follow(name, ())
    assert done == MODULES.keys()


def test_adapters_do_not_know_each_other() -> None:
    for name, imported in OWN.items():
        if room(name) in ADAPTERS:
            others = {room(each) for each in imported} & ADAPTERS - {room(name)}
            assert not others, f"{name} imports from {others}"


def test_few_see_the_settings() -> None:
    seeing = {room(name) for name, imported in OWN.items() if "app.config.settings" in imported}
    assert seeing <= SEE_SETTINGS


def test_the_simulator_knows_nothing_of_the_bridge_and_the_bridge_nothing_of_it() -> None:
    for name, imported in OWN.items():
        rooms = {room(each) for each in imported}
        if room(name) == "simulator":
            assert rooms <= {"simulator", "audio"}, f"{name} imports from {rooms}"
        elif room(name) not in SEE_SIMULATOR:
            assert "simulator" not in rooms, f"{name} imports the simulator"


def test_the_call_is_pure() -> None:
    for name, imported in IMPORTS.items():
        if room(name) == "call":
            own = {each for each in imported if each.startswith("app")}
            assert {room(each) for each in own} <= {"call", "audio", "errors"}, name
            assert imported - own <= PURE, f"{name} imports {imported - own - PURE}"


def test_audio_and_errors_stand_on_nothing_of_ours() -> None:
    assert OWN["app.audio"] == OWN["app.errors"] == set()


def test_every_imported_package_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {_distribution(each) for each in project["dependencies"]}
    demo = {_distribution(each) for each in project["optional-dependencies"]["demo"]}
    owners = packages_distributions()
    for name, imported in IMPORTS.items():
        allowed = declared | demo if room(name) in NEED_DEMO else declared
        for package in {each.split(".")[0] for each in imported} - {"app"}:
            if package not in sys.stdlib_module_names:
                found = {_distribution(each) for each in owners.get(package, [package])}
                found |= {COMES_WITH[each] for each in found & COMES_WITH.keys()}
                assert found & allowed, f"{name} imports {package}: declare it in pyproject.toml"


def _distribution(requirement: str) -> str:
    found = re.match("[A-Za-z0-9._-]+", requirement)
    assert found is not None
    return found[0].lower().replace("_", "-")
