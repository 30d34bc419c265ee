"""Files of calls are readable by their owner alone, from the start, whatever the umask."""

import asyncio
import logging
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.records.private_files import fresh_private_file, narrow, private_folder
from app.records.report.call_report import read_call
from app.records.report.files import keep_call
from app.records.report.whole_call import whole_call
from app.records.store import Store
from app.web.console.call_page import call_page
from tests.records.report.recorded_call import pizza_call


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """As open as it can be."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def open_and_write(path: Path) -> dict[str, int]:
    """The modes of the database's files while it is in use."""
    store = await Store.open(f"sqlite:///{path}")
    store.save_call("CA1", status="completed", from_number="+15550100001")
    await store.flush()
    found = {each.name: mode(each) for each in path.parent.iterdir()}
    await store.aclose()
    return found


async def test_the_database_and_its_companions_are_0600(tmp_path: Path) -> None:
    modes = await open_and_write(tmp_path / "calls.db")
    assert {"calls.db", "calls.db-wal"} <= modes.keys()
    assert set(modes.values()) == {0o600}


async def test_a_database_that_was_open_to_others_is_closed_to_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "calls.db"
    with closing(sqlite3.connect(path)) as old:
        old.execute("PRAGMA journal_mode = WAL")
        old.execute("CREATE TABLE notes (text)")
        old.commit()
        assert mode(path) == 0o644
        assert mode(tmp_path / "calls.db-wal") == 0o644
        modes = await open_and_write(path)  # while another program has it open
    assert set(modes.values()) == {0o600}
    assert "file was open to others, and is its owner's alone now" in caplog.messages


async def test_a_file_of_another_owner_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "calls.db"
    path.touch(mode=0o666)

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)
    with caplog.at_level(logging.WARNING):
        narrow([path, tmp_path / "missing"])
    (line,) = caplog.records
    assert line.__dict__["fix"] == f"chmod 600 {path}"


def test_folders_are_0700_those_above_them_too(tmp_path: Path) -> None:
    folder = tmp_path / "kept" / "2026" / "11"
    private_folder(folder)
    private_folder(folder)
    for each in (folder, folder.parent, folder.parent.parent):
        assert mode(each) == 0o700
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        private_folder(tmp_path / "file" / "below")


async def test_kept_files_are_0600_and_are_new_files(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "kept"
    folder.mkdir(mode=0o755)
    transcript = folder / "transcript.txt"
    transcript.write_text("old")
    with transcript.open() as spy:
        store = await Store.open(f"sqlite:///{tmp_path}/calls.db")
        story = pizza_call()
        await story.save(store, None)
        report = await read_call(store, story.sid)
        assert report is not None
        call = await whole_call(store, report)
        await store.aclose()
        kept = await asyncio.to_thread(lambda: list(keep_call(call, folder, call_page)))
        assert spy.read() == "old"
    assert {path.name for path in kept} == {"transcript.txt", "call.json", "call.html"}
    assert {mode(path) for path in kept} == {0o600}


def test_a_link_in_the_place_of_a_kept_file_is_replaced(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    (tmp_path / "call.json").symlink_to(elsewhere)
    fresh_private_file(tmp_path / "call.json")
    assert elsewhere.read_text() == "mine"
    assert not (tmp_path / "call.json").is_symlink()
