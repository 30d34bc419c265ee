"""The embedded model calls tools as the client's `tool_choice` demands."""

from typing import Any

import jsonschema_rs
import pytest

from app.simulator.receptionist.forced_tools import made_up_arguments
from tests.simulator.receptionist.receptionist_caller import ASKS_MENU, GOODBYE, conversation

BOOK = {
    "type": "function",
    "name": "book_table",
    "parameters": {
        "type": "object",
        "properties": {
            "day": {"type": "string", "enum": ["Monday", "Tuesday"]},
            "guests": {"type": "integer", "minimum": 2},
            "note": {"type": "string"},
        },
        "required": ["day", "guests"],
    },
}
MENU_TOOL = {"type": "function", "name": "menu", "parameters": {"type": "object"}}
BOOKED = [("book_table", {"day": "Monday", "guests": 2})]
MADE_UP = {"type": "function", "name": "book_table"}


async def test_a_forced_function_is_called_whatever_the_caller_says() -> None:
    async with conversation(ASKS_MENU, GOODBYE, tools=[MENU_TOOL, BOOK]) as caller:
        await caller.says(0)
        assert caller.calls() == [("menu", {"size": "large"})]
        assert await caller.asks(tool_choice=MADE_UP) == ""
        assert caller.calls() == BOOKED
        await caller.outputs("table four")
        assert await caller.asks() == "The answer is: table four."


async def test_a_forced_function_that_the_caller_asks_for_gets_the_arguments_of_its_line() -> None:
    choice = {"type": "function", "name": "menu"}
    async with conversation(ASKS_MENU, tools=[BOOK, MENU_TOOL], tool_choice=choice) as caller:
        assert await caller.says(0) == "Let me see."
        assert caller.calls() == [("menu", {"size": "large"})]


async def test_a_required_tool_is_the_one_that_the_caller_asks_for_or_the_first() -> None:
    async with conversation(ASKS_MENU, None, tools=[BOOK, MENU_TOOL]) as caller:
        await caller.says(0)
        assert await caller.asks(tool_choice="required") == ""
        assert caller.calls() == BOOKED
    async with conversation(ASKS_MENU, tools=[BOOK, MENU_TOOL], tool_choice="required") as caller:
        await caller.says(0)
        assert caller.calls() == [("menu", {"size": "large"})]


async def test_no_tool_is_called_where_none_may_be() -> None:
    async with conversation(ASKS_MENU, GOODBYE, tool_choice="none") as caller:
        assert await caller.says(0) == "I am sorry, I cannot do that here."
        assert caller.calls() == []
        await caller.says(1)
        assert caller.calls() == []


async def test_a_response_with_instructions_or_out_of_band_is_forced_as_well() -> None:
    async with conversation(tools=[BOOK]) as caller:
        await caller.asks(instructions="Greet the caller.", tool_choice="required")
        assert caller.calls() == BOOKED
        await caller.asks(conversation="none", tool_choice=MADE_UP)
        assert caller.calls() == BOOKED


async def test_a_table_as_answer_of_a_forced_tool_is_confirmed() -> None:
    async with conversation(tools=[BOOK]) as caller:
        await caller.asks(tool_choice="required")
        assert await caller.answers_tool({"table": 4}) == "That is done."


SCHEMAS: list[dict[str, Any]] = [
    {},
    {"type": "object"},
    BOOK["parameters"],  # type: ignore[list-item] # a JSON literal
    {
        "type": "object",
        "properties": {
            "a": {"const": 7},
            "b": {"default": "x"},
            "c": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "d": {"type": "array", "items": {"$ref": "#/$defs/pizza"}, "minItems": 2},
            "e": {"type": ["boolean", "null"]},
            "f": {"type": "string", "minLength": 12, "maxLength": 14},
            "g": {"type": "number", "exclusiveMinimum": 2},
            "h": {"type": "integer", "maximum": -3},
            "i": {"allOf": [{"$ref": "#/$defs/pizza"}]},
            "j": {"type": "null"},
            "k": {"type": "integer", "minimum": 4, "multipleOf": 5},
            "l": {"type": "string", "maxLength": 0},
        },
        "required": list("abcdefghijkl"),
        "additionalProperties": False,
        "$defs": {
            "pizza": {
                "type": "object",
                "properties": {"size": {"enum": ["small", "large"]}},
                "required": ["size"],
            }
        },
    },
]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_made_up_arguments_fit_their_schema(schema: dict[str, Any]) -> None:
    jsonschema_rs.validate(schema, made_up_arguments({"name": "x", "parameters": schema}))


def test_a_schema_that_needs_itself_ends() -> None:
    schema = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}
    assert "next" in made_up_arguments({"name": "x", "parameters": schema})
