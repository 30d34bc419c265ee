"""The agent file's [transfer]: destinations with numbers, opening hours and fallbacks."""

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from app.call.destinations import Destination, Hours, Span
from app.call.words.blank import stripped
from app.config.phone_number import EXPECTED_NUMBER, Number
from app.wires.form import Form, Text, TextOrNone, fault

_DEFAULT = Destination("", "")
_NAME = re.compile(r"[\w -]{1,64}")
_PRINTABLE = re.compile(r"[!-~]+")
# user@host:port, with the host a name or an IPv6 address; then ;parameters and ?headers.
_SIP = re.compile(
    r"sips?:[^\s\"'<>@;?]+@([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?([;?][^\s\"'<>]*)?"
)
_MOST_SIP_CHARACTERS = 254  # Twilio: below 255, headers not counted

_DAY_NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = f"(?:{'|'.join(_DAY_NAMES)})"
_DAYS = rf"{_DAY}(?: *- *{_DAY})?"
_TIME = r"(\d\d):(\d\d)"
_OPEN = re.compile(rf"({_DAYS}(?: *, *{_DAYS})*) +{_TIME} *- *{_TIME}", re.IGNORECASE)
_DAY_MINUTES = 24 * 60


def _name(value: str) -> str:
    value = stripped(value)
    if not value or not _NAME.fullmatch(value):
        raise ValueError
    return value


def _sip(value: str) -> str:
    if not value.isascii() or not value.isprintable() or not _SIP.fullmatch(value):
        raise ValueError
    if len(value.partition("?")[0]) > _MOST_SIP_CHARACTERS:
        raise ValueError
    return value


def _music(value: str) -> str:
    if not value:
        return value
    parts = urlsplit(value)
    if not _PRINTABLE.fullmatch(value) or parts.scheme != "https" or not parts.hostname:
        raise ValueError
    return value


def _zone(value: str) -> str:
    known = available_timezones()
    if value not in known:
        near = difflib.get_close_matches(value, known, n=1)
        raise fault(
            "there is no time zone {value!r}; {advice}",
            value=value,
            advice=f"did you mean '{near[0]}'?" if near else "write one such as 'Europe/Berlin'",
        )
    return value


def _spans(value: str) -> list[Span]:
    """Parses opening hours such as 'Sat-Mon 20:00-02:00' into spans that each lie within a day.

    Raises:
        ValueError: the text has another form.
    """
    found = _OPEN.fullmatch(stripped(value))
    if found is None:
        raise ValueError
    days, *clock = found.groups()
    begin, end = _minutes(*clock[:2]), _minutes(*clock[2:])
    if begin == end:
        raise fault(
            "{value!r} begins and ends at the same time; write 00:00-24:00 for a whole day",
            value=value,
        )
    spans: list[Span] = []
    for day in _days(days):
        if begin < end:
            spans.append((day, begin, end))
        else:
            spans += [(day, begin, _DAY_MINUTES), ((day + 1) % len(_DAY_NAMES), 0, end)]
    return [span for span in spans if span[1] < span[2]]


def _days(text: str) -> Iterator[int]:
    for part in text.lower().replace(" ", "").split(","):
        first, _, last = part.partition("-")
        begin = _DAY_NAMES.index(first)
        ahead = (_DAY_NAMES.index(last or first) - begin) % len(_DAY_NAMES)
        yield from ((begin + day) % len(_DAY_NAMES) for day in range(ahead + 1))


def _minutes(hours: str, minutes: str) -> int:
    whole = int(hours) * 60 + int(minutes)
    if int(minutes) >= 60 or whole > _DAY_MINUTES:
        raise ValueError
    return whole


def _opening(value: str) -> str:
    try:
        _spans(value)
    except PydanticCustomError:
        raise
    except ValueError:
        raise fault(
            "expected hours such as 'Mon-Fri 09:00-17:30' or 'Sat,Sun 22:00-02:00', got {value!r}",
            value=value,
        ) from None
    return value


