"""The built-in tools' specifications."""

import re

import pytest

from app.call.destinations import Destination, Hours
from app.call.exits.built_in_tools import BUILT_IN, offered, transfer_spec

ORDERS = Destination(
    "orders",
    "+14155550101",
    "everything about an order.",
    Hours("Europe/Berlin", tuple((day, 540, 1050) for day in range(5))),
)
DESK = Destination("front desk", "sip:desk@example.com")
END_CALL, SEND_DIGITS = offered([*BUILT_IN], ())


def test_end_call_takes_a_reason_and_nothing_else() -> None:
    assert END_CALL.name == "end_call"
    assert END_CALL.parameters["required"] == ["reason"]
    assert list(END_CALL.parameters["properties"]) == ["reason"]
    assert END_CALL.parameters["additionalProperties"] is False


def test_only_send_digits_has_a_name_of_the_keypad() -> None:
    keypad = re.compile("digit|press|dtmf|keypad")
    assert [name for name in sorted(BUILT_IN) if keypad.search(name)] == ["send_digits"]
    names = {END_CALL.name, SEND_DIGITS.name, transfer_spec((DESK,)).name}
    assert names == {*BUILT_IN}


def test_the_model_chooses_a_destination_by_name() -> None:
    spec = transfer_spec((ORDERS, DESK))
    assert spec.parameters["required"] == ["destination", "reason", "summary"]
    destination = spec.parameters["properties"]["destination"]
    assert destination["enum"] == ["orders", "front desk"]
    assert destination["description"] == (
        "Who is reached. orders: everything about an order, open Monday to Friday 09:00 to 17:30 "
        "(time zone Europe/Berlin); front desk."
    )


def test_the_only_destination_is_not_a_parameter() -> None:
    spec = transfer_spec((ORDERS,))
    assert spec.parameters["required"] == ["reason", "summary"]
    assert list(spec.parameters["properties"]) == ["reason", "summary"]
    assert "Who is reached: orders: everything about an order, open Monday" in spec.description


@pytest.mark.parametrize("destinations", [(ORDERS,), (DESK,), (ORDERS, DESK)])
def test_the_tool_does_not_hold_a_number(destinations: tuple[Destination, ...]) -> None:
    spec = str(transfer_spec(destinations))
    assert not any(each.address in spec for each in destinations)
    assert "415555" not in spec
    assert "sip" not in spec


@pytest.mark.parametrize(
    ("digits", "fits"),
    [("1", True), ("1W42#", True), ("ww*9D", True), ("", False), ("1 2", False), ("+1", False)],
)
def test_the_pattern_accepts_every_dtmf_key(digits: str, fits: bool) -> None:
    schema = SEND_DIGITS.parameters["properties"]["digits"]
    assert bool(re.search(schema["pattern"], digits)) is fits
    assert (schema["minLength"], schema["maxLength"]) == (1, 200)
    assert SEND_DIGITS.parameters["required"] == ["digits"]
