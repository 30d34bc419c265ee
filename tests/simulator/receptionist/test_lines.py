"""The embedded model's built-in lines, and examples for a caller."""

from collections.abc import Sequence

import pytest

from app.simulator.receptionist.lines import GENERIC_LINES, HONEST, Line, example_of
from app.simulator.receptionist.reading import filled

SLOTS = {"name": "Ada", "digits": "5551234"}


@pytest.mark.parametrize(
    ("phrase", "names", "example"),
    [
        ("what is on the menu", (), "what is on the menu"),
        ("[hello] what is [there] on the menu [please]", (), "what is on the menu"),
        ("{count:one|two} {pizza: diavola | funghi} for {name}", (), "one diavola for Grace"),
        ("[well] i would like it", (), "I would like it"),
        ("my name is {name}", ("Ada", "Grace"), "my name is Ada"),
        ("call {digits} at {number}", (), "call 5 5 5, 1 2 3 4 at two"),
    ],
)
def test_an_example_has_its_slots_filled(phrase: str, names: Sequence[str], example: str) -> None:
    assert example_of(phrase, names) == example


@pytest.mark.parametrize("line", [*GENERIC_LINES, HONEST])
def test_every_built_in_line_has_phrases_and_an_answer(line: Line) -> None:
    assert line.hears
    assert line.says or line.then
    for text in (line.says, line.then, line.otherwise):
        assert not text or filled(text, SLOTS, "noon")


def test_no_phrase_is_in_two_lines() -> None:
    phrases = [p for line in (*GENERIC_LINES, HONEST) for p in (*line.hears, *line.keywords)]
    several = {p for p in phrases if phrases.count(p) > 1}
    assert several <= {"goodbye"}  # as a phrase and as a keyword of the same line
