"""Turns at a bounded resource: no call takes all of it, and each gets its share."""

import asyncio

import pytest

from app.tools.turns import TooMany, Turns


class Queue:
    """Those who wait, and the order of their turns."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.had: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def come(self, *call_sids: str) -> None:
        for call_sid in call_sids:
            self.tasks.append(asyncio.create_task(self._take(call_sid)))
        await asyncio.sleep(0)

    async def _take(self, call_sid: str) -> None:
        await self.turns.take(call_sid)
        self.had.append(call_sid)

    async def give_back(self, call_sid: str) -> None:
        self.turns.give_back(call_sid)
        await asyncio.sleep(0)


async def test_a_call_gets_its_share_and_no_more() -> None:
    queue = Queue(Turns(4, 2, 10))
    await queue.come("A", "A", "A", "A", "B", "C")
    assert queue.had == ["A", "A", "B", "C"]
    await queue.give_back("B")
    assert queue.had[4:] == []  # A has its share
    await queue.give_back("A")
    assert queue.had[4:] == ["A"]
    for task in queue.tasks:
        task.cancel()


async def test_the_call_with_the_fewest_is_next() -> None:
    queue = Queue(Turns(2, 2, 10))
    await queue.come("A", "A", "A", "A", "B")
    await queue.give_back("A")
    assert queue.had == ["A", "A", "B"]
    for task in queue.tasks:
        task.cancel()


async def test_one_that_stops_waiting_loses_no_turn() -> None:
    queue = Queue(Turns(1, 1, 10))
    await queue.come("A", "B", "C")
    queue.tasks[1].cancel()
    queue.turns.give_back("A")  # while B is being cancelled
    await asyncio.gather(*queue.tasks, return_exceptions=True)
    assert queue.had == ["A", "C"]


async def test_a_turn_that_comes_before_the_cancellation_is_given_back() -> None:
    queue = Queue(Turns(1, 1, 10))
    await queue.come("A", "B", "C")
    queue.turns.give_back("A")  # B's turn
    queue.tasks[1].cancel()
    await asyncio.gather(*queue.tasks, return_exceptions=True)
    assert queue.had == ["A", "C"]


async def test_too_many_do_not_wait() -> None:
    turns = Turns(1, 1, 0)
    await turns.take("A")
    with pytest.raises(TooMany):
        await turns.take("B")
