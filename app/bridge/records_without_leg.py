"""Writes records of calls that have no leg in this process: rejected, ended, or of another process.

Each method starts a task and returns at once. Call `aclose` before the store is closed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from app.bridge.bus.bus import BusUnavailable
from app.bridge.decisions import log_decision
from app.bridge.recent_calls import RecentCalls
from app.bridge.services import Services
from app.bridge.tasks import Tasks
from app.call.backoff import backoff
from app.records.database import AWAY
from app.records.store import StoreUnavailable
from app.records.stored_call import close_stored_record, note_decision, record_rejected_call
from app.wires.twilio.call import CallInfo, CallStatus

RELEASE_S = 1.0
#: An owner that cannot be asked ends its leg itself, when the stream of a call that is over ends.
#: This is how long it has to write the record, before it is closed without it.
OWNER_S = 4.0
WRITTEN_S = 2.0  # for what this process has saved
#: Between two tries while the database is away.
FIRST_RETRY_S, LAST_RETRY_S = 0.5, 5.0
#: For the row of a call that another replica had: it waits there until the database is back.
MOST_LOOKS = 10

TellOwner = Callable[[str, CallStatus], Awaitable[bool]]
"""Tells the replica that has a call of its end. Returns whether there is one. Raises BusUnavailable
if that is not known."""


async def no_owner(call_sid: str, status: CallStatus) -> bool:
    """With one process."""
    return False


class RecordsWithoutLeg:
    """The tasks that write them.

    Args:
        is_live: takes a call SID; whether this process has opened a leg of the call meanwhile.
        call_ended: called with the SID of a call whose record is closed, or cannot be.
    """

    def __init__(
        self,
        services: Services,
        is_live: Callable[[str], bool],
        call_ended: Callable[[str], None],
    ) -> None:
        #: Asked before a record is closed: another replica may have the leg, and close it.
        self.tell_owner: TellOwner = no_owner
        self._services = services
        self._is_live = is_live
        self._call_ended = call_ended
        self._tasks = Tasks()
        self._rejected = RecentCalls()
        self._closing: set[str] = set()  # Twilio may report the end of a call more than once
        self._noting = asyncio.Lock()

    def call_rejected(self, call: CallInfo, reason: str) -> None:
        """Record and log a call that was rejected; once, though Twilio may repeat its request."""
        if call.call_sid in self._rejected:
            return
        self._rejected.add(call.call_sid)
        log_decision(call.call_sid, "call turned away", reason)
        self._tasks.start(self._record_rejected(call, reason))

    def close_record(
        self, call_sid: str, status: CallStatus, *, reason: str = "", ended_by: str = ""
    ) -> None:
        """Close the record of a call that was never answered, or that another process had; once the
        database is back, if it is away.

        Args:
            reason: why, if Twilio did not report the end just now.
            ended_by: if the record does not say.
        """
        if call_sid not in self._closing:
            self._closing.add(call_sid)
            self._tasks.start(self._close_record(call_sid, status, reason, ended_by))

    def note_decision(self, call_sid: str, decision: str, reason: str) -> None:
        """Record and log a decision about a call."""
        log_decision(call_sid, decision, reason)
        self._tasks.start(self._note(call_sid, decision, reason))

    async def _record_rejected(self, call: CallInfo, reason: str) -> None:
        store = self._services.store
        with suppress(StoreUnavailable):
            if await store.get_call(call.call_sid) is None:
                name = self._services.agent.agent.name
                self._services.tell_watchers(call, record_rejected_call(store, call, name, reason))
        self._call_ended(call.call_sid)

    async def _close_record(
        self, call_sid: str, status: CallStatus, reason: str, ended_by: str
    ) -> None:
        failures, looks, waited = 0, 0, False
        while True:
            try:
                if await self.tell_owner(call_sid, status):
                    break
            except BusUnavailable:
                if not waited:
                    await asyncio.sleep(OWNER_S)
                waited = True
            try:
                found = await self._close_stored(call_sid, status, reason, ended_by)
            except StoreUnavailable:
                looks, found = 0, False
            else:
                looks += 1
            if not failures:
                self._call_ended(call_sid)  # its record alone waits for the database
            if found or looks >= MOST_LOOKS:
                break
            failures += 1
            await asyncio.sleep(backoff(FIRST_RETRY_S, looks or failures, LAST_RETRY_S))
        self._closing.discard(call_sid)

    async def _close_stored(
        self, call_sid: str, status: CallStatus, reason: str, ended_by: str
    ) -> bool:
        """Returns whether there is nothing left to do. False: another replica may still write the
        row."""
        store, shared = self._services.store, self._services.bus.shared
        if not await store.flush(WRITTEN_S):
            raise StoreUnavailable(AWAY)
        row = await store.get_call(call_sid)
        if row is not None and row.ended_at is None and shared:
            await store.adopt(call_sid)  # only who has adopted it may close its record
            row = await store.get_call(call_sid)
        if row is None:
            return not shared or self._is_live(call_sid)
        if row.ended_at is not None or self._is_live(call_sid):
            return True
        if reason:
            log_decision(call_sid, "record closed", reason)
            await note_decision(store, call_sid, "record closed", reason)
        ended = await close_stored_record(store, row, status, self._services.cost)
        if ended_by and not row.ended_by:
            store.save_call(call_sid, ended_by=ended_by)
            ended = replace(ended, ended_by=ended_by)
        call = CallInfo(call_sid, row.account_sid, row.direction)
        self._services.tell_watchers(call, ended)
        return True

    async def _note(self, call_sid: str, decision: str, reason: str) -> None:
        store = self._services.store
        with suppress(StoreUnavailable):
            async with self._noting:  # one at a time: each reads the last position in the timeline
                await store.flush()
                await note_decision(store, call_sid, decision, reason)
                await store.flush()

    async def aclose(self) -> None:
        """Wait up to `RELEASE_S` for the tasks, then cancel the rest."""
        await self._tasks.wait(RELEASE_S)
        await self._tasks.aclose()
