"""Hands the calls of a process that stops to other replicas.

Each call's media socket is closed, and its record stays open. Twilio then requests `<Connect
action>`, and the replica that gets the request goes on with the call from its record. A call on
other TwiML (a caller who talks with a human, a transfer, keys that Twilio plays) needs no process.
"""

import asyncio
from time import monotonic

from app.bridge.announcements import Announcements
from app.bridge.leg.leg import Leg
from app.bridge.legs import Legs
from app.records.store import Store

#: A leg with something under way gets this long to finish it: a goodbye, an announcement, a tool.
REST_S = 2.0
LOOK_S = 0.05
RELEASED_S = 1.0  # for the legs' tasks
WRITTEN_S = 1.0  # for the records; the replica that goes on reads them


async def hand_over(legs: Legs, announcements: Announcements, store: Store) -> None:
    """Hand over all calls: each at once if it is at rest, otherwise within `REST_S`."""
    until_s = monotonic() + REST_S
    while legs.live and monotonic() < until_s:
        await _leave([leg for leg in legs.live if leg.at_rest], announcements)
        await asyncio.sleep(LOOK_S)
    await _leave(legs.live, announcements)
    await legs.wait_ended(RELEASED_S)
    await store.flush(WRITTEN_S)


async def _leave(legs: list[Leg], announcements: Announcements) -> None:
    await asyncio.gather(*(announcements.handed_over(leg.call) for leg in legs))
    for leg in legs:
        leg.hand_over()


def leave_open(leg: Leg, *, others: bool) -> None:
    """The process ends, and the record of this call stays open: its leg is over, and Twilio may ask
    another process what follows. `others`: there are replicas, which carry an operator's orders
    out."""
    reason = "the service stops while the call's line is lost"
    if not leg.handed_over:
        leg.record_decision("record left open", reason)
    if not others:
        leg.orders.leave_out(reason)
