"""Attempts to reach a human that another process began: what the store knows of them."""

from typing import Any

from app.call.handover import CALLER_GONE, FAILED, NOT_TAKEN, RINGING, TAKEN, TALKING
from app.store import Store, StoreUnavailable
from app.telephony.dial_ended import DialEnded


class StoredAttempts:
    """By call and number; see `Handover.records`. A store that is away knows of none."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def record(self, call_sid: str, number: int) -> dict[str, Any] | None:
        """What is known of an attempt."""
        records = await self._of(call_sid)
        return records[number] if 0 <= number < len(records) else None

    async def accepted(self, call_sid: str, number: int) -> None:
        """The human pressed 1."""
        await self._change(call_sid, number, outcome=TALKING)

    async def ended(self, call_sid: str, number: int, end: DialEnded) -> str:
        """The attempt is over. Returns what became of it."""
        record = await self.record(call_sid, number)
        known = record["outcome"] if record else RINGING
        if known not in (RINGING, TALKING):
            return str(known)
        if end.bridged:
            outcome = TAKEN
        elif end.status in ("completed", "answered"):
            outcome = TAKEN if known == TALKING and end.bridged is None else NOT_TAKEN
        else:
            outcome = CALLER_GONE if end.caller_gone else end.status or FAILED
        await self._change(call_sid, number, outcome=outcome, seconds=end.seconds)
        return outcome

    async def _of(self, call_sid: str) -> list[dict[str, Any]]:
        try:
            await self._store.flush()
            row = await self._store.get_call(call_sid)
        except StoreUnavailable:
            return []
        return row.transfers if row else []

    async def _change(self, call_sid: str, number: int, **changes: object) -> None:
        records = await self._of(call_sid)
        if 0 <= number < len(records):
            records[number] |= changes
            self._store.save_call(call_sid, transfers=records)
