"""Attempts of a transfer that another process began: read from the store, and continued."""

from typing import Any

from app.bridge.decisions import log_decision
from app.bridge.reconnects import WRITTEN_S, Reconnects
from app.bridge.services import Services
from app.bridge.switchboard import Switchboard
from app.call.events import ResumeCause
from app.call.exits.attempts import CALLER_GONE, FAILED, NOT_TAKEN, RINGING, TAKEN, TALKING
from app.call.exits.transfer import TRANSFER
from app.call.ids import OURS
from app.records.watching import TransferEnded
from app.wires.twilio.call import CallInfo
from app.wires.twilio.dial_ended import DialEnded
from app.wires.twilio.twiml import render


class StoredAttempts:
    """Attempts by call SID and number, in the form of `TransferAttempts.records`. Every method but
    `resume_without_record` raises StoreUnavailable when the database is away."""

    def __init__(
        self, services: Services, switchboard: Switchboard, reconnects: Reconnects
    ) -> None:
        self._services = services
        self._store = services.store
        self._switchboard = switchboard
        self._reconnects = reconnects

    async def record(self, call_sid: str, number: int) -> dict[str, Any] | None:
        """The record of an attempt; None: there is none."""
        records = await self._records(call_sid)
        return records[number] if 0 <= number < len(records) else None

    async def accepted(self, call_sid: str, number: int) -> None:
        """The human pressed 1."""
        await self._change(call_sid, number, outcome=TALKING)

    async def next_twiml(self, call: CallInfo, number: int, base_url: str, end: DialEnded) -> str:
        """The caller's TwiML after the attempt: the end of the call, or the agent. No further
        destination is tried: the route is not stored."""
        outcome = await self._end_attempt(call, number, end)
        if outcome == TAKEN or end.caller_gone:
            return self._end_call(call.call_sid)
        return await self._resume(call, base_url, outcome)

    async def resume_without_record(self, call: CallInfo, base_url: str, end: DialEnded) -> str:
        """The caller's TwiML after the attempt, decided from Twilio's request alone."""
        if end.bridged or end.caller_gone:
            return self._end_call(call.call_sid)
        ticket = await self._reconnects.take_over_without_record(
            call, base_url, _resume_cause(end.status or FAILED)
        )
        return render("incoming-call", **self._switchboard.streams.urls(base_url, ticket))

    def _end_call(self, call_sid: str) -> str:
        if self._switchboard.is_live(call_sid):
            self._switchboard.end_call(call_sid)
        else:
            self._switchboard.ended(call_sid, "completed")
        return render("goodbye")

    async def _resume(self, call: CallInfo, base_url: str, outcome: str) -> str:
        following = await self._reconnects.resume(call, base_url, _resume_cause(outcome))
        if following is None:
            reason = "its record says that it is over"
            log_decision(call.call_sid, "call ended with an apology", reason)
            return render("unavailable")
        return render("incoming-call", **self._switchboard.streams.urls(base_url, following.ticket))

    async def _end_attempt(self, call: CallInfo, number: int, end: DialEnded) -> str:
        """Store the outcome of an attempt, once. Returns it."""
        record = await self.record(call.call_sid, number)
        known = record["outcome"] if record else RINGING
        if known not in (RINGING, TALKING):
            return str(known)
        if end.bridged:
            outcome = TAKEN
        elif end.status in ("completed", "answered"):
            outcome = TAKEN if known == TALKING and end.bridged is None else NOT_TAKEN
        else:
            outcome = CALLER_GONE if end.caller_gone else end.status or FAILED
        await self._change(call.call_sid, number, outcome=outcome, seconds=end.seconds)
        self._services.tell_watchers(call, TransferEnded(outcome))
        return outcome

    async def _records(self, call_sid: str) -> list[dict[str, Any]]:
        await self._store.flush(WRITTEN_S)
        row = await self._store.get_call(call_sid)
        return row.transfers if row else []

    async def _change(self, call_sid: str, number: int, **changes: object) -> None:
        records = await self._records(call_sid)
        if 0 <= number < len(records):
            records[number] |= changes
            self._store.save_call(call_sid, transfers=records)


def _resume_cause(outcome: str) -> ResumeCause:
    """What the agent of the next leg learns."""
    output = f"Nobody took the call: {outcome}. The caller is back with you."
    return ResumeCause(TRANSFER, f"{OURS}transfer", output)
