"""Calls whose next media stream may reach any replica, and what that one needs beyond the record.

The webhook announces the stream that its TwiML opens; the replica that gets the stream reads the
announcement from the bus. It tells as well how often the call's streams failed, because each
webhook may reach another replica.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

import msgspec

from app.bridge.bus.bus import Bus, BusUnavailable
from app.bridge.stream_retries import RetryLimits, StreamRetries
from app.call.events import STREAM_LOST, ResumeCause
from app.wires.twilio.call import CallInfo

#: An announcement is kept for so long after the ticket for its stream is expired.
KEPT_S = 90.0


@dataclass(frozen=True, slots=True)
class Announced:
    """A stream that Twilio is about to open."""

    call: CallInfo
    #: Where Twilio reaches this service.
    base_url: str = ""
    #: No leg of the call was opened before.
    is_new: bool = False
    #: Why the caller left the agent.
    resume_cause: ResumeCause = STREAM_LOST
    #: What the agent of an outbound call says first.
    greeting: str = field(default="", repr=False)
    #: The instructions of an outbound call's agent; empty: no outbound call, or already begun.
    instructions: str = field(default="", repr=False)
    #: Unix seconds at which the stream started; 0: it did not.
    started_s: float = 0.0
    #: Of `StreamRetries`, in Unix seconds.
    lost_s: tuple[float, ...] = ()
    failed_s: tuple[float, ...] = ()
    #: The replica that has the stream stops: that its stream ends is no failure.
    handed_over: bool = False


class Announcements:
    """The announcements of this process, shared with the other replicas by the bus.

    Args:
        on_freed: called when an announced call does not count any more.
        wall_clock: Unix seconds, the same for all replicas: they add to one count of failures.
    """

    def __init__(
        self, bus: Bus, on_freed: Callable[[], None], wall_clock: Callable[[], float] = time.time
    ) -> None:
        #: The calls that this process announced and that no stream has started yet, for as long as
        #: their tickets are good: they count in MAX_CALLS.
        self.call_sids: set[str] = set()
        self._bus = bus
        self._on_freed = on_freed
        self._wall_clock = wall_clock
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._kept: dict[str, tuple[float, Announced]] = {}  # for a bus that is away

    async def announce(self, announced: Announced, for_s: float) -> None:
        """Twilio gets TwiML that opens this stream. `for_s`: its ticket is good for so long."""
        call_sid = announced.call.call_sid
        before = await self.get(call_sid)
        if before is not None:
            announced = replace(
                announced,
                is_new=before.is_new,  # not after a leg was opened
                greeting=announced.greeting or before.greeting,
                instructions=announced.instructions or before.instructions,
                lost_s=before.lost_s,
                failed_s=before.failed_s,
            )
        self.free(call_sid)
        self.call_sids.add(call_sid)
        loop = asyncio.get_running_loop()
        self._timers[call_sid] = loop.call_later(for_s, self.free, call_sid)
        await self._put(announced, for_s)

    async def get(self, call_sid: str) -> Announced | None:
        """The last announcement of a call. While the bus is away, the last one of this process."""
        try:
            found = await self._bus.get(_key(call_sid))
        except BusUnavailable:
            found = None
        if found is not None:
            with suppress(msgspec.ValidationError):  # of another version
                return msgspec.convert(found, Announced)
        kept_until_s, announced = self._kept.get(call_sid, (0.0, None))
        return announced if kept_until_s > self._wall_clock() else None

    async def started(self, announced: Announced) -> None:
        """The stream has started on this replica."""
        self.free(announced.call.call_sid)
        begun = replace(
            announced,
            is_new=False,
            resume_cause=STREAM_LOST,
            greeting="",
            instructions="",
            started_s=self._wall_clock(),
            handed_over=False,
        )
        await self._put(begun)

    async def handed_over(self, call: CallInfo) -> None:
        """This replica stops, and is about to close the call's stream."""
        before = await self.get(call.call_sid) or Announced(call)
        await self._put(replace(before, handed_over=True))

    async def failed(self, call: CallInfo, limits: RetryLimits) -> int | None:
        """Twilio asks what follows a stream, and the call goes on: the last stream was lost, or
        never started. Returns the seconds to wait before the next one; None: give up."""
        now_s, before = self._wall_clock(), await self.get(call.call_sid)
        if before is not None and before.handed_over:
            await self._put(replace(before, started_s=0.0, handed_over=False))
            return 0
        carried_s = limits.works_s  # of a stream that nothing is known about any more
        if before is not None:
            carried_s = max(0.001, now_s - before.started_s) if before.started_s else 0.0
        before = before or Announced(call)
        retries = StreamRetries(limits, "", [*before.lost_s], [*before.failed_s])
        pause_s = retries.failed(now_s, carried_s)
        lost_s, failed_s = retries.times
        await self._put(replace(before, started_s=0.0, lost_s=lost_s, failed_s=failed_s))
        return pause_s

    def free(self, call_sid: str) -> None:
        """An announced call has a stream now, or has ended, or its ticket is expired."""
        if call_sid in self.call_sids:
            self._timers.pop(call_sid).cancel()
            self.call_sids.discard(call_sid)
            self._on_freed()

    async def _put(self, announced: Announced, for_s: float = 0.0) -> None:
        now_s, call_sid = self._wall_clock(), announced.call.call_sid
        for_s += KEPT_S
        for sid in [sid for sid, (until_s, _) in self._kept.items() if until_s <= now_s]:
            del self._kept[sid]
        self._kept[call_sid] = now_s + for_s, announced
        with suppress(BusUnavailable):
            await self._bus.put(_key(call_sid), msgspec.to_builtins(announced), for_s)

    def close(self) -> None:
        """Forget all of them."""
        for call_sid in [*self.call_sids]:
            self.free(call_sid)


def _key(call_sid: str) -> str:
    return f"call:{call_sid}"
