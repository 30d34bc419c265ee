"""Looks at the database without changing it: whether it answers, may be written, and what schema
it has."""

import asyncio
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from app.records import migrations
from app.records.database import CANNOT_OPEN, StoreUnavailable
from app.records.engines import open_engine
from app.records.schema_upgrade import SchemaState, read_state

_BUSY_MS = 1000
_DEADLINE_S = 8.0


@dataclass(frozen=True, slots=True)
class DatabaseFound:
    """What there is at a DATABASE_URL."""

    #: The address, without a password.
    address: str
    state: SchemaState
    #: The revision of its schema; empty: none.
    revision: str
    #: The one that this version has.
    newest: str = migrations.HEAD
    #: The file of SQLite; None: PostgreSQL, or in memory.
    file: Path | None = None
    #: Why it cannot be written; empty: it can.
    read_only: str = ""


async def inspect_database(database_url: str) -> DatabaseFound:
    """Look at a database. A missing SQLite file is not created.

    Raises:
        ConfigError: the URL cannot be used.
        StoreUnavailable: it does not answer, or is no database.
    """
    engine = open_engine(database_url, _BUSY_MS)
    url = engine.url.set(drivername=engine.dialect.name)
    address = url.render_as_string(hide_password=True)
    try:
        if engine.dialect.name == "sqlite":
            await engine.dispose()
            name = engine.url.database
            if name in (None, "", ":memory:"):
                return DatabaseFound(address, SchemaState.EMPTY, "")
            return await asyncio.to_thread(_inspect_file, address, Path(str(name)))
        async with asyncio.timeout(_DEADLINE_S), engine.connect() as connection:
            state, revision = await connection.run_sync(read_state)
            standby = await connection.scalar(sa.text("SELECT pg_is_in_recovery()"))
            default = await connection.scalar(sa.text("SHOW default_transaction_read_only"))
            allowed = await connection.scalar(
                sa.text("SELECT has_schema_privilege(current_schema(), 'CREATE')")
            )
    except CANNOT_OPEN as error:
        cause = getattr(error, "orig", None) or error
        said = " ".join(str(cause).split()) or type(cause).__name__
        raise StoreUnavailable(f"{address}: {said}") from None
    finally:
        await engine.dispose()
    read_only = ""
    if standby:
        read_only = "it is a standby"
    elif default == "on":
        read_only = "its transactions are read-only by default"
    elif not allowed and state is not SchemaState.CURRENT:
        read_only = "its user may not create tables"
    return DatabaseFound(address, state, revision, read_only=read_only)


def _inspect_file(address: str, file: Path) -> DatabaseFound:
    if not file.exists():
        folder = file.absolute().parent
        creatable = os.access(folder, os.W_OK | os.X_OK)
        read_only = "" if creatable else f"files cannot be created in {folder}"
        return DatabaseFound(address, SchemaState.EMPTY, "", file=file, read_only=read_only)
    # Opened for reading alone, so that nothing is created beside it.
    try:
        engine = sa.create_engine(
            "sqlite://", creator=lambda: sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro",
                                                         uri=True, timeout=1)
        )  # fmt: skip
        with closing(engine.connect()) as connection:
            state, revision = read_state(connection)
        engine.dispose()
    except (sa.exc.SQLAlchemyError, sqlite3.Error) as error:
        cause = getattr(error, "orig", None) or error
        raise StoreUnavailable(f"{file}: {cause}") from None
    writable = os.access(file, os.W_OK) and os.access(file.absolute().parent, os.W_OK)
    read_only = "" if writable else f"{file} and its folder are not writable"
    return DatabaseFound(address, state, revision, file=file, read_only=read_only)
