"""The database: opened, kept complete while it is used, and what its errors mean."""

import asyncio
import json
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, closing, suppress
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.schema import CreateColumn, CreateIndex, CreateTable

from app.config.database_url import parse_database_url
from app.errors import BridgeError
from app.records.private_files import narrow, new_private_file
from app.records.schema import metadata

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_Job = Callable[[AsyncConnection], Awaitable[_T]]
_Connect = Callable[[], AbstractAsyncContextManager[AsyncConnection]]

OUTAGES = (sa.exc.SQLAlchemyError, sqlite3.Error, OSError, TimeoutError)
"""What a database raises that cannot be reached, or that cannot carry out a statement."""

CANNOT_OPEN = (*OUTAGES, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError)
"""What opening a database raises. SQLAlchemy 2.0 does not wrap asyncpg's errors while it connects;
ValueError: a PGPORT or a certificate that cannot be used."""

to_json = partial(json.dumps, default=str)

_POSTGRES_DEADLINES_S = {"timeout": 5, "command_timeout": 10}
_AWAY = "the database does not answer; check DATABASE_URL and that it is up"
_COMPANIONS = ("-wal", "-shm", "-journal")
_SCHEMA_LOCK = 0x70686F6E  # any number: replicas that start together change the schema in turn


class StoreUnavailable(BridgeError):
    """The database cannot be used now, or could not be opened."""


class Database:
    """A database with the tables of `app/records/schema.py`. Open it with `Database.open`.

    Tables that vanish while it is used are made anew, and that is logged.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        #: To be written through: a copy of our tables with the columns of a newer version that
        #: take no NULL and have no default.
        self.writable: Mapping[str, sa.Table] = {}
        #: postgresql or sqlite.
        self.dialect = engine.dialect.name
        self._engine = engine
        name = engine.url.database if self.dialect == "sqlite" else None
        self._file = None if name in (None, "", ":memory:") else Path(name)
        self._identity: _Identity = None
        self._completing = asyncio.Lock()

    @classmethod
    async def open(cls, database_url: str, busy_timeout_ms: int) -> "Database":
        """Connect and create the tables and columns that are missing.

        `busy_timeout_ms`: how long a statement waits for SQLite's lock.

        Raises:
            ConfigError: the URL cannot be used; see `parse_database_url`.
            StoreUnavailable: the database cannot be opened.
        """
        database = cls(open_engine(database_url, busy_timeout_ms))
        try:
            await database._complete()
        except BaseException as error:
            await database.aclose()
            if not isinstance(error, CANNOT_OPEN):
                raise
            cause = getattr(error, "orig", None) or error
            said = " ".join(str(cause).split()) or repr(cause)
            raise StoreUnavailable(
                f"cannot open the database {database._engine.url!r}: {said}; "
                "check DATABASE_URL, and that the database is up and may be written"
            ) from error
        return database

    async def aclose(self) -> None:
        """Close all connections."""
        await self._engine.dispose()

    async def read(self, work: _Job[_T]) -> _T:
        """The result of `work`, which only reads.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        return await self._answered(work, self._engine.connect)

    async def change(self, work: _Job[_T]) -> _T:
        """The result of `work`, done in one transaction. Raises as `read` does."""
        return await self._answered(work, self._engine.begin)

    async def write(self, work: _Job[_T]) -> _T:
        """As `change`, but an error of a statement is raised as it is. `work` may be called twice.

        Raises:
            StoreUnavailable: there is no connection.
        """
        return await self._complete_for(work, self._engine.begin)

    async def _answered(self, work: _Job[_T], connect: _Connect) -> _T:
        try:
            return await self._complete_for(work, connect)
        except OUTAGES as error:
            raise StoreUnavailable(_AWAY) from error

    async def _complete_for(self, work: _Job[_T], connect: _Connect) -> _T:
        """Do `work`; if the schema is not as expected, complete it and try once more."""
        if self._file is not None and _identity(self._file) != self._identity:
            await self._complete_again("the file was deleted, emptied or replaced")
        try:
            return await _connected(work, connect)
        except DBAPIError as error:
            if _is_missing(error):
                await self._complete_again("tables or columns were missing")
            elif not (_is_null(error) and await self._learn_columns()):
                raise
        return await _connected(work, connect)

    async def _complete_again(self, cause: str) -> None:
        async with self._completing:
            try:
                await self._complete()
            except CANNOT_OPEN as error:
                raise StoreUnavailable(_AWAY) from error
        logger.error("database made anew, stored records may be gone", extra={"cause": cause})

    async def _complete(self) -> None:
        """Create what the database does not have."""
        if self._file is not None and self._identity is not None:
            found = _identity(self._file)
            if found != self._identity:
                await self._engine.dispose()  # its connections have the former file open
            if found is None:
                for each in _companions(self._file):
                    each.unlink(missing_ok=True)
        if self.dialect == "sqlite":
            await asyncio.to_thread(prepare_file, str(self._file or ":memory:"))
        await complete_schema(self._engine, metadata)
        await self._learn_columns()
        self._identity = _identity(self._file) if self._file is not None else None

    async def _learn_columns(self) -> bool:
        """Look for columns of a newer version. Return whether there are others than before."""
        async with self._engine.connect() as connection:
            found = await connection.run_sync(_writable)
        before = {name: table.columns.keys() for name, table in self.writable.items()}
        self.writable = found
        return before != {name: table.columns.keys() for name, table in found.items()}


