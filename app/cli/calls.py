"""`python -m app calls`: the calls that were held, and everything about one of them."""

import asyncio
import json
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console

from app.config.agent.file import load_agent
from app.config.settings import load_settings
from app.errors import BridgeError
from app.records.replays import Command, events_in, replay_call
from app.records.report.call_report import CallReport, read_call
from app.records.report.files import keep_call, record_of
from app.records.report.terminal import facts, listing, transcript
from app.records.schema import CallRow, TimelineRow
from app.records.store import Store
from app.records.visible import visible

calls = typer.Typer(
    help="List the calls that were held, show one, or replay one.",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
NO_SUCH_CALL, WRONG_SETTINGS = 1, 2
DIFFERS, NOT_REPLAYABLE = 1, 2
_PAGE = 200

Result = TypeVar("Result")


class _NoSuchCall(BridgeError):
    """There is no record of this call, or it is not clear which one is meant."""


@calls.callback()
def list_calls(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="How many calls, the newest first.")] = 20,
) -> None:
    """List the calls that were held, the newest first; `calls show SID` shows one."""
    if context.invoked_subcommand is None:
        rows = _run(_newest(limit))
        console = _console()
        if rows:
            console.print(listing(rows))
        else:
            console.print("No calls yet. (What the demo leaves is in demo-call/.)")


@calls.command()
def show(
    sid: Annotated[
        str, typer.Argument(help="The call's SID, or its beginning; 'last' is the newest call.")
    ],
    keep: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Also write call.wav, transcript.txt, timeline.png and call.json into DIR.",
        ),
    ] = None,
) -> None:
    """Show a call: how it went and what was heard."""
    report, record = _run(_one(sid))
    console = _console()
    console.print(facts(report))
    console.print(transcript(report))
    if keep is not None:
        try:
            kept = [path.name for path in keep_call(report, record, keep)]
        except OSError as error:
            _fail(f"{error.filename or keep}: cannot be written: {error.strerror}", NO_SUCH_CALL)
        except BridgeError as error:
            _fail(f"{keep}: timeline.png is missing, the rest is there; {error}", NO_SUCH_CALL)
        console.print(
            f"Kept in {keep}: {', '.join(kept)}", soft_wrap=True, highlight=False, markup=False
        )


@calls.command()
def replay(
    call: Annotated[
        str,
        typer.Argument(
            metavar="SID|FILE",
            help="A call's SID, or its beginning, or 'last'; or a call.json from a bug report.",
        ),
    ],
    agent_file: Annotated[
        Path | None,
        typer.Option(
            "--agent",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Replay with this agent, not with the recorded one.",
        ),
    ] = None,
) -> None:
    """Replay a call: does this version order the same as the one that recorded it?

    Gives the recorded events to the call's state machine and compares the commands. Exit status: 0
    all are the same, 1 one differs, 2 the call cannot be replayed.
    """
    try:
        agent = load_agent(agent_file).agent if agent_file else None
        rows = events_in(Path(call)) if call.endswith(".json") else _run(_timeline(call))
        result = replay_call(rows, agent)
    except BridgeError as error:
        _fail(str(error), NOT_REPLAYABLE)
    console = _console()
    console.print(
        f"{result.events} events in {_counted(result.legs, 'leg')}, "
        f"{_counted(result.commands, 'command')}; format {result.format}."
    )
    if result.difference is None:
        console.print("All commands are as recorded.")
        return
    number, recorded, replayed = result.difference
    console.print(f"Command {number} differs; those before it are as recorded.")
    for label, command in (("recorded", recorded), ("replayed", replayed)):
        console.print(f"  {label}: {_told(command)}", soft_wrap=True, highlight=False, markup=False)
    raise typer.Exit(DIFFERS)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _told(command: Command | None) -> str:
    if command is None:
        return "no more commands"
    at_ms, name, data = command
    return visible(f"{at_ms / 1000:.3f} s  {name} {json.dumps(data, ensure_ascii=False)}")


# --- from the store ---------------------------------------------------------------------------


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    try:
        return asyncio.run(work)
    except _NoSuchCall as error:
        _fail(str(error), NO_SUCH_CALL)
    except BridgeError as error:
        _fail(str(error), WRONG_SETTINGS)


def _fail(message: str, status: int) -> NoReturn:
    for line in message.splitlines():
        typer.echo(visible(line), err=True)
    raise typer.Exit(status) from None


async def _open() -> Store:
    return await Store.open(load_settings().database_url.get_secret_value())


async def _newest(limit: int) -> list[CallRow]:
    store = await _open()
    try:
        return await store.list_calls(limit)
    finally:
        await store.aclose()


async def _one(sid: str) -> tuple[CallReport, dict[str, Any]]:
    store = await _open()
    try:
        call_sid = await _whole_sid(store, sid)
        report = await read_call(store, call_sid)
        if report is None:
            raise _NoSuchCall(f"there is no record of the call {sid}")
        return report, await record_of(store, report)
    finally:
        await store.aclose()


async def _timeline(sid: str) -> list[TimelineRow]:
    store = await _open()
    try:
        return await store.timeline(await _whole_sid(store, sid))
    finally:
        await store.aclose()


async def _whole_sid(store: Store, sid: str) -> str:
    """The SID of the one call that begins so."""
    if sid == "last":
        newest = await store.list_calls(1)
        if not newest:
            raise _NoSuchCall("no calls yet")
        return newest[0].call_sid
    if await store.get_call(sid) is not None:
        return sid
    found: list[str] = []
    before: str | None = None
    while page := await store.list_calls(_PAGE, before):
        found += [row.call_sid for row in page if sid and row.call_sid.startswith(sid)]
        before = page[-1].call_sid
    if not found:
        raise _NoSuchCall(f"there is no record of a call {sid}; `calls` lists those there are")
    if len(found) > 1:
        raise _NoSuchCall(f"{len(found)} calls begin with {sid}; give more of it")
    return found[0]


def _console() -> Console:
    """The terminal; a pipe or a file gets long lines, not those of 80 columns."""
    console = Console()
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=160)
