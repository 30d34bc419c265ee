"""Hands the calls of a process that stops to other replicas.

Each call's media socket is closed, and its record stays open. Twilio then requests `<Connect
action>`, and the replica that gets the request goes on with the call from its record. A call on
other TwiML (a caller who talks with a human, a transfer, keys that Twilio plays) needs no process.
"""

import asyncio
from time import monotonic

from app.bridge.leg.leg import Leg
from app.bridge.legs import Legs
from app.bridge.services import Services
from app.bridge.streams import Streams
from app.call.events import StreamEnded

#: A leg with something under way gets this long to finish it: a goodbye, an announcement, a tool.
REST_S = 2.0
LOOK_S = 0.05
RELEASED_S = 1.0  # for the legs' tasks
WRITTEN_S = 1.0  # for the records; the replica that goes on reads them
REASON = "this replica stops, and another one goes on with the call"


async def hand_over(legs: Legs, streams: Streams, services: Services) -> None:
    """Hand over all calls: each at once if it is at rest, otherwise within `REST_S`.

    Does nothing if no other replica is ready. While Redis is away that is not known, and one is
    taken to be ready.
    """
    bus = services.bus
    if bus.available and not await bus.others_ready():
        return
    streams.handing_over = True
    until_s = monotonic() + REST_S
    while legs.live and monotonic() < until_s:
        await _leave([leg for leg in legs.live if leg.at_rest], streams)
        await asyncio.sleep(LOOK_S)
    await _leave(legs.live, streams)
    await legs.wait_ended(RELEASED_S)
    await services.store.flush(WRITTEN_S)


async def _leave(legs: list[Leg], streams: Streams) -> None:
    """End legs: their sockets are closed, and their records stay open."""
    await asyncio.gather(*(streams.announcements.handed_over(leg.call) for leg in legs))
    for leg in legs:
        leg.handed_over = not leg.over
        leg.feed(StreamEnded(REASON, lost=True))


def leave_open(leg: Leg, *, others: bool) -> None:
    """The process ends, and the record of this call stays open: its leg is over, and Twilio may ask
    another process what follows. `others`: there are replicas, which carry an operator's orders
    out."""
    reason = "the service stops while the call's line is lost"
    if not leg.handed_over:
        leg.record_decision("record left open", reason)
    if not others:
        leg.orders.leave_out(reason)
