"""What is written about calls that have no leg in this process."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from app.bridge.decisions import log_decision
from app.bridge.services import Services
from app.records.recorder import close_stored_record, note_decision, record_rejected_call
from app.records.store import StoreUnavailable
from app.wires.twilio.call import CallInfo, CallStatus

RELEASE_S = 1.0


class RecordsWithoutLeg:
    """`is_live`: whether the process has a leg of a call by now. `call_ended`: told of each call
    whose record is closed."""

    def __init__(
        self,
        services: Services,
        is_live: Callable[[str], bool],
        call_ended: Callable[[str], None],
    ) -> None:
        self._services = services
        self._is_live = is_live
        self._call_ended = call_ended
        self._writing: set[asyncio.Task[None]] = set()
        self._noting = asyncio.Lock()

    def call_rejected(self, call: CallInfo, reason: str) -> None:
        """A call was not taken."""
        log_decision(call.call_sid, "call turned away", reason)
        self._start(self._record_rejected(call, reason))

    def close_record(self, call_sid: str, status: CallStatus) -> None:
        """A call has ended: nobody answered it, or another process had it."""
        self._start(self._close_record(call_sid, status))

    def note_decision(self, call_sid: str, decision: str, reason: str) -> None:
        """Record and log what the service decided by itself about a call."""
        log_decision(call_sid, decision, reason)
        self._start(self._note(call_sid, decision, reason))

    async def _record_rejected(self, call: CallInfo, reason: str) -> None:
        store = self._services.store
        with suppress(StoreUnavailable):
            if await store.get_call(call.call_sid) is None:
                record_rejected_call(store, call, self._services.agent.agent.name, reason)
        self._call_ended(call.call_sid)

    async def _close_record(self, call_sid: str, status: CallStatus) -> None:
        store = self._services.store
        with suppress(StoreUnavailable):
            await store.flush()
            row = await store.get_call(call_sid)
            if row is not None and row.ended_at is None and not self._is_live(call_sid):
                close_stored_record(store, row, status, self._services.cost)
        self._call_ended(call_sid)

    async def _note(self, call_sid: str, decision: str, reason: str) -> None:
        store = self._services.store
        with suppress(StoreUnavailable):
            async with self._noting:  # one after the other: each has a place in the timeline
                await store.flush()
                await note_decision(store, call_sid, decision, reason)
                await store.flush()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def aclose(self) -> None:
        """Finish what is under way, for a moment at most."""
        if self._writing:
            await asyncio.wait(self._writing, timeout=RELEASE_S)
        for task in self._writing:
            task.cancel()
        await asyncio.gather(*self._writing, return_exceptions=True)
