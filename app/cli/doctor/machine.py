"""Checks of what the service runs on: database, Redis, disk and clock."""

import asyncio
import os
import shutil
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import aiohttp

from app.cli.doctor.check import Check, Subject, fault, ok, warning
from app.config.redis_url import parse_redis_url
from app.config.settings import Settings
from app.errors import ConfigError
from app.records.database import StoreUnavailable
from app.records.inspection import DatabaseFound, inspect_database
from app.records.schema_upgrade import SchemaState

_DEADLINE_S = 5.0
_LITTLE_BYTES, _FEW_BYTES = 1 << 30, 100 << 20
# An address that is asked may answer a second late; the header has whole seconds.
_SKEW_S, _MOST_SKEW_S = 5.0, 60.0


async def check_database(subject: Subject) -> list[Check]:
    """Whether records can be kept, and whether the schema is this version's."""
    name = "database"
    try:
        found = await inspect_database(subject.settings.database_url.get_secret_value())
    except (ConfigError, StoreUnavailable) as error:
        fix = "check DATABASE_URL, and that the database runs and lets this user in"
        return [fault(name, str(error), fix)]
    if found.read_only:
        fix = "set DATABASE_URL to a database, or a file in a folder, that this user may write"
        return [fault(name, f"{found.address} cannot be written: {found.read_only}", fix)]
    if found.file is not None and not found.file.exists():
        return [ok(name, f"{found.file} is created at the first start")]
    return [ok(name, f"{found.address} answers"), _migrations(found)]


def _migrations(found: DatabaseFound) -> Check:
    name = "migrations"
    match found.state:
        case SchemaState.EMPTY:
            return ok(name, "the database is empty; the next start creates its tables")
        case SchemaState.OLDER:
            before = found.revision or "of an early version"
            detail = f"the schema is {before}, and this version has {found.newest}"
            return warning(name, detail, "back it up: the next start of the service migrates it")
        case SchemaState.NEWER:
            detail = f"the schema is {found.revision}, of a newer version than {found.newest}"
            return warning(name, detail, "install the newer version of the service")
    return ok(name, f"the schema is this version's, {found.revision}")


async def check_redis(subject: Subject) -> list[Check]:
    """Whether Redis answers; no line without REDIS_URL."""
    url = subject.settings.redis_url
    if url is None:
        return []
    from app.bridge.bus.bus import BusUnavailable  # a tenth of a second, for who has Redis
    from app.bridge.bus.link import Link

    name, address = "Redis", parse_redis_url(url.get_secret_value())
    link = Link(address)
    try:
        await link.check()
        await link.probe(lambda client: client.ping())
    except ConfigError as error:
        detail, _, fix = str(error).removeprefix("REDIS_URL: ").partition("; ")
        return [fault(name, detail, f"REDIS_URL: {fix}")]
    except BusUnavailable:
        fix = "see that it runs and can be reached; check REDIS_URL"
        return [fault(name, f"{address.shown} does not answer", fix)]
    finally:
        await link.close()
    return [ok(name, f"{address.shown} answers")]


async def check_disk(subject: Subject) -> list[Check]:
    """Room and permission where files are written."""
    return await asyncio.to_thread(_disk, subject)


def _disk(subject: Subject) -> list[Check]:
    settings = subject.settings
    folders = {"DATABASE_URL": Path(), "SPOOL_DIR": settings.spool_dir}
    if subject.agent.recording.enabled:
        folders["RECORDINGS_DIR"] = settings.recordings_dir
    checks, least = [], None
    for name, folder in folders.items():
        if folder is None:
            continue
        existing = next(each for each in (folder.absolute(), *folder.absolute().parents)
                        if each.exists())  # fmt: skip
        if name != "DATABASE_URL" and not (
            existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
        ):
            fix = f"set {name} to a directory that this user may write"
            checks.append(fault("disk", f"{folder} cannot be written", fix))
            continue
        free = shutil.disk_usage(existing).free
        least = free if least is None else min(least, free)
    if least is not None:
        checks.append(_room(least))
    return checks


def _room(free: int) -> Check:
    text = f"{free / (1 << 30):.1f} GiB are free"
    fix = "free some space, or move the database and the recordings to another disk"
    if free < _FEW_BYTES:
        return fault("disk", f"{free >> 20} MiB are free", fix)
    return warning("disk", text, fix) if free < _LITTLE_BYTES else ok("disk", text)


async def check_clock(subject: Subject) -> list[Check]:
    """This machine's clock beside that of the servers that the service uses; no line without
    any."""
    name, urls = "clock", _clocks(subject.settings)
    if not urls:
        return []
    before = datetime.now(UTC)
    found = next((each for each in await asyncio.gather(*map(_date, urls)) if each), None)
    if found is None:
        return [warning(name, "no server could be asked for the time", "check the network")]
    half = (datetime.now(UTC) - before) / 2
    skew_s = (before + half - found).total_seconds()
    text = f"it is {abs(skew_s):.0f} s {'ahead' if skew_s > 0 else 'behind'}"
    fix = "switch time synchronization on, such as by: timedatectl set-ntp true"
    if abs(skew_s) > _MOST_SKEW_S:
        return [fault(name, f"{text}: tickets and certificates are judged wrongly", fix)]
    if abs(skew_s) > _SKEW_S:
        return [warning(name, text, fix)]
    return [ok(name, "it agrees with that of the servers")]


def _clocks(settings: Settings) -> list[str]:
    model = settings.openai_base_url
    if model.startswith("ws"):
        model = model.replace("ws", "http", 1)
    return [
        *([settings.twilio_api_base_url] if settings.twilio_account_sid else []),
        *([model] if settings.has_model_key else []),
    ]


async def _date(url: str) -> datetime | None:
    """The time that a server says, with any status; no credentials are sent."""
    timeout = aiohttp.ClientTimeout(total=_DEADLINE_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as http, http.head(url) as answer:
            return parsedate_to_datetime(answer.headers["Date"]).astimezone(UTC)
    except (aiohttp.ClientError, TimeoutError, OSError, KeyError, ValueError):
        return None
