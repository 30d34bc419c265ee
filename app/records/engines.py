"""Engines for databases: SQLite and PostgreSQL, with their deadlines."""

import json
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.config.database_url import parse_database_url
from app.records.private_files import narrow, new_private_file

_encode = msgspec.json.Encoder(enc_hook=str).encode


def to_json(value: object) -> str:
    """A value as JSON text, by msgspec: the json module takes ten times as long. That takes what
    msgspec does not: lone surrogates, and integers above 64 bits.

    Raises:
        ValueError, TypeError, RecursionError: it cannot be JSON.
    """
    try:
        return _encode(value).decode()
    except (ValueError, TypeError, OverflowError, RecursionError):
        return json.dumps(value, default=str)


_CONNECT_S, _STATEMENT_S = 5, 10  # PostgreSQL's deadlines
_MIGRATION_S = 600  # ... for a statement of a migration, or the wait for that of another replica
# Of an SQLite file: connections, each with a thread, and the memory that each keeps of the file.
_CONNECTIONS, _CACHE_KB = 4, 512
_COMPANIONS = ("-wal", "-shm", "-journal")


def open_engine(database_url: str, busy_timeout_ms: int, *, migrates: bool = False) -> AsyncEngine:
    """An engine for a DATABASE_URL. It connects when it is first used.

    `busy_timeout_ms`: how long a statement waits for SQLite's lock.
    `migrates`: for statements that change the schema of PostgreSQL, which may take minutes.

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
            connect_args={
                "timeout": _CONNECT_S,
                "command_timeout": _MIGRATION_S if migrates else _STATEMENT_S,
                **database.connect_args,
            },
            **common,
        )
    # Of a database in memory, one connection is the whole.
    common |= {"pool_size": 1 if database.file is None else _CONNECTIONS, "max_overflow": 0}
    common["poolclass"] = sa.AsyncAdaptedQueuePool
    engine = create_async_engine(
        database.url, connect_args={"timeout": busy_timeout_ms / 1000}, **common
    )

    @sa.event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        # A text that is no UTF-8, which another program stored, must not cost the whole result.
        connection.driver_connection.text_factory = _lenient_text
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
        cursor.close()

    return engine


def _lenient_text(stored: bytes) -> str:
    return stored.decode("utf-8", "replace")


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
            narrow([file, *companions(file)])


def companions(file: Path) -> list[Path]:
    return [file.with_name(f"{file.name}{end}") for end in _COMPANIONS]
