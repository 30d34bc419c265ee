"""Builds a tool's name, description and JSON schema from a typed function and its docstring."""

import inspect
import linecache
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_type_hints

import docstring_parser
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic.json_schema import GenerateJsonSchema

from app.call.agent import ToolSpec
from app.errors import ConfigError
from app.tools.context import CallContext

Function = Callable[..., Any]

# OpenAI: Realtime API, session.update, a function tool's name.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DEF = re.compile(r"\s*(async\s+)?def\s")


@dataclass(frozen=True, slots=True)
class FunctionTool:
    """A function that the model may call."""

    spec: ToolSpec
    function: Function
    #: Validates the model's arguments. Its field names are made up; see `parameters`.
    arguments: type[BaseModel]
    #: The function's parameter for each field of `arguments`.
    parameters: dict[str, str]
    #: The parameters that receive the CallContext.
    context_parameters: tuple[str, ...]


def where(function: Function) -> str:
    """`file:line` of a function's `def`."""
    code = inspect.unwrap(function).__code__
    line = code.co_firstlineno
    # co_firstlineno is the line of the first decorator.
    for number in range(line, line + 50):
        if _DEF.match(linecache.getline(code.co_filename, number)):
            line = number
            break
    return f"{code.co_filename}:{line}"


def describe(function: Function, name: str) -> FunctionTool:
    """Build a tool from a function's signature and docstring.

    Raises:
        ConfigError: one line per fault: no schema can be made of the function.
    """
    faults: list[str] = []
    if not _NAME.fullmatch(name):
        faults.append("a tool's name has 1 to 64 letters, digits, _ or -; use @tool(name=...)")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        faults.append("a tool cannot yield; return the result")
    hints = _type_hints(function, faults)

    doc = _parse_docstring(function)
    descriptions = {param.arg_name: param.description for param in doc.params}
    fields: dict[str, Any] = {}
    parameters: dict[str, str] = {}
    context_parameters: list[str] = []
    for parameter in inspect.signature(function).parameters.values():
        if hints is None:
            break
        hint = hints.get(parameter.name)
        if hint in (CallContext, CallContext | None):
            context_parameters.append(parameter.name)
            continue
        fault = _parameter_fault(parameter, hint)
        if fault:
            faults.append(fault)
            continue
        # A made-up field name: pydantic rejects some names that are valid for a parameter.
        field = f"argument_{len(fields)}"
        default = ... if parameter.default is parameter.empty else parameter.default
        description = descriptions.get(parameter.name)
        extra: dict[str, Any] = {"description": description} if description else {}
        fields[field] = (hint, Field(default, alias=parameter.name, **extra))
        parameters[field] = parameter.name
    if faults:
        raise ConfigError(*(f"{where(function)}: {name}: {fault}" for fault in faults))

    arguments: type[BaseModel] = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    return FunctionTool(
        spec=ToolSpec(name, doc.description or name.replace("_", " "), _json_schema(arguments)),
        function=function,
        arguments=arguments,
        parameters=parameters,
        context_parameters=tuple(context_parameters),
    )


def _type_hints(function: Function, faults: list[str]) -> dict[str, Any] | None:
    try:
        return get_type_hints(function, include_extras=True)
    except (NameError, AttributeError, TypeError, SyntaxError) as error:
        faults.append(f"an annotation cannot be read: {type(error).__name__}: {error}")
        return None


def _parse_docstring(function: Function) -> docstring_parser.Docstring:
    text = inspect.getdoc(function) or ""
    try:
        return docstring_parser.parse(text)
    except docstring_parser.ParseError:
        whole = docstring_parser.Docstring()
        whole.short_description = text
        return whole


def _parameter_fault(parameter: inspect.Parameter, hint: Any) -> str:
    name = parameter.name
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
        return f"'{stars}{name}' cannot be described to the model; name every parameter"
    if parameter.kind is parameter.POSITIONAL_ONLY:
        return f"parameter '{name}' is positional-only; remove the /"
    if parameter.annotation is parameter.empty:
        return f"parameter '{name}' has no type; write for example '{name}: str'"
    try:
        _inlined(TypeAdapter(hint).json_schema(schema_generator=_PlainJsonSchema))
    except _SelfReference:
        why = "contains itself"
    except (PydanticUserError, PydanticUndefinedAnnotation, TypeError):
        why = "cannot be described to the model"
    else:
        return ""
    return (
        f"parameter '{name}' has the type {inspect.formatannotation(hint)}, which {why}; use str, "
        "int, float, bool, Literal, an Enum, list, dict, a dataclass or a pydantic model"
    )


class _SelfReference(Exception):
    pass


class _PlainJsonSchema(GenerateJsonSchema):
    # A default without a JSON form is omitted from the schema; the function still has it.
    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}


def _json_schema(arguments: type[BaseModel]) -> dict[str, Any]:
    schema = arguments.model_json_schema(schema_generator=_PlainJsonSchema)
    plain: dict[str, Any] = _inlined(schema)
    plain.pop("description", None)
    return plain


def _inlined(schema: dict[str, Any]) -> Any:
    """The schema with its references resolved and without titles: shorter, and easier for models.

    Raises:
        _SelfReference: a type contains itself.
    """
    definitions = schema.pop("$defs", {})

    def plain(node: Any, within: tuple[str, ...]) -> Any:
        if isinstance(node, list):
            return [plain(part, within) for part in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            target = node["$ref"].rsplit("/", 1)[-1]
            if target in within:
                raise _SelfReference(target)
            rest = {key: value for key, value in node.items() if key != "$ref"}
            return plain(definitions[target] | rest, (*within, target))
        result: dict[str, Any] = {}
        for key, value in node.items():
            if key == "properties":
                result[key] = {name: plain(part, within) for name, part in value.items()}
            elif key in ("default", "const", "enum", "examples"):
                result[key] = value
            elif key != "title":
                result[key] = plain(value, within)
        if "properties" in result:
            result.setdefault("additionalProperties", False)
        return result

    return plain(schema, ())
