"""The picture of the house says what the imports say, and nothing that others imply."""

import os
import runpy
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest

from house import sequence
from house.picture import FILE, facts, picture, read_facts
from house.rooms import HOUSE, LAYER_OF, LAYERS, OUTSIDE, ROOT, Room, reduced, rooms

SVG = "{http://www.w3.org/2000/svg}"


def some_rooms(**imports: str) -> dict[str, Room]:
    """Rooms that there might be, in the order of their layers."""
    return {
        name: Room(name, f"What {name} is for.", (), 10, frozenset(told.split()))
        for name, told in sorted(imports.items(), key=lambda each: LAYER_OF[each[0]])
    }


@pytest.fixture
def little() -> Mapping[str, Room]:
    return some_rooms(
        cli="main errors", main="bridge", bridge="call", call="audio", audio="", errors=""
    )


def test_the_picture_in_the_docs_is_what_the_imports_say_now() -> None:
    drawn = read_facts(FILE.read_text(encoding="utf-8"))

    assert drawn == facts(rooms()), "docs/house.svg is of another day; draw it with: make house"


def test_the_same_rooms_make_the_same_bytes_in_every_process() -> None:
    script = (
        "import hashlib; from house.picture import picture; from house.rooms import rooms; "
        "print(hashlib.sha256(picture(rooms()).encode()).hexdigest())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=ROOT,
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(seen) == 1


def test_every_room_is_drawn_with_its_purpose_and_its_lines(little: Mapping[str, Room]) -> None:
    texts = {each.text for each in ElementTree.fromstring(picture(little)).iter(f"{SVG}text")}

    for name in little:
        assert {name, f"What {name} is for"} <= texts
    assert "6 rooms, 6 modules, 60 lines; every import runs down" in texts


def test_every_import_that_no_other_implies_has_its_dot(little: Mapping[str, Room]) -> None:
    root = ElementTree.fromstring(picture(little))

    # cli -> main -> bridge -> call -> audio, and cli -> errors
    assert len(list(root.iter(f"{SVG}circle"))) == 5
    assert len(list(root.iter(f"{SVG}circle"))) == sum(
        len(own) for own in reduced({n: r.imports for n, r in little.items()}).values()
    )


def test_what_an_import_implies_is_left_out() -> None:
    imports = {
        "a": frozenset({"b", "c", "d"}),
        "b": frozenset({"c"}),
        "c": frozenset({"d"}),
        "d": frozenset[str](),
    }

    assert reduced(imports) == {**imports, "a": frozenset({"b"})}


def test_rooms_that_share_a_lane_are_not_in_each_others_way() -> None:
    """A dot on a lane belongs to one room alone."""
    root = ElementTree.fromstring(picture(rooms()))
    lanes: dict[str, list[tuple[float, float]]] = {}
    for path in root.iter(f"{SVG}path"):
        way = path.get("d", "").split()
        if len(way) > 2 and way[2].startswith("V"):
            lanes.setdefault(way[0], []).append((float(way[1]), float(way[2][1:])))

    assert lanes
    for spans in lanes.values():
        for (_, end), (start, _) in zip(sorted(spans), sorted(spans)[1:], strict=False):
            assert end < start


def test_a_picture_that_was_drawn_gives_its_facts_back(little: Mapping[str, Room]) -> None:
    assert read_facts(picture(little)) == facts(little)
    assert read_facts(picture(little)) != facts({**little, **some_rooms(main="call")})


def test_no_room_is_in_two_places() -> None:
    assert sum(map(len, LAYERS)) == len(LAYER_OF)
    assert OUTSIDE.keys() <= LAYER_OF.keys()
    assert {"the call itself", "ground"} <= HOUSE.keys()


def test_a_room_that_has_no_layer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(LAYER_OF, "bridge")

    with pytest.raises(LookupError, match="no layer for bridge; add to HOUSE in house.rooms"):
        rooms()


def test_the_command_draws_both_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file, transfer = tmp_path / "docs" / "house.svg", tmp_path / "docs" / "transfer.svg"
    monkeypatch.setattr("house.picture.FILE", file)
    monkeypatch.setattr("house.sequence.FILE", transfer)

    runpy.run_module("house", run_name="__main__")

    assert file.read_text(encoding="utf-8") == picture(rooms())
    assert transfer.read_text(encoding="utf-8") == sequence.picture()


# --- the transfer -----------------------------------------------------------------------------


def test_the_transfer_in_the_docs_is_what_its_steps_say_now() -> None:
    drawn = sequence.FILE.read_text(encoding="utf-8")

    assert drawn == sequence.picture(), "docs/transfer.svg is of another day; draw it: make house"


def test_every_step_of_a_transfer_is_written_on_its_picture() -> None:
    drawn = sequence.picture()
    texts = {each.text for each in ElementTree.fromstring(drawn).iter(f"{SVG}text")}

    for part in sequence.PARTS:
        assert part.title in texts
        for step in part.steps:
            assert {step.text, step.more or step.text} <= texts
    assert sequence.read_facts(drawn) == sequence.facts()


def test_the_words_of_a_step_fit_between_those_who_say_and_hear_them() -> None:
    for part in sequence.PARTS:
        for step in part.steps:
            start, end = sequence.COLUMNS[step.sender], sequence.COLUMNS[step.receiver]
            for words in (step.text, step.more):
                assert 6 * len(words) < abs(end - start) + 16, words
