"""The files of a call's recording: one for each process that had the call, on its machine.

All files of a call have the clock of its timeline, so that together they are one recording: a file
is silent where another process had the call.
"""

import re
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any

from app.audio import ULAW_BYTES_PER_MS
from app.records.record import CallRow
from app.records.recording import FRAME_BYTES, HEADER_BYTES

_NAME = re.compile(r"[A-Za-z0-9_-]{1,200}\.wav")


@dataclass(frozen=True, slots=True)
class RecordingPart:
    """One file of a call's recording."""

    #: Its path on the machine that wrote it.
    path: str
    #: The replica that wrote it, in words for people, see `Bus.place`; empty: unknown.
    at: str = ""
    #: On the timeline: before this the file is silent.
    from_ms: float = 0.0

    @property
    def name(self) -> str:
        """Of the file, without its folder."""
        return PurePath(self.path).name

    @property
    def from_bytes(self) -> int:
        """Where its sound begins among its samples."""
        return int(self.from_ms) * ULAW_BYTES_PER_MS * FRAME_BYTES

    def as_data(self) -> dict[str, Any]:
        """JSON data."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "RecordingPart | None":
        """What `as_data` returned; None: it cannot be read."""
        match data:
            case {"path": str(path), "at": str(at), "from_ms": float() | int() as from_ms}:
                return cls(path, at, max(0.0, float(from_ms)))
        return None


def parts_of(row: CallRow) -> list[RecordingPart]:
    """The files of a call's recording, in their order. The path of the last one may be stored
    alone: by an earlier version, or by a process that could not read the record."""
    read = (RecordingPart.from_data(each) for each in row.recordings if isinstance(each, Mapping))
    parts = [each for each in read if each is not None]
    if row.recording and row.recording not in [each.path for each in parts]:
        parts.append(RecordingPart(row.recording))
    return parts


@dataclass(frozen=True, slots=True)
class SoundFile:
    """A WAV file of a recording that this process can read."""

    path: Path
    #: Of its samples, without the header. The file of a live call grows.
    size_bytes: int

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes of the samples from `offset` on. Blocks. Raises OSError."""
        with open(self.path, "rb") as file:
            file.seek(HEADER_BYTES + offset)
            return file.read(min(size, max(0, self.size_bytes - offset)))


def find_file(folder: Path, name: str, path: str = "") -> SoundFile | None:
    """The file of this name in a folder. Blocks. None: there is none that can be read.

    `path`: where it was written, if that was on this machine: the folder may have been another.
    """
    if not _NAME.fullmatch(name):
        return None
    for place in (folder / name, Path(path) if path else None):
        if place is not None and (size_bytes := _samples_bytes(place)) is not None:
            return SoundFile(place, size_bytes)
    return None


def _samples_bytes(path: Path) -> int | None:
    """The size of a file's samples, by its header and by the file; None: it is no recording."""
    try:
        with open(path, "rb") as file:
            header = file.read(HEADER_BYTES)
            in_file = file.seek(0, 2) - HEADER_BYTES
    except OSError:
        return None
    if len(header) < HEADER_BYTES or not header.startswith(b"RIFF"):
        return None
    (in_header,) = struct.unpack_from("<I", header, HEADER_BYTES - 4)
    size: int = min(in_file, in_header)
    return size - size % FRAME_BYTES
