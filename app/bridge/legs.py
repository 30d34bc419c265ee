"""The legs that this process runs: each in a task of its own, found by the SID of its call."""

import asyncio
import logging
from collections.abc import Callable

from app.bridge.leg.leg import Leg
from app.call.events import HangUpRequested, StreamEnded

logger = logging.getLogger(__name__)

RELEASE_S = 1.0


class Legs:
    """Running legs, and the last leg of each call that goes on without a running one.

    Args:
        on_ended: called with each leg whose task has ended.
    """

    def __init__(self, on_ended: Callable[[Leg], None]) -> None:
        self._on_ended = on_ended
        self._running: dict[asyncio.Task[None], Leg] = {}
        self._last: dict[str, Leg] = {}

    @property
    def call_sids(self) -> set[str]:
        """All calls of this process that have not ended."""
        return {leg.call.call_sid for leg in self._running.values()} | self._last.keys()

    def last(self, call_sid: str) -> Leg | None:
        """The leg of a call that was started last; None after `forget`."""
        return self._last.get(call_sid)

    @property
    def live(self) -> list[Leg]:
        """The legs that are not over."""
        return [leg for leg in self._running.values() if not leg.over]

    def is_running(self, leg: Leg) -> bool:
        return leg in self._running.values()

    def runs_one_of(self, call_sid: str) -> bool:
        """Whether a leg of this call is running, the last one or an earlier one."""
        return any(leg.call.call_sid == call_sid for leg in self._running.values())

    def start(self, leg: Leg) -> None:
        """Begin and run a new leg, which becomes the last one of its call."""
        leg.begin()
        task = asyncio.create_task(leg.run(), name=f"leg {leg.call.call_sid}")
        self._running[task] = self._last[leg.call.call_sid] = leg
        task.add_done_callback(self._done)

    def forget(self, call_sid: str) -> bool:
        """The call has ended, or another process may take it over. Returns whether it was known."""
        return self._last.pop(call_sid, None) is not None

    def _done(self, task: asyncio.Task[None]) -> None:
        leg = self._running.pop(task)
        if not task.cancelled() and (error := task.exception()):
            extra = {"call_sid": leg.call.call_sid}
            logger.error("leg failed at its end", exc_info=error, extra=extra)
        self._on_ended(leg)

    async def wait_ended(self, within_s: float) -> None:
        """Wait for the tasks of all legs, which are over."""
        if self._running:
            await asyncio.wait(self._running, timeout=within_s)

    async def stop(self, within_s: float) -> list[Leg]:
        """Hang up, and wait up to `within_s` for the legs to end; then end the rest. Returns the
        last legs of calls that have not ended."""
        for leg in self._running.values():
            leg.feed(HangUpRequested("shutdown"))
        if self._running:
            await asyncio.wait(self._running, timeout=within_s)
        if self._running:
            for leg in self._running.values():  # a leg that resumed meanwhile was not hung up
                leg.feed(StreamEnded("shutdown", lost=not leg.leaving))
            await asyncio.wait(self._running, timeout=RELEASE_S)
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)
        return list(self._last.values())
