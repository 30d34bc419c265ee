"""Control characters in foreign texts are escaped on the terminal and in files."""

import asyncio
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from app.call import events as ev
from app.cli.call_screen import Screen
from app.cli.calls import calls
from app.cli.demo import screen as demo_screen
from app.records.store import Store, TimelineRow, TurnRow
from app.records.visible import one_line, visible, visible_json
from app.wires.twilio.call import CallInfo

# Colours, a title, a bell, C1's own escape, a line that is made up, text that runs backwards.
EVIL = "\x1b[31mred\x1b]0;t\x07\x9b2J\x85 0:00.0  agent  yes\u202egnorw [bold]b[/bold] \u2028 \x7f"
NEVER = "\x1b\x07\x9b\x85\u202e\u2028\x7f\x00"


def check(shown: str) -> None:
    assert not set(NEVER) & set(shown), shown
    assert "\\x1b[31mred" in shown and "\\u202e" in shown and "[bold]b[/bold]" in shown


def run(*arguments: str) -> Result:
    return CliRunner().invoke(calls, list(arguments))


@pytest.fixture
def evil_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A call of which every text is evil."""
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path}/calls.db"
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("COLUMNS", "400")
    sid = f"CA{EVIL}"

    async def save() -> None:
        store = await Store.open(url)
        store.save_call(
            sid, status="completed", direction=EVIL, from_number=f"client:{EVIL}", to_number=EVIL,
            agent_name=EVIL, ended_by=EVIL, summary=EVIL, started_at=datetime.now(UTC),
            ended_at=datetime.now(UTC), duration_s=1.0,
            transfers=[{"destination": EVIL, "outcome": EVIL, "reason": EVIL, "summary": EVIL}],
        )  # fmt: skip
        store.save_turns(sid, [
            TurnRow(0, "assistant", EVIL, "item_1", 1.0, heard_ms=10.0),
            TurnRow(1, "user", f"yes\n0:09.9  agent  no\r{EVIL}", "item_2", 2.0),
            TurnRow(2, "tool", EVIL, "call_1", 3.0, extra={"name": EVIL, "arguments": EVIL}),
        ])  # fmt: skip
        started = {"order": 0, "stream_sid": EVIL}
        asked = {
            "order": 1, "response_id": "r", "item_id": EVIL, "kind": "function_call", "name": EVIL,
            "status": "completed", "call_id": EVIL, "arguments": json.dumps({EVIL: EVIL}),
        }  # fmt: skip
        failed = {"order": 2, "call_id": EVIL, "message": EVIL}
        store.append_timeline(sid, [
            TimelineRow(0, 0.0, "event", "StreamStarted", started),
            TimelineRow(1, 1.0, "event", "OutputItemDone", asked),
            TimelineRow(2, 2.0, "event", "ToolFailed", failed),
        ])  # fmt: skip
        await store.aclose()

    asyncio.run(save())
    return sid


def test_control_characters_in_a_listed_call_are_escaped(evil_call: str, tmp_path: Path) -> None:
    for result in (run(), run("show", "last", "--keep", str(tmp_path / "kept"))):
        assert result.exit_code == 0, result.output
        check(result.stdout)
    assert "yes 0:09.9  agent  no" in result.stdout  # on its own line, and no other


def test_kept_files_hold_no_control_characters(evil_call: str, tmp_path: Path) -> None:
    assert run("show", "last", "--keep", str(tmp_path / "kept")).exit_code == 0
    transcript = (tmp_path / "kept" / "transcript.txt").read_text(encoding="utf-8")
    check(transcript)
    assert not any(line.startswith("0:09.9") for line in transcript.splitlines())
    document = (tmp_path / "kept" / "call.json").read_text(encoding="utf-8")
    assert not set(NEVER) & set(document)
    assert json.loads(document)["summary"] == EVIL  # and yet it is all there
    assert not set(NEVER) & set((tmp_path / "kept" / "call.html").read_text(encoding="utf-8"))


def test_control_characters_in_an_error_are_escaped(evil_call: str) -> None:
    result = run("show", f"CA9{EVIL}")
    assert result.exit_code == 1
    check(result.stderr)


def test_control_characters_on_the_call_screen_are_escaped() -> None:
    out = io.StringIO()
    screen = Screen(Console(file=out, width=400, highlight=False))
    screen.placed(f"CA{EVIL}", EVIL)
    turn = {"role": "assistant", "text": EVIL, "at_ms": 1.0, "complete": True}
    tool = {**turn, "role": "tool", "extra": {"name": EVIL}}
    record = {"status": EVIL, "answered_by": EVIL, "transcript": [turn, tool], "ended_by": EVIL}
    screen.show(record | {"transfers": [{EVIL: EVIL}]}, last=True)
    screen.stopped(f"http://{EVIL}")
    check(out.getvalue())


def test_control_characters_on_the_demo_screen_are_escaped() -> None:
    out = io.StringIO()
    screen = demo_screen.Screen(Console(file=out, width=400, highlight=False))
    screen.begin(EVIL, EVIL, (), EVIL)
    screen.watch(CallInfo("CA1"), ev.TranscriptCompleted("item_1", EVIL), 1.0)
    screen.line_says(2.0, "line", EVIL)
    check(out.getvalue())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b\x00\t\n\x7f", "a\\x1b\\x00\\t\\n\\x7f"),
        ("\u200b\u2066\ufeff\U000e0041\ud800", "\\u200b\\u2066\\ufeff\\U000e0041\\ud800"),
        ("Grüße, 你好 😀 👨\u200d👩 e\u0301", "Grüße, 你好 😀 👨\u200d👩 e\u0301"),
    ],
)
def test_control_characters_are_escaped_and_words_are_unchanged(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_one_line_stays_one_and_json_stays_json() -> None:
    assert one_line("a  b \r\n\t c\x0bd") == "a  b c\\x0bd"
    value = {"a\x85": ["\x9b\u2028\U000e0041\x7f", "\n"]}
    document = json.dumps(value, ensure_ascii=False, indent=1)
    assert json.loads(visible_json(document)) == value
    assert visible_json(document).count("\n") == document.count("\n")
