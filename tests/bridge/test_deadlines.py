"""A deadline that holds, whatever the work does when it is cancelled."""

import asyncio

import pytest

from app.bridge.deadlines import within


async def answers() -> str:
    return "in time"


async def fails() -> str:
    raise ValueError("at once")


async def test_what_comes_in_time_is_handed_on_whether_result_or_error() -> None:
    assert await within(5, answers()) == "in time"
    with pytest.raises(ValueError, match="at once"):
        await within(5, fails())


async def test_work_that_will_not_be_cancelled_is_not_waited_for() -> None:
    let_go, gone = asyncio.Event(), asyncio.Event()

    async def stubborn() -> None:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue
        gone.set()
        raise ValueError("too late to matter")

    with pytest.raises(TimeoutError):
        await within(0.01, stubborn())
    assert not gone.is_set()
    let_go.set()
    await gone.wait()


async def test_work_ends_with_the_one_who_waits_for_it() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def waits() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    waiter = asyncio.create_task(within(5, waits()))
    await begun.wait()
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    await ended.wait()
