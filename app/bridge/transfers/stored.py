"""Attempts to reach a human that another process began: what the store knows of them, and what the
caller's call goes on with.
"""

from typing import Any

from app.bridge.decisions import log_decision
from app.bridge.switchboard import Switchboard
from app.bridge.way_back import WRITTEN_S, WayBack
from app.call.events import ResumeCause
from app.call.exits.attempts import CALLER_GONE, FAILED, NOT_TAKEN, RINGING, TAKEN, TALKING
from app.call.exits.transfer import TRANSFER
from app.call.ids import OURS
from app.records.store import Store
from app.wires.twilio.call import CallInfo
from app.wires.twilio.dial_ended import DialEnded
from app.wires.twilio.twiml import render, stream_urls


class StoredAttempts:
    """By call and number; see `TransferAttempts.records`. Everything but `caller_back` raises
    StoreUnavailable when the store is away."""

    def __init__(self, store: Store, switchboard: Switchboard, way_back: WayBack) -> None:
        self._store = store
        self._switchboard = switchboard
        self._way_back = way_back

    async def record(self, call_sid: str, number: int) -> dict[str, Any] | None:
        """What is known of an attempt."""
        records = await self._of(call_sid)
        return records[number] if 0 <= number < len(records) else None

    async def accepted(self, call_sid: str, number: int) -> None:
        """The human pressed 1."""
        await self._change(call_sid, number, outcome=TALKING)

    async def asked(self, call: CallInfo, number: int, base_url: str, end: DialEnded) -> str:
        """What comes after the attempt for the caller: the end, or the agent. TwiML."""
        outcome = await self._ended(call.call_sid, number, end)
        if outcome == TAKEN or end.caller_gone:
            return self._call_over(call.call_sid)
        return await self._to_the_agent(call, base_url, outcome)

    async def caller_back(self, call: CallInfo, base_url: str, end: DialEnded) -> str:
        """The same, as far as it can be told without the store."""
        if end.bridged or end.caller_gone:
            return self._call_over(call.call_sid)
        leg = await self._way_back.take_over(call, base_url, _returned(end.status or FAILED))
        return render("incoming-call", **stream_urls(base_url, self._switchboard.ticket(leg)))

    def _call_over(self, call_sid: str) -> str:
        if self._switchboard.is_live(call_sid):
            self._switchboard.call_over(call_sid)
        else:
            self._switchboard.ended(call_sid, "completed")
        return render("goodbye")

    async def _to_the_agent(self, call: CallInfo, base_url: str, outcome: str) -> str:
        following = await self._way_back.resume(call, base_url, _returned(outcome))
        if following is None:
            reason = "its record says that it is over"
            log_decision(call.call_sid, "call ended with an apology", reason)
            return render("unavailable")
        return render("incoming-call", **stream_urls(base_url, following.ticket))

    async def _ended(self, call_sid: str, number: int, end: DialEnded) -> str:
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
        await self._store.flush(WRITTEN_S)
        row = await self._store.get_call(call_sid)
        return row.transfers if row else []

    async def _change(self, call_sid: str, number: int, **changes: object) -> None:
        records = await self._of(call_sid)
        if 0 <= number < len(records):
            records[number] |= changes
            self._store.save_call(call_sid, transfers=records)


def _returned(outcome: str) -> ResumeCause:
    """What the agent is told, which has the caller back."""
    output = f"Nobody took the call: {outcome}. The caller is back with you."
    return ResumeCause(TRANSFER, f"{OURS}transfer", output)
