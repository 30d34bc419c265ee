"""Telephone numbers: which ones are accepted."""

import pytest

from app.config.phone_number import e164


@pytest.mark.parametrize("number", ["+14155550101", "+15550100042", "+4930123456", "+15005550006"])
def test_a_possible_number_is_accepted_unchanged(number: str) -> None:
    assert e164(number) == number


@pytest.mark.parametrize(
    "text",
    ["", "4155550101", "+1 415 555 0101", "+1415555010", "+0123456789", "+1415555010x", "human"],
)
def test_an_impossible_or_ambiguous_number_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="E.164"):
        e164(text)
