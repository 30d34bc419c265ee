"""Async tools that hold the event loop are named in the log."""

import asyncio
import logging
import threading

import pytest

from app.tools import CallContext, ToolRegistry, loop_watch, tool
from app.tools.loop_watch import LoopWatch, Who


class Clock:
    """A clock that the test moves, in seconds."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def held(caplog: pytest.LogCaptureFixture, *, message: str) -> list[dict[str, object]]:
    return [each.__dict__ for each in caplog.records if each.getMessage() == message]


HELD = "a tool held the event loop"
STUCK = "a tool is holding the event loop, and every call with it"


def test_a_step_of_more_than_100_ms_is_logged_by_name(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    watch = LoopWatch(clock)
    for name, seconds in (("short", 0.1), ("long", 0.101)):
        step = watch.begin(Who(name, "CA1"))
        clock.now_s += seconds
        watch.end(step)
    (line,) = held(caplog, message=HELD)
    assert (line["tool"], line["call_sid"], line["held_ms"]) == ("long", "CA1", 101)


async def test_the_steps_of_a_tools_own_tasks_count_as_its_own(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    @tool
    async def compute() -> str:
        async def part() -> None:
            monkeypatch.setattr(loop_watch, "HELD_MS", -1.0)

        await asyncio.create_task(part())
        return "done"

    await ToolRegistry([compute]).run("compute", "{}", CallContext("CA1"))
    monkeypatch.setattr(loop_watch, "HELD_MS", 100.0)
    lines = held(caplog, message=HELD)
    assert lines and {line["tool"] for line in lines} == {"compute"}


async def test_a_tool_that_is_stuck_is_logged_with_its_stack_while_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logged = threading.Event()
    lines: list[dict[str, object]] = []

    class Release(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() == STUCK:
                lines.append(record.__dict__)
                logged.set()

    monkeypatch.setattr(loop_watch, "STUCK_S", 0.01)
    monkeypatch.setattr(loop_watch, "_POLL_S", 0.01)
    handler = Release()
    logging.getLogger(loop_watch.__name__).addHandler(handler)

    @tool
    async def block() -> bool:
        return logged.wait(15)

    try:
        assert await ToolRegistry([block]).run("block", "{}") == "true"
    finally:
        logging.getLogger(loop_watch.__name__).removeHandler(handler)
    (line,) = lines
    assert line["tool"] == "block" and "logged.wait(15)" in str(line["trace"])
