"""Checks of one JSON value, from which the tables of `schema` are built.

Error codes and messages follow what the Realtime API answers to a malformed client event.
"""

from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any, str], None]
"""Takes a value and its path in the event; raises Refusal."""


class Refusal(Exception):
    """A client event that the server answers with an `error` event and otherwise ignores."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param


def wrong(value: Any, path: str, expected: str) -> Refusal:
    return Refusal("invalid_value", f"Invalid value: {str(value)[:80]!r}. {expected}", path)


def type_of(value: Any, path: str, kind: type, name: str) -> None:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        got = type(value).__name__
        message = f"Invalid type for '{path}': expected {name}, but got {got} instead."
        raise Refusal("invalid_type", message, path)


def _is_plain(character: str) -> bool:
    return character.isascii() and character.isalnum()


def text(longest: int = 0, marks: str | None = None) -> Check:
    """A string. `marks`: the characters allowed beside ASCII letters and digits; None: all."""

    def check(value: Any, path: str) -> None:
        type_of(value, path, str, "a string")
        if longest and len(value) > longest:
            raise wrong(value, path, f"The longest allowed is {longest} characters.")
        if marks is not None and not (value and all(_is_plain(c) or c in marks for c in value)):
            raise wrong(value, path, f"Use letters, digits and {marks!r} only.")

    return check


def number(low: float, high: float) -> Check:
    def check(value: Any, path: str) -> None:
        if not isinstance(value, int):
            type_of(value, path, float, "a number")
        _between(value, path, low, high)

    return check


def integer(low: int = 0, high: int = 2**31) -> Check:
    def check(value: Any, path: str) -> None:
        type_of(value, path, int, "an integer")
        _between(value, path, low, high)

    return check


def _between(value: float, path: str, low: float, high: float) -> None:
    if isinstance(value, bool) or not low <= value <= high:
        raise wrong(value, path, f"Expected a value between {low} and {high}.")


def boolean(value: Any, path: str) -> None:
    type_of(value, path, bool, "a boolean")


def json_object(value: Any, path: str) -> None:
    """An object with any keys, such as a JSON schema."""
    type_of(value, path, dict, "an object")


def anything(value: Any, path: str) -> None:
    """Accepts every value: the part is checked elsewhere, or not used."""


def one_of(*values: Any) -> Check:
    def check(value: Any, path: str) -> None:
        if not any(value == v and type(value) is type(v) for v in values):
            supported = ", ".join(f"'{v}'" for v in values)
            raise wrong(value, path, f"Supported values are: {supported}.")

    return check


def nullable(inner: Check) -> Check:
    def check(value: Any, path: str) -> None:
        if value is not None:
            inner(value, path)

    return check


def constant_or(constant: str, inner: Check) -> Check:
    """`constant`, or a value that `inner` accepts."""

    def check(value: Any, path: str) -> None:
        if value != constant:
            inner(value, path)

    return check


def array(inner: Check, *, least: int = 0) -> Check:
    def check(value: Any, path: str) -> None:
        type_of(value, path, list, "an array")
        if len(value) < least:
            raise wrong(value, path, f"Expected at least {least} elements.")
        for index, element in enumerate(value):
            inner(element, f"{path}[{index}]")

    return check


def obj(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    known = {**required, **(optional or {})}

    def check(value: Any, path: str) -> None:
        type_of(value, path, dict, "an object")
        prefix = f"{path}." if path else ""
        for key in value:
            if key not in known:
                message = f"Unknown parameter: '{prefix}{key}'."
                raise Refusal("unknown_parameter", message, prefix + key)
        for key in required:
            if key not in value:
                message = f"Missing required parameter: '{prefix}{key}'."
                raise Refusal("missing_required_parameter", message, prefix + key)
        for key, element in value.items():
            known[key](element, prefix + key)

    return check


def tagged(tag: str, variants: Mapping[str, Check]) -> Check:
    """An object whose key `tag` names one of the variants."""
    kinds = one_of(*variants)

    def check(value: Any, path: str) -> None:
        type_of(value, path, dict, "an object")
        tag_path = f"{path}.{tag}" if path else tag
        if tag not in value:
            message = f"Missing required parameter: '{tag_path}'."
            raise Refusal("missing_required_parameter", message, tag_path)
        kinds(value[tag], tag_path)
        variants[value[tag]](value, path)

    return check
