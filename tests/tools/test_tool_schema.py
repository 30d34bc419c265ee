"""The schema that the model sees of a function, and the errors if there can be none."""

import enum
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from app.errors import ConfigError
from app.tools import CallContext
from app.tools.schema import Function, describe


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Address(BaseModel):
    """A postal address."""

    street: str
    title: str = ""


@dataclass
class Guest:
    name: str
    addresses: list[Address] = field(default_factory=list)


class Tree(BaseModel):
    branches: list["Tree"] = []


def schema_of(function: Function) -> dict[str, Any]:
    return describe(function, function.__name__).spec.parameters


def faults_of(function: Function, name: str = "book") -> list[str]:
    """The faults, each without its `file:line: name: `."""
    with pytest.raises(ConfigError) as caught:
        describe(function, name)
    return [line.split(f": {name}: ", 1)[1] for line in caught.value.problems]


def test_a_tool_without_parameters_takes_an_empty_object() -> None:
    def hours() -> str:
        return "nine to five"

    assert schema_of(hours) == {"type": "object", "properties": {}, "additionalProperties": False}


def test_types_defaults_and_docstring_become_the_schema() -> None:
    def book(
        size: Size, day: Literal["mon", "tue"], people: int = 2, note: str | None = None
    ) -> None:
        """Book a table.

        Ask for the day first.

        Args:
            size: How large
                the table is.
            people (int): How many come.

        Returns:
            Nothing that the model needs to know.
        """

    spec = describe(book, "book").spec
    assert spec.name == "book"
    assert spec.description == "Book a table.\n\nAsk for the day first."
    assert spec.parameters == {
        "type": "object",
        "properties": {
            "size": {
                "type": "string",
                "enum": ["small", "large"],
                "description": "How large\nthe table is.",
            },
            "day": {"type": "string", "enum": ["mon", "tue"]},
            "people": {"type": "integer", "default": 2, "description": "How many come."},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        },
        "required": ["size", "day"],
        "additionalProperties": False,
    }


def test_nested_types_are_inlined_and_a_property_named_title_is_kept() -> None:
    def invite(guests: list[Guest], title: str, extra: dict[str, int]) -> None:
        """Invite people."""

    properties = schema_of(invite)["properties"]
    address = properties["guests"]["items"]["properties"]["addresses"]["items"]
    assert address == {
        "type": "object",
        "description": "A postal address.",
        "properties": {"street": {"type": "string"}, "title": {"type": "string", "default": ""}},
        "required": ["street"],
        "additionalProperties": False,
    }
    assert properties["title"] == {"type": "string"}
    assert properties["extra"] == {"type": "object", "additionalProperties": {"type": "integer"}}


def test_field_annotations_are_used_and_any_parameter_name_is_accepted() -> None:
    def rate(
        schema: Annotated[int, Field(ge=1, le=5, description="Stars")], _why: str, copy: int
    ) -> None:
        """Rate the call."""

    properties = schema_of(rate)["properties"]
    assert properties["schema"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 5,
        "description": "Stars",
    }
    assert list(properties) == ["schema", "_why", "copy"]


def test_a_default_without_json_form_is_omitted() -> None:
    def look(where: str = object()) -> None:  # type: ignore[assignment]  # what is tested
        """Look something up."""

    assert schema_of(look)["properties"] == {"where": {"type": "string"}}


def test_without_a_docstring_the_name_is_the_description() -> None:
    def opening_hours() -> None: ...

    assert describe(opening_hours, "opening_hours").spec.description == "opening hours"


def test_the_call_context_is_not_in_the_schema() -> None:
    def who(call: CallContext, maybe: CallContext | None = None, loud: bool = False) -> None:
        """Tell who calls."""

    described = describe(who, "who")
    assert list(described.spec.parameters["properties"]) == ["loud"]
    assert described.context_parameters == ("call", "maybe")


def test_every_fault_of_a_signature_names_file_and_line() -> None:
    def book(size, *more: int, **rest: str) -> None:  # type: ignore[no-untyped-def]  # what is tested
        """Book a table."""

    with pytest.raises(ConfigError) as caught:
        describe(book, "book")
    place = f"{__file__}:{book.__code__.co_firstlineno}: book: "
    assert caught.value.problems == (
        place + "parameter 'size' has no type; write for example 'size: str'",
        place + "'*more' cannot be described to the model; name every parameter",
        place + "'**rest' cannot be described to the model; name every parameter",
    )


def test_types_that_have_no_schema_are_faults() -> None:
    class Plain:
        pass

    def positional(size: str, /) -> None: ...
    def plain(thing: Plain) -> None: ...
    def tree(tree: Tree) -> None: ...
    def unknown(thing: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821 - what is tested

    assert faults_of(positional) == ["parameter 'size' is positional-only; remove the /"]
    (fault,) = faults_of(plain)
    assert "Plain, which cannot be described to the model; use str, int" in fault
    (fault,) = faults_of(tree)
    assert "Tree, which contains itself; use str, int" in fault
    assert faults_of(unknown) == [
        "an annotation cannot be read: NameError: name 'Nowhere' is not defined"
    ]


def test_invalid_names_and_generators_are_faults() -> None:
    def stream() -> Any:
        yield 1

    async def trickle() -> Any:
        yield 1

    def fine() -> None: ...

    assert faults_of(stream) == ["a tool cannot yield; return the result"]
    assert faults_of(trickle) == ["a tool cannot yield; return the result"]
    (fault,) = faults_of(fine, "open hours!")
    assert fault.startswith("a tool's name has 1 to 64 letters")
    (fault,) = faults_of(fine, "x" * 65)
    assert fault.startswith("a tool's name has 1 to 64 letters")
