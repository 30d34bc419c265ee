"""Timers of calls that have no running leg: when their slot is freed, and when they expire.

A lost stream does not end the call. The call ends when Twilio reports its end, or expires when
Twilio has reported nothing for ten minutes. Its slot in MAX_CALLS is freed long before.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from app.bridge.leg.leg import Leg
from app.bridge.softphone_line import SOFTPHONE
from app.wires.twilio.call import CallInfo


@dataclass(frozen=True, slots=True)
class ExpiryLimits:
    """Seconds from the end of the leg."""

    #: A call whose stream was lost counts as live for this long.
    slot_s: float = 30.0
    #: Then, if Twilio reports nothing about the call for this long, its record is closed.
    expire_s: float = 600.0
    #: The same for the call of a softphone, whose page opens another stream at once or never.
    softphone_s: float = 15.0
    #: A redirect that Twilio neither confirmed nor asked about counts as a lost stream after this.
    redirect_s: float = 120.0
    #: And a confirmed redirect after this. Twilio ends a <Dial> after four hours.
    transfer_s: float = 4.1 * 3600

    def expire_after_s(self, call: CallInfo) -> float:
        """When the record of this call is closed."""
        return self.softphone_s if call.direction == SOFTPHONE else self.expire_s

    def silence(self, call: CallInfo) -> str:
        """Why it is closed then, for the log."""
        if call.direction == SOFTPHONE:
            return f"the softphone did not come back within {self.softphone_s:g} s"
        return f"Twilio said nothing about the call for {self.expire_s / 60:g} min"


class Expiry:
    """One set of timers for each call.

    Args:
        on_slot_freed: called with a call SID: the call does not count as live any more.
        on_expired: called with the last leg of a call that Twilio reported nothing about: close it.
    """

    def __init__(
        self, on_slot_freed: Callable[[str], None], on_expired: Callable[[Leg], None]
    ) -> None:
        self.limits = ExpiryLimits()
        #: Calls that have not ended and do not count as live.
        self.without_slot: set[str] = set()
        self._on_slot_freed = on_slot_freed
        self._on_expired = on_expired
        self._timers: dict[str, list[asyncio.TimerHandle]] = {}

    def stream_lost(self, leg: Leg, *, holds_slot: bool = True) -> None:
        """Start the timers of a call whose stream was lost. `holds_slot`: False frees its slot at
        once."""
        call_sid, limits = leg.call.call_sid, self.limits
        self.cancel(call_sid)
        self._after(limits.slot_s if holds_slot else 0.0, leg, self._free_slot)
        self._after(limits.expire_after_s(leg.call), leg, self._expire)

    def redirected(self, leg: Leg) -> None:
        """Start the timer of a call that goes on with other TwiML."""
        self.cancel(leg.call.call_sid)
        self._after(self.limits.redirect_s, leg, self._check_redirect)

    def restart(self, leg: Leg) -> None:
        """Twilio reported a status of the call that is not terminal: `expire_s` starts again."""
        call_sid = leg.call.call_sid
        if call_sid in self._timers and not leg.on_other_twiml:
            self.stream_lost(leg, holds_slot=call_sid not in self.without_slot)

    def cancel(self, call_sid: str) -> None:
        """The call has ended, or has a leg again."""
        self.without_slot.discard(call_sid)
        for timer in self._timers.pop(call_sid, ()):
            timer.cancel()

    def _after(self, seconds: float, leg: Leg, then: Callable[[Leg], None]) -> None:
        timer = asyncio.get_running_loop().call_later(seconds, then, leg)
        self._timers.setdefault(leg.call.call_sid, []).append(timer)

    def _free_slot(self, leg: Leg) -> None:
        self.without_slot.add(leg.call.call_sid)
        self._on_slot_freed(leg.call.call_sid)

    def _expire(self, leg: Leg) -> None:
        self.cancel(leg.call.call_sid)
        self._on_expired(leg)

    def _check_redirect(self, leg: Leg) -> None:
        if leg.redirect.take_confirmation():  # a later request of Twilio's confirms it again
            self._after(self.limits.transfer_s, leg, self._check_redirect)
        else:  # Twilio never ran the TwiML: the stream may have been lost before
            self.stream_lost(leg, holds_slot=False)
