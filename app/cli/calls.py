"""`python -m app calls`: list the calls of the database, show one, or replay one."""

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from app.cli.terminal import WRONG_SETTINGS, console, fail
from app.config.agent.file import load_agent
from app.config.settings import load_settings
from app.errors import BridgeError
from app.records.record import CallRow, TimelineRow
from app.records.replays import Command, events_in, replay_call
from app.records.report.call_report import read_call
from app.records.report.files import keep_call
from app.records.report.terminal import facts, listing, transcript
from app.records.report.whole_call import WholeCall, whole_call
from app.records.store import Store
from app.records.visible import visible
from app.web.console.call_page import call_page

calls = typer.Typer(
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
NO_SUCH_CALL = 1
DIFFERS, NOT_REPLAYABLE = 1, 2
_PAGE = 200

Result = TypeVar("Result")


class _NoSuchCall(BridgeError):
    """No call has this SID, or several SIDs begin with it."""


@calls.callback()
def list_calls(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="How many calls to list.")] = 20,
) -> None:
    """List the calls in the database, show one, or replay one.

    \b
    python -m app calls                     the newest 20
    python -m app calls --limit 100
    python -m app calls show last           the newest call, with its transcript
    python -m app calls show CA12ab --keep DIR
    python -m app calls replay last         compare this version with the recorded commands

    This reads the database of DATABASE_URL; the service need not be running.
    """
    if context.invoked_subcommand is None:
        rows = _run(_newest(limit))
        if rows:
            console().print(listing(rows))
        else:
            console().print("No calls yet. (The demo keeps its call in demo-call/, not here.)")


@calls.command()
def show(
    sid: Annotated[
        str,
        typer.Argument(
            metavar="SID", help="The call's SID, the beginning of it, or 'last' for the newest."
        ),
    ],
    keep: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Also write call.html, transcript.txt, call.json and, if the call was recorded, "
            "call.wav into DIR.",
        ),
    ] = None,
) -> None:
    """Show a call: its figures, and the transcript of what was heard.

    \b
    python -m app calls show last
    python -m app calls show CA12ab --keep kept-call

    Exit status 1: there is no such call, or DIR cannot be written; 2: a setting is wrong.
    """
    call = _run(_one(sid))
    terminal = console()
    terminal.print(facts(call.report))
    terminal.print(transcript(call.report))
    if keep is not None:
        try:
            kept = [path.name for path in keep_call(call, keep, call_page)]
        except OSError as error:
            fail(f"{error.filename or keep}: cannot be written: {error.strerror}", NO_SUCH_CALL)
        terminal.print(
            f"Kept in {keep}: {', '.join(kept)}", soft_wrap=True, highlight=False, markup=False
        )


@calls.command()
def replay(
    call: Annotated[
        str,
        typer.Argument(
            metavar="SID|FILE",
            help="The call's SID, the beginning of it, 'last', or a call.json from a bug report.",
        ),
    ],
    agent_file: Annotated[
        Path | None,
        typer.Option(
            "--agent",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="An agent file, in place of the recorded agent.",
        ),
    ] = None,
) -> None:
    """Replay a call: does this version give the same commands as the one that recorded it?

    Passes the recorded events to the call's state machine, and compares the commands.

    \b
    python -m app calls replay last
    python -m app calls replay call.json --agent agent.toml

    Exit status 0: all commands are the same; 1: one differs, or there is no such call; 2: the call
    cannot be replayed.
    """
    try:
        agent = load_agent(agent_file).agent if agent_file else None
        rows = events_in(Path(call)) if call.endswith(".json") else _run(_timeline(call))
        result = replay_call(rows, agent)
    except BridgeError as error:
        fail(error, NOT_REPLAYABLE)
    terminal = console()
    terminal.print(
        f"{result.events} events in {_counted(result.legs, 'leg')}, "
        f"{_counted(result.commands, 'command')}; format {result.format}."
    )
    if result.difference is None:
        terminal.print("All commands are as recorded.")
        return
    number, recorded, replayed = result.difference
    terminal.print(f"Command {number} differs; those before it are as recorded.")
    for label, command in (("recorded", recorded), ("replayed", replayed)):
        terminal.print(
            f"  {label}: {_text(command)}", soft_wrap=True, highlight=False, markup=False
        )
    raise typer.Exit(DIFFERS)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _text(command: Command | None) -> str:
    if command is None:
        return "no more commands"
    at_ms, name, data = command
    return visible(f"{at_ms / 1000:.3f} s  {name} {json.dumps(data, ensure_ascii=False)}")


# --- from the store ---------------------------------------------------------------------------


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    try:
        return asyncio.run(work)
    except _NoSuchCall as error:
        fail(error, NO_SUCH_CALL)
    except BridgeError as error:
        fail(error, WRONG_SETTINGS)


async def _open() -> Store:
    return await Store.open(load_settings().database_url.get_secret_value())


async def _newest(limit: int) -> list[CallRow]:
    store = await _open()
    try:
        return await store.list_calls(limit)
    finally:
        await store.aclose()


async def _one(sid: str) -> WholeCall:
    store = await _open()
    try:
        call_sid = await _whole_sid(store, sid)
        report = await read_call(store, call_sid)
        if report is None:
            raise _NoSuchCall(f"there is no record of the call {sid}")
        return await whole_call(store, report)
    finally:
        await store.aclose()


async def _timeline(sid: str) -> list[TimelineRow]:
    store = await _open()
    try:
        return await store.timeline(await _whole_sid(store, sid))
    finally:
        await store.aclose()


async def _whole_sid(store: Store, sid: str) -> str:
    """The full SID of the one call whose SID begins with `sid`."""
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
