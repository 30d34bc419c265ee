"""Lines that come again and again are summed up, and no call's line is lost for another call's."""

import logging
from typing import Any

from app.cli.log.repeats import MOST, MOST_KINDS, WINDOW_S, Repeats


def record(message: str = "webhook refused", **extra: Any) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "app.web", "levelname": "WARNING", "levelno": 30})
    made.msg = message
    made.__dict__.update(extra)
    return made


def passed(repeats: Repeats, times: int, now_s: float, **extra: Any) -> int:
    """How many of so many lines are written."""
    return sum(repeats.passes(record(**extra), now_s) for _ in range(times))


def told(repeats: Repeats, now_s: float) -> list[tuple[str, int]]:
    return [(each.said.message, each.repeated) for each in repeats.due(now_s)]


def test_the_first_ones_pass_and_then_a_line_tells_how_many_there_were() -> None:
    repeats = Repeats()
    assert passed(repeats, 1000, 0.0) == MOST
    assert told(repeats, WINDOW_S - 0.1) == []
    assert told(repeats, WINDOW_S) == [("webhook refused", 1000 - MOST)]
    assert told(repeats, WINDOW_S) == []


def test_a_flood_is_a_line_every_window_until_it_ends() -> None:
    repeats = Repeats()
    passed(repeats, 100, 0.0)
    for window in range(1, 4):
        told(repeats, window * WINDOW_S)
        assert passed(repeats, 100, window * WINDOW_S + 1) == 0
    assert told(repeats, 4 * WINDOW_S) == [("webhook refused", 100)]
    assert told(repeats, 5 * WINDOW_S) == []
    assert passed(repeats, 100, 5 * WINDOW_S) == MOST


def test_lines_that_say_something_else_pass() -> None:
    repeats = Repeats()
    for extra in ({}, {"reason": "signature missing"}, {"reason": "signature invalid"}):
        assert passed(repeats, 100, 0.0, **extra) == MOST
    assert passed(repeats, 100, 0.0, message="media socket refused") == MOST
    # A path, or whatever else a stranger makes up, is none of it.
    assert sum(repeats.passes(record("gone", path=f"/{n}"), 0.0) for n in range(100)) == MOST


def test_each_call_has_its_own_lines() -> None:
    repeats = Repeats()
    for number in range(200):
        assert passed(repeats, 100, 0.0, call_sid=f"CA{number}") == MOST
    assert {each.said.extras["call_sid"] for each in repeats.due(WINDOW_S)} == {
        f"CA{number}" for number in range(200)
    }


def test_what_makes_room_is_told_and_memory_has_a_limit() -> None:
    repeats = Repeats()
    passed(repeats, MOST + 7, 0.0)
    for number in range(3 * MOST_KINDS):
        repeats.passes(record(f"message {number}"), 1.0)
    assert told(repeats, 2.0) == [("webhook refused", 7)]
    assert len(repeats._kinds) <= MOST_KINDS


def test_a_librarys_message_is_known_by_its_first_line_or_its_template() -> None:
    repeats = Repeats()
    messages = (f"Task exception was never retrieved\nfuture: <Task-{n}>" for n in range(100))
    assert sum(repeats.passes(record(each), 0.0) for each in messages) == MOST
    lines = (record("lost %s", args=(n,)) for n in range(100))
    assert sum(repeats.passes(each, 0.0) for each in lines) == MOST
