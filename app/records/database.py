"""The database: opened, kept complete while it is used, and what its errors mean."""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import sqlalchemy as sa
from sqlalchemy.engine.interfaces import ReflectedColumn
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.errors import BridgeError
from app.records.engines import companions, open_engine, prepare_file
from app.records.schema import metadata
from app.records.schema_upgrade import complete_schema, upgrade_schema

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_Job = Callable[[AsyncConnection], Awaitable[_T]]
_Connect = Callable[[], AbstractAsyncContextManager[AsyncConnection]]

OUTAGES = (sa.exc.SQLAlchemyError, sqlite3.Error, OSError, TimeoutError)
"""What a database raises that cannot be reached, or that cannot carry out a statement."""

CANNOT_OPEN = (*OUTAGES, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError)
"""What opening a database raises. SQLAlchemy 2.0 does not wrap asyncpg's errors while it connects;
ValueError: a PGPORT or a certificate that cannot be used."""

AWAY = "the database does not answer; check DATABASE_URL and that it is up"

_RETRIED = "InvalidCachedStatementError"  # the schema changed since the statement was prepared
_READ_ONLY = "25006"
_IS_STANDBY = "is standby"  # in a connection's own notes
# Which server this is: a database that was restored, and a standby that was promoted, are others.
_SERVER = """
SELECT CASE WHEN pg_is_in_recovery() THEN '' ELSE
    (SELECT system_identifier FROM pg_control_system())
    || '/' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END
"""


class StoreUnavailable(BridgeError):
    """The database cannot be used now, or could not be opened."""


