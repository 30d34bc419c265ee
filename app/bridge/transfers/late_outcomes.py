"""Outcomes that Twilio reported while the database was away: written once it is back."""

import asyncio
from typing import Any

from app.bridge.services import Services
from app.bridge.tasks import Tasks
from app.call.exits.attempts import CALLER_GONE, FAILED, NOT_TAKEN, RINGING, TAKEN, TALKING
from app.records.store import StoreUnavailable
from app.records.watching import TransferEnded
from app.wires.twilio.call import CallInfo
from app.wires.twilio.dial_ended import DialEnded

RETRY_S = 1.0
#: Written so often: what other replicas kept of the call meanwhile may come after it.
WRITES = 3
#: The database may be away for half an hour.
MOST_TRIES = 1800
#: Outcomes that are known from nothing better.
_OPEN = (RINGING, TALKING, CALLER_GONE)


class LateOutcomes:
    """Keeps them until they are in the record. Call `aclose` at the end."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._tasks = Tasks()

    def note(self, call: CallInfo, number: int, end: DialEnded) -> None:
        """An attempt has ended, and its record could not be read."""
        self._tasks.start(self._write(call, number, end))

    async def _write(self, call: CallInfo, number: int, end: DialEnded) -> None:
        outcome, written, changed = outcome_of(end), 0, False

        def settle(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
            nonlocal changed
            if number >= len(records) or records[number].get("outcome") not in _OPEN:
                return records
            changed = True
            settled = {**records[number], "outcome": outcome, "seconds": end.seconds}
            return [*records[:number], settled, *records[number + 1 :]]

        for _ in range(MOST_TRIES):
            await asyncio.sleep(RETRY_S)
            try:
                records = await self._services.store.change_transfers(call.call_sid, settle)
            except StoreUnavailable:
                continue
            written += number < len(records)
            if written >= WRITES:
                break
        if changed:
            self._services.tell_watchers(call, TransferEnded(outcome))

    async def aclose(self) -> None:
        """Cancel what is not written."""
        await self._tasks.aclose()


def outcome_of(end: DialEnded) -> str:
    """The outcome of an attempt, from Twilio's request alone."""
    if end.bridged:
        return TAKEN
    if end.status in ("completed", "answered"):
        return NOT_TAKEN
    return CALLER_GONE if end.caller_gone else end.status or FAILED
