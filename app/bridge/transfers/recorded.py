"""Transfers whose only place is the record of their call: any replica answers Twilio's requests.

With one process this continues what an earlier process began. With several, every attempt is judged
here, whichever replica began it. Each change of the record is one transaction: of two replicas that
hear of the same attempt, one begins the next.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeVar

from app.bridge.decisions import log_decision
from app.bridge.reconnects import WRITTEN_S, Reconnects
from app.bridge.services import Services
from app.bridge.switchboard import Switchboard
from app.bridge.tasks import Tasks
from app.bridge.transfers.late_outcomes import LateOutcomes
from app.bridge.transfers.pending import Dialling
from app.bridge.transfers.recorded_warm import RecordedWarm
from app.bridge.transfers.redirects import CallRedirects
from app.call.destinations import Destination
from app.call.events import ResumeCause
from app.call.exits.attempts import (
    FAILED,
    RINGING,
    TAKEN,
    TALKING,
    TransferAttempts,
    back_after,
)
from app.call.exits.tones import SEND_DIGITS
from app.call.exits.transfer import TRANSFER
from app.call.ids import OURS
from app.call.prompts import DIGITS_SENT
from app.records.record import CallRow
from app.records.redirected import last_redirect
from app.records.store import StoreUnavailable
from app.records.stored_call import CallIsOver, call_of
from app.records.watching import TransferEnded, outcomes_of
from app.wires.twilio.call import TERMINAL, CallInfo
from app.wires.twilio.dial_ended import DialEnded
from app.wires.twilio.twiml import DIGITS_PLAYED, render

T = TypeVar("T")

END_S = 1.5  # for what other replicas do not finish
NOT_WRITTEN_S = (0.1, 0.2, 0.4, 0.8, 1.6)  # looks for an attempt whose record is not written yet
JOIN_S = 5.0  # for Twilio to close the conference of a human who left it, and to ask what follows


class Next(Enum):
    """What follows an attempt."""

    #: The destination that is tried now.
    DIAL = auto()
    #: The same for the first time: call its human, if it is warm.
    DIAL_ANOTHER = auto()
    #: The call goes on with the agent.
    RESUME = auto()
    #: No human accepts, and the agent cannot go on: an apology ends the call.
    APOLOGIZE = auto()
    #: A human had the caller, or the caller hung up.
    END = auto()
    #: The caller is to be redirected out of the waiting room: what follows is asked then.
    FETCH = auto()
    #: The same, unless Twilio asks soon by itself.
    FETCH_LATER = auto()
    #: Nothing: it is known already.
    NOTHING = auto()


@dataclass(frozen=True, slots=True)
class Decided:
    """What was decided about a transfer, with the attempts as they are stored since."""

    next: Next
    attempts: TransferAttempts


class RecordedTransfers:
    """Answers Twilio's requests about attempts by call SID and number. Every method but
    `resume_without_record` raises StoreUnavailable when the database is away."""

    def __init__(
        self,
        services: Services,
        switchboard: Switchboard,
        reconnects: Reconnects,
        redirects: CallRedirects,
    ) -> None:
        self._services = services
        self._store = services.store
        self._switchboard = switchboard
        self._reconnects = reconnects
        self._warm = RecordedWarm(services, redirects, self.change, self._failed)
        self._late = LateOutcomes(services)
        self._tasks = Tasks()

    # --- the record -----------------------------------------------------------------------------

    async def record(self, call_sid: str, number: int) -> dict[str, Any] | None:
        """The record of an attempt; None: there is none."""
        row = await self._row(call_sid)
        records = row.transfers if row is not None else []
        return records[number] if 0 <= number < len(records) else None

    async def is_pending(self, call_sid: str, number: int) -> bool:
        """Whether this attempt is under way. So is one that is not written yet."""
        record = await self.record(call_sid, number)
        if record is None:
            return await self.waits(call_sid)
        return record["outcome"] in (RINGING, TALKING)

    async def waits(self, call_sid: str) -> bool:
        """Whether an attempt that the record does not have may still be written: it waits for the
        database in the replica that began it."""
        row = await self._row(call_sid)
        return self._services.bus.shared and (row is None or row.status not in TERMINAL)

    async def change(
        self, call: CallInfo, decide: Callable[[TransferAttempts], T]
    ) -> tuple[T, TransferAttempts] | None:
        """Change the attempts of a call's last transfer in its record, in one transaction.

        Args:
            decide: changes them, and returns its decision. It may be called again, with attempts
                that are read anew.

        Returns:
            The decision, and the attempts. None: the call has had no transfer.
        """
        found: list[tuple[T, TransferAttempts]] = []
        before: list[str] = []

        def apply(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
            found.clear()
            before[:] = outcomes_of(records)
            attempts = self._restore(call.call_sid, records)
            if attempts is None:
                return records
            found.append((decide(attempts), attempts))
            changed = (dict(each) for each in attempts.records())
            return [*records[: attempts.first_number], *changed]

        records = await self._store.change_transfers(call.call_sid, apply)
        self._tell(call, before, records)
        return found[-1] if found else None

    async def begin(
        self,
        call: CallInfo,
        route: Sequence[Destination],
        call_id: str,
        reason: str,
        summary: str,
        *,
        resumes: bool = True,
    ) -> TransferAttempts:
        """Store a new transfer with its first attempt, before Twilio gets its TwiML."""
        begun: list[TransferAttempts] = []

        def append(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
            attempts = TransferAttempts(route, call_id, reason, summary, len(records))
            attempts.resumes = resumes
            attempts.next()
            begun[:] = [attempts]
            return [*records, *(dict(each) for each in attempts.records())]

        await self._store.change_transfers(call.call_sid, append)
        if not begun:
            raise StoreUnavailable("the call has no record so far")
        return begun[0]

    async def _row(self, call_sid: str) -> CallRow | None:
        await self._store.flush(WRITTEN_S)
        return await self._store.get_call(call_sid)

    def _restore(self, call_sid: str, records: Sequence[dict[str, Any]]) -> TransferAttempts | None:
        return TransferAttempts.restore(records, self._services.destinations(call_sid))

    def _tell(self, call: CallInfo, before: list[str], records: Sequence[dict[str, Any]]) -> None:
        """Tell watchers the outcomes that are new."""
        for number, outcome in enumerate(outcomes_of(records)):
            if outcome and before[number : number + 1] != [outcome]:
                self._services.tell_watchers(call, TransferEnded(outcome))

    # --- the human ------------------------------------------------------------------------------

    async def pressed(self, call: CallInfo, number: int, digits: str) -> bool:
        """The human pressed these keys. Returns whether they accept the call."""
        changed = await self.change(call, lambda attempts: attempts.pressed(number, digits))
        return changed is not None and changed[0]

    async def callee_status(self, call_sid: str, number: int, status: str, base_url: str) -> None:
        """The status of the call to the human of a warm attempt changed."""
        if status not in TERMINAL:
            return
        call = await self._call(call_sid)
        for wait_s in NOT_WRITTEN_S:
            if await self.record(call_sid, number) or not await self.waits(call_sid):
                break
            await asyncio.sleep(wait_s)
        changed = await self.change(call, lambda attempts: _human_gone(attempts, number, status))
        if changed is not None:
            self._go_on(call, Decided(*changed), base_url)

    def _go_on(self, call: CallInfo, decided: Decided, base_url: str) -> None:
        """Do what Twilio does not ask for: the caller hears music."""
        dialling = self.dialling(call, decided.attempts, base_url)
        match decided.next:
            case Next.DIAL_ANOTHER:
                self._tasks.start(self._warm.ring(dialling))
            case Next.FETCH:
                self._tasks.start(self._warm.fetch(dialling))
            case Next.FETCH_LATER:
                self._tasks.start(self._warm.fetch(dialling, after_s=JOIN_S))

    async def _failed(self, dialling: Dialling, number: int) -> None:
        """The human of a warm attempt could not be called."""
        call = dialling.call
        changed = await self.change(call, lambda attempts: _human_gone(attempts, number, FAILED))
        if changed is not None:
            self._go_on(call, Decided(*changed), dialling.base_url)

    def ring(self, dialling: Dialling) -> None:
        """Call the human of the last attempt, if it is warm."""
        if dialling.attempts.last.destination.warm:
            self._tasks.start(self._warm.ring(dialling))

    # --- the caller -----------------------------------------------------------------------------

    async def next_twiml(
        self, question: str, call: CallInfo, number: int, base_url: str, end: DialEnded
    ) -> str:
        """The caller's TwiML after an attempt; see `Transfers.next_twiml`."""
        changed = await self.change(call, lambda attempts: _after(attempts, question, number, end))
        if changed is None:  # no record of it: Twilio's request alone says what was
            return await self.resume_without_record(call, base_url, end)
        return await self._answer(call, Decided(*changed), base_url)

    async def _answer(self, call: CallInfo, decided: Decided, base_url: str) -> str:
        attempts = decided.attempts
        dialling = self.dialling(call, attempts, base_url)
        match decided.next:
            case Next.END:
                return self._end_call(call.call_sid)
            case Next.DIAL_ANOTHER:
                self.ring(dialling)
                return dialling.twiml(attempts.last.destination)
            case Next.DIAL:
                return dialling.twiml(attempts.last.destination)
            case Next.APOLOGIZE:
                reason = "the agent could not go on, and no human took the call"
                self._switchboard.note_decision(
                    call.call_sid, "call ended with an apology", f"{reason}: {attempts.in_words()}"
                )
                self._end_call(call.call_sid)
                return render("unavailable")
        return await self._resume(call, base_url, resume_cause(attempts))

    async def twiml_after_stream(
        self, call: CallInfo, base_url: str, *, after_keys: bool
    ) -> str | None:
        """The TwiML that the call was redirected to, when Twilio asks what follows its stream.
        None: the stream ended for another reason.

        `after_keys`: the stream was the one after Twilio had played keys.
        """
        row = await self._row(call.call_sid)
        if row is None or row.status in TERMINAL:
            return None
        redirect = last_redirect(await self._store.timeline(call.call_sid))
        if redirect is None:
            return None
        if redirect.digits:
            if after_keys:
                return None
            cause = ResumeCause(SEND_DIGITS, redirect.call_id, DIGITS_SENT)
            ticket = await self._switchboard.streams.announce(
                call, base_url, resume_cause=cause, before_s=len(redirect.digits)
            )
            urls = self._switchboard.streams.urls(base_url, ticket, DIGITS_PLAYED)
            return render("play-digits", digits=redirect.digits, **urls)
        attempts = self._restore(call.call_sid, row.transfers)
        if attempts is None or not attempts.pending:
            return None
        return self.dialling(call, attempts, base_url).twiml(attempts.last.destination)

    async def resume_without_record(
        self, call: CallInfo, base_url: str, end: DialEnded, ended: int | None = None
    ) -> str:
        """The caller's TwiML after an attempt, decided from Twilio's request alone. `ended`: the
        attempt that this request ends, which its record has to learn later."""
        if ended is not None:
            self._late.note(call, ended, end)
        if end.bridged or end.caller_gone:
            return self._end_call(call.call_sid)
        cause = ResumeCause(TRANSFER, f"{OURS}transfer", back_after(end.status or FAILED))
        ticket = await self._reconnects.take_over_without_record(call, base_url, cause)
        return render("incoming-call", **self._switchboard.streams.urls(base_url, ticket))

    def _end_call(self, call_sid: str) -> str:
        if self._switchboard.is_live(call_sid):
            self._switchboard.end_call(call_sid)
        else:
            self._switchboard.ended(call_sid, "completed")
        return render("goodbye")

    async def _resume(self, call: CallInfo, base_url: str, cause: ResumeCause) -> str:
        try:
            following = await self._reconnects.resume(call, base_url, cause)
        except CallIsOver:
            return render("goodbye")
        if following is None:
            reason = "its record says that it is over"
            log_decision(call.call_sid, "call ended with an apology", reason)
            return render("unavailable")
        return render("incoming-call", **self._switchboard.streams.urls(base_url, following.ticket))

    def dialling(self, call: CallInfo, attempts: TransferAttempts, base_url: str) -> Dialling:
        """What Twilio dials for the last of these attempts."""
        services = self._services
        return Dialling(call, base_url, attempts, services.phone_number, services.agent.hold_music)

    # --- the end --------------------------------------------------------------------------------

    async def call_ended(self, call_sid: str) -> None:
        """The call is over: let go of the human who is called for it."""
        row = await self._store.get_call(call_sid)
        attempts = self._restore(call_sid, row.transfers) if row is not None else None
        if attempts is not None and attempts.last.callee_sid and attempts.last.outcome != TAKEN:
            await self._warm.release(call_sid, attempts.last.callee_sid)

    async def _call(self, call_sid: str) -> CallInfo:
        row = await self._store.get_call(call_sid)
        return call_of(row) if row is not None else CallInfo(call_sid)

    async def aclose(self) -> None:
        """Finish calls to humans and redirects that are in flight, or cancel them after `END_S`."""
        await self._late.aclose()
        self._warm.stop()
        if self._services.bus.shared:
            await self._tasks.wait(END_S)
        await self._tasks.aclose()


