"""Recordings, from whichever replica has their files.

A file in this process's RECORDINGS_DIR is read; one of another replica comes over the bus in small
pieces, one at a time, each when the client has taken the one before. Pieces are spaced out, so that
no call's audio waits for them.
"""

import asyncio
import audioop
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from time import monotonic
from typing import Any

from app.bridge.bus.bus import BusUnavailable, Message, NoAnswer, NoOwner
from app.bridge.requests import Requests
from app.bridge.services import Services
from app.errors import BridgeError
from app.records.record import CallRow
from app.records.recording import FRAME_BYTES
from app.records.recording_files import RecordingPart, SoundFile, find_file, parts_of

PIECE_BYTES = 32 << 10  # one second of sound
SPACE_S = 0.005  # between two pieces of this process: 6 MB/s for all clients together
FIND_S = 2.0
READ_S = 3.0

Read = Callable[[int, int], Awaitable[bytes]]
"""Reads samples: takes an offset and a size in bytes. Returns fewer at the end."""


class RecordingUnavailable(BridgeError):
    """A recording cannot be read. Its text says why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        #: The HTTP status of the answer.
        self.status = status


@dataclass(frozen=True, slots=True)
class _Source:
    """One file of a recording, wherever it is."""

    name: str
    from_bytes: int
    size_bytes: int
    read: Read


class FoundRecording:
    """A recording that can be read: the samples of all its files together."""

    def __init__(self, sources: Sequence[_Source], spaced: Callable[[], Awaitable[None]]) -> None:
        self._sources = sources
        self._spaced = spaced
        #: Of the samples: stereo PCM of 16 bits at 8000 Hz.
        self.size_bytes = max(each.size_bytes for each in sources)
        known = repr([(each.name, each.size_bytes) for each in sources])
        #: Changes with the content.
        self.tag = blake2b(known.encode(), digest_size=12).hexdigest()

    async def read(self, offset: int, size: int) -> bytes:
        """Samples from `offset` on. `size`: at most `PIECE_BYTES`.

        Raises:
            RecordingUnavailable: a file, or the replica that has it, has gone meanwhile.
        """
        await self._spaced()
        early = offset % FRAME_BYTES
        begin, end = offset - early, min(self.size_bytes, offset + size)
        end += -end % FRAME_BYTES
        mixed = bytes(end - begin)
        for source in self._sources:
            if begin < source.size_bytes and end > source.from_bytes:
                piece = await source.read(begin, end - begin)
                piece += bytes(len(mixed) - len(piece))
                mixed = audioop.add(mixed, piece, 2)  # each is silent where another has sound
        return mixed[early : early + size]


class Recordings:
    """Finds recordings, and reads those of this process for other replicas."""

    def __init__(self, services: Services, requests: Requests) -> None:
        self._folder = services.recordings
        self._bus = services.bus
        self._next_s = 0.0
        for kind in ("find", "read"):
            requests.add(kind, self._answer)

    # --- finding --------------------------------------------------------------------------------

    async def find(self, row: CallRow) -> FoundRecording:
        """The recording of a call.

        Raises:
            RecordingUnavailable: 404 if there is none, 503 if a replica that has a file of it
                cannot be asked.
        """
        parts = parts_of(row)
        if not parts:
            raise RecordingUnavailable(404, "this call has no recording")
        return FoundRecording(await asyncio.gather(*map(self._find, parts)), self._spaced)

    async def _find(self, part: RecordingPart) -> _Source:
        # Another machine may have a file of that path, but none of another call with that name.
        here = not self._bus.shared or part.at in ("", self._bus.place)
        path = part.path if here else ""
        file = await asyncio.to_thread(find_file, self._folder, part.name, path)
        if file is not None:
            return _Source(part.name, part.from_bytes, file.size_bytes, _reading(file))
        if not self._bus.shared:
            raise _gone(part)
        try:
            replicas = await self._bus.replicas()
        except BusUnavailable as error:
            at = part.at or "another replica"
            raise RecordingUnavailable(503, f"the recording is at {at}; {error}") from error
        silent, answered = {part.at}, {self._bus.place, ""}
        wrote_it = [each for each, place in replicas.items() if place == part.at]
        for asked in (wrote_it, [each for each in replicas if each not in wrote_it]):
            sizes = await asyncio.gather(*(self._ask_for(each, part.name) for each in asked))
            for replica, size_bytes in zip(asked, sizes, strict=True):
                if size_bytes is None:
                    silent.add(replicas[replica] or "another replica")
                elif size_bytes < 0:
                    answered.add(replicas[replica])
                else:
                    read = self._reading_from(replica, part)
                    return _Source(part.name, part.from_bytes, size_bytes, read)
        silent -= answered
        if not silent:
            raise _gone(part)
        at = " or ".join(sorted(silent))
        reason = f"the recording is at {at}, which does not answer; try again when it is back"
        raise RecordingUnavailable(503, reason)

    async def _ask_for(self, replica: str, name: str) -> int | None:
        """The size of a file that a replica has, in bytes of samples; -1: it has none; None: it
        does not answer."""
        request = {"request": "find", "name": name}
        try:
            outcome = await self._bus.ask_replica(replica, request, FIND_S)
        except (NoAnswer, BusUnavailable):
            return None
        return int(outcome.get("bytes", -1))

    def _reading_from(self, replica: str, part: RecordingPart) -> Read:
        async def read(offset: int, size: int) -> bytes:
            request = {"request": "read", "name": part.name, "from": offset, "bytes": size}
            try:
                outcome = await self._bus.ask_replica(replica, request, READ_S)
            except (NoAnswer, BusUnavailable) as error:
                reason = f"the recording is at {part.at or replica}, which does not answer"
                raise RecordingUnavailable(503, reason) from error
            if "samples" not in outcome:
                raise _gone(part)
            return b64decode(outcome["samples"])

        return read

    async def _spaced(self) -> None:
        """Wait until the next piece is due."""
        now_s = monotonic()
        due_s = max(now_s, self._next_s)
        self._next_s = due_s + SPACE_S
        await asyncio.sleep(due_s - now_s)

    # --- for other replicas ---------------------------------------------------------------------

    async def _answer(self, request: Message) -> dict[str, Any]:
        match request:
            case {"request": "find", "name": str(name)}:
                file = await asyncio.to_thread(find_file, self._folder, name)
                return {"bytes": file.size_bytes} if file is not None else {}
            case {"request": "read", "name": str(name), "from": int(offset), "bytes": int(size)}:
                await self._spaced()
                size = max(0, min(size, PIECE_BYTES + FRAME_BYTES))
                samples = await asyncio.to_thread(self._read, name, max(0, offset), size)
                return {"samples": b64encode(samples).decode()} if samples is not None else {}
        raise NoOwner("this replica does not know the request")

    def _read(self, name: str, offset: int, size: int) -> bytes | None:
        file = find_file(self._folder, name)
        return file.read(offset, size) if file is not None else None


def _gone(part: RecordingPart) -> RecordingUnavailable:
    reason = f"the recording's file {part.name} does not exist any more"
    return RecordingUnavailable(404, reason)


def _reading(file: SoundFile) -> Read:
    async def read(offset: int, size: int) -> bytes:
        try:
            return await asyncio.to_thread(file.read, offset, size)
        except OSError as error:
            reason = f"the recording's file {file.path.name} cannot be read: {error.strerror}"
            raise RecordingUnavailable(503, reason) from error

    return read
