"""The documentation is current: generated parts, links, and what the pages name."""

import re
from pathlib import Path

import pytest
import typer
from pydantic import TypeAdapter
from starlette.routing import Match

from app.cli.root import cli
from app.config.agent.file import AgentForm
from app.config.settings import Settings
from app.main import app
from app.records.record import Call, Transfer
from docs import diagrams, sequences
from docs.agent_file import Table, tables
from docs.imports import APP, ROOT, between, entries, reduced
from docs.layers import picture

FOLDERS = [each for each in ROOT.iterdir() if each.is_dir() and not each.name.startswith(".")]
PAGES = sorted([*ROOT.glob("*.md"), *(page for each in FOLDERS for page in each.rglob("*.md"))])
LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ (?P<title>.+)$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = [found["title"].lower() for found in HEADING.finditer(FENCE.sub("", text))]
    return {re.sub(r"[^\w\- ]", "", title).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for found in LINK.finditer(FENCE.sub("", text)):
        target = found["target"]
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{target} does not exist"
        assert file.is_relative_to(ROOT), f"{target} is outside the repository"
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), f"no heading for {target}"


@pytest.mark.parametrize("page", diagrams.PAGES, ids=lambda page: page.name)
def test_generated_parts_are_current(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert diagrams.names_in(text), f"{page.name} has no generated part"
    assert text == diagrams.renewed(text), "out of date; write it again with: make diagrams"


def test_every_generated_part_is_on_a_page() -> None:
    texts = [page.read_text(encoding="utf-8") for page in diagrams.PAGES]

    assert {name for text in texts for name in diagrams.names_in(text)} == diagrams.PARTS.keys()


def test_the_command_renews_a_page_and_keeps_what_is_written_by_hand(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Before.\n<!-- generated: layers -->\nold\n<!-- end: layers -->\nAfter.\n")

    assert diagrams.write((page,)) == [page]
    assert diagrams.write((page,)) == []
    text = page.read_text(encoding="utf-8")
    assert text.startswith("Before.\n<!-- generated: layers -->\n```mermaid\nflowchart TD\n")
    assert text.endswith("```\n<!-- end: layers -->\nAfter.\n")


# --- what the pages name ----------------------------------------------------------------------

GUIDES = [page for page in PAGES if page.parent in (ROOT, ROOT / "docs", ROOT / "docs" / "deploy")]
#: Names in capitals that are no settings of the service.
OTHER_NAMES = {"CHROMIUM", "DIR", "GET", "NUMBER", "POST", "SIGTERM", "TEXT"}


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_every_source_file_that_a_page_names_exists(page: Path) -> None:
    named = re.findall(r"`((?:app|docs|examples|tests)/[^`]*)`", page.read_text(encoding="utf-8"))

    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_every_setting_that_a_page_names_exists(page: Path) -> None:
    known = {name.upper() for name in Settings.model_fields}
    named = re.findall(r"`([A-Z][A-Z_]+)(?:=[^`]*)?`", page.read_text(encoding="utf-8"))

    assert set(named) - OTHER_NAMES - known - {"CALLS", "BUILT_IN"} == set()


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_every_log_line_that_a_page_quotes_is_in_the_source(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    source = "".join(path.read_text(encoding="utf-8") for path in APP.rglob("*.py"))
    quoted = [
        message
        for line in re.findall(
            r"^\| Log: .*|^\| .*Log: .*|^- `call decision`.*", text, re.MULTILINE
        )
        for message in re.findall(r"`([a-z][a-z' ]+ [a-z' ]+)`", line)
    ]

    assert [message for message in quoted if f'"{message}"' not in source] == []


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_every_route_that_a_page_names_exists(page: Path) -> None:
    named = re.findall(r"(GET|POST) (/[\w/{}.-]+)", page.read_text(encoding="utf-8"))

    assert [f"{method} {path}" for method, path in named if not _exists(method, path)] == []


def test_the_api_page_describes_every_field_of_the_record() -> None:
    text = (ROOT / "docs" / "http-api.md").read_text(encoding="utf-8")
    for model in (Call, Transfer):
        for field in TypeAdapter(model).json_schema(mode="serialization")["properties"]:
            assert f"`{field}`" in text, f"docs/http-api.md lacks {field} of {model.__name__}"


def _exists(method: str, path: str) -> bool:
    asked = re.sub(r"\{[^}]*\}", "CA1", path)
    scope = {"type": "http", "method": method, "path": asked, "root_path": "", "headers": []}
    return any(route.matches(scope)[0] is Match.FULL for route in app.routes)


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = re.findall(
        r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    commands = {*cli_commands()}

    assert set(re.findall(r"python -m app ([\w-]+)", text)) <= commands
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)) <= set(targets)


def cli_commands() -> list[str]:
    """The commands of `python -m app`."""
    return [*typer.main.get_group(cli).commands]


# --- the pictures -----------------------------------------------------------------------------


def test_the_layers_show_every_entry_and_every_import_that_no_other_implies() -> None:
    lines = picture().splitlines()

    assert {line.split('["')[0].strip() for line in lines if '["' in line} == {
        f"app_{name}" for name in entries()
    }
    assert {line.strip() for line in lines if "-->" in line} == {
        f"app_{name} --> app_{imported}"
        for name, imports in reduced(between("app")).items()
        if name in entries()
        for imported in imports
    }


def test_an_import_that_others_imply_is_left_out() -> None:
    arrows = {"a": {"b", "c", "d"}, "b": {"c"}, "c": {"d"}, "d": set[str]()}

    assert reduced(arrows) == {**arrows, "a": {"b"}}


@pytest.mark.parametrize("drawn", [sequences.call_picture(), sequences.transfer_picture()])
def test_a_sequence_has_only_lines_that_mermaid_knows(drawn: str) -> None:
    first, *lines = drawn.splitlines()
    participant = "|".join(sequences.PARTICIPANTS)
    known = re.compile(
        rf"participant ({participant})|({participant})-?->>({participant}): [^#;<>]+"
        rf"|Note over ({participant}),({participant}): [^#;<>]+|(alt|else) [^#;<>]+|end"
    )

    assert first == "sequenceDiagram"
    assert [line for line in lines if not known.fullmatch(line.strip())] == []


def test_every_step_of_a_sequence_is_drawn() -> None:
    for parts, drawn in (
        (sequences.CALL, sequences.call_picture()),
        ((*sequences.TRANSFER, *sequences.OUTCOMES), sequences.transfer_picture()),
    ):
        for part in parts:
            assert part.title in drawn
            assert all(f": {row.text}" in drawn for row in part.rows)


# --- the agent file ---------------------------------------------------------------------------


def test_the_reference_has_every_table_and_key_of_the_agent_file() -> None:
    headers = {table.header.partition(" with ")[0]: table for table in tables()}

    for name in AgentForm.model_fields:
        assert f"[{name}]" in headers or name in [key.name for key in headers[""].keys]
    assert {"[[transfer.destinations]]", "[[voice.fallback]]", "[[demo.lines]]"} <= headers.keys()


@pytest.mark.parametrize("table", [*tables()], ids=lambda table: table.header or "top")
def test_every_key_has_a_type_and_a_meaning(table: Table) -> None:
    for key in table.keys:
        assert key.type and len(key.meaning) > len(key.name), key.name