def _merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The spans in the order of the week; those that overlap or adjoin are merged."""
    merged: list[Span] = []
    for day, begin, end in sorted(spans):
        if merged and merged[-1][0] == day and begin <= merged[-1][2]:
            merged[-1] = (day, merged[-1][1], max(end, merged[-1][2]))
        else:
            merged.append((day, begin, end))
    return tuple(merged)


class DestinationForm(Form):
    #: What the model and the HTTP API call this destination.
    name: Annotated[str, AfterValidator(_name)] = Field(
        description="1 to 64 letters, digits, spaces, - or _"
    )
    #: What the model knows about it, beside the name and the hours.
    description: TextOrNone = Field(default=_DEFAULT.description, description="text")
    #: The telephone number to dial. The model never sees it.
    number: Number | None = Field(default=None, description=EXPECTED_NUMBER)
    #: The SIP address to dial, in place of a number.
    sip: Annotated[str, AfterValidator(_sip)] | None = Field(
        default=None, description="a SIP address such as 'sip:desk@example.com'"
    )
    #: When the destination is open. Outside these hours it is not dialled.
    hours: list[Annotated[str, AfterValidator(_opening)]] = Field(
        default=[],
        description="an array of opening hours, such as ['Mon-Fri 09:00-17:30'], "
        "or nothing for always",
    )
    #: The time zone of `hours`.
    timezone: Annotated[str, AfterValidator(_zone)] | None = Field(
        default=None, description="an IANA time zone such as 'Europe/Berlin'"
    )
    #: How long the destination rings before the next one is tried.
    ring_seconds: int = Field(
        default=_DEFAULT.ring_ms // 1000,
        ge=5,
        le=120,
        description="a whole number of seconds from 5 to 120",
    )
    #: The destinations that are tried next, in this order, when this one does not take the call.
    then: list[Text] = Field(
        default=[], description="an array of other destinations' names, such as ['front desk']"
    )
    #: Whether the human is briefed while the caller hears music, and joins the caller after that.
    warm: bool = Field(default=_DEFAULT.warm, description="true or false")

    @field_validator("hours")
    @classmethod
    def _are_not_empty(cls, value: list[str]) -> list[str]:
        if not value:  # ambiguous: always open, or never
            raise ValueError
        return value

    @model_validator(mode="after")
    def _is_whole(self) -> "DestinationForm":
        if self.number is None and self.sip is None:
            raise fault("needs number = '+14155550100' or sip = 'sip:…'; add one of them")
        if self.number is not None and self.sip is not None:
            raise fault("has both number and sip; remove one of them")
        if self.hours and self.timezone is None:
            raise fault("has hours but no time zone; add timezone = 'Europe/Berlin'")
        return self

    def destination(self) -> Destination:
        spans = _merged(span for text in self.hours for span in _spans(text))
        return Destination(
            name=self.name,
            address=self.number or self.sip or "",
            description=" ".join(self.description.split()),
            hours=Hours(self.timezone, spans) if self.timezone else Hours(),
            ring_ms=self.ring_seconds * 1000,
            then=tuple(self.then),
            warm=self.warm,
        )


class TransferForm(Form):
    #: What the caller hears during a warm transfer.
    hold_music: Annotated[str, AfterValidator(_music)] = Field(
        default="", description="an https address of a sound file, or '' for Twilio's own music"
    )
    #: The humans that callers can be transferred to. Without any, TRANSFER_NUMBER is the only one.
    destinations: list[DestinationForm] = Field(
        default=[], description="tables: [[transfer.destinations]]"
    )

    @field_validator("destinations", mode="before")
    @classmethod
    def _are_tables(cls, value: Any) -> Any:
        if isinstance(value, dict):
            raise fault(
                "expected an array of tables; write [[transfer.destinations]], with two brackets"
            )
        return value

    def problems(self) -> Iterator[tuple[int, str, str]]:
        """Faults across destinations: the destination's index, the key, and what is wrong."""
        names = [each.name for each in self.destinations]
        for index, form in enumerate(self.destinations):
            if form.name.casefold() in (name.casefold() for name in names[:index]):
                yield (
                    index,
                    "name",
                    f"a destination above has the name {form.name!r} already; change one of them",
                )
            for position, name in enumerate(form.then):
                if problem := _then_problem(name, form, position, names):
                    yield index, "then", problem


def _then_problem(name: str, form: DestinationForm, position: int, names: list[str]) -> str:
    if name == form.name:
        return f"{name!r} is this destination itself; remove it"
    if name in form.then[:position]:
        return f"{name!r} is listed twice; remove one"
    if name in names:
        return ""
    near = difflib.get_close_matches(name, names, n=1)
    others = [repr(each) for each in names if each != form.name]
    if near and near[0] != form.name:
        return f"there is no destination {name!r}; did you mean {near[0]!r}?"
    known = f"known here: {', '.join(others)}" if others else "there is no other one"
    return f"there is no destination {name!r}; {known}"
