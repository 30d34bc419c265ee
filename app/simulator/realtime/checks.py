"""Checks of one JSON value, from which the tables of `schema` are built.

Error codes and messages follow what the Realtime API answers to a malformed client event.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

Check = Callable[[Any, str], Any]
"""Takes a value and its path in the event; returns the value as the server reads it, without
optional keys that are null. Raises Refusal."""

_nullables: set[Check] = set()


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

    def check(value: Any, path: str) -> Any:
        type_of(value, path, str, "a string")
        if longest and len(value) > longest:
            raise wrong(value, path, f"The longest allowed is {longest} characters.")
        if marks is not None and not (value and all(_is_plain(c) or c in marks for c in value)):
            raise wrong(value, path, f"Use letters, digits and {marks!r} only.")
        return value

    return check


def number(low: float, high: float) -> Check:
    def check(value: Any, path: str) -> Any:
        if not isinstance(value, int):
            type_of(value, path, float, "a number")
        _between(value, path, low, high)
        return value

    return check


def integer(low: int = 0, high: int = 2**31) -> Check:
    def check(value: Any, path: str) -> Any:
        type_of(value, path, int, "an integer")
        _between(value, path, low, high)
        return value

    return check


def _between(value: float, path: str, low: float, high: float) -> None:
    if isinstance(value, bool) or not low <= value <= high:
        raise wrong(value, path, f"Expected a value between {low} and {high}.")


def boolean(value: Any, path: str) -> Any:
    type_of(value, path, bool, "a boolean")
    return value


def json_object(value: Any, path: str) -> Any:
    """An object with any keys, such as a JSON schema."""
    type_of(value, path, dict, "an object")
    return value


def anything(value: Any, path: str) -> Any:
    """Accepts every value: the part is checked elsewhere, or not used."""
    return value


def one_of(*values: Any) -> Check:
    def check(value: Any, path: str) -> Any:
        if not any(value == v and type(value) is type(v) for v in values):
            supported = ", ".join(f"'{v}'" for v in values)
            raise wrong(value, path, f"Supported values are: {supported}.")
        return value

    return check


def nullable(inner: Check) -> Check:
    """A value that may be null, and keeps its null: null means off, not "as before"."""

    def check(value: Any, path: str) -> Any:
        return None if value is None else inner(value, path)

    _nullables.add(check)
    return check


def constant_or(constant: str, inner: Check) -> Check:
    """`constant`, or a value that `inner` accepts."""

    def check(value: Any, path: str) -> Any:
        return value if value == constant else inner(value, path)

    return check


def array(inner: Check, *, least: int = 0) -> Check:
    def check(value: Any, path: str) -> Any:
        type_of(value, path, list, "an array")
        if len(value) < least:
            raise wrong(value, path, f"Expected at least {least} elements.")
        return [inner(element, f"{path}[{index}]") for index, element in enumerate(value)]

    return check


def obj(
    required: Mapping[str, Check],
    optional: Mapping[str, Check] | None = None,
    *,
    elsewhere: Collection[str] = (),
) -> Check:
    """An object with these keys. An optional key that is null is left out of the result, unless its
    check is `nullable`: the openai package's types allow null for every optional key.

    `elsewhere`: keys of sibling objects, which the package's types have here too, as null.
    """
    known = {**required, **(optional or {})}

    def check(value: Any, path: str) -> Any:
        type_of(value, path, dict, "an object")
        prefix = f"{path}." if path else ""
        for key, element in value.items():
            if key not in known and not (key in elsewhere and element is None):
                message = f"Unknown parameter: '{prefix}{key}'."
                raise Refusal("unknown_parameter", message, prefix + key)
        for key in required:
            if key not in value:
                message = f"Missing required parameter: '{prefix}{key}'."
                raise Refusal("missing_required_parameter", message, prefix + key)
        return {
            key: known[key](element, prefix + key)
            for key, element in value.items()
            if element is not None or key in required or known.get(key) in _nullables
        }

    return check


def tagged(tag: str, variants: Mapping[str, Check], *, default: str = "") -> Check:
    """An object whose key `tag` names one of the variants. `default`: what a null tag means."""
    kinds = one_of(*variants)

    def check(value: Any, path: str) -> Any:
        type_of(value, path, dict, "an object")
        tag_path = f"{path}.{tag}" if path else tag
        if tag not in value:
            message = f"Missing required parameter: '{tag_path}'."
            raise Refusal("missing_required_parameter", message, tag_path)
        if value[tag] is None and default:
            value = {**value, tag: default}
        kinds(value[tag], tag_path)
        return variants[value[tag]](value, path)

    return check
