"""What a search for calls asks: words, parts of numbers, an outcome, days."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from app.records.digests.digest import words_of

_DAY = re.compile(r"\b(\d{4})-(\d\d)-(\d\d)\b")
_NUMBER = re.compile(r"[\d\s()+./-]+")
_LEAST_DIGITS = 3


@dataclass(frozen=True, slots=True)
class Search:
    """All of it must hold of a call."""

    #: Each is part of a word, of a number or of an outcome.
    parts: tuple[str, ...] = ()
    #: A status, an `ended_by` or a transfer's outcome; empty: any.
    outcome: str = ""
    #: When the call came in or was placed: from the first on, and before the second.
    after: datetime | None = None
    before: datetime | None = None


def parse_search(
    text: str, outcome: str = "", day: date | None = None, zone: tzinfo = UTC
) -> Search:
    """What was typed into the search box, with the filters beside it.

    A day in `text`, such as 2026-11-30, counts as `day`. `zone`: that of days.
    """
    found = _DAY.search(text)
    if found is not None:
        try:
            day = date(*map(int, found.groups()))
        except ValueError:
            pass
        else:
            text = text[: found.start()] + text[found.end() :]
    digits = "".join(filter(str.isdigit, text))
    is_number = _NUMBER.fullmatch(text) and len(digits) >= _LEAST_DIGITS
    parts = (digits,) if is_number else tuple(words_of(text))
    after, before = (None, None) if day is None else bounds(day, zone)
    return Search(parts, outcome.strip().casefold(), after, before)


def bounds(day: date, zone: tzinfo) -> tuple[datetime, datetime]:
    """The beginning of a day in a time zone, and that of the next one, in UTC."""
    try:
        next_day = day + timedelta(days=1)
        ends = [datetime.combine(each, time(), zone).astimezone(UTC) for each in (day, next_day)]
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    return ends[0], ends[1]
