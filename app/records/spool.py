"""Rows that wait on disk while the database is away: in files of SPOOL_DIR.

Files outlive the process; the next one writes them. Each is complete from the moment that it has
its name. Processes may share the folder: a file is locked while one of them writes it to the
database. They hold what people said on the phone, so only their owner may read them.
"""

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from app.errors import ConfigError
from app.records.private_files import narrow, new_private_file, private_folder
from app.records.schema import TIMES
from app.records.waiting import OF_CALLS, Item, Kind, Row, Spooled, Work

try:
    import fcntl
except ImportError:  # Windows: let each process have a folder of its own
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

_FORMAT = 1
_END, _PART, _UNREADABLE = ".rows", ".part", ".unreadable"
_ABANDONED_S = 60.0


class Spool:
    """The folder. Every method but `open` blocks on the disk: call it in a thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count()

    @classmethod
    def open(cls, folder: Path) -> "Spool":
        """Create the folder if it is missing.

        Raises:
            ConfigError: nothing can be written there.
        """
        try:
            private_folder(folder)
            narrow([folder])
            probe = folder / f".{os.getpid()}-{time.time_ns()}"
            new_private_file(probe)
            probe.unlink()
            for part in folder.glob(f"*{_PART}"):  # a process was killed while it wrote it
                if time.time() - part.stat().st_mtime > _ABANDONED_S:
                    part.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigError(
                f"SPOOL_DIR: cannot write to {folder}: {error.strerror}; name a directory for what "
                "waits while the database is away, or leave it blank"
            ) from None
        return cls(folder)

    def files(self) -> list[Path]:
        """The files, the oldest first."""
        return sorted(self._folder.glob(f"*{_END}"))

    def save(self, work: Work, database: str, known: Mapping[str, Spooled]) -> None:
        """Write rows to a new file.

        Args:
            database: what tells the database from another; empty: not known.
            known: of each call.

        Raises:
            OSError: the disk is full, or the folder cannot be written.
        """
        head = {
            "format": _FORMAT,
            "database": database,
            "writer": work.writer,
            "number": work.number,
            "calls": {
                call_sid: [work.epochs.get(call_sid, 0), each.revision, each.stored]
                for call_sid, each in known.items()
            },
        }
        name = f"{time.time_ns():020d}-{os.getpid()}-{next(self._numbers)}"
        part = self._folder / f"{name}{_PART}"
        new_private_file(part)
        try:
            with part.open("w", encoding="utf-8") as file:
                for line in (
                    head,
                    *((kind.value, row) for kind, row in (*work.calls, *work.parts)),
                ):
                    file.write(json.dumps(line, default=_encode))
                    file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            part.rename(self._folder / f"{name}{_END}")
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise

    @contextmanager
    def claimed(self, file: Path, database: str) -> Iterator[Work | None]:
        """The rows of a file, which no other process writes meanwhile; None: another one does, or
        has done, or it cannot be read. Call `done` once they are in the database."""
        try:
            opened = file.open(encoding="utf-8")
        except OSError:
            yield None
            return
        with opened:
            try:
                if fcntl is not None:
                    fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                exists = file.exists()
                work = _read(opened.read(), database) if exists else None
            except OSError:
                work = None
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                self._set_aside(file, error)
                work = None
            yield work

    def done(self, file: Path) -> None:
        """The rows of a file are in the database."""
        file.unlink(missing_ok=True)

    def _set_aside(self, file: Path, error: Exception) -> None:
        extra = {"file": str(file), "cause": type(error).__name__}
        logger.error("spooled records cannot be read, their file is set aside", extra=extra)
        with suppress(OSError):
            file.rename(file.with_suffix(_UNREADABLE))


def _encode(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _read(text: str, database: str) -> Work:
    head, *lines = map(json.loads, text.splitlines())
    if head["format"] != _FORMAT:
        raise ValueError("another format")
    same = "" in (head["database"], database) or head["database"] == database
    calls: list[Item] = []
    parts: list[Item] = []
    for value, row in lines:
        kind = Kind(value)
        (calls if kind in OF_CALLS else parts).append((kind, _row(row)))
    known: Mapping[str, Any] = head["calls"]
    return Work(
        calls,
        parts,
        {call_sid: int(epoch) for call_sid, (epoch, *_) in known.items()},
        {
            call_sid: Spooled(int(revision), bool(stored) and same)
            for call_sid, (_, revision, stored) in known.items()
        },
        # A version that stored neither had no other way than the revision.
        writer=str(head.get("writer", "")),
        number=int(head.get("number", 0)),
    )


def _row(row: Row) -> Row:
    times = {name: datetime.fromisoformat(row[name]) for name in TIMES if row.get(name)}
    return {**row, **times}
