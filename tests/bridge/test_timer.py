"""A leg's timer: when it waits, and for how long."""

import asyncio
from collections.abc import Callable

import pytest

from app.bridge.leg.timer import DeadlineTimer


class Clock:
    """The leg's clock, the machine's deadline, and what the timer asks of the loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ms, self.due_ms = 0.0, float("inf")
        self.waits_ms: list[float] = []
        self.fired_ms: list[float] = []
        self._callbacks: list[Callable[[], None]] = []
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "call_later", self._call_later)
        self.timer = DeadlineTimer(lambda: self.now_ms, lambda: self.due_ms, self._is_due)

    def _call_later(self, delay_s: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        self.waits_ms.append(delay_s * 1000)
        self._callbacks.append(callback)
        return asyncio.TimerHandle(0, callback, (), asyncio.get_running_loop())

    def _is_due(self) -> None:
        self.fired_ms.append(self.now_ms)

    def fire(self, now_ms: float) -> None:
        self.now_ms = now_ms
        self._callbacks.pop()()


async def test_a_wait_is_a_whole_number_of_milliseconds_and_ends_no_sooner_than_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    clock.due_ms = 10.3
    clock.timer.set(0.0)
    clock.fire(10.1)  # a loop's timer may fire early
    assert clock.waits_ms == [11, 1] and clock.fired_ms == []
    clock.fire(11.1)
    assert clock.fired_ms == [11.1]


async def test_a_timer_that_is_set_for_an_earlier_time_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    clock.due_ms = 50.0
    clock.timer.set(0.0)
    clock.due_ms = 4000.0
    clock.timer.set(10.0)
    assert clock.waits_ms == [50]
    clock.fire(50.0)
    assert clock.waits_ms == [50, 3950] and clock.fired_ms == []
    clock.due_ms = 60.0
    clock.timer.set(51.0)
    assert clock.waits_ms == [50, 3950, 9]
    clock.due_ms = 55.0
    clock.fire(60.0)
    assert clock.fired_ms == [60.0]
