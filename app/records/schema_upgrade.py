"""Brings a database's schema up to date, whichever version of the service made it.

Any number of processes may do this at once: they do it one after another. Alembic's table
`alembic_version` says which revision a database has.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum, auto
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.schema import CreateTable

from app.records import migrations
from app.records.migrations.completing import (
    add_columns,
    complete_tables,
    create_indexes,
    create_tables,
    missing_columns,
)
from app.records.schema import CALLS, metadata

logger = logging.getLogger(__name__)

_LOCK = 0x70686F6E  # any number: replicas that start together change the schema in turn
# As Alembic makes it.
_VERSION = sa.Table(
    "alembic_version",
    sa.MetaData(),
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


class SchemaState(Enum):
    """What there is in a database."""

    EMPTY = auto()
    OLDER = auto()
    CURRENT = auto()
    #: Of a revision that this version does not know.
    NEWER = auto()


async def upgrade_schema(engine: AsyncEngine, patient: AsyncEngine) -> None:
    """Create the schema, or migrate it to this version's. One of a newer version is used as it is.

    `patient`: an engine for statements that take long, such as a migration, or the wait for that
    of another replica.
    """
    async with engine.connect() as connection:
        state, revision = await connection.run_sync(read_state)
    if state is SchemaState.NEWER:
        extra = {"revision": revision, "known": migrations.HEAD}
        logger.warning("the database has the schema of a newer version", extra=extra)
    elif state is SchemaState.CURRENT:
        await complete_schema(engine)
    else:
        async with _locked(patient) as connection:
            await connection.run_sync(_upgrade)


async def complete_schema(engine: AsyncEngine) -> None:
    """Create the tables, columns and indexes that a database lacks, without a migration: one of
    this version's that was damaged, or one that is empty."""
    async with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        is_empty = not await connection.run_sync(_has_table, CALLS.name)
        await connection.run_sync(create_tables, metadata)
        if await connection.run_sync(missing_columns, metadata):
            if engine.dialect.name == "sqlite":
                # Its lock on the file; whoever had it before may have added them. Not taken when
                # there is nothing to add: opening need not wait for one who writes.
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
            missing = await connection.run_sync(missing_columns, metadata)
            await connection.run_sync(add_columns, missing)
        await connection.run_sync(create_indexes, metadata)
        if is_empty:
            await connection.run_sync(_set_revision)


@asynccontextmanager
async def _locked(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction that no other process changes the schema in."""
    async with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        else:
            await connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection


def read_state(connection: sa.Connection) -> tuple[SchemaState, str]:
    """The state, and the revision if there is one."""
    revisions: list[str] = []
    if _has_table(connection, _VERSION.name):
        revisions = list(connection.execute(sa.select(_VERSION.c.version_num)).scalars())
    if any(each not in migrations.REVISIONS for each in revisions):
        return SchemaState.NEWER, ", ".join(revisions)
    if revisions:
        state = SchemaState.CURRENT if migrations.HEAD in revisions else SchemaState.OLDER
        return state, ", ".join(revisions)
    return (SchemaState.OLDER if _has_table(connection, CALLS.name) else SchemaState.EMPTY), ""


def _has_table(connection: sa.Connection, name: str) -> bool:
    return sa.inspect(connection).has_table(name)


def _upgrade(connection: sa.Connection) -> None:
    """Create or migrate the schema, unless another process has done it meanwhile."""
    state, revision = read_state(connection)
    if state is SchemaState.OLDER:
        _migrate(connection)
        extra = {"before": revision, "revision": migrations.HEAD}
        logger.info("database migrated", extra=extra)
    if state in (SchemaState.OLDER, SchemaState.EMPTY):
        complete_tables(connection, metadata)
        _set_revision(connection)


def _set_revision(connection: sa.Connection) -> None:
    """The schema is this version's, if the database does not say otherwise."""
    connection.execute(CreateTable(_VERSION, if_not_exists=True))
    known = sa.select(_VERSION.c.version_num).exists()
    row = sa.select(sa.literal(migrations.HEAD)).where(~known)
    connection.execute(sa.insert(_VERSION).from_select(["version_num"], row))


def _migrate(connection: sa.Connection) -> None:
    """Run the migrations that are missing."""
    # Imported here, because it takes a tenth of a second, and few starts need it. The revisions
    # take their operations as an argument: Alembic's `op` is one for the whole process.
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(Path(migrations.__file__).parent)
    context = MigrationContext.configure(
        connection, opts={"fn": lambda found, _: scripts._upgrade_revs(migrations.HEAD, found)}
    )
    context.run_migrations(op=Operations(context))
