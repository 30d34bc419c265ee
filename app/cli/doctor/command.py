"""The command: runs every check, and prints a line for each."""

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import redirect_stdout
from dataclasses import asdict, replace
from datetime import date
from typing import Annotated

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.text import Text

from app.cli.doctor.account import check_account
from app.cli.doctor.check import Check, State, Subject, fault
from app.cli.doctor.configured import read_configuration
from app.cli.doctor.machine import check_clock, check_database, check_disk, check_redis
from app.cli.doctor.model import check_model
from app.cli.doctor.public_address import check_public_address
from app.cli.doctor.voices import check_voices
from app.cli.terminal import console
from app.cli.tunnel import NGROK_API, running_tunnels, tunnel_to
from app.config.settings import Settings
from app.records.visible import one_line

logger = logging.getLogger(__name__)

HAS_FAULT = 1
_CHECKS: tuple[Callable[[Subject], Awaitable[list[Check]]], ...] = (
    check_model,
    check_voices,
    check_public_address,
    check_account,
    check_database,
    check_redis,
    check_disk,
    check_clock,
)
_STYLES: dict[State, str] = {"ok": "green", "warning": "yellow", "fault": "bold red"}
_DEADLINE_S = 60.0


def doctor(
    json_: Annotated[
        bool, typer.Option("--json", help="Print a JSON list of check, state, detail and fix.")
    ] = False,
) -> None:
    """Find what is wrong with the set-up, and say how to mend it.

    It opens a session of the model, asks Twilio about the account and the number, and reaches the
    service by its public address as Twilio does. It changes nothing and places no call. Run it
    while the service runs.

    \b
    python -m app doctor
    python -m app doctor --json

    Exit status 0: no fault; 1: there is one.
    """
    # Each finding is a line of the report: the log would say it a second time.
    logging.disable(logging.CRITICAL)
    try:
        if json_:
            with redirect_stdout(sys.stderr):  # what a tools file prints is no JSON
                found = asyncio.run(_report(None))
        else:
            found = asyncio.run(_report(console()))
    finally:
        logging.disable(logging.NOTSET)
    if json_:
        typer.echo(json.dumps([asdict(each) for each in found], indent=2, ensure_ascii=False))
    raise typer.Exit(HAS_FAULT if any(each.state == "fault" for each in found) else 0)


async def _report(terminal: Console | None) -> list[Check]:
    """Every check, printed as soon as it is known. `terminal`: None: print nothing."""
    found = []
    async for check in run_checks():
        found.append(check)
        if terminal is not None:
            terminal.print(_line(check), soft_wrap=True)
    if terminal is not None:
        terminal.print(_summary(found))
    return found


async def run_checks(ngrok_api: str = NGROK_API) -> AsyncIterator[Check]:
    """Every check, in order. They run at the same time."""
    configured = await asyncio.to_thread(read_configuration, date.today())
    for check in configured.checks:
        yield check
    subject = configured.subject
    if subject is None:
        return
    ngrok_url = tunnel_to(subject.settings.port, await running_tunnels(ngrok_api))
    subject = replace(subject, public_url=subject.public_url or ngrok_url, ngrok_url=ngrok_url)
    tasks = [asyncio.create_task(_guarded(each, subject)) for each in _CHECKS]
    try:
        for task in tasks:
            for check in await task:
                yield _without_secrets(check, subject.settings)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _guarded(
    check: Callable[[Subject], Awaitable[list[Check]]], subject: Subject
) -> list[Check]:
    """The checks' outcome; a bug in one of them does not end the others."""
    name = check.__name__.removeprefix("check_").replace("_", " ")
    try:
        async with asyncio.timeout(_DEADLINE_S):
            return await check(subject)
    except TimeoutError:
        return [fault(name, f"not known after {_DEADLINE_S:g} s", "try again")]
    except Exception as error:
        fix = "please report it with this line"
        return [fault(name, f"the check itself failed: {type(error).__name__}: {error}", fix)]


def _without_secrets(check: Check, settings: Settings) -> Check:
    """The check without any secret that a server's answer may repeat."""
    detail, fix = check.detail, check.fix
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if not isinstance(value, SecretStr) or name in ("database_url", "redis_url"):
            continue
        secret = value.get_secret_value()
        if len(secret) > 3:
            detail, fix = detail.replace(secret, "…"), fix.replace(secret, "…")
    return replace(check, detail=detail, fix=fix)


def _line(check: Check) -> Text:
    line = Text()
    line.append(f"{check.state:<8}", style=_STYLES[check.state])
    line.append(f"{check.check}: ", style="bold")
    line.append(one_line(check.detail))
    if check.fix:
        line.append(f". Fix: {one_line(check.fix)}")
    return line


def _summary(found: list[Check]) -> Text:
    faults = sum(each.state == "fault" for each in found)
    warnings = sum(each.state == "warning" for each in found)
    counted = [f"{faults} fault{'' if faults == 1 else 's'}" if faults else "",
               f"{warnings} warning{'' if warnings == 1 else 's'}" if warnings else ""]  # fmt: skip
    said = " and ".join(filter(None, counted)) or "everything is in order"
    checks = "check" if len(found) == 1 else "checks"
    return Text(f"{len(found)} {checks}: {said}", style="bold")
