"""Opening the database: the engine for each kind, its schema, and what its errors mean."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.schema import CreateColumn, CreateIndex, CreateTable

from app.config.database_url import parse_database_url
from app.errors import BridgeError
from app.records.private_files import narrow, new_private_file

OUTAGES = (sa.exc.SQLAlchemyError, sqlite3.Error, OSError, TimeoutError)
"""What a database raises that cannot be reached, or that cannot carry out a statement."""

CANNOT_OPEN = (*OUTAGES, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError)
"""What opening a database raises. SQLAlchemy 2.0 does not wrap asyncpg's errors while it connects;
ValueError: a PGPORT or a certificate that cannot be used."""

to_json = partial(json.dumps, default=str)

_POSTGRES_DEADLINES_S = {"timeout": 5, "command_timeout": 10}
_COMPANIONS = ("-wal", "-shm", "-journal")
_SCHEMA_LOCK = 0x70686F6E  # any number: replicas that start together change the schema in turn


class StoreUnavailable(BridgeError):
    """The database cannot be used now, or could not be opened."""


@contextmanager
def reachable() -> Iterator[None]:
    """Turn an outage of the database into a StoreUnavailable."""
    try:
        yield
    except OUTAGES as error:
        raise StoreUnavailable(
            "the database does not answer; check DATABASE_URL and that it is up"
        ) from error


def open_engine(database_url: str, busy_timeout_ms: int) -> AsyncEngine:
    """An engine for a DATABASE_URL. It connects when it is first used.

    `busy_timeout_ms`: how long a statement waits for SQLite's lock.

    Raises:
        ConfigError: see `parse_database_url`.
    """
    database = parse_database_url(database_url)
    # Parameters are transcripts and numbers: they stay out of every error's text.
    common: dict[str, Any] = {
        "hide_parameters": True,
        "pool_timeout": 5,
        "json_serializer": to_json,
    }
    if database.url.get_backend_name() == "postgresql":
        return create_async_engine(
            database.url,
            pool_pre_ping=True,
            connect_args={**_POSTGRES_DEADLINES_S, **database.connect_args},
            **common,
        )
    if database.file is None:  # one connection is the whole database
        common |= {"poolclass": sa.AsyncAdaptedQueuePool, "pool_size": 1, "max_overflow": 0}
    engine = create_async_engine(
        database.url, connect_args={"timeout": busy_timeout_ms / 1000}, **common
    )

    @sa.event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    return engine


def prepare_file(path: str) -> None:
    """Open an SQLite file once, before aiosqlite does: when aiosqlite fails to open it, its thread
    may outlive the event loop and print a traceback on stderr.

    Only the owner may read the file and its companions: SQLite gives those the mode of the file.
    """
    file = None if path == ":memory:" else Path(path)
    if file is not None:
        with suppress(FileExistsError):
            new_private_file(file)
    with closing(sqlite3.connect(path)) as connection:
        # WAL: readers and the writer do not wait for each other. The file remembers the mode, so
        # SQLite may refuse it here, as it does while another connection is switching.
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL")
        if file is not None:  # and it is a database
            narrow([file, *(file.with_name(f"{file.name}{end}") for end in _COMPANIONS)])


async def complete_schema(engine: AsyncEngine, metadata: sa.MetaData) -> None:
    """Create the tables, columns and indexes that the database does not have yet.

    What it has is left as it is. Any number of processes may do this at once, and others may go on
    using the tables with the columns that they know.
    """
    async with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
        for table in metadata.sorted_tables:
            await connection.execute(CreateTable(table, if_not_exists=True))
        if await connection.run_sync(_missing_columns, metadata):
            if engine.dialect.name == "sqlite":
                # Its lock on the file; whoever had it before may have added them. Not taken when
                # there is nothing to add: opening need not wait for one who writes.
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
            for column in await connection.run_sync(_missing_columns, metadata):
                name = connection.dialect.identifier_preparer.format_table(column.table)
                definition = CreateColumn(column).compile(dialect=connection.dialect)
                await connection.exec_driver_sql(f"ALTER TABLE {name} ADD COLUMN {definition}")
        for table in metadata.sorted_tables:
            for index in table.indexes:
                await connection.execute(CreateIndex(index, if_not_exists=True))


def _missing_columns(connection: sa.Connection, metadata: sa.MetaData) -> list[sa.Column[Any]]:
    inspector = sa.inspect(connection)
    return [
        column
        for table in metadata.sorted_tables
        for known in [{each["name"] for each in inspector.get_columns(table.name)}]
        for column in table.columns
        if column.name not in known
    ]


def blames_data(error: Exception) -> bool:
    """Whether a retry can only fail again: a row is at fault, not the database."""
    if not isinstance(error, DBAPIError):
        return not isinstance(error, (OSError, TimeoutError, sa.exc.TimeoutError))
    at_fault = sa.exc.IntegrityError, sa.exc.DataError, sa.exc.InterfaceError
    if isinstance(error, at_fault) and not error.connection_invalidated:
        return True
    state = getattr(error.orig, "sqlstate", None) or ""  # PostgreSQL: data, constraint
    return state[:2] in ("22", "23")
