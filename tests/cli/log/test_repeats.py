"""Repeated log lines are summarized, and no call suppresses the lines of another."""

import logging
from typing import Any

from app.cli.log.repeats import MOST, MOST_KINDS, WINDOW_S, Repeats


def record(message: str = "webhook refused", **extra: Any) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "app.web", "levelname": "WARNING", "levelno": 30})
    made.msg = message
    made.__dict__.update(extra)
    return made


def passed(repeats: Repeats, times: int, now_s: float, **extra: Any) -> int:
    """How many of `times` equal lines are written."""
    return sum(repeats.passes(record(**extra), now_s) for _ in range(times))


def summaries(repeats: Repeats, now_s: float) -> list[tuple[str, int]]:
    return [(each.common.message, each.repeated) for each in repeats.due(now_s)]


def test_the_first_lines_pass_and_a_summary_counts_the_rest() -> None:
    repeats = Repeats()
    assert passed(repeats, 1000, 0.0) == MOST
    assert summaries(repeats, WINDOW_S - 0.1) == []
    assert summaries(repeats, WINDOW_S) == [("webhook refused", 1000 - MOST)]
    assert summaries(repeats, WINDOW_S) == []


def test_a_flood_is_one_summary_per_window_until_it_ends() -> None:
    repeats = Repeats()
    passed(repeats, 100, 0.0)
    for window in range(1, 4):
        summaries(repeats, window * WINDOW_S)
        assert passed(repeats, 100, window * WINDOW_S + 1) == 0
    assert summaries(repeats, 4 * WINDOW_S) == [("webhook refused", 100)]
    assert summaries(repeats, 5 * WINDOW_S) == []
    assert passed(repeats, 100, 5 * WINDOW_S) == MOST


def test_lines_of_another_kind_pass() -> None:
    repeats = Repeats()
    for extra in ({}, {"reason": "signature missing"}, {"reason": "signature invalid"}):
        assert passed(repeats, 100, 0.0, **extra) == MOST
    assert passed(repeats, 100, 0.0, message="media socket refused") == MOST
    # A path, like anything else that a peer makes up, does not make another kind.
    assert sum(repeats.passes(record("gone", path=f"/{n}"), 0.0) for n in range(100)) == MOST


def test_each_call_has_its_own_lines() -> None:
    repeats = Repeats()
    for number in range(200):
        assert passed(repeats, 100, 0.0, call_sid=f"CA{number}") == MOST
    assert {each.common.extras["call_sid"] for each in repeats.due(WINDOW_S)} == {
        f"CA{number}" for number in range(200)
    }


def test_a_kind_that_makes_room_is_summarized_and_memory_is_bounded() -> None:
    repeats = Repeats()
    passed(repeats, MOST + 7, 0.0)
    for number in range(3 * MOST_KINDS):
        repeats.passes(record(f"message {number}"), 1.0)
    assert summaries(repeats, 2.0) == [("webhook refused", 7)]
    assert len(repeats._kinds) <= MOST_KINDS


def test_a_librarys_message_is_compared_by_its_first_line_or_its_template() -> None:
    repeats = Repeats()
    messages = (f"Task exception was never retrieved\nfuture: <Task-{n}>" for n in range(100))
    assert sum(repeats.passes(record(each), 0.0) for each in messages) == MOST
    lines = (record("lost %s", args=(n,)) for n in range(100))
    assert sum(repeats.passes(each, 0.0) for each in lines) == MOST