def resume_cause(attempts: TransferAttempts) -> ResumeCause:
    """What the agent learns of a transfer that no human accepted."""
    return ResumeCause(TRANSFER, attempts.call_id or f"{OURS}transfer", attempts.in_words())


def _after(attempts: TransferAttempts, question: str, number: int, end: DialEnded) -> Next:
    """The caller's dial, or their time in the waiting room, is over."""
    if question == "ended" and attempts.pending and end.replaced:
        return Next.DIAL  # a retried redirect replaced its own dial
    if question == "ended" and (end.bridged or not end.caller_gone):
        attempts.ended(number, end.status or FAILED, bridged=end.bridged, seconds=end.seconds)
    elif question == "left":
        number = left_conference(attempts, number, end)
    if end.caller_gone and attempts.pending:
        attempts.caller_gone()
    if attempts.over_for_good or end.caller_gone:
        attempts.over = True
        return Next.END
    if attempts.pending:
        return Next.DIAL  # a repeated request, or one of an earlier attempt
    if number == attempts.number and not attempts.over and attempts.next() is not None:
        return Next.DIAL_ANOTHER
    attempts.over = True
    return Next.RESUME if attempts.resumes else Next.APOLOGIZE


def left_conference(attempts: TransferAttempts, number: int, end: DialEnded) -> int:
    """The caller left the conference. Returns the number of the attempt that this ends: the last
    one, though the caller entered for an earlier one."""
    last, last_number = attempts.last, attempts.number
    if number > last_number or not last.destination.warm:
        return number
    if last.accepted or not end.caller_gone:
        attempts.ended(last_number, "completed" if last.accepted else FAILED)
    return last_number


def _human_gone(attempts: TransferAttempts, number: int, status: str) -> Next:
    """The call to the human of a warm attempt is over, or was not placed."""
    outcome = attempts.ended(number, status)
    if not outcome:
        return Next.NOTHING
    if outcome == TAKEN:
        return Next.FETCH_LATER  # the conference has ended, unless they never entered it
    if attempts.upcoming is not None and attempts.upcoming.warm:
        attempts.next()
        return Next.DIAL_ANOTHER
    return Next.FETCH
