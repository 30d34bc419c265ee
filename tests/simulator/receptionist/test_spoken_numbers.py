"""Numbers as callers say them."""

import re

import pytest

from app.simulator.receptionist.reading import in_words
from app.simulator.receptionist.spoken_numbers import (
    digits,
    digits_from,
    number,
    number_from,
    written_digits,
)
from app.simulator.receptionist.word_graph import pattern

NUMBER = re.compile(pattern(number()))
DIGITS = re.compile(pattern(digits()))


def test_every_number_up_to_999_is_understood_as_it_is_read_out() -> None:
    for value in range(1000):
        said = in_words(value)
        assert NUMBER.fullmatch(said + " "), said
        assert number_from(said) == str(value)


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("a hundred", "100"),
        ("a hundred and five", "105"),
        ("one hundred five", "105"),
        ("two oh five", "205"),
        ("three twelve", "312"),
        ("one twenty three", "123"),
    ],
)
def test_people_have_more_than_one_way(said: str, value: str) -> None:
    assert NUMBER.fullmatch(said + " ")
    assert number_from(said) == value


@pytest.mark.parametrize("said", ["twenty zero", "hundred", "five twenty hundred", "a five", "oh"])
def test_what_is_no_number_is_none(said: str) -> None:
    assert NUMBER.fullmatch(said + " ") is None


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("five five five one two three four", "5551234"),
        ("double five five oh one", "55501"),
        ("triple seven zero", "7770"),
        ("one two three", "123"),
    ],
)
def test_digits_are_said_one_by_one_or_several_at_once(said: str, value: str) -> None:
    assert DIGITS.fullmatch(said + " ")
    assert digits_from(said) == value


@pytest.mark.parametrize("said", ["one two", "double nine", "nine " * 13, "triple four " * 5])
def test_too_few_and_too_many_digits_are_no_telephone_number(said: str) -> None:
    with pytest.raises(ValueError, match="digits"):
        digits_from(said)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("123", "123"),
        ("1234", "1234"),
        ("5551234", "555 1234"),
        ("2025550123", "202 555 0123"),
        ("12345", "123 45"),
    ],
)
def test_digits_are_written_in_groups(value: str, text: str) -> None:
    assert written_digits(value) == text
