"""Values as people say them on the phone, and texts with fields for such values.

A field is the name of a slot, such as `{name}`, or a tool's answer: `{result}`,
`{result.price_euros}`. `{result.price_euros:price}` says how to read the value; see `READ_AS`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_FIELD = re.compile(r"\{([^{}]*)\}")
_CLOCK = re.compile(r"(?<![\d:])([01]?\d|2[0-3]):([0-5]\d)(?![\d:])")
_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
_TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
# How people group digits: North American numbers 3-3-4, others in threes and fours.
_GROUPS = {
    4: (4,),
    5: (3, 2),
    7: (3, 4),
    8: (4, 4),
    10: (3, 3, 4),
    11: (1, 3, 3, 4),
}


class Unfilled(LookupError):
    """A field of a text has no value that can be said."""


def in_words(number: int) -> str:
    """12 -> twelve. Numbers above 9999 stay in digits."""
    if not 0 <= number <= 9999:
        return str(number)
    if number >= 1000:
        rest = number % 1000
        thousands = f"{_SMALL[number // 1000]} thousand"
        joined = " and " if rest < 100 else " "
        return f"{thousands}{joined}{in_words(rest)}" if rest else thousands
    if number >= 100:
        hundreds = f"{_SMALL[number // 100]} hundred"
        return f"{hundreds} and {in_words(number % 100)}" if number % 100 else hundreds
    if number < 20:
        return _SMALL[number]
    ten, one = divmod(number, 10)
    return f"{_TENS[ten]} {_SMALL[one]}" if one else _TENS[ten]


def as_digits(value: object) -> str:
    """5551234 -> 5 5 5, 1 2 3 4, with a pause where people make one."""
    digits = re.sub(r"\D", "", str(value))
    if not digits:
        raise Unfilled(value)
    left, groups = digits, []
    for size in _GROUPS.get(len(digits), (3,) * (len(digits) // 3 + 1)):
        groups.append(" ".join(left[:size]))
        left = left[size:]
    return ", ".join(group for group in groups if group)


def as_price(value: object) -> str:
    """12.5 -> twelve fifty, 11.0 -> eleven."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unfilled(value)
    whole, cents = divmod(round(value * 100), 100)
    if not cents:
        return in_words(whole)
    if whole < 1:
        return as_said(round(value, 2))
    return f"{in_words(whole)} {'oh ' if cents < 10 else ''}{in_words(cents)}"


def as_said(value: object) -> str:
    """A value in spoken form. Raises Unfilled for an empty value and for a table."""
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return in_words(value)
        case float():
            return in_words(int(value)) if value.is_integer() else f"{value:g}"
        case str() if value.strip():
            return _CLOCK.sub(_clock, value.strip())
        case [*several] if several:
            *first, last = map(as_said, several)
            return f"{', '.join(first)} and {last}" if first else last
    raise Unfilled(value)


READ_AS: Mapping[str, Callable[[object], str]] = {
    "": as_said,
    "price": as_price,
    "digits": as_digits,
}
"""The ways to read a field, by the word after its colon."""


def filled(text: str, slots: Mapping[str, str], result: object = None) -> str:
    """A text with its fields in spoken form. `slots`: the caller's. `result`: a tool's answer.

    Raises Unfilled when a field has no value.
    """

    def said(field: re.Match[str]) -> str:
        path, _, way = field[1].partition(":")
        name, *steps = path.split(".")
        if name == "result":
            return READ_AS[way](_inside(result, steps))
        if name not in slots:
            raise Unfilled(name)
        if name == "number" and not way:
            return as_said(_typed(name, slots[name]))
        return READ_AS[way or ("digits" if name == "digits" else "")](slots[name])

    whole = _FIELD.sub(said, text)
    return whole[:1].upper() + whole[1:]


def arguments_from(template: Any, slots: Mapping[str, str]) -> Any:
    """A tool's arguments: a template with its fields replaced by slots, at any depth.

    A string that is one field becomes a number when the slot is one, in digits or as a word.
    `{digits}` stay text, because a phone number may begin with zeros. Raises Unfilled.
    """
    match template:
        case dict():
            return {key: arguments_from(value, slots) for key, value in template.items()}
        case list():
            return [arguments_from(value, slots) for value in template]
        case str():
            try:
                only = _FIELD.fullmatch(template)
                if only:
                    return _typed(only[1], slots[only[1]])
                return _FIELD.sub(lambda field: slots[field[1]], template)
            except KeyError as error:
                raise Unfilled(error.args[0]) from error
    return template


def _typed(name: str, heard: str) -> int | str:
    if name == "number" and heard.isdecimal():
        return int(heard)
    return _SMALL.index(heard) if name != "name" and heard in _SMALL else heard


def _inside(value: Any, steps: Sequence[str]) -> Any:
    for step in steps:
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            raise Unfilled(step)
    return value


def _clock(found: re.Match[str]) -> str:
    """18:05 -> eighteen oh five, 18:00 -> eighteen o'clock."""
    hours, minutes = int(found[1]), int(found[2])
    if not minutes:
        return f"{in_words(hours)} o'clock"
    return f"{in_words(hours)} {'oh ' if minutes < 10 else ''}{in_words(minutes)}"
