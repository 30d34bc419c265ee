"""Values as people say them, and texts filled with them."""

from typing import Any

import pytest

from app.simulator.receptionist.reading import (
    Unfilled,
    arguments_from,
    as_digits,
    as_price,
    as_said,
    filled,
    in_words,
)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "zero"),
        (7, "seven"),
        (12, "twelve"),
        (20, "twenty"),
        (21, "twenty one"),
        (99, "ninety nine"),
        (100, "one hundred"),
        (105, "one hundred and five"),
        (999, "nine hundred and ninety nine"),
        (1000, "one thousand"),
        (1001, "one thousand and one"),
        (1250, "one thousand two hundred and fifty"),
        (9999, "nine thousand nine hundred and ninety nine"),
        (10000, "10000"),
        (-3, "-3"),
    ],
)
def test_numbers_become_words(number: int, said: str) -> None:
    assert in_words(number) == said


@pytest.mark.parametrize(
    ("digits", "said"),
    [
        ("911", "9 1 1"),
        ("1234", "1 2 3 4"),
        ("12345", "1 2 3, 4 5"),
        ("123456", "1 2 3, 4 5 6"),
        ("5551234", "5 5 5, 1 2 3 4"),
        ("555-1234", "5 5 5, 1 2 3 4"),
        ("12345678", "1 2 3 4, 5 6 7 8"),
        ("123456789", "1 2 3, 4 5 6, 7 8 9"),
        ("2125551234", "2 1 2, 5 5 5, 1 2 3 4"),
        ("+1 212 555 1234", "1, 2 1 2, 5 5 5, 1 2 3 4"),
        ("123456789012", "1 2 3, 4 5 6, 7 8 9, 0 1 2"),
        (42, "4 2"),
    ],
)
def test_telephone_numbers_are_read_digit_by_digit_in_groups(digits: object, said: str) -> None:
    assert as_digits(digits) == said


@pytest.mark.parametrize(
    ("price", "said"),
    [
        (11.0, "eleven"),
        (8, "eight"),
        (12.5, "twelve fifty"),
        (12.05, "twelve oh five"),
        (9.99, "nine ninety nine"),
        (0.5, "0.5"),
        (29.999, "thirty"),
    ],
)
def test_prices_are_said_as_in_a_shop(price: float, said: str) -> None:
    assert as_price(price) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (11.0, "eleven"),
        (12.5, "12.5"),
        (True, "yes"),
        (False, "no"),
        ("at 18:30", "at eighteen thirty"),
        ("from 9:05 to 18:00", "from nine oh five to eighteen o'clock"),
        ("ratio 1:2:30, score 3:75, 25:00", "ratio 1:2:30, score 3:75, 25:00"),
        (" two words\n", "two words"),
        (["one large funghi"], "one large funghi"),
        (["a", "b", 3], "a, b and three"),
    ],
)
def test_other_values_are_said_plainly(value: object, said: str) -> None:
    assert as_said(value) == said


@pytest.mark.parametrize("value", [None, "", " ", {}, {"a": 1}, [], [[]], ["a", None]])
def test_nothing_and_tables_cannot_be_said(value: object) -> None:
    with pytest.raises(Unfilled):
        as_said(value)


@pytest.mark.parametrize("value", ["twelve", None, True])
def test_a_price_must_be_a_number(value: object) -> None:
    with pytest.raises(Unfilled):
        as_price(value)


def test_slots_fill_a_text() -> None:
    slots = {"name": "Ada", "number": "12", "digits": "5551234", "size": "large"}
    assert filled("{size} for {name}, {number}. {digits}.", slots) == (
        "Large for Ada, twelve. 5 5 5, 1 2 3 4."
    )
    assert filled("{number:digits}", slots) == "1 2"


def test_parts_of_a_tools_answer_fill_a_text() -> None:
    result = {"price": 12.5, "ready": {"at": "18:05"}, "list": ["one", {"deep": 2}]}
    said = filled("{result.price:price} or {result.price} at {result.ready.at}", {}, result)
    assert said == "Twelve fifty or 12.5 at eighteen oh five"
    assert filled("{result.list.1.deep}", {}, result) == "Two"
    assert filled("It is {result}.", {}, "Monday") == "It is Monday."


@pytest.mark.parametrize(
    "text",
    ["{name}", "{result.b}", "{result.a.b}", "{result.list.7}", "{result}", "{result.list.x}"],
)
def test_a_field_without_a_value_is_an_error(text: str) -> None:
    with pytest.raises(Unfilled):
        filled(text, {}, {"a": 1, "list": [1]})


@pytest.mark.parametrize(
    ("template", "arguments"),
    [
        ({"n": "{number}"}, {"n": 12}),
        ({"n": "{quantity}"}, {"n": 2}),
        ({"n": "{digits}"}, {"n": "0551234"}),
        ({"n": "{name}"}, {"n": "Ada"}),
        ({"n": "about {number} for {name}"}, {"n": "about 12 for Ada"}),
        (
            {"items": [{"pizza": "{pizza}", "quantity": "{quantity}"}], "paid": False, "tip": 1.5},
            {"items": [{"pizza": "funghi", "quantity": 2}], "paid": False, "tip": 1.5},
        ),
    ],
)
def test_arguments_keep_their_types(template: Any, arguments: Any) -> None:
    slots = {
        "name": "Ada",
        "number": "12",
        "digits": "0551234",
        "quantity": "two",
        "pizza": "funghi",
    }
    assert arguments_from(template, slots) == arguments


@pytest.mark.parametrize("template", [{"n": "{name}"}, {"n": ["for {name}"]}])
def test_arguments_without_what_they_need_are_an_error(template: Any) -> None:
    with pytest.raises(Unfilled):
        arguments_from(template, {})
