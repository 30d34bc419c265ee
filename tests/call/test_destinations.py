"""Opening hours of destinations, and the route of a transfer when one of them is closed."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from app.call.destinations import Destination, Hours, route_to

BERLIN = ZoneInfo("Europe/Berlin")
WEEK = tuple((day, 540, 1050) for day in range(5))  # Monday to Friday, 09:00 to 17:30
NIGHTS = tuple((day, a, b) for day in range(7) for a, b in ((0, 60), (1380, 1440)))
OFFICE = Hours("Europe/Berlin", (*WEEK, (5, 600, 840)))
BAR = Hours("Europe/Berlin", ((4, 1200, 1440), (5, 0, 120), (5, 1200, 1440), (6, 0, 120)))


def at(day: int, clock: str, month: int = 1) -> float:
    """Unix time of a moment in Berlin, 2029: January 1st was a Monday."""
    hour, minute = map(int, clock.split(":"))
    return datetime(2029, month, day, hour, minute, tzinfo=BERLIN).timestamp()


def test_a_destination_without_hours_is_always_open() -> None:
    assert Hours().is_open(at(7, "03:00"))
    assert Hours().opens_next(at(7, "03:00")) is None
    assert Hours().in_words() == ""


@pytest.mark.parametrize(
    ("day", "clock", "is_open"),
    [
        (1, "08:59", False),
        (1, "09:00", True),
        (5, "17:29", True),
        (5, "17:30", False),
        (6, "10:00", True),
        (7, "10:00", False),
    ],
)
def test_the_office_opens_on_the_minute_and_closes_on_it(
    day: int, clock: str, is_open: bool
) -> None:
    assert OFFICE.is_open(at(day, clock)) is is_open


def test_the_clocks_of_the_office_count_in_summer_too() -> None:
    assert OFFICE.is_open(at(2, "09:00", month=7))  # a Monday, 07:00 UTC
    assert not OFFICE.is_open(at(2, "08:59", month=7))
    assert Hours("UTC", WEEK).is_open(at(2, "11:00", month=7))
    assert not Hours("UTC", WEEK).is_open(at(2, "10:59", month=7))


def test_a_bar_is_open_past_midnight() -> None:
    assert BAR.is_open(at(5, "23:59"))
    assert BAR.is_open(at(6, "00:00"))
    assert BAR.is_open(at(6, "01:59"))
    assert not BAR.is_open(at(6, "02:00"))
    assert not BAR.is_open(at(5, "01:00"))  # Thursday's night


@pytest.mark.parametrize(
    ("day", "clock", "opens"),
    [
        (1, "07:00", "Monday 09:00"),
        (1, "17:30", "Tuesday 09:00"),
        (5, "18:00", "Saturday 10:00"),
        (6, "14:00", "Monday 09:00"),
        (7, "23:59", "Monday 09:00"),
    ],
)
def test_a_closed_destination_says_when_it_opens(day: int, clock: str, opens: str) -> None:
    moment = OFFICE.opens_next(at(day, clock))
    assert moment is not None
    assert f"{moment:%A %H:%M}" == opens


def test_a_destination_that_opens_once_a_week_opens_a_week_later() -> None:
    moment = Hours("Europe/Berlin", ((0, 540, 600),)).opens_next(at(1, "10:00"))
    assert moment is not None
    assert moment.timestamp() == at(8, "09:00")
    assert OFFICE.opens_next(at(1, "10:00")) is None


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        (
            OFFICE,
            "Monday to Friday 09:00 to 17:30, Saturday 10:00 to 14:00 (time zone Europe/Berlin)",
        ),
        (BAR, "Friday and Saturday 20:00 to 02:00 (time zone Europe/Berlin)"),
        (
            Hours(
                "UTC", tuple((day, a, b) for day in range(7) for a, b in ((0, 60), (1380, 1440)))
            ),
            "every day 23:00 to 01:00 (time zone UTC)",
        ),
        (
            Hours("UTC", ((0, 480, 720), (0, 780, 1020), (2, 480, 720), (2, 780, 1020))),
            "Monday and Wednesday 08:00 to 12:00 and 13:00 to 17:00 (time zone UTC)",
        ),
        (
            Hours("UTC", ((0, 0, 1440), (5, 0, 1440), (6, 0, 1440))),
            "Saturday to Monday 00:00 to 24:00 (time zone UTC)",
        ),
    ],
)
def test_hours_are_told_in_words(hours: Hours, words: str) -> None:
    assert hours.in_words() == words


def test_a_route_skips_closed_destinations() -> None:
    orders = Destination("orders", "+14155550101", hours=OFFICE, then=("bar", "front desk"))
    bar = Destination("bar", "+14155550102", hours=BAR, then=("orders",))
    desk = Destination("front desk", "sip:desk@example.com")
    everyone = (desk, orders, bar)
    assert route_to("orders", everyone, at(1, "10:00")) == ("orders", "front desk")
    assert route_to("orders", everyone, at(5, "23:00")) == ("bar", "front desk")
    assert route_to("bar", everyone, at(1, "10:00")) == ("orders",)
    assert route_to("bar", everyone, at(7, "12:00")) == ()
    assert route_to("front desk", everyone, at(7, "12:00")) == ("front desk",)
