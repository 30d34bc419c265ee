"""Limits of outbound calls: how many at a time, and how soon the same number again."""

import logging
import math

from app.bridge.bus.bus import Bus, BusUnavailable
from app.bridge.dialling_rules import OutboundRefused

logger = logging.getLogger(__name__)

_NAME = "outbound"


def called_lately(repeat_s: float, wait_s: float) -> OutboundRefused:
    """The refusal of a number that was called less than `repeat_s` ago."""
    wait = math.ceil(wait_s)
    return OutboundRefused(
        409,
        "called lately",
        f"this number was called less than {repeat_s:g} s ago; try again in {wait} "
        "s, or lower OUTBOUND_REPEAT_SECONDS",
        wait,
    )


def too_many(calls: int) -> OutboundRefused:
    """The refusal of a call beyond OUTBOUND_MAX_CALLS."""
    return OutboundRefused(
        429,
        "too many calls",
        f"{calls} outbound calls are not over yet; try again when one is, or "
        "raise OUTBOUND_MAX_CALLS",
    )


def draining() -> OutboundRefused:
    """The refusal of a process that stops."""
    return OutboundRefused(
        503, "draining", "the service is shutting down; try again when it has restarted"
    )


class LimitsOfReplicas:
    """The limits over all replicas. `Outbound` has those of one process; without other replicas
    nothing is done here.

    A place is taken by a call's token until its SID is known, then by its SID, so that any replica
    that hears of the call's end can free it.

    Args:
        most_calls, repeat_s: see `Outbound`.
    """

    def __init__(self, bus: Bus, most_calls: int, repeat_s: float) -> None:
        self._bus = bus
        self._most_calls = most_calls
        self._repeat_s = repeat_s

    async def take(self, token: str, to: str, for_s: float) -> None:
        """Take a place for a call to this number. While Redis is away, the limits of this process
        are the only ones.

        Raises:
            OutboundRefused: the replicas together have reached a limit.
        """
        if not self._bus.shared:
            return
        try:
            if wait_s := await self._once(to):
                raise called_lately(self._repeat_s, wait_s)
            if not await self._bus.reserve(_NAME, token, self._most_calls, for_s):
                await self._bus.allow_again(_NAME, to)
                raise too_many(self._most_calls)
        except BusUnavailable as error:
            logger.warning("outbound limits of this process alone", extra={"reason": str(error)})
            self._bus.hold(_NAME, token, for_s)

    async def _once(self, to: str) -> float:
        return await self._bus.once(_NAME, to, self._repeat_s) if self._repeat_s else 0.0

    def refused(self, token: str, to: str) -> None:
        """Twilio refused the call: undo `take`."""
        if self._bus.shared:
            self._bus.unreserve(_NAME, token)
            self._bus.allow_again(_NAME, to)

    def named(self, token: str, call_sid: str, for_s: float) -> None:
        """Twilio named the SID of a call: it has the place, for `for_s` from now."""
        if self._bus.shared:
            self._bus.unreserve(_NAME, token)
            self._bus.hold(_NAME, call_sid, for_s)

    def answered(self, call_sid: str, for_s: float) -> None:
        """The callee answered: the call has its place for `for_s` from now."""
        if self._bus.shared:
            self._bus.hold(_NAME, call_sid, for_s)

    def left(self, call_sid: str) -> None:
        """The call goes on without this process: its place stays taken."""
        if self._bus.shared:
            self._bus.leave_place(_NAME, call_sid)

    def ended(self, call_sid: str) -> None:
        """A call has ended, which may be one of another replica, or none that was placed."""
        if self._bus.shared:
            self._bus.unreserve(_NAME, call_sid)
