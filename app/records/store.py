"""Stores call records in SQLite or PostgreSQL.

Saving neither awaits nor raises: it changes a batch in memory. One task writes each batch in one
transaction, and retries until it is committed. Reading returns what is committed.

A call that another process has adopted (`Store.adopt`) is that process's: what this one saved of it
is dropped, except for what Twilio reported.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import sqlalchemy as sa

from app.records.batches import Batches
from app.records.database import AWAY, Database, StoreUnavailable
from app.records.engines import to_json
from app.records.live_rows import LiveRows, turn_row
from app.records.ownership import Ownership
from app.records.record import CallRow, TimelineRow, TurnRow
from app.records.report_queue import ReportQueue, newly_due
from app.records.spool import Spool
from app.records.stored_records import StoredRecords
from app.records.waiting import Kind, Waiting
from app.records.writing import change_transfers, raise_epoch
from app.wires.twilio.call import TERMINAL, CallStatus, rank

__all__ = [
    "TERMINAL", "CallRow", "CallStatus", "Store", "StoreUnavailable", "TimelineRow", "TurnRow",
]  # fmt: skip

logger = logging.getLogger(__name__)

_PROBE_EVERY_S = 1.0
_SETTLE_S = 2.0  # for what waits of a call, before its row is read and changed

_Row = dict[str, Any]
_FIXED = {
    "call_sid", "created_at", "epoch", "adopted_by", "revision", "written_by", "write_number",
}  # fmt: skip
_CHANGEABLE = frozenset(each.name for each in fields(CallRow)) - _FIXED
_REPORTED = frozenset({"status", "answered_by"})


class Store(StoredRecords):
    """Open it with `Store.open`, and close it with `aclose`.

    Save from the event loop's thread only. Do not change dicts and lists after saving them.
    """

    def __init__(
        self,
        database: Database,
        most_waiting_entries: int,
        most_waiting_rows: int = 20_000,
        spool: Spool | None = None,
    ) -> None:
        #: Whether the end of a call makes its report due.
        self.reports = False
        #: Called with the SID of a call that another process has adopted: nothing that this one
        #: saves of it is written any more.
        self.on_outdated: Callable[[str], None] = self.let_go
        self.report_queue = ReportQueue(database)
        super().__init__(database)
        self._live = LiveRows()
        self._ownership = Ownership(self._outdated, self._live.forget, self._found)
        most = most_waiting_entries, most_waiting_rows
        self._batches = Batches(database, self._ownership, self._live, most, spool)
        self._probing: asyncio.Task[None] | None = None
        self._probed_at = 0.0

    @classmethod
    async def open(
        cls,
        database_url: str,
        *,
        busy_timeout_ms: int = 1000,
        most_waiting_entries: int = 20_000,
        most_waiting_rows: int = 20_000,
        spool_dir: Path | None = None,
    ) -> "Store":
        """Connect, and create or migrate the tables. Write what a process left in the spool.

        `database_url`: as DATABASE_URL holds it.
        `busy_timeout_ms`: how long one try waits for SQLite's lock.
        `most_waiting_entries`, `most_waiting_rows`: timeline entries, and rows of calls and turns,
        kept in memory while the database cannot be reached; the oldest make room.
        `spool_dir`: a folder for what waits for more than a few seconds; None: it waits in memory.

        Raises:
            ConfigError: the URL cannot be used, see `parse_database_url`, or the folder cannot.
            StoreUnavailable: the database cannot be opened.
        """
        spool = await asyncio.to_thread(Spool.open, spool_dir) if spool_dir else None
        database = await Database.open(database_url, busy_timeout_ms)
        store = cls(database, most_waiting_entries, most_waiting_rows, spool)
        await store.flush(_SETTLE_S)
        return store

    async def aclose(self, within_ms: int = 2000) -> None:
        """Write what is pending within `within_ms`, and close. What is left goes to the spool; log
        how much is lost."""
        await self.flush(within_ms / 1000)
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.wait([self._probing])
        await self._batches.aclose()
        await self._database.aclose()

    # --- the database -------------------------------------------------------------------------

    @property
    def available(self) -> bool:
        """Whether the database took and gave what it was last asked."""
        return self._batches.lost_at is None and self._database.answers

    @property
    def refused_rows(self) -> int:
        """Rows that the database rejected for what they contain."""
        return self._batches.rows.refused_rows

    @property
    def dropped_entries(self) -> int:
        """Timeline entries dropped because too many were waiting."""
        return self._batches.dropped_entries

    @property
    def dropped_rows(self) -> int:
        """Rows of calls and turns dropped for that."""
        return self._batches.dropped_rows

    async def probe(self, within_s: float) -> bool:
        """Ask the database whether it answers, once a second at most. Returns `available`."""
        now = monotonic()
        if self._probing is None or (
            self._probing.done() and now - self._probed_at >= _PROBE_EVERY_S
        ):
            self._probed_at = now
            self._probing = asyncio.create_task(self._probe())
        # Not cancelled: that would close its connection first, which a server that hangs delays.
        if not (await asyncio.wait([self._probing], timeout=within_s))[0]:
            return False
        return self.available

    async def _probe(self) -> None:
        with suppress(StoreUnavailable):
            await self._read(sa.select(sa.literal(1)))

    # --- writing ------------------------------------------------------------------------------

    def save_call(
        self,
        call_sid: str,
        *,
        status: CallStatus | None = None,
        by_owner: bool = True,
        **changes: Any,
    ) -> None:
        """Create or change a call. Each value replaces the one before.

        `status` and `answered_by` alone are what Twilio reported: they are stored whichever process
        has adopted the call.

        Args:
            status: It never goes back, nor from one terminal status to another. None: no change.
            by_owner: False: store the rest too whichever process has adopted the call. For what a
                process knows of a call that another one may get.
            changes: Other fields of `CallRow`. Times are aware of their zone.

        Raises:
            TypeError: the record has no such field.
        """
        if unknown := changes.keys() - _CHANGEABLE:
            raise TypeError(f"a call's record has no field to change named {', '.join(unknown)}")
        is_report = changes.keys() <= _REPORTED and (status is not None or bool(changes))
        is_report = is_report or not by_owner
        waiting = self._batches.pending if is_report else self._waiting(call_sid)
        if waiting is None:
            return
        known = (rows.get(call_sid, {}) for rows in (waiting.calls, waiting.reported))
        if rank(status) > max(rank(row.get("status")) for row in known):
            changes["status"] = status
            if self.reports and status in TERMINAL:
                changes |= newly_due(datetime.now(UTC))
        if is_report:
            row = waiting.report(call_sid)
        else:
            row = waiting.call(call_sid, self._ownership.epoch(call_sid))
        row.update(changes)
        if not self._ownership.is_outdated(call_sid):
            whole = waiting.calls.get(call_sid, {}) | waiting.reported.get(call_sid, {})
            self._live.save_call(call_sid, whole, changes, monotonic())
        self._batches.saved()

    def _waiting(self, call_sid: str) -> Waiting | None:
        """Where the owner's rows of a call wait; None: another process is its owner."""
        if self._ownership.is_outdated(call_sid):
            return self._batches.parked.saved(call_sid)
        return self._batches.pending

    def save_turns(
        self, call_sid: str, turns: Iterable[TurnRow], removed: Iterable[int] = ()
    ) -> None:
        """Add turns; a turn replaces the one of the same position. `removed`: positions whose turns
        are deleted."""
        if (waiting := self._waiting(call_sid)) is None:
            return
        waiting.call(call_sid, self._ownership.epoch(call_sid))
        positions, turns = list(removed), list(turns)
        for position in positions:
            waiting.turns[call_sid, position] = {"call_sid": call_sid, "position": position}
        for turn in turns:
            waiting.turns[call_sid, turn.position] = turn_row(call_sid, turn)
        self._live.save_turns(call_sid, turns, positions)
        self._batches.saved()

    def append_timeline(self, call_sid: str, entries: Iterable[TimelineRow]) -> None:
        """Add entries. If the position of a batch is stored already, the stored batch stays."""
        if (waiting := self._waiting(call_sid)) is None:
            return
        waiting.call(call_sid, self._ownership.epoch(call_sid))
        for entry in entries:
            row = (entry.position, entry.at_ms, entry.kind, entry.name, entry.data)
            try:
                waiting.timeline.append((call_sid, entry.position, to_json(row)))
            except (ValueError, TypeError, RecursionError) as error:
                self._batches.rows.refuse(Kind.TIMELINE, {"call_sid": call_sid}, error)
        self._batches.saved()

    async def adopt(
        self, call_sid: str, *, expected: int | None = None, keeps: bool = False
    ) -> int:
        """Take over a call from whichever process had it: nothing that others save of it is
        written any more. Returns its new epoch; 0: there is no such call.

        `expected`: do it only if this is the call's epoch; otherwise return 0.
        `keeps`: this process has the call though `on_outdated` was called: it took it over while
        the database was away. What it saved since is written.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        await self._settle(call_sid)
        async with self._batches.in_transaction:
            before = self._ownership.epoch(call_sid)
            change = partial(raise_epoch, call_sid, expected, self._ownership.me)
            epoch = await self._database.change(change)
            if epoch:
                if epoch == before + 1 and not self._ownership.is_outdated(call_sid):
                    self._batches.raise_epoch(call_sid, epoch)
                elif keeps:
                    self._batches.write_parked(call_sid, epoch)
                else:  # another process had it meanwhile
                    self._batches.forget(call_sid)
                self._ownership.adopted(call_sid, epoch)
        return epoch

    def outdate(self, call_sid: str, epoch: int) -> None:
        """Another process says that it has adopted a call with this epoch. `on_outdated` is called
        unless this process knows, or has adopted it since."""
        self._ownership.outdate(call_sid, epoch)
        if self._ownership.is_outdated(call_sid):
            self.let_go(call_sid)

    def let_go(self, call_sid: str) -> None:
        """`on_outdated` was called, and the call is another process's: drop what was saved of it
        here."""
        self._batches.forget(call_sid)
        self._live.forget(call_sid)

    def _found(self, call_sid: str, epoch: int) -> None:
        self._batches.raise_epoch(call_sid, epoch)

    def _outdated(self, call_sid: str) -> None:
        self._batches.park(call_sid)
        logger.info("call adopted by another process", extra={"call_sid": call_sid})
        self.on_outdated(call_sid)

    async def change_transfers(
        self, call_sid: str, change: Callable[[list[_Row]], list[_Row]]
    ) -> list[_Row]:
        """Replace a call's transfers by what `change` makes of them, whichever process has adopted
        it. No other process changes them meanwhile. Returns them; without a record, an empty list.

        `change`: may be called twice.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        await self._settle(call_sid)
        changed = await self._database.change(partial(change_transfers, call_sid, change))
        if changed is None:
            return []
        self._live.change_call(call_sid, {"transfers": changed})
        return changed

    async def _settle(self, call_sid: str) -> None:
        """Wait for what was saved of a call."""
        if self._batches.waits(call_sid) and not await self.flush(_SETTLE_S):
            raise StoreUnavailable(AWAY)

    def _has_read(self) -> None:
        self._batches.database_read()

    async def flush(self, within_s: float | None = None) -> bool:
        """Wait until everything saved so far is committed or the store is closed. False: that took
        longer than `within_s`."""
        return await self._batches.flush(within_s)
