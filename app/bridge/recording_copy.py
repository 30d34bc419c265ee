"""A call's recording as one file that this process can read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from app.bridge.recordings import PIECE_BYTES, Recordings, RecordingUnavailable
from app.records.record import CallRow
from app.records.recording import wav_header
from app.records.recording_files import parts_of

#: The size of what is fetched from other replicas at most, without being asked: 15 minutes.
MOST_BYTES = 30_000_000


@asynccontextmanager
async def recording_file(
    recordings: Recordings, row: CallRow, most_bytes: int | None = None
) -> AsyncIterator[Path | None]:
    """A WAV file with the whole recording, as long as the context is open. None: there is none. If
    other replicas have it, or a part of it, it is fetched.

    Args:
        most_bytes: of a recording that has to be fetched; None: any.

    Raises:
        RecordingUnavailable: a file has gone, a replica does not answer, or there is too much of
            it.
    """
    if not parts_of(row):
        yield None
        return
    found = await recordings.find(row)
    if found.path is not None:
        yield found.path
        return
    if most_bytes is not None and found.size_bytes > most_bytes:
        raise RecordingUnavailable(503, "the recording is long, and on another machine")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "call.wav"
        with path.open("wb") as file:
            file.write(wav_header(found.size_bytes))
            for at in range(0, found.size_bytes, PIECE_BYTES):
                piece = await found.read(at, min(PIECE_BYTES, found.size_bytes - at))
                await asyncio.to_thread(file.write, piece)
        yield path
