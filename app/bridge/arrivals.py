"""Calls that reach this replica though another one had them, or answered their webhook.

The replica that gets a call's next stream, or opens its next leg, adopts the call: from then on the
database takes nothing of the call's from a replica that had it before.
"""

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from app.bridge.announcements import Announced
from app.bridge.bus.bus import BusUnavailable
from app.bridge.deadlines import within
from app.bridge.leg.seed import LegSeed, agent_for, first_seed
from app.bridge.services import Services
from app.bridge.tasks import Tasks
from app.call.agent import Agent
from app.call.events import STREAM_LOST, CalleeDetected
from app.records.carried import Placed
from app.records.store import StoreUnavailable
from app.records.stored_call import (
    CallIsOver,
    StoredCall,
    call_of,
    read_stored_call,
    unreadable_call,
)
from app.wires.twilio.call import TERMINAL, CallInfo

Result = TypeVar("Result")

ADOPTED_S = 0.5  # a stream waits this long for its call's epoch; the caller hears silence meanwhile
LEFT_S = 5.0  # a call that is over stays owned for as long as its record waits to be written
READ_S = 0.7  # and this long for its call's record


@dataclass(frozen=True, slots=True)
class Arrival:
    """A call as its record and its announcement have it."""

    call: CallInfo
    #: None: no leg was opened before.
    stored: StoredCall | None
    #: Twilio's `AnsweredBy` of a call that has no leg so far; empty: unknown.
    answered_by: str = ""
    #: What such a call is for, if it is outbound.
    placed: Placed = Placed()


class Arrivals:
    """Adopts calls, and makes the seeds of their legs."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._epochs = services.epochs
        self._tasks = Tasks()

    async def adopt(self, call_sid: str, *, is_new: bool = False, keeps: bool = False) -> bool:
        """This process has the call from now on. Returns whether no other one had it since this
        process adopted it last, as far as the database answers.

        `is_new`: no process had it, so that it is not worth a wait for a database that is away.
        `keeps`: see `Store.adopt`.
        """
        known, epoch = self._epochs.setdefault(call_sid, 0), 0
        if self._services.store.available or not is_new:
            raising = self.later(self._raise_epoch(call_sid, keeps=keeps))
            await asyncio.wait({raising}, timeout=ADOPTED_S)
            epoch = raising.result() if raising.done() else 0
        if not epoch:
            self._services.bus.own(call_sid, await self._above_owner(call_sid, known))
        return not epoch or epoch == known + 1

    async def _raise_epoch(self, call_sid: str, *, keeps: bool) -> int:
        """Not cancelled if it takes long: the database may have raised the epoch by then, and would
        take nothing from this process without it."""
        try:
            epoch = await self._services.store.adopt(call_sid, keeps=keeps)
        except StoreUnavailable:
            return 0
        if epoch and call_sid in self._epochs:
            self._epochs[call_sid] = epoch
            self._services.bus.own(call_sid, epoch)
            self.later(self._services.bus.announce(call_sid, epoch))
        return epoch

    async def _above_owner(self, call_sid: str, known: int) -> int:
        """An epoch above that of the call's owner, for when the database does not give one: a lease
        with a lower one would be given up at once."""
        with suppress(BusUnavailable):
            owner = await self._services.bus.owner(call_sid)
            if owner is not None and owner.replica != self._services.bus.replica:
                return owner.epoch + 1
        return known

    def own_again(self, call_sid: str, epoch: int) -> None:
        """The call was forgotten with an earlier leg, after this process had adopted it."""
        self._epochs[call_sid] = epoch
        self._services.bus.own(call_sid, epoch)

    def forget(self, call_sid: str) -> None:
        """This process does not have the call any more. It owns it until its record is written, so
        that no other replica closes that before."""
        if self._epochs.pop(call_sid, None) is not None:
            self.later(self._disown(call_sid))

    async def _disown(self, call_sid: str) -> None:
        await self._services.store.flush(LEFT_S)
        if call_sid not in self._epochs:
            self._services.bus.disown(call_sid)

    def later(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Do what no stream waits for, or not to its end."""
        return self._tasks.start(work)

    async def aclose(self) -> None:
        """Cancel what is done later."""
        await self._tasks.aclose()

    async def read(self, call: CallInfo, announced: Announced | None) -> Arrival:
        """What is known of a call that this process did not have. Adopt it first.

        `call`: as its stream names it. Raises CallIsOver.
        """
        is_new = announced is not None and announced.is_new
        if self._services.store.available or not is_new:
            with suppress(StoreUnavailable, TimeoutError):
                return await within(READ_S, self._read(call, announced))
        stored = None if is_new else unreadable_call(time.time())
        return Arrival(announced.call if announced else call, stored)

    async def _read(self, call: CallInfo, announced: Announced | None) -> Arrival:
        store = self._services.store
        row = await store.get_call(call.call_sid)
        if row is None:
            return Arrival(announced.call if announced else call, None)
        found = await read_stored_call(store, call.call_sid) if row.agent_name else None
        if found is not None:
            return Arrival(*found)
        if row.status in TERMINAL:
            raise CallIsOver(f"the call has ended: {row.status}")
        return Arrival(call_of(row), None, row.answered_by or "", Placed.from_data(row.placed))

    def seed(self, arrival: Arrival, announced: Announced | None, base_url: str) -> LegSeed:
        """The seed of the call's first leg in this process."""
        seed = first_seed(
            arrival.call,
            self._services,
            announced.base_url if announced and announced.base_url else base_url,
            agent=self._agent(arrival, announced),
            stored=arrival.stored,
            resume_cause=announced.resume_cause if announced else STREAM_LOST,
        )
        outbound = seed.agent.outbound
        if arrival.answered_by and outbound.answering_machine == "detect":
            message = arrival.placed.voicemail or outbound.voicemail
            detected = CalleeDetected(arrival.answered_by, message)
            seed = replace(seed, detected=detected)
        return seed

    def _agent(self, arrival: Arrival, announced: Announced | None) -> Agent | None:
        """The agent of a call that begins; None: as its record says."""
        if announced is not None and announced.instructions:
            return replace(
                self._services.agent.agent,
                greeting=announced.greeting,
                instructions=announced.instructions,
            )
        if arrival.stored is None:
            return agent_for(arrival.call, self._services, arrival.placed)
        return None

    def save_row(self, call: CallInfo) -> None:
        """Save the row of a new call, for any replica to find."""
        self._services.store.save_call(
            call.call_sid,
            by_owner=False,
            account_sid=call.account_sid,
            direction=call.direction,
            from_number=call.from_number,
            to_number=call.to_number,
            status="ringing",
        )
