"""What a replica holds in Redis while it lives: its own entry, its calls, its places of limits.

One task renews all of it in one round trip, and writes what has changed.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf
from time import monotonic, time
from typing import Any

from app.bridge.bus.bus import LEASE_S, RENEW_S, BusUnavailable, OnAdopted
from app.bridge.bus.expiring import Expiring
from app.bridge.bus.link import PREFIX, Link, end, run_pipeline
from app.bridge.bus.scripts import (
    REGISTER_REPLICA,
    RELEASE_OWNERS,
    REMOVE_REPLICA,
    RENEW_OWNERS,
    RESERVE,
)

logger = logging.getLogger(__name__)

REPLICAS = f"{PREFIX}replicas"
#: While Redis is away it is asked this often.
PROBE_S = 0.5
LEASE_MS = round(LEASE_S * 1000)


def owner_key(call_sid: str) -> str:
    """Where the owner of a call is: its replica and its epoch."""
    return f"{PREFIX}owner:{call_sid}"


def replica_key(replica: str) -> str:
    """Where the entry of a replica is: JSON."""
    return f"{PREFIX}replica:{replica}"


def places_key(name: str) -> str:
    """Where the places of a limit are taken."""
    return f"{PREFIX}places:{name}"


class Leases:
    """The leases of one replica. `start` and `close` them.

    Args:
        entry: what others see of this replica, as JSON.
        on_lost: called with a call that has another owner of the same or a higher epoch.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        link: Link,
        replica: str,
        entry: Callable[[], dict[str, Any]],
        on_lost: OnAdopted,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        #: Called when this replica is registered for the first time.
        self.on_registered: Callable[[], Awaitable[None]] | None = None
        self._link = link
        self._replica = replica
        self._entry = entry
        self._on_lost = on_lost
        self._clock = clock
        self._owned: dict[str, int] = {}  # epochs by call SID
        self._claims: set[str] = set()  # those of them that are not registered yet
        self._released: set[str] = set()
        self._places = Expiring[None](clock)  # by name and key
        self._unwritten: dict[tuple[str, str], float | None] = {}  # seconds; None: freed
        self._forgotten: set[str] = set()  # keys to delete
        self._changed = asyncio.Event()
        self._waiters: list[asyncio.Future[None]] = []
        self._offset_ms = (time() - clock()) * 1000
        self._renewed_s = -inf
        self._task: asyncio.Task[None] | None = None
        link.on_away = self._changed.set
        link.on_back = self._write_again

    @property
    def now_ms(self) -> float:
        """The time by Redis' clock, which all replicas share."""
        return self._clock() * 1000 + self._offset_ms

    @property
    def renewed(self) -> bool:
        """Whether all leases were renewed less than `LEASE_S` ago."""
        return self._clock() - self._renewed_s < LEASE_S

    # --- what is held ---

    def own(self, call_sid: str, epoch: int) -> None:
        """Hold a call."""
        if self._owned.get(call_sid) != epoch:
            self._claims.add(call_sid)
        self._owned[call_sid] = epoch
        self._released.discard(call_sid)
        self._changed.set()

    def epoch(self, call_sid: str) -> int | None:
        """The epoch of a call that this replica holds; None: it does not."""
        return self._owned.get(call_sid)

    def claims(self, call_sid: str) -> bool:
        """Whether it holds a call, and Redis does not know it yet."""
        return call_sid in self._claims

    def disown(self, call_sid: str) -> Awaitable[None]:
        """Give a call up."""
        if self._owned.pop(call_sid, None) is not None:
            self._claims.discard(call_sid)
            self._released.add(call_sid)
        return self.written()

    def place_taken(self, name: str, key: str, for_s: float) -> None:
        """This replica has a place, and takes it anew if Redis loses it."""
        place = f"{name}\n{key}"
        self._places.put(place, None, max(for_s, self._places.left_s(place)))
        self._unwritten.pop((name, key), None)

    def hold(self, name: str, key: str, for_s: float) -> Awaitable[None]:
        """Keep a place, or take one more."""
        self.place_taken(name, key, for_s)
        self._unwritten[name, key] = self._places.left_s(f"{name}\n{key}")
        return self.written()

    def free(self, name: str, key: str) -> Awaitable[None]:
        """Free a place, also one that another replica took."""
        self._places.remove(f"{name}\n{key}")
        self._unwritten[name, key] = None
        return self.written()

    def leave_place(self, name: str, key: str) -> None:
        """Another replica may keep a place."""
        self._places.remove(f"{name}\n{key}")

    def forget(self, key: str) -> Awaitable[None]:
        """Delete a key of Redis."""
        self._forgotten.add(key)
        return self.written()

    def changed(self) -> None:
        """The entry of this replica has changed."""
        self._changed.set()

    def written(self) -> Awaitable[None]:
        """Write what has changed; done when it is written, or Redis is away."""
        self._changed.set()
        future = asyncio.get_running_loop().create_future()
        if self._task is None:
            future.set_result(None)
        else:
            self._waiters.append(future)
        return future

    # --- the task ---

    async def start(self) -> None:
        """Register this replica, and renew from now on. If Redis is away, that is done later."""
        await self._round()
        self._task = asyncio.create_task(self._renew(), name="leases")

    async def _renew(self) -> None:
        while True:
            if self._link.available and self.on_registered is not None:
                registered, self.on_registered = self.on_registered, None
                await registered()
            if self._link.available:
                with suppress(TimeoutError):
                    async with asyncio.timeout(RENEW_S):
                        await self._changed.wait()
            else:  # what changes meanwhile is no reason to ask more often
                await asyncio.sleep(PROBE_S)
            self._changed.clear()
            await self._round()

    async def _round(self) -> None:
        waiters, self._waiters = self._waiters, []
        try:
            await self._write()
        except BusUnavailable:
            pass
        except Exception as error:
            logger.error("leases were not renewed", exc_info=error)
        finally:
            for each in waiters:
                if not each.done():
                    each.set_result(None)

    async def _write(self) -> None:
        owned, claims = [*self._owned.items()], {*self._claims}
        released, forgotten = {*self._released}, {*self._forgotten}
        places = dict(self._unwritten)

        def fill(pipeline: Any) -> None:
            entry = json.dumps(self._entry())
            keys = (replica_key(self._replica), REPLICAS)
            pipeline.eval(REGISTER_REPLICA, 2, *keys, self._replica, entry, LEASE_MS)
            epochs = [part for sid, epoch in owned for part in (epoch, int(sid in claims))]
            sids = [owner_key(sid) for sid, _ in owned]
            pipeline.eval(RENEW_OWNERS, len(sids), *sids, self._replica, LEASE_MS, *epochs)
            if released:
                freed = [owner_key(sid) for sid in released]
                pipeline.eval(RELEASE_OWNERS, len(freed), *freed, self._replica)
            if forgotten:
                pipeline.delete(*forgotten)
            for (name, key), for_s in places.items():
                if for_s is None:
                    pipeline.zrem(places_key(name), key)
                else:
                    place_ms = max(1, round(for_s * 1000))
                    pipeline.eval(RESERVE, 1, places_key(name), key, -1, place_ms)

        before_s, was_available = self._clock(), self._link.available
        answers = await self._link.probe(lambda client: run_pipeline(client, fill))
        now_ms, was_there = answers[0]
        self._offset_ms = now_ms - (before_s + self._clock()) * 500
        if was_available and not was_there and before_s - self._renewed_s < LEASE_S:
            self._link.has_lost_data()
        self._renewed_s = before_s
        self._claims -= {sid for sid, epoch in owned if self._owned.get(sid) == epoch}
        self._released -= released
        self._forgotten -= forgotten
        for place, for_s in places.items():
            if self._unwritten.get(place, 0.0) == for_s:
                del self._unwritten[place]
        lost = answers[1]
        for position, epoch in zip(lost[::2], lost[1::2], strict=True):
            sid, ours = owned[position - 1]
            if self._owned.get(sid) == ours:
                del self._owned[sid]
                self._on_lost(sid, epoch)

    def _write_again(self) -> None:
        """Redis is back, and may have lost everything."""
        for place, left_s in self._places.items_left():
            name, _, key = place.partition("\n")
            self._unwritten.setdefault((name, key), left_s)
        self._changed.set()

    async def close(self) -> None:
        """Give up everything but the places: their calls may go on elsewhere."""
        if self._task is None:
            return
        await end(self._task)
        self._task = None
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        owned = [owner_key(sid) for sid in {*self._owned, *self._released}]

        def fill(pipeline: Any) -> None:
            keys = (replica_key(self._replica), REPLICAS)
            pipeline.eval(REMOVE_REPLICA, 2, *keys, self._replica)
            pipeline.eval(RELEASE_OWNERS, len(owned), *owned, self._replica)

        with suppress(BusUnavailable):
            await self._link.request(lambda client: run_pipeline(client, fill))
