"""Numbers that can be dialled, and what is none."""

import pytest

from app.config.phone_number import e164


@pytest.mark.parametrize("number", ["+14155550101", "+15550100042", "+4930123456", "+15005550006"])
def test_a_number_that_the_plans_allow_is_taken_as_it_is(number: str) -> None:
    assert e164(number) == number


@pytest.mark.parametrize(
    "text",
    ["", "4155550101", "+1 415 555 0101", "+1415555010", "+0123456789", "+1415555010x", "human"],
)
def test_what_could_be_dialled_wrongly_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="E.164"):
        e164(text)
