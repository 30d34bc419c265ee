"""What a form expects in its fields, as error messages say it."""

from typing import Literal

import pytest
from pydantic import Field

from app.wires.form import Form, one_of


class Example(Form):
    on: bool = True
    mode: Literal["fast", "slow"] = "fast"
    rate: Literal[8000, 16000, 24000] | None = None
    speed: float | None = Field(default=None, ge=0.5, le=2)
    count: int = Field(default=1, ge=1, le=100_000)
    volume: float = Field(default=0, ge=0, le=100, multiple_of=1)
    name: str = ""
    size: int = 0
    only: Literal["one"] = "one"
    own: bool = Field(default=True, description="true, mostly")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("on", "true or false"),
        ("mode", "'fast' or 'slow'"),
        ("rate", "8000, 16000 or 24000"),
        ("speed", "a number from 0.5 to 2"),
        ("count", "a whole number from 1 to 100000"),
        ("volume", "a whole number from 0 to 100"),
        ("name", "text"),
        ("size", "a whole number"),
        ("only", None),
        ("own", "true, mostly"),
    ],
)
def test_a_fields_type_says_what_it_expects(name: str, expected: str | None) -> None:
    assert Example.model_fields[name].description == expected


def test_values_are_listed_as_in_a_sentence() -> None:
    assert one_of(["a"]) == "'a'"
    assert one_of(["a", "b"]) == "'a' or 'b'"
    assert one_of((1, 2, 3)) == "1, 2 or 3"
