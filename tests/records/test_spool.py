"""Records that wait on disk while the database is away: each outage is a real one."""

import asyncio
import logging
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from app.errors import ConfigError
from app.records import spooling
from app.records.spool import Spool
from app.records.store import Store, TimelineRow, TurnRow
from tests.postgres import PostgresServer


class Outage(Protocol):
    """A database of one kind that can go away."""

    url: str

    def begin(self) -> None: ...
    def end(self) -> None: ...


class LockedFile:
    """SQLite: another process holds the lock."""

    def __init__(self, file: Path) -> None:
        self.url = f"sqlite:///{file}"
        self._file = file
        self._other: sqlite3.Connection | None = None

    def begin(self) -> None:
        self._other = sqlite3.connect(self._file, isolation_level=None)
        self._other.execute("BEGIN IMMEDIATE")

    def end(self) -> None:
        if self._other is not None:
            self._other.close()


class StoppedServer:
    """PostgreSQL: the server has crashed."""

    def __init__(self, server: PostgresServer) -> None:
        self.url = server.new_database()
        self.begin, self.end = server.stop, server.start


@pytest.fixture(params=["sqlite", "postgresql"])
def outage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Outage]:
    if request.param == "sqlite":
        locked = LockedFile(tmp_path / "calls.db")
        yield locked
        locked.end()
    else:
        yield StoppedServer(request.getfixturevalue("own_postgres"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows go to the spool as soon as the database is away."""
    monkeypatch.setattr(spooling, "AFTER_S", 0.0)
    monkeypatch.setattr(spooling, "EVERY_S", 0.0)


def entry(position: int) -> TimelineRow:
    return TimelineRow(position, position * 20.0, "event", "MarkEchoed")


def save_call(
    store: Store, call_sid: str, *, since: int = 0, to: int = 1, status: str = "in-progress"
) -> None:
    """Its turns and entries from `since` up to `to`, and its status."""
    store.save_call(call_sid, status="ringing", from_number="+15550100001", agent_name="Ada")
    store.save_call(call_sid, status=status)  # type: ignore[arg-type]
    store.save_turns(call_sid, [TurnRow(n, "user", f"word {n}") for n in range(since, to)])
    store.append_timeline(call_sid, [entry(n) for n in range(since, to)])


class Saves:
    """Counts what is saved to the spool, and what the disk does not take."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._loop = asyncio.get_running_loop()
        self._tries: asyncio.Queue[None] = asyncio.Queue()
        self._save = Spool.save
        monkeypatch.setattr(Spool, "save", lambda *arguments: self._counted(*arguments))
        self.is_full = False

    def _counted(self, spool: Spool, *arguments: Any) -> None:
        try:
            if self.is_full:
                raise OSError(28, "No space left on device")
            self._save(spool, *arguments)
        finally:
            self._loop.call_soon_threadsafe(self._tries.put_nowait, None)

    async def wait(self, tries: int = 1) -> None:
        """Return when something was saved so many times since."""
        for _ in range(tries):
            await self._tries.get()


@pytest.fixture
async def saves(monkeypatch: pytest.MonkeyPatch) -> Saves:
    return Saves(monkeypatch)


def left_in(folder: Path) -> list[str]:
    """The names of the files in the spool."""
    return sorted(each.name for each in folder.iterdir())


def make_unreadable(folder: Path) -> None:
    folder.mkdir()
    (folder / "0001.rows").write_text("{}\n")
    (folder / "0002.rows").write_text("no JSON")


def modes(folder: Path) -> list[int]:
    """Of the folder and of what is in it."""
    return [stat.S_IMODE(each.stat().st_mode) for each in (folder, *folder.iterdir())]


async def opened(outage: Outage, folder: Path) -> Store:
    return await Store.open(outage.url, busy_timeout_ms=20, spool_dir=folder)


async def test_what_waited_on_disk_is_written_when_the_database_is_back(
    outage: Outage, folder: Path, saves: Saves, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    store = await opened(outage, folder)
    save_call(store, "CA1")
    await store.flush()
    outage.begin()
    save_call(store, "CA1", since=1, to=3)
    save_call(store, "CA2", to=2, status="completed")
    await saves.wait()
    assert not store.available and left_in(folder) != []
    store.save_turns("CA1", [TurnRow(2, "user", "the last word")])
    store.append_timeline("CA1", [entry(3)])
    store.save_call("CA1", status="completed", duration_s=7.0)
    await saves.wait()
    outage.end()
    assert await store.flush(10)

    first, second = await store.get_call("CA1"), await store.get_call("CA2")
    assert first is not None and (first.status, first.duration_s) == ("completed", 7.0)
    assert second is not None and (second.status, second.agent_name) == ("completed", "Ada")
    turns = [turn.text for turn in await store.turns("CA1")]
    assert turns == ["word 0", "word 1", "the last word"]
    assert await store.timeline("CA1") == [entry(n) for n in range(4)]
    assert await store.timeline("CA2") == [entry(n) for n in range(2)]
    assert left_in(folder) == [] and store.available
    assert "spooled records written" in caplog.messages
    await store.aclose()


async def test_what_a_process_left_on_disk_is_written_by_the_next_before_it_takes_calls(
    outage: Outage, folder: Path
) -> None:
    store = await opened(outage, folder)
    save_call(store, "CA1")
    await store.flush()
    outage.begin()
    save_call(store, "CA1", since=1, to=3, status="completed")
    save_call(store, "CA2")
    await store.aclose(within_ms=1)
    assert left_in(folder) != []
    outage.end()

    again = await opened(outage, folder)

    call = await again.get_call("CA1")
    assert call is not None and call.status == "completed"
    assert await again.timeline("CA1") == [entry(n) for n in range(3)]
    assert [turn.text for turn in await again.turns("CA2")] == ["word 0"]
    assert left_in(folder) == []
    await again.aclose()


async def test_only_their_owner_may_read_what_waits_on_disk(
    outage: Outage, folder: Path, saves: Saves
) -> None:
    store = await opened(outage, folder)
    outage.begin()
    save_call(store, "CA1")
    await saves.wait()

    assert modes(folder)[:2] == [0o700, 0o600] and set(modes(folder)[1:]) == {0o600}
    outage.end()
    await store.aclose()


async def test_what_waited_on_disk_overwrites_nothing_newer(outage: Outage, folder: Path) -> None:
    store = await opened(outage, folder)
    save_call(store, "CA1")
    await store.flush()
    outage.begin()
    store.save_call("CA1", agent_name="Old", ended_by="caller", usage={"input_audio": 7})
    store.save_turns("CA1", [TurnRow(0, "user", "old"), TurnRow(1, "user", "only here")])
    store.append_timeline("CA1", [entry(1)])
    await store.aclose(within_ms=1)
    assert left_in(folder) != []
    outage.end()
    elsewhere = await Store.open(outage.url)  # without the folder
    elsewhere.save_call("CA1", agent_name="New", duration_s=9.0)
    elsewhere.save_turns("CA1", [TurnRow(0, "user", "new")])
    await elsewhere.flush()

    again = await opened(outage, folder)

    call = await again.get_call("CA1")
    assert call is not None
    assert (call.agent_name, call.duration_s) == ("New", 9.0)
    assert (call.ended_by, call.usage) == ("caller", {"input_audio": 7})  # was missing
    assert [turn.text for turn in await again.turns("CA1")] == ["new", "only here"]
    assert await again.timeline("CA1") == [entry(0), entry(1)]
    assert left_in(folder) == []
    await again.aclose()
    await elsewhere.aclose()


@pytest.mark.parametrize("deleted", [False, True])
async def test_what_waited_on_disk_of_an_adopted_or_a_deleted_call_is_not_written(
    outage: Outage, folder: Path, deleted: bool
) -> None:
    store = await opened(outage, folder)
    save_call(store, "CA1")
    await store.flush()
    outage.begin()
    save_call(store, "CA1", since=1, to=3)
    store.save_call("CA1", ended_by="caller")
    await store.aclose(within_ms=1)
    assert left_in(folder) != []
    outage.end()
    elsewhere = await Store.open(outage.url)
    if deleted:
        async with elsewhere._database._engine.begin() as connection:
            await connection.exec_driver_sql("DELETE FROM calls")
    else:
        assert await elsewhere.adopt("CA1") == 1

    again = await opened(outage, folder)

    call = await again.get_call("CA1")
    assert (call is None) if deleted else (call is not None and call.ended_by is None)
    assert len(await again.turns("CA1")) == (0 if deleted else 1)
    assert left_in(folder) == []
    await again.aclose()
    await elsewhere.aclose()


async def test_a_full_disk_is_said_once_and_records_wait_in_memory(
    outage: Outage, folder: Path, saves: Saves, caplog: pytest.LogCaptureFixture
) -> None:
    store = await opened(outage, folder)
    saves.is_full = True
    outage.begin()
    save_call(store, "CA1", to=2)
    await saves.wait(3)
    assert left_in(folder) == []
    outage.end()
    assert await store.flush(10)

    assert await store.timeline("CA1") == [entry(0), entry(1)]
    told = [r for r in caplog.records if "cannot be spooled" in r.message]
    assert [vars(r)["cause"] for r in told] == ["No space left on device"]
    await store.aclose()


async def test_a_file_that_cannot_be_read_is_set_aside(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_unreadable(folder)

    store = await Store.open(f"sqlite:///{tmp_path}/calls.db", spool_dir=folder)

    assert left_in(folder) == ["0001.unreadable", "0002.unreadable"]
    assert sum("set aside" in message for message in caplog.messages) == 2
    save_call(store, "CA1")
    assert await store.flush(5)
    await store.aclose()


async def test_of_processes_that_share_the_folder_each_file_is_written_by_one(
    tmp_path: Path, folder: Path
) -> None:
    locked = LockedFile(tmp_path / "calls.db")
    store = await opened(locked, folder)
    locked.begin()
    save_call(store, "CA1")
    await store.aclose(within_ms=1)
    locked.end()
    spool = Spool(folder)
    (file,) = spool.files()

    with spool.claimed(file, "") as work, Spool(folder).claimed(file, "") as other:
        assert work and other is None
        spool.done(file)
    with Spool(folder).claimed(file, "") as late:
        assert late is None


def test_a_folder_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match="SPOOL_DIR: cannot write to"):
        Spool.open(tmp_path / "file" / "spool")
