"""What was saved, in batches: one task writes each, and retries until it is committed."""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from time import monotonic

from app.call.backoff import backoff
from app.records.database import Database
from app.records.live_rows import MOST_BATCHES, LiveRows, StoredBatches
from app.records.ownership import Ownership
from app.records.parked import Parked
from app.records.spool import Spool
from app.records.spooling import Spooling
from app.records.waiting import Kind, Waiting, Work
from app.records.writing import MadeAnew, RowWriter, work_of

logger = logging.getLogger(__name__)

_GATHER_S = 0.25  # saves within it share a transaction: a commit costs more than rows
_MOST_IN_TRANSACTION = 2000  # rows: the rows of their calls are locked meanwhile
# Batches of timeline entries; each takes 0.1 ms. On the event loop, because a thread that computes
# makes the loop wait for the interpreter's lock, 5 ms each time.
_COMPRESSED_AT_ONCE = 10
_FIRST_RETRY_S, _LAST_RETRY_S = 0.05, 2.0


class Batches:
    """Change `pending` and call `saved`. `aclose` ends the task.

    Args:
        most: timeline entries and rows that wait; the oldest make room.
        spool: see `Store.open`.
    """

    def __init__(
        self,
        database: Database,
        ownership: Ownership,
        live: LiveRows,
        most: tuple[int, int],
        spool: Spool | None,
    ) -> None:
        #: What is saved now.
        self.pending = Waiting()
        #: What the task writes now.
        self.writing: Waiting | None = None
        #: Calls that another process has adopted, or this one while the database was away.
        self.parked = Parked()
        #: Timeline entries dropped because too many were waiting.
        self.dropped_entries = 0
        #: Rows of calls and turns dropped for that.
        self.dropped_rows = 0
        #: Held while a transaction is written.
        self.in_transaction = asyncio.Lock()
        self.rows = RowWriter(database, ownership, self.parked)
        self.spooling = Spooling(spool, database, ownership)
        #: The database is away since then, monotonic seconds.
        self.lost_at: float | None = None
        self._database = database
        self._ownership = ownership
        self._live = live
        self._most = most
        self._restored = database.generation  # of the database, which has the rows of live calls
        self._again: list[Work] = []  # of calls that were parked
        self._work = asyncio.Event()  # set while anything is pending
        self._hurry = asyncio.Event()  # set when someone waits for it
        if self.spooling.has_files:
            self._work.set()
        self._writer = asyncio.create_task(self._write_batches(), name="store writer")

    # --- what waits -----------------------------------------------------------------------------

    def saved(self) -> None:
        """`pending` has changed."""
        entries, rows = self.pending.make_room(*self._most)
        self.dropped_entries += entries
        self.dropped_rows += rows
        self._work.set()

    def waits(self, call_sid: str) -> bool:
        """Whether anything of a call may wait."""
        return self.spooling.has_files or any(batch.has(call_sid) for batch in self._all())

    def raise_epoch(self, call_sid: str, epoch: int) -> None:
        """This process has adopted a call, and what waits of it is its newest."""
        for batch in self._all():
            batch.raise_epoch(call_sid, epoch)

    def forget(self, call_sid: str) -> None:
        """Drop what the owner of a call saved: it is another process now."""
        for batch in self._all():
            batch.forget(call_sid)
        self.parked.drop(call_sid)

    def park(self, call_sid: str) -> None:
        """Another process may be the owner of a call: keep what waits until that is known."""
        self.parked.keep(call_sid, filter(None, (batch.take(call_sid) for batch in self._all())))

    def write_parked(self, call_sid: str, epoch: int) -> None:
        """This process has adopted a call: write what was parked of it."""
        if works := self.parked.release(call_sid, epoch):
            self._again += works
            self._work.set()

    def database_read(self) -> None:
        """The database answered: if it was made anew, the rows of live calls are missing."""
        if self._database.generation != self._restored:
            self._work.set()

    def _all(self) -> list[Waiting]:
        return [batch for batch in (self.writing, self.pending) if batch is not None]

    async def flush(self, within_s: float | None = None) -> bool:
        """Wait until everything saved so far is committed or the task has ended. False: that took
        longer than `within_s`."""
        batch = self.pending if self._work.is_set() else self.writing
        if batch is not None and not self._writer.done():
            self._hurry.set()
            try:
                async with asyncio.timeout(within_s):
                    await batch.done.wait()
            except TimeoutError:
                return False
        return True

    async def aclose(self) -> None:
        """End the task. What is left goes to the spool; log how much is lost."""
        self._writer.cancel()
        await asyncio.wait([self._writer])
        left = self._all()
        await self.spooling.save(left, self._again)
        if lost := sum(len(batch.work()) for batch in left):
            logger.error("call records lost, the database did not take them", extra={"rows": lost})
        for batch in left:
            batch.done.set()

    # --- writing --------------------------------------------------------------------------------

    async def _write_batches(self) -> None:
        while True:
            await self._work.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(_GATHER_S):
                    await self._hurry.wait()
            self._hurry.clear()
            self._work.clear()
            self.writing, self.pending = self.pending, Waiting()
            await self._write_until_durable(self.writing)
            self.writing.done.set()
            self.writing = None

    async def _write_until_durable(self, batch: Waiting) -> None:
        failures, refused = 0, self.rows.refused_rows
        while True:
            try:
                async with self.in_transaction:
                    await self._write_with_live_rows(batch)
            except Exception as error:  # the calls go on, so retry
                if self.lost_at is None:
                    self.lost_at = monotonic()
                    cause = getattr(error, "orig", None) or error.__cause__ or error
                    logger.error("database away, records wait", extra={"cause": repr(cause)})
                failures += 1
                await asyncio.sleep(backoff(_FIRST_RETRY_S, failures, _LAST_RETRY_S))
                await self.spooling.save_in_outage([batch, self.pending], self.lost_at)
            else:
                break
        self._database.answers = True
        if self.lost_at is not None:
            extra = {
                "away_ms": round(1000 * (monotonic() - self.lost_at)),
                "dropped_entries": self.dropped_entries,
                "dropped_rows": self.dropped_rows,
            }
            self.lost_at = None
            if refused == self.rows.refused_rows:
                logger.warning("database back, records written", extra=extra)
            else:
                logger.error("database back, some records refused", extra=extra)

    async def _write_with_live_rows(self, batch: Waiting) -> None:
        """Write what is in the spool, and the batch; if the database was made anew, all rows of
        live calls between them."""
        while True:
            generation = self._database.generation
            with suppress(MadeAnew):
                await self.spooling.write(self.rows, generation)
                if generation != self._restored:
                    self._ownership.forget_rows()
                    await self.rows.write(self._live_work(), generation)
                    self._restored = generation
                while self._again:
                    await self.rows.write(self._again[0], generation)
                    del self._again[0]
                work = batch.work()
                for piece in list(work.split(_MOST_IN_TRANSACTION)) or [work]:
                    await self.rows.write(piece, generation)
                entries = [row for kind, row in work.parts if kind is Kind.TIMELINE][-MOST_BATCHES:]
                for start in range(0, len(entries), _COMPRESSED_AT_ONCE):
                    stored = StoredBatches.of(entries[start : start + _COMPRESSED_AT_ONCE])
                    self._live.save_batches(stored, monotonic())
                    await asyncio.sleep(0)
                self._live.forget_ended(monotonic())
                return

    def _live_work(self) -> Work:
        live = self._live.work()
        sids: Iterable[str] = {row["call_sid"] for _, row in live}
        epochs = {call_sid: self._ownership.epoch(call_sid) for call_sid in sids}
        return work_of(live, self._live.batches(), epochs)
