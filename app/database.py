"""Opening the database: the engine for each kind, and what its errors mean."""

import json
import sqlite3
from contextlib import closing, suppress
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.errors import ConfigError

to_json = partial(json.dumps, default=str)


def open_engine(database_url: str, busy_timeout_ms: int) -> AsyncEngine:
    try:
        url = sa.make_url(database_url)
    except ArgumentError:
        raise ConfigError(
            "DATABASE_URL is no URL; use sqlite:///calls.db or postgresql://…"
        ) from None
    # Parameters are transcripts and numbers: they stay out of every error's text.
    common: dict[str, Any] = {
        "hide_parameters": True,
        "pool_timeout": 5,
        "json_serializer": to_json,
    }
    if url.get_backend_name() == "postgresql":
        if sslmode := url.query.get("sslmode"):  # libpq's word; asyncpg calls it ssl
            url = url.difference_update_query(["sslmode"]).update_query_dict({"ssl": sslmode})
        deadlines_s = {"timeout": 5, "command_timeout": 10}
        return create_async_engine(
            url.set(drivername="postgresql+asyncpg"),
            pool_pre_ping=True,
            connect_args=deadlines_s,
            **common,
        )
    if url.get_backend_name() != "sqlite":
        raise ConfigError("DATABASE_URL must begin with sqlite:// or postgresql://")
    if url.database in (None, "", ":memory:"):  # one connection is the whole database
        common |= {"poolclass": sa.AsyncAdaptedQueuePool, "pool_size": 1, "max_overflow": 0}
    engine = create_async_engine(
        url.set(drivername="sqlite+aiosqlite"),
        connect_args={"timeout": busy_timeout_ms / 1000},
        **common,
    )

    @sa.event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    return engine


def prepare_file(path: str) -> None:
    """Open an SQLite file once, before aiosqlite does: when that fails to, its thread may outlive
    the event loop and say so on stderr."""
    with closing(sqlite3.connect(path, uri=path.startswith("file:"))) as connection:
        # WAL: readers and the writer do not wait for each other. The file remembers it, so it does
        # not matter that SQLite refuses at once while another connection is switching.
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL")


def blames_data(error: Exception) -> bool:
    """Whether another try can only fail again: a row is at fault, not the database."""
    if not isinstance(error, DBAPIError):
        return not isinstance(error, (OSError, TimeoutError, sa.exc.TimeoutError))
    at_fault = sa.exc.IntegrityError, sa.exc.DataError, sa.exc.InterfaceError
    if isinstance(error, at_fault) and not error.connection_invalidated:
        return True
    state = getattr(error.orig, "sqlstate", None) or ""  # PostgreSQL: data, constraint
    return state[:2] in ("22", "23")
