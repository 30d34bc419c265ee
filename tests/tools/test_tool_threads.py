"""Threads of sync tools: their number is bounded, for each call and for all calls together."""

import asyncio
import logging
import threading
from collections.abc import Iterator

import pytest

from app.tools import CallContext, ToolError, ToolRegistry, tool
from app.tools.threads import MOST_OF_CALL, MOST_THREADS, ToolThreads

release = threading.Event()


@tool
def hang() -> str:
    """Blocks its thread until the release."""
    assert release.wait(20)
    return "done"


@tool
def quick() -> str:
    return "quick"


@pytest.fixture(autouse=True)
def gate() -> Iterator[None]:
    release.clear()
    yield
    release.set()


class Calls:
    """Calls whose tools share `threads`."""

    def __init__(self, most: int, most_of_call: int) -> None:
        self.registry = ToolRegistry([hang, quick], threads=ToolThreads(most, most_of_call))
        self.running: list[asyncio.Task[str]] = []

    async def run(self, call_sid: str, name: str) -> str:
        return await self.registry.run(name, "{}", CallContext(call_sid))

    async def hang(self, call_sid: str, times: int = 1) -> None:
        """Start a tool that hangs."""
        for _ in range(times):
            self.running.append(asyncio.create_task(self.run(call_sid, "hang")))
        await asyncio.sleep(0)

    async def ended(self) -> list[str]:
        release.set()
        return await asyncio.gather(*self.running)


async def test_one_call_cannot_take_the_threads_of_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = Calls(most=4, most_of_call=2)
    await calls.hang("CA1", 2)
    with caplog.at_level(logging.WARNING), pytest.raises(ToolError, match="quick was not run: it"):
        await calls.run("CA1", "quick")
    assert await calls.run("CA2", "quick") == "quick"
    (record,) = caplog.records
    assert record.getMessage() == "no thread is free for a tool"
    assert record.__dict__["running"] == {"hang": 2} and record.__dict__["call_sid"] == "CA1"
    assert await calls.ended() == ["done"] * 2
    assert await calls.run("CA1", "quick") == "quick"


async def test_all_calls_together_have_a_bound_that_is_refused_at_once() -> None:
    calls = Calls(most=3, most_of_call=2)
    await calls.hang("CA1", 2)
    await calls.hang("CA2")
    with pytest.raises(ToolError, match="busy"):
        await calls.run("CA3", "quick")
    assert await calls.ended() == ["done"] * 3


async def test_a_thread_counts_until_it_ends_though_the_call_no_longer_waits() -> None:
    calls = Calls(most=1, most_of_call=1)
    await calls.hang("CA1")
    calls.running[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await calls.running[0]
    with pytest.raises(ToolError, match="busy"):
        await calls.run("CA2", "quick")


async def test_a_thread_that_the_system_does_not_give_is_a_fault_and_counts_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = Calls(most=1, most_of_call=1)
    assert await calls.run("CA1", "quick") == "quick"  # the starter runs

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched, pytest.raises(ToolError, match="The tool failed"):
        patched.setattr(threading.Thread, "start", refuse)
        await calls.run("CA1", "quick")
    assert await calls.run("CA1", "quick") == "quick"


def test_a_call_has_as_many_threads_as_an_answer_may_call_tools() -> None:
    from app.call.model.tool_limits import MOST_CALLS

    assert MOST_CALLS <= MOST_OF_CALL < MOST_THREADS
