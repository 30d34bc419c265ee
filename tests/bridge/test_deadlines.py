"""A deadline that holds, whatever the work does with its cancellation."""

import asyncio

import pytest

from app.bridge.deadlines import within


async def answers() -> str:
    return "in time"


async def fails() -> str:
    raise ValueError("at once")


async def test_a_result_or_an_error_in_time_is_passed_on() -> None:
    assert await within(5, answers()) == "in time"
    with pytest.raises(ValueError, match="at once"):
        await within(5, fails())


async def test_work_that_ignores_its_cancellation_does_not_move_the_deadline() -> None:
    release, gone = asyncio.Event(), asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        gone.set()
        raise ValueError("too late to matter")

    with pytest.raises(TimeoutError):
        await within(0.01, stubborn())
    assert not gone.is_set()
    release.set()
    await gone.wait()


async def test_cancelling_the_caller_cancels_the_work() -> None:
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
