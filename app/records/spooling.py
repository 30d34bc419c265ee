"""When rows go to the spool, and from there to the database."""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from time import monotonic

from app.records.database import Database
from app.records.ownership import Ownership
from app.records.spool import Spool
from app.records.waiting import Spooled, Waiting, Work
from app.records.writing import RowWriter

logger = logging.getLogger(__name__)

#: A database that is back sooner leaves nothing on the disk.
AFTER_S = 5.0
#: What waits in memory is moved to the disk this often, or sooner when there is much of it.
EVERY_S = 5.0
MANY = 5_000  # rows and entries
#: Rows in a file. Reading and writing more at a time would hold up the audio of calls.
MOST_IN_FILE = 1_000


class Spooling:
    """Moves rows between memory, the spool and the database. `spool`: None: there is none."""

    def __init__(self, spool: Spool | None, database: Database, ownership: Ownership) -> None:
        #: Whether rows wait in the spool, as far as is known.
        self.has_files = spool is not None and bool(spool.files())
        self._spool = spool
        self._database = database
        self._ownership = ownership
        self._saved_at = 0.0
        self._fails = False

    async def save_in_outage(self, batches: Iterable[Waiting], lost_at: float) -> None:
        """Move what waits to the spool, if it is time to. `lost_at`: when the database went away,
        monotonic seconds."""
        batches, now = list(batches), monotonic()
        many = sum(map(len, batches)) >= MANY
        if many or now - max(lost_at + AFTER_S - EVERY_S, self._saved_at) >= EVERY_S:
            await self.save(batches)

    async def save(self, batches: Iterable[Waiting], before: Iterable[Work] = ()) -> None:
        """Move what waits to the spool. What the disk does not take goes on waiting. `before`: rows
        that come before it."""
        if self._spool is None:
            return
        for work in before:
            await self._save_work(self._spool, work)
        self._saved_at = monotonic()
        for batch in batches:
            work = batch.work()
            for piece in work.split(MOST_IN_FILE):
                if not await self._save_work(self._spool, piece):
                    return
            batch.remove(work)

    async def _save_work(self, spool: Spool, work: Work) -> bool:
        call_sids = {row["call_sid"] for _, row in work.calls}
        known = {
            call_sid: Spooled(
                self._ownership.revision(call_sid), self._ownership.has_stored(call_sid)
            )
            for call_sid in call_sids
        }
        work = replace(work, writer=self._ownership.me, number=self._ownership.next_number())
        try:
            await asyncio.to_thread(spool.save, work, self._database.identity, known)
        except Exception as error:  # records wait in memory, and the writer goes on
            if not self._fails:
                cause = getattr(error, "strerror", None) or repr(error)
                extra = {"cause": cause, "fix": "make room in SPOOL_DIR"}
                logger.error("records cannot be spooled, they wait in memory", extra=extra)
            self._fails = True
            return False
        if self._fails:
            logger.warning("records can be spooled again")
        else:
            logger.info("records spooled", extra={"rows": len(work)})
        self._fails, self.has_files = False, True
        for call_sid in call_sids:
            self._ownership.spooled(call_sid)
        return True

    async def write(self, rows: RowWriter, generation: int) -> None:
        """Write what is in the spool to the database, the oldest first. Raises as `rows.write`."""
        if self._spool is None or not self.has_files:
            return
        for file in await asyncio.to_thread(self._spool.files):
            await self._write_file(self._spool, file, rows, generation)
        self.has_files = False

    async def _write_file(self, spool: Spool, file: Path, rows: RowWriter, generation: int) -> None:
        with ExitStack() as stack:
            claim = spool.claimed(file, self._database.identity)
            work = await asyncio.to_thread(stack.enter_context, claim)
            if work is None:
                return
            if work:
                await rows.write(work, generation)
                logger.warning("spooled records written", extra={"rows": len(work)})
            try:
                await asyncio.to_thread(spool.done, file)
            except OSError as error:  # written again at the next start: that changes nothing
                extra = {"file": str(file), "cause": error.strerror}
                logger.error("a spooled file cannot be removed", extra=extra)