async def _connected(work: _Job[_T], connect: _Connect) -> _T:
    async with AsyncExitStack() as stack:
        try:
            connection = await stack.enter_async_context(connect())
        except CANNOT_OPEN as error:  # asyncpg's own errors too: SQLAlchemy does not wrap them
            raise StoreUnavailable(_AWAY) from error
        return await work(connection)


_Identity = tuple[int, int] | None


def _identity(file: Path) -> _Identity:
    """What tells the file from one that takes its place; None: missing or empty."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return (found.st_dev, found.st_ino) if found.st_size else None


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
            narrow([file, *_companions(file)])


def _companions(file: Path) -> list[Path]:
    return [file.with_name(f"{file.name}{end}") for end in _COMPANIONS]


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


def _writable(connection: sa.Connection) -> dict[str, sa.Table]:
    """Copies of our tables. A column that we do not know, takes no NULL and has no default gets a
    neutral value in rows that we insert."""
    copies, inspector = sa.MetaData(), sa.inspect(connection)
    for table in metadata.sorted_tables:
        copy = table.to_metadata(copies)
        for column in inspector.get_columns(table.name):
            required = not column["nullable"] and column["default"] is None
            if column["name"] not in table.columns and required:
                value = _neutral(column["type"])
                copy.append_column(sa.Column(column["name"], column["type"], default=value))
    return dict(copies.tables)


def _neutral(kind: sa.types.TypeEngine[Any]) -> Any:
    """A value that says nothing; None where none is known."""
    if isinstance(kind, sa.Enum):
        return kind.enums[0]
    if isinstance(kind, sa.JSON):
        return {}
    try:
        python_type = kind.python_type
    except NotImplementedError:
        return None
    if python_type in (datetime, date):
        return python_type.fromtimestamp(0)
    return UUID(int=0) if python_type is UUID else python_type()


def _is_missing(error: DBAPIError) -> bool:
    """Whether a table or column does not exist."""
    state, said = getattr(error.orig, "sqlstate", None), str(error.orig)
    missing = "no such table", "no such column", "has no column named"  # SQLite
    return state in ("42P01", "42703", "3F000") or any(words in said for words in missing)


def _is_null(error: DBAPIError) -> bool:
    """Whether a column takes no NULL."""
    state = getattr(error.orig, "sqlstate", None)
    return state == "23502" or "NOT NULL constraint failed" in str(error.orig)


def blames_data(error: Exception) -> bool:
    """Whether a retry can only fail again: a row is at fault, not the database."""
    if not isinstance(error, DBAPIError):
        return not isinstance(error, (StoreUnavailable, OSError, TimeoutError, sa.exc.TimeoutError))
    at_fault = sa.exc.IntegrityError, sa.exc.DataError, sa.exc.InterfaceError
    if isinstance(error, at_fault) and not error.connection_invalidated:
        return True
    state = getattr(error.orig, "sqlstate", None) or ""  # PostgreSQL: data, constraint
    return state[:2] in ("22", "23")
