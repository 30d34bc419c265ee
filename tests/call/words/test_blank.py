"""A text is blank for the API's published schema exactly if it is blank for the service."""

import re
import sys
from typing import Annotated

import jsonschema_rs
import pytest
from pydantic import Field, TypeAdapter, ValidationError

from app.call.words.blank import NOT_BLANK, is_blank, stripped

# Characters that one rule or another takes for white space, and invisible ones.
DISPUTED = "\0\t\x0b\x1c\x1d\x1e\x1f \x7f\x85\xa0\xad\u180e\u200b\u200d\u2028\u202e\u2060\ufeff"
SEEN = ["a", "é", "你", ".", "…", "ـ", "😀", "\U0010fffd", "\u0301", "\ufffd"]
HALVES = range(0xD800, 0xE000)


def test_the_pattern_means_the_same_in_every_regex_engine() -> None:
    """In ECMAScript, Python, Rust and the code: checked for each character alone."""
    described = jsonschema_rs.validator_for({"type": "string", "pattern": NOT_BLANK})
    rust = TypeAdapter(Annotated[str, Field(pattern=NOT_BLANK)])

    def taken(text: str) -> bool:
        try:
            return bool(rust.validate_python(text))
        except ValidationError:
            return False

    for code in {*range(0x11000), 0x1F600, 0xE0020, sys.maxunicode} - {*HALVES}:
        text = chr(code)
        seen = not is_blank(text)
        assert bool(re.search(NOT_BLANK, text)) is seen, hex(code)
        assert described.is_valid(text) is seen, hex(code)
        assert taken(text) is seen, hex(code)
        assert not (seen and text.isspace()), hex(code)


@pytest.mark.parametrize("character", DISPUTED)
def test_invisible_characters_are_blank_and_stripped_from_the_ends(character: str) -> None:
    assert is_blank(character) and is_blank(3 * character)
    assert stripped(f"{character}a{character}b{character}") == f"a{character}b"


@pytest.mark.parametrize("text", SEEN)
def test_visible_characters_stay(text: str) -> None:
    assert not is_blank(text)
    assert stripped(f" {text}\n") == text
