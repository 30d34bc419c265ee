"""The reference of the agent file, generated from the forms that validate it.

A key's meaning is the `#:` comment above its field; its type, its default and what it accepts come
from the field itself.
"""

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from app.config.agent.file import AgentForm

_FIELD = re.compile(r"(?P<comment>(?:^    #: .*\n)+)^    (?P<name>\w+)\b", re.MULTILINE)
_TYPES = {str: "text", int: "integer", float: "number", bool: "boolean", dict: "table"}
#: Descriptions that say no more than the type does.
_PLAIN = ("text", "true or false", "a number")

#: Fields that the file has no table for: their keys are those of the table around them.
_INLINE = ("first",)

#: Meanings of voice keys whose field has no `#:` comment.
VOICE_KEYS = {
    "provider": "Who speaks: the model itself (`openai`) or an external voice.",
    "name": "The voice. Volcengine calls it `voice_type` and requires it.",
    "speed": (
        "How fast the voice speaks; 1.0 is normal. `openai`: 0.25 to 1.5. `qwen`, `volcengine`: "
        "0.5 to 2.0."
    ),
    "url": (
        "The server. `qwen` and `volcengine` have one by default (a Qwen key belongs to a region: "
        "name the region's server); `http` requires it."
    ),
    "sample_rate": (
        "The rate in Hz that the provider sends: 8000, 16000, 24000, or 48000 (not `volcengine`). "
        "With 8000 nothing is resampled."
    ),
    "model": "The provider's model. `qwen`, `volcengine`.",
    "language": (
        "The language as the provider names it. `qwen`: default is the agent's language. "
        '`volcengine`: only `transport = "v1"`.'
    ),
    "volume": (
        "How loud the voice is. `qwen`: a whole number from 0 to 100. `volcengine`: 0.5 to 2.0."
    ),
    "pitch": (
        "How high the voice is. `qwen`: 0.5 to 2.0. `volcengine`: 0.1 to 3.0, only "
        '`transport = "v1"`.'
    ),
    "emotion": "The emotion. `http`: `neutral`, `happy` or `sad`. `volcengine`: the voice's own.",
    "mode": (
        "`qwen`: `commit` synthesizes each sentence on its own; with `server_commit` the provider "
        "decides when to synthesize."
    ),
    "workspace": "`qwen`: the workspace that the request belongs to.",
    "instructions": "`qwen`: how to speak, in words.",
    "optimize_instructions": "`qwen`: whether the provider rewrites `instructions`.",
    "enable_tn": "`qwen`: whether the provider normalizes text such as numbers and dates.",
    "transport": "`volcengine`: the API version.",
    "operation": '`volcengine`, `transport = "v1"`: `submit` streams, `query` does not.',
    "cluster": '`volcengine`, `transport = "v1"`: the cluster.',
    "resource_id": '`volcengine`, `transport = "v3"`: the resource.',
    "enable_emotion": "`volcengine`: whether `emotion` applies.",
    "emotion_scale": "`volcengine`: how strong the emotion is.",
    "extra_param": '`volcengine`, `transport = "v1"`: further parameters.',
    "additions": '`volcengine`, `transport = "v3"`: further parameters.',
    "gzip": "`volcengine`: whether messages are compressed.",
    "user_data": "`http`: passed to your server as it is.",
    "allow_http": "`http`: whether `url` may be plain http to a server on another machine.",
    "fallback": (
        "The voices that take over, in this order, when the one before fails. The model's own "
        "voice is always the last."
    ),
}


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a table."""

    name: str
    type: str
    #: The default as TOML, "required", or empty where the provider or another key decides.
    default: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the file."""

    #: As TOML writes it, such as `[turns]`; empty for the top of the file.
    header: str
    #: What the table is for.
    meaning: str
    keys: tuple[Key, ...]


def page() -> str:
    """The reference as Markdown: one section for each table, in the order of the file."""
    return "\n\n".join(map(_section, tables()))


def tables() -> Iterator[Table]:
    """Every table of the agent file."""
    yield from _tables(AgentForm, "", "These keys come first, above every table.", {})


