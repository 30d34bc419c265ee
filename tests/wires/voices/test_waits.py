"""Deadlines for the many waits of one text."""

import asyncio

import pytest

from app.wires.voices.waits import Waits


async def test_a_wait_beyond_its_deadline_is_a_timeout() -> None:
    waits = Waits()
    with pytest.raises(TimeoutError):
        with waits.within(0.01):
            await asyncio.Event().wait()
    task = asyncio.current_task()
    assert task is not None and not task.cancelling()
    with waits.within(60.0):  # and the next one lasts
        await asyncio.sleep(0)
    waits.close()


async def test_many_short_waits_set_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, timers = asyncio.get_running_loop(), []
    call_at = loop.call_at

    def count(when: float, callback, *args):  # type: ignore[no-untyped-def]
        if isinstance(getattr(callback, "__self__", None), Waits):
            timers.append(when)
        return call_at(when, callback, *args)

    monkeypatch.setattr(loop, "call_at", count)
    waits = Waits()
    for _ in range(100):
        with waits.within(60.0):
            await asyncio.sleep(0)
    assert len(timers) == 1
    with waits.within(1.0):  # an earlier deadline moves it
        await asyncio.sleep(0)
    assert len(timers) == 2
    waits.close()


async def test_time_between_two_waits_does_not_count() -> None:
    waits = Waits()
    with waits.within(0.02):
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    with waits.within(60.0):
        await asyncio.sleep(0)
    waits.close()


async def test_a_timer_that_fires_early_for_a_later_wait_is_moved() -> None:
    waits = Waits()
    reached = asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, reached.set)
    with waits.within(0.02):
        await asyncio.sleep(0)
    with waits.within(60.0):
        await reached.wait()
    waits.close()


async def test_a_cancellation_that_is_not_its_own_is_passed_on() -> None:
    waits = Waits()
    waiting = asyncio.Event()

    async def wait() -> None:
        with waits.within(60.0):
            waiting.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    waits.close()


async def test_of_two_nested_waits_the_shorter_one_ends() -> None:
    outer, inner = Waits(), Waits()
    with pytest.raises(TimeoutError):
        with outer.within(0.01):
            try:
                with inner.within(60.0):
                    await asyncio.Event().wait()
            except TimeoutError:
                pytest.fail("it was the outer one's deadline")
    outer.close()
    inner.close()