class Database:
    """A database with the tables of `app/records/schema.py`. Open it with `Database.open`.

    Tables that vanish while it is used are made anew, and that is logged.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        #: Whether it answered when it was last asked.
        self.answers = True
        #: To be written through: our tables, and the columns of a newer version that take no NULL
        #: and have no default.
        self.writable: Mapping[str, sa.Table] = {}
        #: postgresql or sqlite.
        self.dialect = engine.dialect.name
        #: How often it was made anew, or replaced: stored records may be gone since another number.
        self.generation = 0
        self._engine = engine
        self._server = ""  # empty: not known
        name = engine.url.database if self.dialect == "sqlite" else None
        self._file = None if name in (None, "", ":memory:") else Path(name)
        self._identity: _Identity = None
        #: The files beside it that SQLite made for it, and what they were when it was opened.
        self._companions: dict[Path, _Identity] = {}
        self._completing = asyncio.Lock()
        if self.dialect == "postgresql":
            sa.event.listen(engine.sync_engine, "connect", self._recognise)
            sa.event.listen(engine.sync_engine, "checkout", self._recognise_again)
            sa.event.listen(engine.sync_engine, "handle_error", _leave_read_only)

    @classmethod
    async def open(cls, database_url: str, busy_timeout_ms: int) -> "Database":
        """Connect, and create or migrate the schema.

        `busy_timeout_ms`: how long a statement waits for SQLite's lock.

        Raises:
            ConfigError: the URL cannot be used; see `parse_database_url`.
            StoreUnavailable: the database cannot be opened.
        """
        database = cls(open_engine(database_url, busy_timeout_ms))
        patient = database._engine
        if database.dialect == "postgresql":
            patient = open_engine(database_url, busy_timeout_ms, migrates=True)
        try:
            await database._complete(patient)
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
        finally:
            if patient is not database._engine:
                await patient.dispose()
        return database

    @property
    def identity(self) -> str:
        """What tells it from a database that takes its place; empty: not known."""
        return self._server if self._file is None else "/".join(map(str, self._identity or ()))

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
            done = await self._complete_for(work, connect)
        except (*OUTAGES, StoreUnavailable) as error:
            self.answers = self.answers and blames_data(error)
            raise StoreUnavailable(AWAY) from error
        self.answers = True
        return done

    async def _complete_for(self, work: _Job[_T], connect: _Connect) -> _T:
        """Do `work`; if the schema is not as expected, complete it and try once more."""
        generation = self.generation
        if self._file is not None and _identity(self._file) != self._identity:
            await self._complete_again(generation, "the file was deleted, emptied or replaced")
        try:
            return await _connected(work, connect)
        except DBAPIError as error:
            if _is_missing(error):
                await self._complete_again(self.generation, "tables or columns were missing")
            elif type(error.orig).__name__ != _RETRIED and not (
                _is_null(error) and await self._learn_columns()
            ):
                raise
        return await _connected(work, connect)

    async def _complete_again(self, generation: int, cause: str) -> None:
        """Create what is missing, unless it was done since this `generation`."""
        async with self._completing:
            if generation != self.generation:
                return
            try:
                await self._complete()
            except CANNOT_OPEN as error:
                raise StoreUnavailable(AWAY) from error
            self.generation += 1
            logger.error("database made anew, stored records may be gone", extra={"cause": cause})

    def _recognise(self, connection: Any, record: Any) -> None:
        """A connection was opened: to the same server as the one before?"""
        try:
            server = connection.run_async(_server_of)
        except BaseException:
            connection.terminate()  # nothing else does, such as when this task is cancelled
            raise
        record.info[_IS_STANDBY] = server == ""
        if server and self._server not in ("", server):
            self.generation += 1
            logger.error("another database server took the place of the one before")
        self._server = server or self._server

    def _recognise_again(self, connection: Any, record: Any, _proxy: object) -> None:
        """A connection is used: to a standby that was promoted meanwhile?"""
        if record.info.get(_IS_STANDBY):
            self._recognise(connection, record)

    async def _complete(self, patient: AsyncEngine | None = None) -> None:
        """Create what the database does not have. `patient`: migrate it as well, with this."""
        if self._file is not None and self._identity is not None:
            found = _identity(self._file)
            if found != self._identity:
                await self._engine.dispose()  # its connections have the former file open
                # SQLite would apply the log of the former file to the one in its place. What came
                # with that one, such as a backup's own log, is left.
                for each, former in self._companions.items():
                    if found is None or _identity(each, empty=True) == former:
                        each.unlink(missing_ok=True)
        if self.dialect == "sqlite":
            await asyncio.to_thread(prepare_file, str(self._file or ":memory:"))
        if patient is not None:
            await upgrade_schema(self._engine, patient)
        else:
            await complete_schema(self._engine)
        await self._learn_columns()
        if self._file is not None:
            self._identity = _identity(self._file)
            beside = companions(self._file)
            self._companions = {each: _identity(each, empty=True) for each in beside}

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
            raise StoreUnavailable(AWAY) from error
        return await work(connection)


def _leave_read_only(context: sa.engine.ExceptionContext) -> None:
    """Use no connection any more that goes to a former primary: the next one may find the new."""
    if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
        context.is_disconnect = True


async def _server_of(connection: asyncpg.Connection) -> str | None:
    """Which server it is; empty: a standby. None: a compatible one without these functions."""
    try:
        return str(await connection.fetchval(_SERVER))
    except asyncpg.PostgresError:
        return None


_Identity = tuple[int, int] | None


def _identity(file: Path, *, empty: bool = False) -> _Identity:
    """What tells the file from one that takes its place; None: missing, or empty unless `empty`."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return (found.st_dev, found.st_ino) if found.st_size or empty else None


def _writable(connection: sa.Connection) -> dict[str, sa.Table]:
    """Our tables. One with columns that we do not know, that take no NULL and have no default, is a
    copy with them: rows that we insert get a neutral value there."""
    found, inspector = dict(metadata.tables), sa.inspect(connection)
    for name, table in metadata.tables.items():
        unknown = [
            sa.Column(column["name"], column["type"], default=_neutral(column["type"]))
            for column in inspector.get_columns(name)
            if column["name"] not in table.columns and is_required(column)
        ]
        if unknown:
            found[name] = table.to_metadata(sa.MetaData())
            for each in unknown:
                found[name].append_column(each)
    return found


def is_required(column: ReflectedColumn) -> bool:
    """Whether an inserted row needs a value of this column, which the database does not make."""
    made = column["default"] is not None or column.get("identity") or column.get("computed")
    return not (column["nullable"] or made)


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