def _section(table: Table) -> str:
    title = f"`{table.header}`" if table.header else "Top of the file"
    lines = [f"### {title}", "", table.meaning]
    if table.keys:
        lines += ["", "| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    for key in table.keys:
        lines.append(f"| `{key.name}` | {key.type} | {key.default} | {_cell(key.meaning)} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


# --- from the forms -------------------------------------------------------------------------------


def _tables(
    form: type[BaseModel], header: str, meaning: str, shown: dict[type[BaseModel], str]
) -> Iterator[Table]:
    """The table of a form and those inside it. `shown`: by form, the header of its table so far."""
    shown |= {cls: header for cls in form.__mro__ if issubclass(cls, BaseModel)}
    meanings = _meanings(form)
    inner = {name: _forms(field.annotation) for name, field in form.model_fields.items()}
    fields = [(name, field) for name, field in form.model_fields.items() if not inner[name]]
    if fields:
        keys = tuple(_key(name, field, meanings[name]) for name, field in fields)
        which = _which(form)
        said = (inspect.getdoc(form) or meaning) if which else meaning
        yield Table(f"{header} {which}".strip(), said, keys)
    for name, field in form.model_fields.items():
        below = header if name in _INLINE else _header(header, name, field.annotation)
        if inner[name] and all(each in shown for each in inner[name]):
            taken = shown[inner[name][0]]
            yield Table(below, f"{meanings[name]} It takes the keys of `{taken}`.", ())
            continue
        for each in inner[name]:
            yield from _tables(each, below, meanings[name], shown)


def _header(above: str, name: str, annotation: Any) -> str:
    path = ".".join(filter(None, (above.strip("[]"), name)))
    return f"[[{path}]]" if _is_array(annotation) else f"[{path}]"


def _key(name: str, field: FieldInfo, meaning: str) -> Key:
    accepts = field.description or ""
    known = accepts in _PLAIN or accepts.lower() in meaning.lower()
    said = meaning if known else f"{meaning} Expects {accepts}."
    return Key(name, _type(field.annotation), _default(field), said)


def _meanings(form: type[BaseModel]) -> dict[str, str]:
    """The `#:` comments of a form and of those that it extends, by field."""
    found = dict(VOICE_KEYS)
    for cls in reversed(form.__mro__):
        if issubclass(cls, BaseModel) and cls is not BaseModel:
            for match in _FIELD.finditer(inspect.getsource(cls)):
                lines = match["comment"].splitlines()
                found[match["name"]] = " ".join(line.strip().removeprefix("#: ") for line in lines)
    return found


def _parts(annotation: Any) -> tuple[Any, ...]:
    """What an annotation is made of: the members of a union or a list, or itself."""
    if get_origin(annotation) in (None, Literal, dict):
        return (annotation,)
    arguments = get_args(annotation)
    inside = arguments[:1] if get_origin(annotation) is Annotated else arguments
    return tuple(part for each in inside for part in _parts(each))


def _forms(annotation: Any) -> list[type[BaseModel]]:
    found = [p for p in _parts(annotation) if isinstance(p, type) and issubclass(p, BaseModel)]
    return [form for form in found if not form.__name__.startswith("_")]


def _is_array(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        return _is_array(get_args(annotation)[0])
    return get_origin(annotation) is list


def _which(form: type[BaseModel]) -> str:
    """What selects this form among several, such as `with provider = "qwen"`."""
    said = [
        f'{name} = "{get_args(field.annotation)[0]}"'
        for name, field in form.model_fields.items()
        if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1
    ]
    return f"with {' and '.join(said)}" if said else ""


def _type(annotation: Any) -> str:
    kinds = [part for part in _parts(annotation) if part is not type(None)]
    names = dict.fromkeys(_TYPES.get(_class(kind), "text") for kind in kinds)
    name = " or ".join(names)
    return f"array of {name}s" if _is_array(annotation) else name


def _class(kind: Any) -> type:
    if get_origin(kind) is Literal:
        return type(get_args(kind)[0])
    found: type = get_origin(kind) or kind
    return found


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if field.is_required() or value is PydanticUndefined:
        return "required"
    return "" if value is None else f"`{_toml(value)}`"


def _toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case str():
            return f'"{value}"'
        case _ if not value:
            return "{}" if isinstance(value, dict) else "[]"
        case _:
            return str(value)
