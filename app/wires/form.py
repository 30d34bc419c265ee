"""The base of the forms that check what the owner writes, and what several forms share.

A field's description is the "expected" part of its error message. `Form` writes it for a field
whose type says it, such as a choice between values, or a number with limits. A `fault` is a
complete message. A wire defines the forms of its own tables; `app/config/` puts them together.
"""

from collections.abc import Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from app.call.words.blank import stripped


def _not_blank(value: str) -> str:
    value = stripped(value)
    if not value or "\0" in value:
        raise ValueError
    return value


Text = Annotated[str, AfterValidator(_not_blank)]
TextOrNone = Annotated[str, AfterValidator(stripped)]
"""Text that may be empty. Surrounding white space is removed."""


class Form(BaseModel):
    """A table of the agent file. Unknown keys are errors; no type is converted but int to float."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @classmethod
    def __pydantic_init_subclass__(cls, **_more: Any) -> None:
        for field in cls.model_fields.values():
            field.description = field.description or _expected(field)


_TYPES = {str: "text", int: "a whole number", float: "a number"}


def _expected(field: FieldInfo) -> str | None:
    """What the field accepts, if its type says it. `X | None` is as X: no value of TOML is null."""
    kind = field.annotation
    if get_origin(kind) in (Union, UnionType):
        kind = next(each for each in get_args(kind) if each is not NoneType)
    if kind is bool:
        return "true or false"
    if get_origin(kind) is Literal and len(get_args(kind)) > 1:
        return one_of(get_args(kind))
    limits = {
        name: getattr(each, name)
        for each in field.metadata
        for name in ("ge", "le", "multiple_of")
        if hasattr(each, name)
    }
    if kind in (int, float) and "ge" in limits and "le" in limits:
        number = "a whole number" if kind is int or "multiple_of" in limits else "a number"
        return f"{number} from {limits['ge']} to {limits['le']}"
    return _TYPES.get(kind) if isinstance(kind, type) else None


def one_of(values: Sequence[object]) -> str:
    """Values as a message lists them: `'a', 'b' or 'c'`."""
    *most, last = map(repr, values)
    return f"{', '.join(most)} or {last}" if most else last


def fault(message: str, **values: str) -> PydanticCustomError:
    """An error whose message is complete, unlike "expected …, got …". `values`: format arguments.
    Raise it in a validator."""
    # PydanticCustomError wants a literal string as its template.
    return PydanticCustomError("fault", "{said}", {"said": message.format(**values)})
