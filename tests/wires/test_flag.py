import asyncio
from contextlib import suppress

from app.wires.flag import Flag, Mailbox


async def test_a_flag_that_is_set_wakes_everyone_who_waits_for_it() -> None:
    flag = Flag()
    waiting = [asyncio.create_task(flag.wait()) for _ in range(2)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)

    flag.set()
    flag.clear()

    async with asyncio.timeout(1):
        await asyncio.gather(*waiting)
    assert not flag.is_set()


async def test_one_who_waits_for_a_flag_may_be_cancelled() -> None:
    flag = Flag()
    given_up, waiting = (asyncio.create_task(flag.wait()) for _ in range(2))
    await asyncio.sleep(0)
    given_up.cancel()
    with suppress(asyncio.CancelledError):
        await given_up

    flag.set()

    async with asyncio.timeout(1):
        await waiting
        await flag.wait()


async def test_a_mailbox_gives_its_messages_in_their_order_and_waits_for_the_next() -> None:
    mailbox: Mailbox[str] = Mailbox()
    mailbox.put_nowait("a")
    mailbox.put_nowait("b")
    assert mailbox.qsize() == 2
    assert [await mailbox.get(), await mailbox.get()] == ["a", "b"]
    assert mailbox.empty()

    reading = asyncio.create_task(mailbox.get())
    await asyncio.sleep(0)
    mailbox.put_nowait("c")

    async with asyncio.timeout(1):
        assert await reading == "c"
