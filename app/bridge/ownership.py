"""Whether this process still has a call: asked before Twilio is ordered to do anything with it.

A process that hung for a while learns too late that another replica has adopted its calls. Until
then its timers fire, and its agents want to hang up.
"""

import asyncio

from app.bridge.bus.bus import BusUnavailable
from app.bridge.deadlines import within
from app.bridge.services import Services
from app.records.store import StoreUnavailable

ASK_S = 0.3  # for the record; then the bus is asked


async def still_ours(services: Services, call_sid: str) -> bool:
    """Whether no other replica has adopted a call. If one has, `Bus.on_adopted` is called.

    True without other replicas, and if neither the record nor the bus answers.
    """
    if not services.bus.shared:
        return True
    known = services.epochs.get(call_sid, 0)
    # Without an epoch the call was answered while the store was away: then the bus knows.
    newest = await _epoch_in_record(services, call_sid) if known else None
    if newest is None:
        newest = await _epoch_of_owner(services, call_sid)
    if newest <= max(known, services.bus.held_epoch(call_sid) or 0):
        return True
    services.bus.on_adopted(call_sid, newest)
    return False


async def _epoch_in_record(services: Services, call_sid: str) -> int | None:
    try:
        row = await within(ASK_S, services.store.get_call(call_sid))
    except (StoreUnavailable, TimeoutError):
        return None
    return row.epoch if row is not None else 0


async def _epoch_of_owner(services: Services, call_sid: str) -> int:
    try:
        owner = await asyncio.wait_for(services.bus.owner(call_sid), ASK_S)
    except (BusUnavailable, TimeoutError):
        return 0
    return owner.epoch if owner is not None else 0
