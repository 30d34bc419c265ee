"""A database that is damaged while it is used, or that holds what this version never writes."""

import asyncio
import json
import logging
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import TypeAdapter

from app.records.database import Database, StoreUnavailable, blames_data
from app.records.record import shown
from app.records.store import Store, TimelineRow, TurnRow


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "calls.db"


@pytest.fixture
async def store(file: Path) -> AsyncIterator[Store]:
    store = await Store.open(f"sqlite:///{file}", busy_timeout_ms=100)
    store.save_call("CA1", status="in-progress", from_number="+15551230001")
    store.save_turns("CA1", [TurnRow(0, "user", "hello")])
    store.append_timeline("CA1", [TimelineRow(0, 0.0, "event", "StreamStarted")])
    await store.flush()
    store.save_call("CA2", status="completed", usage={"input_audio": 7})
    await store.flush()
    yield store
    await store.aclose()


def execute(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        for statement in statements:
            other.execute(statement)


@pytest.mark.parametrize(
    ("column", "stored", "read"),
    [
        ("status", "x'ff00fe'", "ringing"),
        ("from_number", "x'fffe'", ""),
        ("created_at", "'0001-01-01 00:00:00+05:00'", datetime(1970, 1, 1, tzinfo=UTC)),
        ("ended_at", "'9999-12-31 23:59:59-05:00'", None),
        ("created_at", "CAST(x'ff' AS TEXT)", datetime(1970, 1, 1, tzinfo=UTC)),
        ("usage", "CAST(x'ff' AS TEXT)", {}),
        ("created_at", "'yesterday'", datetime(1970, 1, 1, tzinfo=UTC)),
        ("started_at", "'soon'", None),
        ("ended_at", "x'00'", None),
        ("duration_s", "'long'", None),
        ("duration_s", "9e999", None),
        ("timings", "'{\"a\": NaN}'", {}),
        ("answered_by", "x'ff'", None),
        ("usage", "'{'", {}),
        ("usage", "'[1]'", {}),
        ("usage", "'null'", {}),
        ("timings", "'{\"a\": []}'", {}),
        ("cost", "''", {}),
        ("cost", f"'{'[' * 100_000}'", {}),
        ("transfers", "'{\"outcome\": 1}'", []),
        ("transfers", "'[7]'", []),
        ("recording", "x'ff'", None),
    ],
)
async def test_a_value_that_cannot_be_read_costs_neither_its_call_nor_the_list(
    store: Store, file: Path, column: str, stored: str, read: object,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    execute(file, f"UPDATE calls SET {column} = {stored} WHERE call_sid = 'CA1'")

    calls = {call.call_sid: call for call in await store.list_calls()}
    call = await store.get_call("CA1")

    assert call is not None and calls["CA1"] == call
    assert getattr(call, column) == read
    assert calls["CA2"].usage == {"input_audio": 7}
    assert calls["CA2"].created_at.year > 2000
    assert shown(call, [], []).call_sid == "CA1"
    told = [r for r in caplog.records if "cannot be read" in r.message]
    assert told and all(vars(r)["columns"] == [column] for r in told)


@pytest.mark.parametrize("column", ["from_number", "status", "summary", "agent_name"])
async def test_a_text_that_is_no_utf_8_is_read_with_replacement_characters(
    store: Store, file: Path, column: str
) -> None:
    execute(file, f"UPDATE calls SET {column} = CAST(x'41ff42' AS TEXT) WHERE call_sid = 'CA1'")
    execute(file, "UPDATE turns SET text = CAST(x'41ff42' AS TEXT)")

    calls = {call.call_sid: call for call in await store.list_calls()}

    assert getattr(calls["CA1"], column) == "A\ufffdB"
    assert calls["CA2"].usage == {"input_audio": 7}
    assert [turn.text for turn in await store.turns("CA1")] == ["A\ufffdB"]


async def test_what_no_answer_can_contain_is_replaced(store: Store, file: Path) -> None:
    transfer = json.dumps(
        {"destination": "desk \ud83d", "outcome": "busy", "seconds": float("nan")}
    )
    execute(file, f"UPDATE calls SET transfers = '[{transfer}]'")
    execute(file, """UPDATE timelines SET entries = '[[0, 0.0, "event", "X", {"a": "\\ud800"}]]'""")
    execute(file, """UPDATE turns SET extra = '{"a": ["\\udfff", Infinity, "\\ud83d\\ude00"]}'""")

    call, turns, entries = (
        await store.get_call("CA1"), await store.turns("CA1"), await store.timeline("CA1")
    )  # fmt: skip

    assert call is not None
    assert call.transfers == [{"destination": "desk ?", "outcome": "busy", "seconds": None}]
    assert [turn.extra for turn in turns] == [{"a": ["?", None, "\U0001f600"]}]
    assert [entry.data for entry in entries] == [{"a": "?"}]
    answer = TypeAdapter(Any).dump_json(shown(call, turns, entries))
    assert b"desk ?" in answer and b"NaN" not in answer


async def test_a_transfer_that_lacks_its_outcome_is_left_out_of_the_answer(
    store: Store, file: Path
) -> None:
    attempts = [{"destination": "desk"}, {"destination": "desk", "outcome": "busy"}]
    execute(file, f"UPDATE calls SET transfers = '{json.dumps(attempts)}'")

    call = await store.get_call("CA1")

    assert call is not None
    assert [each.outcome for each in shown(call, [], []).transfers] == ["busy"]


async def test_pages_go_on_behind_a_call_whose_time_cannot_be_read(
    store: Store, file: Path
) -> None:
    execute(file, "UPDATE calls SET created_at = '2999 or so' WHERE call_sid = 'CA2'")

    first = await store.list_calls(1)
    second = await store.list_calls(1, before=first[0].call_sid)

    assert [call.call_sid for call in (*first, *second)] == ["CA2", "CA1"]


async def test_turns_and_entries_that_cannot_be_read_cost_no_others(
    store: Store, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store.save_turns("CA1", [TurnRow(1, "assistant", "Hi."), TurnRow(2, "user", "Bye.")])
    store.append_timeline("CA1", [TimelineRow(5, 1.0, "command", "CloseCall")])
    await store.flush()
    execute(
        file,
        "UPDATE turns SET role = 'ghost' WHERE position = 0",
        "UPDATE turns SET extra = 'x', at_ms = 'late' WHERE position = 1",
        'UPDATE timelines SET entries = \'[[0, 0.0, "event", "Heard", {}], [1], 2]\' '
        "WHERE position = 0",
        "INSERT INTO timelines VALUES ('CA1', 3, '{')",
    )

    assert await store.turns("CA1") == [
        TurnRow(1, "assistant", "Hi."), TurnRow(2, "user", "Bye."),
    ]  # fmt: skip
    assert await store.timeline("CA1") == [
        TimelineRow(0, 0.0, "event", "Heard"), TimelineRow(5, 1.0, "command", "CloseCall"),
    ]  # fmt: skip
    left_out = [r for r in caplog.records if "left out" in r.message]
    assert [vars(r)["entries"] for r in left_out] == [3]


def turn_into_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def delete(file: Path, pattern: str = "calls.db") -> None:
    for each in file.parent.glob(pattern):
        each.unlink()


def replace_by_an_empty_file(file: Path) -> None:
    file.unlink()
    file.touch()


def put_a_backup_in_its_place(file: Path) -> None:
    """An older state of the database, as a file that was copied while it was closed."""
    backup = file.with_name("backup.db")
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    execute(
        backup,
        "DELETE FROM turns",
        "DELETE FROM timelines",
        "UPDATE calls SET call_sid = 'CA0' WHERE call_sid = 'CA2'",
        "DELETE FROM calls WHERE call_sid = 'CA1'",
        "VACUUM",
    )
    backup.replace(file)


def put_a_used_backup_in_its_place(file: Path) -> None:
    """A backup with a log of its own, which has what the backup's file has not."""
    used = file.with_name("used.db")
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(used)) as target:
        source.backup(target)
    with closing(sqlite3.connect(used, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("DELETE FROM calls WHERE call_sid = 'CA1'")
        other.execute("UPDATE calls SET call_sid = 'CA9'")
        copies = {end: Path(f"{used}{end}").read_bytes() for end in ("-wal", "")}
    delete(file, "calls.db*")
    for end, content in copies.items():
        Path(f"{file}{end}").write_bytes(content)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "the file is deleted": delete,
    "the file and its companions are deleted": lambda file: delete(file, "calls.db*"),
    "the file is emptied": lambda file: os.truncate(file, 0),
    "an empty file takes its place": replace_by_an_empty_file,
    "a backup takes its place": put_a_backup_in_its_place,
    "a table is dropped": lambda file: execute(file, "DROP TABLE turns"),
    "all tables are dropped": lambda file: execute(
        file, "DROP TABLE turns", "DROP TABLE timelines", "DROP TABLE calls"
    ),
    "a column is dropped": lambda file: execute(file, "ALTER TABLE calls DROP COLUMN summary"),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("reads_first", [False, True])
async def test_a_damaged_database_is_made_anew_and_takes_the_rows_that_follow(
    store: Store, file: Path, damage: str, reads_first: bool, caplog: pytest.LogCaptureFixture
) -> None:
    DAMAGE[damage](file)
    if reads_first:
        await asyncio.gather(store.list_calls(), store.turns("CA1"), store.get_call("CA1"))

    store.save_call("CA1", status="completed", summary="A pizza.")
    store.save_turns("CA1", [TurnRow(1, "assistant", "Hi.")])
    store.save_call("CA3", status="in-progress")
    await store.flush()

    with closing(sqlite3.connect(file)) as other:  # what is stored, and no deleted file
        found = dict(other.execute("SELECT call_sid, summary FROM calls").fetchall())
        assert found.items() >= {("CA1", "A pizza."), ("CA3", None)}
        assert ("Hi.",) in other.execute("SELECT text FROM turns").fetchall()
        assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert {"CA1", "CA3"} <= {call.call_sid for call in await store.list_calls()}
    assert "database made anew, stored records may be gone" in {r.message for r in caplog.records}
    assert os.stat(file).st_mode & 0o077 == 0
    assert store.refused_rows == 0


async def test_a_backup_is_not_mixed_with_the_log_of_the_file_before(
    store: Store, file: Path
) -> None:
    put_a_backup_in_its_place(file)

    calls = await store.list_calls()

    assert {call.call_sid for call in calls} == {"CA0"}
    assert calls[0].usage == {"input_audio": 7}
    await store.flush()  # the live call is stored again
    assert {call.call_sid for call in await store.list_calls()} == {"CA0", "CA1"}


async def test_a_backup_keeps_the_log_that_came_with_it(store: Store, file: Path) -> None:
    put_a_used_backup_in_its_place(file)

    assert [call.call_sid for call in await store.list_calls()] == ["CA9"]


@pytest.mark.parametrize("damage", DAMAGE)
async def test_the_record_of_a_live_call_is_whole_after_the_database_was_made_anew(
    store: Store, file: Path, damage: str
) -> None:
    store.save_call("CA1", answered_by="human", direction="outbound-api")
    store.save_turns("CA1", [TurnRow(1, "assistant", "Hi."), TurnRow(2, "user", "Bye.")])
    await store.flush()
    store.save_turns("CA1", [TurnRow(1, "user", "Bye.")], removed=[2])
    await store.flush()
    before = await store.get_call("CA1")
    DAMAGE[damage](file)

    store.save_turns("CA1", [TurnRow(2, "assistant", "Bye-bye.")])
    await store.flush()

    assert before is not None and await store.get_call("CA1") == before
    assert [(turn.position, turn.text) for turn in await store.turns("CA1")] == [
        (0, "hello"), (1, "Bye."), (2, "Bye-bye."),
    ]  # fmt: skip


async def test_the_end_of_a_call_is_whole_though_the_database_vanished_before_it(
    store: Store, file: Path
) -> None:
    delete(file)
    store.save_call("CA1", status="completed", duration_s=7.0)
    await store.flush()
    delete(file)
    store.save_call("CA1", status="ringing", recording="CA1.wav")  # stored after the end
    await store.flush()

    call = await store.get_call("CA1")

    assert call is not None
    assert (call.status, call.from_number) == ("completed", "+15551230001")
    assert (call.duration_s, call.recording) == (7.0, "CA1.wav")
    assert await store.get_call("CA2") is None  # it had ended: it stays deleted


async def test_a_list_that_finds_the_database_gone_has_live_calls_stored_again(
    store: Store, file: Path
) -> None:
    delete(file)
    assert await store.list_calls() == []

    await store.flush()

    assert [call.call_sid for call in await store.list_calls()] == ["CA1"]


async def test_a_folder_in_place_of_the_file_makes_rows_wait(
    store: Store, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    turn_into_folder(file)
    store.save_call("CA3", status="completed")
    assert not await store.flush(within_s=0.5)
    with pytest.raises(StoreUnavailable):
        await store.list_calls()
    os.rmdir(file)

    assert await store.flush(within_s=10)

    assert [call.call_sid for call in await store.list_calls()] == ["CA3", "CA1"]
    assert store.refused_rows == 0
    assert "database back, records written" in {r.message for r in caplog.records}


async def test_a_required_column_of_a_newer_version_costs_no_rows(
    store: Store, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    replacement = [
        "PRAGMA writable_schema = ON",
        "PRAGMA schema_version = 1000",
        # As a migration that rebuilds its tables leaves them: required, and without a default.
        *(
            f"UPDATE sqlite_schema SET sql = replace(sql, '{first}', "
            f"'tenant TEXT NOT NULL, score INTEGER NOT NULL, tags JSON NOT NULL, {first}') "
            f"WHERE name = '{table}'"
            for table, first in [("calls", "account_sid"), ("turns", "role")]
        ),
    ]
    await store.aclose()
    execute(file, "DELETE FROM turns", "DELETE FROM calls")
    older = await Store.open(f"sqlite:///{file}")
    await older.list_calls()
    execute(file, *replacement)

    older.save_call("CA5", status="in-progress")
    older.save_turns("CA5", [TurnRow(0, "user", "hello")])
    await older.flush()
    older.save_call("CA5", status="completed")
    await older.flush()

    call = await older.get_call("CA5")
    assert call is not None and call.status == "completed"
    assert await older.turns("CA5") == [TurnRow(0, "user", "hello")]
    with closing(sqlite3.connect(file)) as other:
        assert other.execute("SELECT tenant, score, tags FROM calls").fetchall() == [("", 0, "{}")]
    assert (older.refused_rows, caplog.records) == (0, [])
    await older.aclose()


async def test_a_server_that_does_not_take_connections_yet_blames_no_row(
    monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    """A PostgreSQL that starts up, or has no connection left: asyncpg's own errors."""
    for refusal in (asyncpg.CannotConnectNowError("starting up"), ValueError("certificate")):

        def refuse(_self: object, error: Exception = refusal) -> object:
            raise error

        database = store._database
        monkeypatch.setattr(type(database._engine), "begin", refuse)
        with pytest.raises(StoreUnavailable) as caught:
            await Database.write(database, None)  # type: ignore[arg-type]
        assert not blames_data(caught.value)
        monkeypatch.undo()
