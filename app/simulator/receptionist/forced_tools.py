"""Tool calls that a client forces by `tool_choice`, whatever the caller said.

(OpenAI: Realtime API reference, `tool_choice`)
"""

from collections.abc import Mapping
from typing import Any

from app.simulator.realtime.script import Turn

_DEEPEST = 20  # a schema may refer to itself


def offered_tools(turn: Turn) -> dict[str, Mapping[str, Any]]:
    """The function tools that may be called now, by name; in the order of the session."""
    tools: dict[str, Mapping[str, Any]] = {
        tool["name"]: tool for tool in turn.tools if "name" in tool
    }
    if turn.tool_choice == "none":
        return {}
    if isinstance(turn.tool_choice, dict):
        name = str(turn.tool_choice.get("name"))
        return {name: tools[name]} if name in tools else {}
    return tools


def is_forced(turn: Turn) -> bool:
    """Whether the response has to call one of the offered tools."""
    return turn.tool_choice == "required" or isinstance(turn.tool_choice, dict)


def made_up_arguments(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments with the required properties of a tool's schema, and no others.

    They have the right types and keep enumerations and limits; a `pattern` is ignored.
    """
    schema = tool.get("parameters") or {}
    made = _made_up(schema, schema, "", 0)
    return made if isinstance(made, dict) else {}


def _made_up(schema: Any, root: Mapping[str, Any], name: str, depth: int) -> Any:
    """A value that fits the schema. `name`: of the property, which is its text."""
    schema = _resolved(schema, root, depth)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    for key in ("enum", "examples"):
        if schema.get(key):
            return schema[key][0]
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return _made_up(schema[key][0], root, name, depth + 1)
    if schema.get("allOf"):
        merged: dict[str, Any] = {**schema, "allOf": None}
        for part in schema["allOf"]:
            merged |= _resolved(part, root, depth)
        return _made_up(merged, root, name, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    match kind[0] if isinstance(kind, list) and kind else kind:
        case "object":
            properties = schema.get("properties") or {}
            return {
                each: _made_up(properties.get(each, {}), root, each, depth + 1)
                for each in schema.get("required") or ()
            }
        case "array":
            few = schema.get("minItems", 0)
            return [_made_up(schema.get("items", {}), root, name, depth + 1) for _ in range(few)]
        case "integer" | "number":
            return _number(schema)
        case "boolean":
            return False
        case "null":
            return None
    text = (name or "text").ljust(schema.get("minLength", 0), ".")
    return text[: schema.get("maxLength")]


def _number(schema: Mapping[str, Any]) -> int | float:
    step = schema.get("multipleOf", 1)
    if "minimum" in schema or "exclusiveMinimum" in schema:
        least = schema.get("minimum", schema.get("exclusiveMinimum"))
        found = -(-least // step) * step
        above = schema.get("exclusiveMinimum")
        return found + step if above is not None and found <= above else found  # type: ignore[no-any-return] # JSON
    most = schema.get("maximum", schema.get("exclusiveMaximum", step))
    found = min(step, most // step * step)
    under = schema.get("exclusiveMaximum")
    return found - step if under is not None and found >= under else found  # type: ignore[no-any-return] # JSON


def _resolved(schema: Any, root: Mapping[str, Any], depth: int) -> Mapping[str, Any]:
    """The schema, behind its references within the tool's parameters."""
    while isinstance(schema, dict) and isinstance(schema.get("$ref"), str):
        depth += 1
        place: Any = root
        for step in schema["$ref"].removeprefix("#").split("/")[1:]:
            place = place.get(step) if isinstance(place, dict) else None
        schema = place if depth < _DEEPEST else {}
    return schema if isinstance(schema, dict) and depth < _DEEPEST else {"type": "null"}
