"""What goes on in a call's next leg, as its record stores it."""

import json
from typing import Any

import pytest

from app.call.events import OpenEntry, SayRequested, TransferRequested
from app.records.carried import Carried, Placed

ENTRY = OpenEntry("40", "4", 1200.5, lone=True)


@pytest.mark.parametrize(
    "carried",
    [
        Carried(),
        Carried(ENTRY),
        Carried(orders=(SayRequested("One moment."), TransferRequested("desk"))),
        Carried(ENTRY, (TransferRequested(""),)),
    ],
)
def test_what_is_stored_is_read_back(carried: Carried) -> None:
    assert Carried.from_data(json.loads(json.dumps(carried.as_data()))) == carried


def test_nothing_under_way_stores_nothing() -> None:
    assert Carried().as_data() == {}


@pytest.mark.parametrize(
    "data",
    [
        {"entry": None, "orders": None},
        {"entry": {"digits": 4}, "orders": "say"},
        {"entry": [], "orders": [{"sing": "la"}, 7, {"say": None}]},
    ],
)
def test_what_cannot_be_read_is_left_out(data: dict[str, Any]) -> None:
    assert Carried.from_data(data) == Carried()


def test_what_an_outbound_call_is_for_is_read_back() -> None:
    placed = Placed("token", "Hello Ann.", "Call us back.", "her table")
    assert Placed.from_data(json.loads(json.dumps(placed.as_data()))) == placed
    assert Placed.from_data({}) == Placed.from_data({"greeting": None}) == Placed()


def test_neither_shows_what_people_said_or_typed() -> None:
    assert "40" not in repr(Carried(ENTRY)) and "her table" not in repr(Placed(context="her table"))
