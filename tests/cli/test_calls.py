"""`python -m app calls`, against a database of recorded calls."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from app.cli.calls import calls
from app.records.store import Store
from tests.records.report.recorded_call import Story, pizza_call, transferred_call


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty one, and no other settings."""
    monkeypatch.chdir(tmp_path)  # away from any .env
    url = f"sqlite:///{tmp_path}/calls.db"
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("COLUMNS", "200")
    return url


def keep(url: str, *stories: Story, recording: Path | None = None) -> None:
    async def save() -> None:
        store = await Store.open(url)
        for story in stories:
            await story.save(store, recording)
        await store.aclose()

    asyncio.run(save())


def run(*arguments: str) -> Result:
    return CliRunner().invoke(calls, list(arguments))


def story_of(sid: str) -> Story:
    story = pizza_call()
    story.sid = sid
    return story


def test_the_newest_call_is_listed_first(database: str) -> None:
    keep(database, story_of("CAaaaa1111"))
    keep(database, story_of("CAbbbb2222"))
    result = run()
    assert result.exit_code == 0
    _, newest, oldest = result.stdout.splitlines()
    assert newest.startswith("CAbbbb22") and oldest.startswith("CAaaaa11")
    for fact in (
        "2026-03-14 09:26", "+15550100001 → +15550109999", "18.9", "completed",
        "the caller hung up", "0.0185 USD", "no",
    ):  # fmt: skip
        assert fact in newest
    assert len(run("--limit", "1").stdout.splitlines()) == 2


def test_an_empty_database_lists_no_calls(database: str) -> None:
    result = run()
    assert (result.exit_code, result.stdout) == (
        0,
        "No calls yet. (The demo keeps its call in demo-call/, not here.)\n",
    )
    result = run("show", "last")
    assert (result.exit_code, result.stderr) == (1, "no calls yet\n")


def test_a_call_is_shown_with_its_figures_and_its_words(database: str) -> None:
    keep(database, pizza_call())
    result = run("show", "last")
    assert result.exit_code == 0
    text = " ".join(result.stdout.split())
    for fact in (
        "CA" + "1" * 32, "390 ms in the median of 2, 540 ms at worst", "470 ms at the caller's ear",
        "without the silence", "80 ms to Twilio and back", "240 ms after connecting",
        "3360 of 9000 ms heard, 5640 ms dropped", "input_audio 100", "0.0185 USD",
        "0:03.9 caller Hello! What pizzas do you have?", "interrupted; not heard: eleven euros",
        'tool menu(size="large") → {"margherita":11.0,"funghi":12.5}',
    ):  # fmt: skip
        assert fact in text, fact


def test_the_transfers_of_a_call_are_shown(database: str) -> None:
    keep(database, transferred_call())
    result = run("show", "last")
    assert result.exit_code == 0
    text = " ".join(result.stdout.split())
    for fact in (
        "end completed, Support took the call",
        "transfer Sales: no answer; a price; told: 40 chairs transfer Support: busy; a price",
        "transfer Support: took the call; a price",
        "line Sales: no answer, Support: busy; back with the agent after 5.1 s",
        "→ Support: took the call",
    ):
        assert fact in text, fact


def test_brackets_in_a_transcript_are_not_markup(database: str) -> None:
    """Rich would read them as its markup."""
    story = Story()
    story.connect()
    story.go(500)
    story.caller_says("press [bold]one[/bold] or [/x]", 900)
    story.hang_up()
    keep(database, story)
    assert "press [bold]one[/bold] or [/x]" in run("show", "last").stdout


def test_a_sid_may_be_shortened_as_long_as_it_is_unique(database: str) -> None:
    keep(database, story_of("CAaaaa1111"), story_of("CAaabb2222"), story_of("CAaabb"))
    assert "CAaaaa1111" in run("show", "CAaaa").stdout
    assert "CAaabb2222" in run("show", "CAaabb2").stdout
    exactly = run("show", "CAaabb")
    assert exactly.exit_code == 0 and "CAaabb2222" not in exactly.stdout
    result = run("show", "CAaa")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "3 calls begin with CAaa; give more of it\n"


@pytest.mark.parametrize("sid", ["CA9", "", "%", "CA1_"])
def test_an_unknown_call_is_one_line_and_status_1(database: str, sid: str) -> None:
    keep(database, pizza_call())
    result = run("show", sid)
    assert (result.exit_code, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 1
    assert "no record of a call" in result.stderr


def test_prefixes_are_looked_for_among_all_calls(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.cli.calls._PAGE", 2)
    keep(database, *(story_of(f"CA{number}x") for number in range(1, 8)))
    for number in range(1, 8):
        assert run("show", f"CA{number}").exit_code == 0


@pytest.mark.parametrize("arguments", [(), ("show", "last")])
def test_wrong_settings_are_one_line_and_status_2(
    database: str, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://user@host/calls")
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("DATABASE_URL: expected")
    assert len(result.stderr.splitlines()) == 1


def test_everything_about_a_call_can_be_kept(database: str, tmp_path: Path) -> None:
    story = pizza_call()
    wav = story.write_wav(tmp_path / "recorded.wav")
    keep(database, story, recording=wav)
    folder = tmp_path / "kept" / "deep"
    result = run("show", "last", "--keep", str(folder))
    assert result.exit_code == 0, result.stderr
    assert "call.wav, transcript.txt, call.json, call.html" in result.stdout
    assert (folder / "call.wav").read_bytes() == wav.read_bytes()
    transcript = (folder / "transcript.txt").read_text(encoding="utf-8")
    assert "0:04.2  caller  Hello! What pizzas do you have?\n" in transcript
    assert (folder / "call.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    record = json.loads((folder / "call.json").read_text(encoding="utf-8"))
    assert record["call_sid"] == story.sid
    assert record["started_at"] == "2026-03-14T09:26:53+00:00"
    assert record["transcript"][0]["text"].startswith("Pizzeria Bella")
    assert {"PlayAudio", "ClearAudio"} <= {event["name"] for event in record["events"]}
    assert record["measured"]["median_ms"] == pytest.approx(890, abs=15)
    assert run("show", "last", "--keep", str(folder)).exit_code == 0  # again, into the same


def test_a_call_without_a_recording_keeps_the_rest(database: str, tmp_path: Path) -> None:
    keep(database, pizza_call())
    assert run("show", "last", "--keep", str(tmp_path / "kept")).exit_code == 0
    names = {path.name for path in (tmp_path / "kept").iterdir()}
    assert names == {"transcript.txt", "call.json", "call.html"}


def test_a_missing_recording_is_reported(database: str, tmp_path: Path) -> None:
    keep(database, pizza_call(), recording=tmp_path / "gone.wav")
    result = run("show", "last", "--keep", str(tmp_path / "kept"))
    assert result.exit_code == 0
    assert "gone.wav: the recording cannot be read: No such file" in result.stdout


def test_a_folder_that_cannot_be_written_is_one_line(database: str, tmp_path: Path) -> None:
    keep(database, pizza_call())
    (tmp_path / "file").write_text("in the way")
    result = run("show", "last", "--keep", str(tmp_path / "file"))
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1 and str(tmp_path / "file") in result.stderr
