"""Destinations of a transfer: their addresses, their opening hours, and the order of attempts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

_DAY_MINUTES = 24 * 60
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_WEEK_DAYS = len(_DAYS)

#: (weekday, from, until): Monday is 0; minutes since midnight, up to 1440. Lies within its day.
Span = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Hours:
    """Opening hours, the same every week."""

    #: IANA time zone.
    zone: str = "UTC"
    #: When it is open; empty: always.
    spans: tuple[Span, ...] = ()

    def is_open(self, at_s: float) -> bool:
        """Whether it is open. `at_s`: Unix time, in seconds."""
        if not self.spans:
            return True
        here = datetime.fromtimestamp(at_s, ZoneInfo(self.zone))
        minute = here.hour * 60 + here.minute
        return any(day == here.weekday() and a <= minute < b for day, a, b in self.spans)

    def opens_next(self, at_s: float) -> datetime | None:
        """When it opens next, in its own time zone; None while it is open. `at_s`: Unix time, in
        seconds."""
        if self.is_open(at_s):
            return None
        here = datetime.fromtimestamp(at_s, ZoneInfo(self.zone))
        midnight = here.replace(hour=0, minute=0, second=0, microsecond=0)
        moments = (
            midnight + timedelta(days=ahead, minutes=begin)
            for ahead in range(_WEEK_DAYS + 1)
            for day, begin, _ in self.spans
            if day == (here.weekday() + ahead) % _WEEK_DAYS
        )
        return min(moment for moment in moments if moment > here)

    def in_words(self) -> str:
        """For the model: "Monday to Friday 09:00 to 17:30, Saturday 10:00 to 14:00 (time zone
        Europe/Berlin)"; empty when it is always open."""
        if not self.spans:
            return ""
        times: dict[int, list[str]] = {}
        for day, begin, end in _over_midnight(self.spans):
            times.setdefault(day, []).append(f"{_clock(begin)} to {_clock(end)}")
        days: dict[str, list[int]] = {}
        for day in sorted(times):
            days.setdefault(_listed(times[day]), []).append(day)
        said = (f"{_days_in_words(when)} {open_at}" for open_at, when in days.items())
        return f"{', '.join(said)} (time zone {self.zone})"


@dataclass(frozen=True, slots=True)
class Destination:
    """A human, or a team of them, that callers can be transferred to."""

    #: What the model knows it by.
    name: str
    #: E.164 number or `sip:` URI. The model never sees it.
    address: str
    #: For the model, beside the name.
    description: str = ""
    hours: Hours = Hours()
    #: How long the telephone rings.
    ring_ms: int = 20_000
    #: Names of the destinations that are tried next, in this order, if this one does not accept.
    then: tuple[str, ...] = ()
    #: Warm transfer: the human hears the summary while the caller waits in a conference.
    warm: bool = False


def route_to(name: str, destinations: Sequence[Destination], at_s: float) -> tuple[str, ...]:
    """The route to a destination: itself, then its `then`, without those that are closed.

    Args:
        name: One of `destinations`.
        at_s: Unix time, in seconds.

    Returns:
        Names in the order of the attempts; empty when all of them are closed.

    Raises:
        KeyError: `name` is none of `destinations`.
    """
    known = {each.name: each for each in destinations}
    names = dict.fromkeys((name, *known[name].then))
    return tuple(each for each in names if known[each].hours.is_open(at_s))


def _over_midnight(spans: Sequence[Span]) -> Iterable[Span]:
    """The spans, with two that meet at midnight joined to one on the day when it begins."""
    unjoined = set(spans)
    for day, begin, end in sorted(spans):
        morning = next((each for each in unjoined if each[:2] == ((day + 1) % _WEEK_DAYS, 0)), None)
        if end == _DAY_MINUTES and morning and morning[2] < begin:
            unjoined -= {(day, begin, end), morning}
            unjoined.add((day, begin, morning[2]))
    return sorted(unjoined)


def _days_in_words(days: Sequence[int]) -> str:
    """Days of the week in words; three or more in a row as "Monday to Wednesday"."""
    if len(days) == _WEEK_DAYS:
        return "every day"
    said = []
    for first in (day for day in days if (day - 1) % _WEEK_DAYS not in days):
        row = [first]
        while (following := (row[-1] + 1) % _WEEK_DAYS) in days:
            row.append(following)
        names = [_DAYS[day] for day in row]
        said += [f"{names[0]} to {names[-1]}"] if len(names) > 2 else names
    return _listed(said)


def _listed(parts: Sequence[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
