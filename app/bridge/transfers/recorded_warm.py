"""Warm transfers by the record: whichever replica hears that an attempt ended calls the next human.

See `warm` for what Twilio does not ask by itself. Here every step is checked in the record first:
another replica may have gone on meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import chain, repeat
from typing import Any

from app.bridge.decisions import log_decision
from app.bridge.services import Services
from app.bridge.transfers.pending import Dialling
from app.bridge.transfers.redirects import CallRedirects
from app.bridge.transfers.warm import BRIEFING_S, FETCH_AGAIN_S
from app.call.exits.attempts import TransferAttempts
from app.errors import TwilioError
from app.records.store import StoreUnavailable
from app.wires.twilio.call import CallInfo
from app.wires.twilio.twiml import render

Change = Callable[
    [CallInfo, Callable[[TransferAttempts], bool]],
    Awaitable[tuple[bool, TransferAttempts] | None],
]


class RecordedWarm:
    """Calls the humans of warm attempts.

    Args:
        change: see `RecordedTransfers.change`.
        failed: called with what was dialled, and the number of an attempt whose human could not be
            called.
    """

    def __init__(
        self,
        services: Services,
        redirects: CallRedirects,
        change: Any,
        failed: Callable[[Dialling, int], Awaitable[None]],
    ) -> None:
        self._rest = services.rest
        self._redirects = redirects
        self._change: Change = change
        self._failed = failed
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """The process ends: wait for nothing more. No other replica calls the next human or
        fetches the caller, who would hear music for ever."""
        self._stopping.set()

    async def _wait(self, seconds: float) -> None:
        """Wait, but not beyond `stop`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def ring(self, dialling: Dialling) -> None:
        """Call the human of the last attempt. If the call cannot be placed, go on to the next."""
        number, destination = dialling.attempts.number, dialling.attempts.last.destination
        try:
            if self._rest is None:
                raise TwilioError("there are no Twilio credentials")
            callee_sid = await self._rest.place(dialling.callee_order(destination))
        except TwilioError as error:
            reason = f"{destination.name}: {error}"
            log_decision(dialling.call_sid, "human could not be rung", reason)
            if error.unsure:  # Twilio may have placed the call: give the human time to accept
                await self._wait(destination.ring_ms / 1000 + BRIEFING_S)
                if await self._accepted(dialling, number):
                    return
            await self._failed(dialling, number)
        else:
            if not await self._note_callee(dialling, number, callee_sid):
                await self.release(dialling.call_sid, callee_sid)  # the caller hung up meanwhile

    async def _note_callee(self, dialling: Dialling, number: int, callee_sid: str) -> bool:
        """Store the SID of the call to the human. False: the attempt is over. One that is not
        written yet is not."""

        def note(attempts: TransferAttempts) -> bool:
            attempt = attempts.attempt(number)
            if attempt is not None:
                attempt.callee_sid = callee_sid
            return attempt is not None or number > attempts.number

        try:
            changed = await self._change(dialling.call, note)
        except StoreUnavailable:
            return True
        return changed is None or changed[0]

    async def _accepted(self, dialling: Dialling, number: int) -> bool:
        def accepted(attempts: TransferAttempts) -> bool:
            attempt = attempts.attempt(number)
            return attempt is None or attempt.accepted

        changed = await self._change(dialling.call, accepted)
        return changed is None or changed[0]

    async def fetch(self, dialling: Dialling, after_s: float = 0.0) -> None:
        """Redirect the caller out of the conference after `after_s`, and retry until Twilio obeys,
        or the transfer is over. Twilio then requests the question `fetched`."""
        number, call_sid = dialling.attempts.number, dialling.call_sid
        await self._wait(after_s)
        twiml = render("fetch", url=dialling.url("fetched"))
        for wait_s in chain(FETCH_AGAIN_S, repeat(FETCH_AGAIN_S[-1])):
            if not await self._waits(dialling, number):
                return
            try:
                if self._rest is not None:
                    await self._redirects.order(self._rest, call_sid, twiml)
                return
            except TwilioError as error:
                decision = "caller not fetched from the waiting room"
                log_decision(call_sid, decision, str(error))
                if error.call_is_over:
                    return
            if self._stopping.is_set():
                await asyncio.sleep(FETCH_AGAIN_S[0])
            await self._wait(wait_s)

    async def _waits(self, dialling: Dialling, number: int) -> bool:
        """Whether the caller still waits for what follows this attempt."""

        def waits(attempts: TransferAttempts) -> bool:
            return attempts.number == number and not attempts.over and not attempts.pending

        try:
            changed = await self._change(dialling.call, waits)
        except StoreUnavailable:
            return True
        return changed is not None and changed[0]

    async def release(self, call_sid: str, callee_sid: str) -> None:
        """Hang up the call to a human: its caller does not wait any more."""
        if self._rest is None or not callee_sid:
            return
        try:
            await self._rest.hang_up(callee_sid)
        except TwilioError as error:
            if not error.call_is_over:
                log_decision(call_sid, "human not released", str(error))
