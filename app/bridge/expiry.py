"""Calls that have no leg now: how long each of them is waited for.

A lost line is no end of the call: it is over when Twilio says so, or after ten minutes without a
word from it. Its slot is free long before.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from app.bridge.leg.leg import Leg


@dataclass(frozen=True, slots=True)
class ExpiryLimits:
    """Seconds, from the end of the leg."""

    #: A call whose line was lost counts as live for so long,
    slot_s: float = 30.0
    #: and its record is closed if Twilio says nothing about the call for so long.
    expire_s: float = 600.0
    #: For an order to go on with other TwiML which Twilio never confirmed, nor asked about.
    redirect_s: float = 120.0
    #: For a caller who is with a human (Twilio: <Dial> ends after four hours).
    transfer_s: float = 4.1 * 3600


class Expiry:
    """`on_slot_freed(call_sid)`: the call does not count as live any more. `on_over(leg)`: nothing
    was heard of the call of this leg, its last one."""

    def __init__(
        self, on_slot_freed: Callable[[str], None], on_over: Callable[[Leg], None]
    ) -> None:
        self.limits = ExpiryLimits()
        self.absent: set[str] = set()  # calls that are waited for, and count as live no more
        self._on_slot_free = on_slot_freed
        self._on_over = on_over
        self._timers: dict[str, list[asyncio.TimerHandle]] = {}

    def for_lost(self, leg: Leg, *, holds_slot: bool = True) -> None:
        """The line of the leg's call was lost. `holds_slot`: False when it counted as live for long
        enough already."""
        call_sid, limits = leg.call.call_sid, self.limits
        self.found(call_sid)
        self._after(limits.slot_s if holds_slot else 0.0, leg, self._free_slot)
        self._after(limits.expire_s, leg, self._give_up)

    def for_away(self, leg: Leg) -> None:
        """The leg's call goes on with other TwiML."""
        self.found(leg.call.call_sid)
        self._after(self.limits.redirect_s, leg, self._look_after)

    def heard_of(self, leg: Leg) -> None:
        """Twilio said something about the leg's call, but not that it is over."""
        call_sid = leg.call.call_sid
        if call_sid in self._timers and not leg.on_other_twiml:
            self.for_lost(leg, holds_slot=call_sid not in self.absent)

    def found(self, call_sid: str) -> None:
        """The call is over, or it has a leg again: it is not waited for."""
        self.absent.discard(call_sid)
        for timer in self._timers.pop(call_sid, ()):
            timer.cancel()

    def _after(self, seconds: float, leg: Leg, then: Callable[[Leg], None]) -> None:
        timer = asyncio.get_running_loop().call_later(seconds, then, leg)
        self._timers.setdefault(leg.call.call_sid, []).append(timer)

    def _free_slot(self, leg: Leg) -> None:
        self.absent.add(leg.call.call_sid)
        self._on_slot_free(leg.call.call_sid)

    def _give_up(self, leg: Leg) -> None:
        self.found(leg.call.call_sid)
        self._on_over(leg)

    def _look_after(self, leg: Leg) -> None:
        """Twilio took the order, and is busy with it; or the call's line was lost before."""
        if leg.redirect_confirmed:
            leg.redirect_confirmed = False  # whoever hears of the call again sets it
            self._after(self.limits.transfer_s, leg, self._look_after)
        else:
            self.for_lost(leg, holds_slot=False)
