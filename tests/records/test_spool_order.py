"""What waited on disk is written in its order, whatever was lost on the way."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from app.records import spooling
from app.records.spool import Spool
from app.records.store import Store, StoreUnavailable, TimelineRow, TurnRow


class Wire:
    """The way to a database, which can be cut."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self._write: Callable[[Any], Awaitable[Any]] = store._database.write
        monkeypatch.setattr(store._database, "write", self._through)
        #: Nothing is written.
        self.is_cut = False
        #: What is written next is committed, but its answer is lost, and then the wire is cut.
        self.loses_answer = False
        #: Set once a write failed.
        self.failed = asyncio.Event()

    async def _through(self, work: Any) -> Any:
        if self.is_cut:
            self.failed.set()
            raise StoreUnavailable("cut")
        answer = await self._write(work)
        if self.loses_answer:
            self.loses_answer, self.is_cut = False, True
            self.failed.set()
            raise StoreUnavailable("the answer was lost")
        return answer


@pytest.fixture(autouse=True)
def spooled_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows go to the spool when a test says so."""
    monkeypatch.setattr(spooling, "AFTER_S", 3600.0)


@pytest.fixture
async def store(database_url: str, tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(database_url, spool_dir=tmp_path / "spool")
    yield store
    await store.aclose()


@pytest.fixture
async def other(store: Store, database_url: str) -> AsyncIterator[Store]:
    """Another process."""
    other = await Store.open(database_url)
    yield other
    await other.aclose()


@pytest.fixture
def wire(store: Store, monkeypatch: pytest.MonkeyPatch) -> Wire:
    return Wire(store, monkeypatch)


def save(store: Store, word: str, *, item: str = "item") -> None:
    """The newest state of a call."""
    store.save_call("CA1", status="in-progress", agent_name="Ada", timings={word: 1.0})
    store.save_turns("CA1", [TurnRow(0, "assistant", word, item)])
    store.append_timeline("CA1", [TimelineRow(len(word), 0.0, "event", word)])


async def spool(store: Store) -> None:
    """Move to the disk what waits, as a long outage does."""
    waiting = [
        each for each in (store._batches.writing, store._batches.pending) if each is not None
    ]
    async with store._batches.in_transaction:  # not while it is tried again
        await store._batches.spooling.save(waiting)


async def read(store: Store) -> tuple[list[str], dict[str, float]]:
    """The texts of the turns, and the timings of the call."""
    call = await store.get_call("CA1")
    assert call is not None
    return [turn.text for turn in await store.turns("CA1")], call.timings


async def cut_while_writing(store: Store, wire: Wire, *, answer_lost: bool) -> None:
    wire.is_cut, wire.loses_answer = not answer_lost, answer_lost
    save(store, "a")
    assert not await store.flush(0)
    await wire.failed.wait()


@pytest.mark.parametrize("stored_before", [False, True])
@pytest.mark.parametrize("answer_lost", [False, True])
async def test_the_last_of_several_files_counts_though_an_answer_was_lost(
    store: Store, wire: Wire, stored_before: bool, answer_lost: bool
) -> None:
    if stored_before:
        save(store, "before")
        await store.flush()
    await cut_while_writing(store, wire, answer_lost=answer_lost)
    save(store, "bb", item="moved")
    await spool(store)
    save(store, "ccc", item="moved again")
    await spool(store)
    wire.is_cut = False
    assert await store.flush(10)

    assert await read(store) == (["ccc"], {"ccc": 1.0})
    names = {each.name for each in await store.timeline("CA1")}
    assert names >= {"a", "bb", "ccc"}


@pytest.mark.parametrize("answer_lost", [False, True])
async def test_what_waits_in_memory_counts_more_than_what_waits_on_disk(
    store: Store, wire: Wire, answer_lost: bool
) -> None:
    await cut_while_writing(store, wire, answer_lost=answer_lost)
    await spool(store)
    save(store, "bb", item="moved")
    wire.is_cut = False
    assert await store.flush(10)

    assert await read(store) == (["bb"], {"bb": 1.0})


async def test_what_others_knew_of_the_call_makes_no_row_of_its_owner_older(
    store: Store, other: Store, wire: Wire
) -> None:
    await cut_while_writing(store, wire, answer_lost=False)
    await spool(store)
    save(store, "bb", item="moved")
    await spool(store)
    other.save_call("CA1", status="ringing", by_owner=False, from_number="+15550100001")
    other.save_call("CA1", status="completed", answered_by="human")
    await other.flush()
    await other.change_transfers("CA1", lambda before: [*before, {"outcome": "busy"}])
    wire.is_cut = False
    assert await store.flush(10)

    assert await read(other) == (["bb"], {"bb": 1.0})
    call = await other.get_call("CA1")
    assert call is not None and call.transfers == [{"outcome": "busy"}]
    assert (call.status, call.answered_by) == ("completed", "human")


async def test_an_owner_is_newer_than_the_one_before_however_much_that_one_wrote(
    store: Store, other: Store, wire: Wire
) -> None:
    for word in ("x", "xx", "xxx"):
        save(other, word)
        await other.flush()
    assert await store.adopt("CA1") == 1
    await cut_while_writing(store, wire, answer_lost=False)
    await spool(store)
    save(store, "bb", item="moved")
    await spool(store)
    wire.is_cut = False
    assert await store.flush(10)

    assert await read(other) == (["bb"], {"bb": 1.0})


async def test_files_of_a_call_that_another_process_adopted_are_not_written(
    store: Store, other: Store, wire: Wire
) -> None:
    save(store, "before")
    await store.flush()
    await cut_while_writing(store, wire, answer_lost=True)
    await spool(store)
    assert await other.adopt("CA1") == 1
    save(other, "adopted")
    await other.flush()
    wire.is_cut = False
    assert await store.flush(10)

    assert await read(other) == (["adopted"], {"adopted": 1.0})


async def test_a_file_that_is_written_twice_makes_nothing_older(
    store: Store, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cut_while_writing(store, wire, answer_lost=True)
    await spool(store)

    def stays(_spool: Spool, _file: Path) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as read_only:
        read_only.setattr(Spool, "done", stays)
        save(store, "bb", item="moved")
        wire.is_cut = False
        assert await store.flush(10)
    store._batches.spooling.has_files = True
    store.save_call("CA1", ended_by="caller")
    assert await store.flush(10)

    assert await read(store) == (["bb"], {"bb": 1.0})


async def test_the_next_process_goes_on_where_the_files_of_the_one_before_end(
    store: Store, database_url: str, wire: Wire, tmp_path: Path
) -> None:
    await cut_while_writing(store, wire, answer_lost=True)
    await spool(store)
    save(store, "bb", item="moved")
    await store.aclose(within_ms=1)

    again = await Store.open(database_url, spool_dir=tmp_path / "spool")

    assert await read(again) == (["bb"], {"bb": 1.0})
    await again.aclose()


@pytest.mark.parametrize("spooled", [False, True])
@pytest.mark.parametrize("keeps", [False, True])
async def test_a_call_taken_over_while_the_database_was_away_loses_nothing_if_it_is_kept(
    store: Store, other: Store, wire: Wire, spooled: bool, keeps: bool
) -> None:
    save(other, "before")
    await other.flush()
    assert await other.adopt("CA1") == 1  # its owner, which dies
    outdated: list[str] = []
    store.on_outdated = outdated.append
    await cut_while_writing(store, wire, answer_lost=False)
    if spooled:
        await spool(store)
    store.save_turns("CA1", [TurnRow(7, "user", "word")])
    wire.is_cut = False
    assert await store.flush(10)
    assert outdated == ["CA1"]
    store.save_turns("CA1", [TurnRow(8, "user", "while it was in doubt")])
    assert await store.adopt("CA1", keeps=keeps) == 2
    store.save_turns("CA1", [TurnRow(9, "user", "since")])
    assert await store.flush(10)

    texts, _ = await read(store)
    kept = ["a", "word", "while it was in doubt"] if keeps else ["before"]
    assert texts == [*kept, "since"]
