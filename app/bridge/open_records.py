"""Records that stay open though their call is over, or never began: they are closed in the end.

The replica that had the call died, or no stream of the call ever came, and Twilio's last word about
it reached no one, or came while the database was away. Such a record does not change any more, and
no replica has its call.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import monotonic

from app.bridge.bus.bus import BusUnavailable
from app.bridge.deadlines import within
from app.bridge.services import Services
from app.bridge.switchboard import Switchboard
from app.call.exits.attempts import RINGING, TALKING
from app.records.store import StoreUnavailable
from app.records.stored_records import OpenRecord
from app.wires.twilio.call import TERMINAL, CallStatus

logger = logging.getLogger(__name__)

LOOK_S = 30.0
STORE_S = 2.0
#: The record of a call that Twilio says is over: its owner needs a moment to write it.
OVER_S = 60.0
#: Records that were closed by none for longer than this are left.
OLDEST = timedelta(days=2)
MOST_CALLS = 500


class OpenRecords:
    """Looks for them in the database. `start` it, and `aclose` it.

    Args:
        clock: monotonic seconds.
    """

    def __init__(
        self,
        services: Services,
        switchboard: Switchboard,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._services = services
        self._switchboard = switchboard
        self._clock = clock
        # By call SID: the revision of its record, and since when no replica has had the call and
        # the record has not changed.
        self._seen: dict[str, tuple[int, float]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look now and then, until `aclose`."""
        self._task = asyncio.create_task(self._watch(), name="open records")

    async def aclose(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
            except (StoreUnavailable, BusUnavailable, TimeoutError):
                self._seen.clear()  # an owner may write nothing, and hold no lease, meanwhile
            except Exception as error:  # the watch goes on, whatever one record holds
                logger.error("look for open records failed", exc_info=error)

    async def look(self) -> None:
        """Look once, and close what is due.

        Raises:
            BusUnavailable, StoreUnavailable, TimeoutError: nothing can be known now.
        """
        since = datetime.now(UTC) - OLDEST
        found = await within(STORE_S, self._services.store.open_records(since, MOST_CALLS))
        others = {
            each.call_sid: each for each in found if not self._switchboard.is_live(each.call_sid)
        }
        owned = await self._services.bus.owners([*others])
        now_s, seen = self._clock(), dict[str, tuple[int, float]]()
        for call_sid, record in others.items():
            if call_sid in owned:
                continue
            revision, since_s = self._seen.get(call_sid, (record.revision, now_s))
            if revision != record.revision:
                since_s = now_s
            seen[call_sid] = record.revision, since_s
            if now_s - since_s >= self._longest_s(record):
                await self._close(record, now_s - since_s)
        self._seen = seen

    def _longest_s(self, record: OpenRecord) -> float:
        """For how long the record of a live call may stay the same without an owner."""
        limits = self._switchboard.expiry.limits
        if record.status in TERMINAL:
            return OVER_S
        last = record.transfers[-1] if record.transfers else {}
        talks = last.get("outcome") in (RINGING, TALKING)
        # Without leases another process may have the call: not for longer than any call lasts.
        unknown = not self._services.bus.shared and record.status == "in-progress"
        return limits.transfer_s if talks or unknown else limits.expire_s

    async def _close(self, record: OpenRecord, quiet_s: float) -> None:
        call_sid = record.call_sid
        if await self._services.bus.once("closed", call_sid, OVER_S):
            return  # another replica does it, or this one
        what = (
            "Twilio said that the call is over"
            if record.status in TERMINAL
            else ("Twilio said nothing about the call")
        )
        reason = f"{what}, and no replica has had it for {quiet_s / 60:.0f} min"
        ended_by = "" if record.started_at or record.status in TERMINAL else "unclaimed"
        self._switchboard.without_leg.close_record(
            call_sid, _end_of(record), reason=reason, ended_by=ended_by
        )


def _end_of(record: OpenRecord) -> CallStatus:
    """The status with which a record is closed that Twilio reported none for."""
    if record.status in TERMINAL:
        return record.status
    answered = record.started_at is not None or not record.direction.startswith("outbound")
    return "completed" if answered else "no-answer"
