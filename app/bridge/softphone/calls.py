"""The calls of softphones between two streams: ringing at a human, talking with one, or ended.

Twilio times how long a phone rings, and reports when a caller hangs up. For a softphone both are
done here, by the replica that its page asked last. `Transfers` decides, as for a phone call.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

from app.bridge.bus.bus import BusUnavailable
from app.bridge.services import Services
from app.bridge.softphone.following import Following, following
from app.bridge.softphone_line import CALLER, SOFTPHONE
from app.bridge.switchboard import Switchboard
from app.bridge.tasks import Tasks
from app.bridge.tickets import TICKET_S
from app.bridge.transfers.transfers import Transfers
from app.call.events import StreamEnded
from app.call.exits.attempts import RINGING, TALKING
from app.records.store import StoreUnavailable
from app.wires.twilio.call import CallInfo
from app.wires.twilio.dial_ended import DialEnded

logger = logging.getLogger(__name__)

STREAM_S = TICKET_S + 5.0  # for the page to open a stream that another replica would take
STORE_AGAIN_S = 5.0  # between two tries while the database is away

Work = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class SoftphoneLimits:
    """What a page is waited for."""

    #: While caller and human talk, the page asks every 15 s; one that does not was closed.
    seen_s: float = 45.0
    #: Real seconds per second that a destination rings.
    ring_scale: float = 1.0


class SoftphoneCalls:
    """What follows the streams of softphones' calls. `aclose` it before `Transfers`.

    Sets what `Services.softphone` calls when it carries an order out.
    """

    def __init__(self, services: Services, switchboard: Switchboard, transfers: Transfers) -> None:
        self.limits = SoftphoneLimits()
        self._services = services
        self._bus = services.bus
        self._switchboard = switchboard
        self._transfers = transfers
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._ringing: dict[str, int] = {}  # the attempt that a timer waits for
        self._talking_since_s: dict[str, float] = {}
        self._tasks = Tasks()
        services.softphone.on_redirected = self._redirected
        services.softphone.on_hung_up = self._hung_up
        switchboard.on_call_ended.append(self._forget)

    def call(self, call_sid: str) -> CallInfo:
        """A softphone's call, as Twilio would describe it."""
        number = self._services.phone_number
        return CallInfo(call_sid, direction=SOFTPHONE, from_number=CALLER, to_number=number)

    # --- orders ---------------------------------------------------------------------------------

    def _redirected(self, call_sid: str, twiml: str) -> None:
        """The call leaves its stream for other TwiML: the service closes the stream. Then the page
        asks what follows."""
        leg = self._switchboard.leg(call_sid)
        if leg is not None and not leg.over:
            self._after(call_sid, following(twiml), leg.base_url)
            ended = StreamEnded("the softphone's call goes on without the stream")
            asyncio.get_running_loop().call_soon(leg.feed, ended)

    def _hung_up(self, call_sid: str) -> None:
        self._switchboard.ended(call_sid, "completed")
        self._forget(call_sid)

    # --- what follows ---------------------------------------------------------------------------

    async def seen(self, call_sid: str) -> None:
        """The page asked about this call: it is open."""
        with suppress(BusUnavailable):
            await self._bus.put(f"softphone:{call_sid}", {}, self.limits.seen_s - 5.0)

    def follow(self, call_sid: str, twiml: str, base_url: str) -> Following:
        """The page gets this TwiML: watch that it does what follows."""
        found = following(twiml)
        self._after(call_sid, found, base_url)
        return found

    def talks(self, call_sid: str, number: int, base_url: str) -> None:
        """The page shows the call with a human: they talk until it says otherwise, or is closed."""
        self._ringing.pop(call_sid, None)
        self._talking_since_s.setdefault(call_sid, monotonic())
        self._wait(
            call_sid, self.limits.seen_s, partial(self._page_gone, call_sid, number, base_url)
        )

    def talked_s(self, call_sid: str) -> float | None:
        """How long caller and human have talked; None: another replica may know."""
        since_s = self._talking_since_s.get(call_sid)
        return monotonic() - since_s if since_s is not None else None

    def _after(self, call_sid: str, found: Following, base_url: str) -> None:
        if found.attempt is not None:
            if self._ringing.get(call_sid) != found.attempt:
                self._ringing[call_sid] = found.attempt
                work = partial(self._unanswered, call_sid, found.attempt, base_url)
                self._wait(call_sid, found.ring_s * self.limits.ring_scale, work)
        elif found.ticket and self._bus.shared:
            self._cancel(call_sid)
            for_s = STREAM_S + found.pause_s + len(found.digits)
            self._wait(call_sid, for_s, partial(self._unopened, call_sid))
        elif found.again is None:
            self._cancel(call_sid)

    async def _unanswered(self, call_sid: str, number: int, base_url: str) -> None:
        """It rang for long enough."""
        self._ringing.pop(call_sid, None)
        record = await self._transfers.record(call_sid, number)
        if record is None or record["outcome"] != RINGING:
            return
        end = DialEnded("no-answer", bridged=False, seconds=None, caller_gone=False)
        twiml = await self._transfers.next_twiml(
            "ended", self.call(call_sid), number, base_url, end
        )
        self._after(call_sid, following(twiml), base_url)

    async def _page_gone(self, call_sid: str, number: int, base_url: str) -> None:
        """The page did not ask again while the caller talked with the human: both are gone."""
        record = await self._transfers.record(call_sid, number)
        if record is None or record["outcome"] != TALKING or await self._was_seen(call_sid):
            return
        end = DialEnded("completed", True, self.talked_s(call_sid), caller_gone=True)
        await self._transfers.next_twiml("ended", self.call(call_sid), number, base_url, end)

    async def _was_seen(self, call_sid: str) -> bool:
        """Whether the page asked another replica lately."""
        if not self._bus.shared:
            return False
        with suppress(BusUnavailable):
            return await self._bus.get(f"softphone:{call_sid}") is not None
        return True

    async def _unopened(self, call_sid: str) -> None:
        """The page did not open the stream that any replica would have taken."""
        with suppress(BusUnavailable):
            if await self._bus.owner(call_sid) is None:
                self._switchboard.ended(call_sid, "completed")

    # --- timers ---------------------------------------------------------------------------------

    def _wait(self, call_sid: str, for_s: float, work: Work) -> None:
        if (before := self._timers.pop(call_sid, None)) is not None:
            before.cancel()
        start = partial(self._start, call_sid, work)
        self._timers[call_sid] = asyncio.get_running_loop().call_later(for_s, start)

    def _start(self, call_sid: str, work: Work) -> None:
        self._timers.pop(call_sid, None)
        self._tasks.start(self._run(call_sid, work))

    async def _run(self, call_sid: str, work: Work) -> None:
        try:
            await work()
        except StoreUnavailable:
            self._wait(call_sid, STORE_AGAIN_S, work)
        except Exception as error:  # the boundary of one call
            logger.error("softphone's call failed", exc_info=error, extra={"call_sid": call_sid})

    def _cancel(self, call_sid: str) -> None:
        self._ringing.pop(call_sid, None)
        self._talking_since_s.pop(call_sid, None)
        if (timer := self._timers.pop(call_sid, None)) is not None:
            timer.cancel()

    def _forget(self, call_sid: str) -> None:
        self._cancel(call_sid)

    async def aclose(self) -> None:
        """Wait for nothing more."""
        for call_sid in [*self._timers]:
            self._cancel(call_sid)
        await self._tasks.aclose()
