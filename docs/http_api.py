"""The record's tables of the HTTP API's page, generated from the fields that declare the record."""

from typing import Any

from pydantic import TypeAdapter

from app.records.record import Call

_SCHEMA = TypeAdapter(Call).json_schema(mode="serialization")


def record() -> str:
    """The fields of a call's record."""
    return _table(_SCHEMA)


def turn() -> str:
    """The fields of a turn."""
    return _table(_SCHEMA["$defs"]["TurnRow"])


def transfer() -> str:
    """The fields of a transfer."""
    return _table(_SCHEMA["$defs"]["Transfer"])


def _table(schema: dict[str, Any]) -> str:
    lines = ["| field | meaning |", "| --- | --- |"]
    for name, field in schema["properties"].items():
        lines.append(f"| `{name}` | {field['description'].replace('|', '/')} |")
    return "\n".join(lines)
