"""`calls replay`: a recorded call, or a bug report, given to this version."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from typer.testing import CliRunner, Result

from app.cli.calls import calls
from app.records.record import TimelineRow
from app.records.store import Store
from tests.records.test_replays import RECORDED, recorded

SID = "CA" + "1" * 32


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[TimelineRow]:
    """A call in a database, and no other settings."""
    monkeypatch.chdir(tmp_path)  # away from any .env
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/calls.db")
    rows = recorded()

    async def save() -> None:
        store = await Store.open(f"sqlite:///{tmp_path}/calls.db")
        store.save_call(SID, agent_name="Ada", status="completed")
        store.append_timeline(SID, rows)
        await store.flush()
        await store.aclose()

    asyncio.run(save())
    return rows


def run(*arguments: str) -> Result:
    return CliRunner().invoke(calls, ["replay", *arguments])


def test_a_recorded_call_is_replayed_by_its_sid(kept: list[TimelineRow]) -> None:
    result = run(SID[:8])

    assert (result.exit_code, result.stderr) == (0, "")
    assert "in 1 leg, " in result.stdout and "All commands are as recorded." in result.stdout


def test_an_answer_of_the_api_is_replayed_too(kept: list[TimelineRow], tmp_path: Path) -> None:
    answer = tmp_path / "answer.json"
    events = TypeAdapter(list[TimelineRow]).dump_python(kept, mode="json")
    assert "position" not in events[0]
    answer.write_text(json.dumps({"events": events}))
    assert run(str(answer)).exit_code == 0


def test_a_bug_report_is_a_file(kept: list[TimelineRow], tmp_path: Path) -> None:
    report = tmp_path / "call.json"
    rows = [asdict(row) for row in kept]
    report.write_text(json.dumps({"events": rows}))
    assert run(str(report)).exit_code == 0

    rows = [row for row in rows if row["name"] != "ClearAudio"]
    report.write_text(json.dumps({"events": rows}))
    result = run(str(report))

    assert result.exit_code == 1
    assert "differs; those before it are as recorded." in result.stdout
    assert "ClearAudio" in result.stdout and "replayed:" in result.stdout


def test_what_cannot_be_replayed_is_one_line(kept: list[TimelineRow], tmp_path: Path) -> None:
    for arguments, line in (
        (("CAunknown",), "there is no record of a call CAunknown; `calls` lists those there are\n"),
        ((str(RECORDED / "barge-in.json"),), "recorded in format 1, without its agent; name"),
        ((str(tmp_path / "none.json"),), "none.json: cannot be read: No such file"),
    ):
        result = run(*arguments)
        assert result.exit_code in (1, 2) and line in result.stderr
        assert result.stderr.count("\n") == 1 and not result.stdout
