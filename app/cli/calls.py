"""`python -m app calls`: list the calls of the database, or show one of them."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from app.cli.terminal import WRONG_SETTINGS, console, fail
from app.config.settings import load_settings
from app.errors import BridgeError
from app.records.report.call_report import CallReport, read_call
from app.records.report.files import keep_call, record_of
from app.records.report.terminal import facts, listing, transcript
from app.records.schema import CallRow
from app.records.store import Store

calls = typer.Typer(
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
NO_SUCH_CALL = 1
_PAGE = 200

Result = TypeVar("Result")


class _NoSuchCall(BridgeError):
    """No call has this SID, or several SIDs begin with it."""


@calls.callback()
def list_calls(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="How many calls to list.")] = 20,
) -> None:
    """List the calls in the database, or show one.

    \b
    python -m app calls                     the newest 20
    python -m app calls --limit 100
    python -m app calls show last           the newest call, with its transcript
    python -m app calls show CA12ab --keep DIR

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
            help="Also write transcript.txt, timeline.png, call.json and, if the call was "
            "recorded, call.wav into DIR.",
        ),
    ] = None,
) -> None:
    """Show a call: its figures, and the transcript of what was heard.

    \b
    python -m app calls show last
    python -m app calls show CA12ab --keep kept-call

    Exit status 1: there is no such call, or DIR cannot be written; 2: a setting is wrong.
    """
    report, record = _run(_one(sid))
    terminal = console()
    terminal.print(facts(report))
    terminal.print(transcript(report))
    if keep is not None:
        try:
            kept = [path.name for path in keep_call(report, record, keep)]
        except OSError as error:
            fail(f"{error.filename or keep}: cannot be written: {error.strerror}", NO_SUCH_CALL)
        except BridgeError as error:
            fail(f"{keep}: timeline.png is missing, the rest is there; {error}", NO_SUCH_CALL)
        terminal.print(
            f"Kept in {keep}: {', '.join(kept)}", soft_wrap=True, highlight=False, markup=False
        )


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
