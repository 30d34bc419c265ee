"""A call that another process has adopted: what the one before saves of it is not written."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.records.store import Store, StoreUnavailable, TimelineRow, TurnRow


@pytest.fixture
async def first(database_url: str) -> AsyncIterator[Store]:
    """The process that answered the call."""
    store = await Store.open(database_url)
    store.save_call("CA1", status="in-progress", agent_name="Ada", from_number="+15550100001")
    store.save_turns("CA1", [TurnRow(0, "user", "Hello")])
    await store.flush()
    yield store
    await store.aclose()


@pytest.fixture
async def second(first: Store, database_url: str) -> AsyncIterator[Store]:
    """The one that takes it over."""
    store = await Store.open(database_url)
    yield store
    await store.aclose()


def entry(position: int) -> TimelineRow:
    return TimelineRow(position, position * 20.0, "event", "MarkEchoed")


async def test_an_adopted_call_is_written_by_its_new_owner_alone(
    first: Store, second: Store
) -> None:
    lost: list[str] = []
    first.on_outdated = lost.append

    assert await second.adopt("CA1") == 1
    second.save_turns("CA1", [TurnRow(1, "assistant", "I am here.")])
    await second.flush()
    for _ in range(2):
        first.save_turns("CA1", [TurnRow(1, "user", "late"), TurnRow(2, "user", "later")])
        first.append_timeline("CA1", [entry(7)])
        first.save_call("CA1", status="completed", ended_by="caller", duration_s=3.0)
        await first.flush()

    call = await second.get_call("CA1")
    assert call is not None
    assert (call.status, call.ended_by, call.epoch) == ("in-progress", None, 1)
    assert [turn.text for turn in await second.turns("CA1")] == ["Hello", "I am here."]
    assert await second.timeline("CA1") == []
    assert lost == ["CA1"]


async def test_what_twilio_reports_is_written_whichever_process_it_reaches(
    first: Store, second: Store, database_url: str
) -> None:
    third = await Store.open(database_url)
    await second.adopt("CA1")
    first.save_turns("CA1", [TurnRow(1, "user", "late")])
    await first.flush()  # it knows now that the call is another's
    first.save_call("CA1", answered_by="human")
    third.save_call("CA1", status="completed")
    for store in (first, third):
        await store.flush()
        await store.aclose()

    call = await second.get_call("CA1")
    assert call is not None
    assert (call.status, call.answered_by, call.agent_name) == ("completed", "human", "Ada")
    second.save_call("CA1", status="in-progress", duration_s=9.0)
    await second.flush()
    call = await second.get_call("CA1")
    assert call is not None and (call.status, call.duration_s) == ("completed", 9.0)


async def test_a_status_that_comes_with_an_outdated_end_of_the_record_is_not_written(
    first: Store, second: Store
) -> None:
    first.reports = second.reports = True
    await second.adopt("CA1")

    first.save_call("CA1", status="completed", ended_by="caller")
    await first.flush()

    call = await second.get_call("CA1")
    assert call is not None and call.status == "in-progress"
    assert await second.report_queue.state("CA1") is None


async def test_each_adoption_raises_the_epoch_and_a_call_without_a_record_has_none(
    first: Store, second: Store
) -> None:
    assert [await second.adopt("CA1"), await first.adopt("CA1")] == [1, 2]
    assert await second.adopt("CA1") == 3
    assert await first.adopt("CA9") == 0


async def test_of_processes_that_adopt_a_call_at_once_one_does_it(
    first: Store, second: Store
) -> None:
    epochs = await asyncio.gather(*(each.adopt("CA1", expected=0) for each in (first, second)))

    assert sorted(epochs) == [0, 1]
    assert await first.adopt("CA1", expected=0) == 0
    assert await first.adopt("CA1", expected=1) == 2


async def test_a_process_that_adopts_its_own_call_loses_nothing_of_it(first: Store) -> None:
    lost: list[str] = []
    first.on_outdated = lost.append
    first.save_turns("CA1", [TurnRow(1, "assistant", "Hi.")])
    adopting = asyncio.create_task(first.adopt("CA1"))
    first.append_timeline("CA1", [entry(1)])
    assert await adopting == 1
    first.save_turns("CA1", [TurnRow(2, "user", "Bye.")])
    await first.flush()

    assert [turn.text for turn in await first.turns("CA1")] == ["Hello", "Hi.", "Bye."]
    assert await first.timeline("CA1") == [entry(1)]
    assert lost == []


@pytest.mark.parametrize("another", [False, True])
async def test_an_adoption_whose_answer_is_lost_is_found_out_with_the_next_write(
    first: Store, second: Store, monkeypatch: pytest.MonkeyPatch, another: bool
) -> None:
    lost: list[str] = []
    first.on_outdated = lost.append
    change = first._database.change

    async def loses_the_answer(work: Any) -> Any:
        await change(work)
        raise StoreUnavailable("the connection broke")

    with monkeypatch.context() as broken:
        broken.setattr(first._database, "change", loses_the_answer)
        with pytest.raises(StoreUnavailable):
            await first.adopt("CA1")
    if another:
        assert await second.adopt("CA1") == 2
    for number in (1, 2):
        first.save_turns("CA1", [TurnRow(number, "user", "word")])
        await first.flush()
        second.save_turns("CA1", [TurnRow(number, "user", "other")])
        await second.flush()

    turns = [turn.text for turn in await first.turns("CA1")]
    assert turns == (["Hello", "other", "other"] if another else ["Hello", "word", "word"])
    assert lost == (["CA1"] if another else [])
    assert await first.adopt("CA1") == (3 if another else 2)


async def test_a_process_that_gets_its_call_back_writes_it_again(
    first: Store, second: Store
) -> None:
    await second.adopt("CA1")
    first.save_turns("CA1", [TurnRow(1, "user", "late")])
    await first.flush()
    assert await first.adopt("CA1") == 2
    first.save_turns("CA1", [TurnRow(1, "user", "back")])
    second.save_turns("CA1", [TurnRow(1, "user", "of the one between")])
    await first.flush()
    await second.flush()

    assert [turn.text for turn in await first.turns("CA1")] == ["Hello", "back"]


async def test_a_process_that_is_told_of_the_adoption_says_so_once(
    first: Store, second: Store
) -> None:
    lost: list[str] = []
    first.on_outdated = lost.append
    epoch = await second.adopt("CA1")

    for _ in range(2):
        first.outdate("CA1", epoch)
        first.save_turns("CA1", [TurnRow(1, "user", "late")])
    await first.flush()

    assert lost == ["CA1"]
    assert [turn.text for turn in await first.turns("CA1")] == ["Hello"]
    second.outdate("CA1", epoch)  # its own announcement comes back
    second.save_turns("CA1", [TurnRow(1, "user", "mine")])
    await second.flush()
    assert [turn.text for turn in await first.turns("CA1")] == ["Hello", "mine"]


async def test_calls_of_others_in_the_same_transaction_are_written(
    first: Store, second: Store
) -> None:
    await second.adopt("CA1")

    for call_sid in ("CA0", "CA1", "CA2"):
        first.save_turns(call_sid, [TurnRow(1, "user", "now")])
        first.append_timeline(call_sid, [entry(1)])
    await first.flush()

    written = [len(await second.turns(f"CA{number}")) for number in range(3)]
    assert written == [1, 1, 1]  # of CA1: the one of before
    assert [len(await second.timeline(f"CA{number}")) for number in range(3)] == [1, 0, 1]


async def test_each_write_raises_the_revision(first: Store) -> None:
    revisions = []
    for number in range(1, 4):
        first.save_turns("CA1", [TurnRow(number, "user", "word")])
        await first.flush()
        call = await first.get_call("CA1")
        assert call is not None
        revisions.append(call.revision)

    assert revisions == [2, 3, 4]


async def test_a_call_that_was_deleted_stays_deleted_while_it_goes_on(
    first: Store, second: Store
) -> None:
    async with second._database._engine.begin() as connection:
        await connection.exec_driver_sql("DELETE FROM calls")

    first.save_turns("CA1", [TurnRow(1, "user", "still there")])
    first.save_call("CA1", status="completed", ended_by="caller")
    await first.flush()

    assert await second.get_call("CA1") is None
    assert await second.turns("CA1") == []


async def test_transfers_change_one_after_another_whoever_changes_them(
    first: Store, second: Store
) -> None:
    first.save_call("CA1", transfers=[{"destination": "desk"}])
    await second.adopt("CA1")

    async def append(store: Store, number: int) -> None:
        await store.change_transfers("CA1", lambda before: [*before, {"number": number}])

    first.save_call("CA2", transfers=[{"destination": "desk"}])
    changes = (append(store, n) for n, store in enumerate((first, second, first, second)))
    await asyncio.gather(*changes)
    waited = await first.change_transfers("CA2", lambda before: [*before, {"outcome": "busy"}])

    call = await second.get_call("CA1")
    assert call is not None
    numbers = {each["number"] for each in call.transfers if "number" in each}
    assert numbers == {0, 1, 2, 3}
    assert waited == [{"destination": "desk"}, {"outcome": "busy"}]
    assert await first.change_transfers("CA9", lambda before: [{"never": 1}]) == []
    assert await first.get_call("CA9") is None


async def test_a_change_of_transfers_that_fails_changes_nothing(first: Store) -> None:
    def fail(_before: list[dict[str, object]]) -> list[dict[str, object]]:
        raise LookupError("no such attempt")

    with pytest.raises(LookupError, match="no such attempt"):
        await first.change_transfers("CA1", fail)

    assert await first.change_transfers("CA1", lambda before: before) == []
