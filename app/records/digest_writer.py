"""Writes the digest of every call that ends, and of those that have none yet.

It runs in one task beside the calls, one call at a time; what takes long is done in a thread.
"""

import asyncio
import logging
from contextlib import suppress
from time import monotonic

from app.errors import BridgeError
from app.records.digests.digest import Digest, digest_of
from app.records.reading import read_timeline
from app.records.record import CallRow, TurnRow
from app.records.store import Store
from app.records.watching import CallEnded, Selective, Watched
from app.wires.twilio.call import CallInfo

logger = logging.getLogger(__name__)

#: What ended without a word to this process, or before this version, is looked for so often.
LOOK_EVERY_S = 600.0
#: For the record of a call that ended to be stored; what is not is found at the next look.
FLUSH_S = 5.0
#: For the digest that is being written when the service stops: a query that is cancelled costs its
#: connection.
CLOSE_S = 1.0
#: Calls that are looked for at a time.
_AT_A_TIME = 100
#: Between two calls, so that the event loop and the database have time for live calls.
_PAUSE_S = 0.02


class DigestWriter:
    """`start` it, and close it with `aclose`."""

    def __init__(self, store: Store) -> None:
        #: Put it among `Services.watchers`.
        self.watcher = Selective(self.watch, frozenset({CallEnded}))
        self._store = store
        self._ended: dict[str, None] = {}
        self._has_ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    def watch(self, call: CallInfo, message: Watched, _now_ms: float) -> None:
        """A call that ends gets its digest."""
        if type(message) is CallEnded:
            self._ended[call.call_sid] = None
            self._has_ended.set()

    def start(self) -> None:
        """Begin, with the calls that have no digest yet."""
        self._task = asyncio.create_task(self._run(), name="digest writer")

    async def aclose(self) -> None:
        """Stop after the digest that is being written. What is missing is written after the next
        start."""
        self._closing = True
        self._has_ended.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=CLOSE_S)
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while not self._closing:
            await self._write_missing()
            look_s = monotonic() + LOOK_EVERY_S
            while not self._closing and (left_s := look_s - monotonic()) > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._has_ended.wait(), left_s)
                await self._write_ended()

    async def _write_ended(self) -> None:
        self._has_ended.clear()
        if self._ended:
            await self._store.flush(FLUSH_S)
        while self._ended and not self._closing:
            call_sid = next(iter(self._ended))
            del self._ended[call_sid]
            await self._write(call_sid)

    async def _write_missing(self) -> None:
        written = True
        while written and not self._closing:
            try:
                missing = await self._store.digests.missing(_AT_A_TIME)
            except BridgeError:  # the database is away; the store logs it
                return
            written = False
            for call_sid in missing:
                if self._closing:
                    return
                written |= await self._write(call_sid)

    async def _write(self, call_sid: str) -> bool:
        """Write one digest. False: it cannot be written now."""
        try:
            call = await self._store.get_call(call_sid)
            if call is None:
                return False
            turns = await self._store.turns(call_sid)
            batches = await self._store.digests.batches(call_sid)
            digest = await asyncio.to_thread(_digest, call, turns, batches)
            await self._store.digests.save(call_sid, call.created_at, digest)
        except BridgeError:
            return False
        except Exception as error:  # of one record: the others get theirs
            logger.error("call without a digest", exc_info=error, extra={"call_sid": call_sid})
            return False
        await asyncio.sleep(_PAUSE_S)
        return True


def _digest(call: CallRow, turns: list[TurnRow], batches: list[str]) -> Digest:
    return digest_of(call, turns, read_timeline(call.call_sid, batches))
