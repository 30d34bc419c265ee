"""What was typed into the search box, and what is looked for."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from app.records.digests.search import Search, parse_search


def test_words_are_looked_for_without_case() -> None:
    assert parse_search("  Two PIZZAS, please ").parts == ("two", "pizzas", "please")


@pytest.mark.parametrize("typed", ["+1 (555) 123-0001", "1555.123.0001", "+15551230001"])
def test_a_number_is_looked_for_by_its_digits(typed: str) -> None:
    assert parse_search(typed).parts == ("15551230001",)


def test_two_digits_are_a_word() -> None:
    assert parse_search("42").parts == ("42",)


def test_a_day_among_the_words_bounds_the_calls() -> None:
    search = parse_search("pizza 2026-11-30", zone=ZoneInfo("Europe/Berlin"))
    assert search.parts == ("pizza",)
    assert search.after == datetime(2026, 11, 29, 23, tzinfo=UTC)
    assert search.before == datetime(2026, 11, 30, 23, tzinfo=UTC)


def test_what_is_no_day_is_looked_for_as_it_is() -> None:
    assert parse_search("2026-13-45") == Search(("20261345",))


def test_the_last_day_of_the_calendar_finds_nothing_and_does_not_fail() -> None:
    search = parse_search("", day=date.max)
    assert search.after == search.before


def test_an_outcome_is_compared_without_case() -> None:
    assert parse_search("", outcome=" Busy ").outcome == "busy"
