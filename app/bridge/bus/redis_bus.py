"""The bus of several replicas, in Redis. Every key and every channel begins with `phone-agent:`."""

import asyncio
import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from time import monotonic
from typing import Any

from app.bridge.bus.bus import (
    BusUnavailable,
    Message,
    OnAdopted,
    OnNews,
    OnOrder,
    OnRequest,
    Owner,
    ignore_adoption,
    ignore_news,
    no_calls,
)
from app.bridge.bus.fingerprints import differing, fingerprints
from app.bridge.bus.leases import REPLICAS, Leases, owner_key, places_key, replica_key
from app.bridge.bus.link import PREFIX, Link
from app.bridge.bus.orders import Orders, channel
from app.bridge.bus.scripts import ONCE, RESERVE
from app.bridge.bus.subscription import Subscription
from app.config.redis_url import RedisAddress

logger = logging.getLogger(__name__)

EVERY_REPLICA = f"{PREFIX}to-all"


class RedisBus:
    """The `Bus` of a process with REDIS_URL. Open it with `RedisBus.open`."""

    shared = True

    def __init__(
        self,
        link: Link,
        url: str,
        keys: Mapping[str, str],
        clock: Callable[[], float],
        place: str = "",
    ) -> None:
        self.place = place
        self.replica = secrets.token_hex(6)
        self.on_adopted: OnAdopted = ignore_adoption
        self.on_news: OnNews = ignore_news
        self.count_calls = no_calls
        self._link = link
        self._url = url
        self._keys = keys
        self._ready = False
        self._leases = Leases(link, self.replica, self._entry, self._call_lost, clock)
        self._leases.on_registered = self._warn_of_other_keys
        self._orders = Orders(link, self._leases, self.replica, self.owner, clock)
        channels = (channel(self.replica), EVERY_REPLICA)
        self._subscription = Subscription(link, channels, self._take)

    @classmethod
    async def open(
        cls,
        address: RedisAddress,
        url: str = "",
        keys: Mapping[str, str] | None = None,
        clock: Callable[[], float] = monotonic,
        *,
        place: str = "",
    ) -> "RedisBus":
        """Join the replicas. If Redis is away, that is done when it comes.

        Args:
            url: REPLICA_URL, for the others to see.
            keys: secrets by their variables, which every replica must have.
            clock: monotonic seconds.
            place: see `Bus.place`.

        Raises:
            ConfigError: Redis refuses the credentials or the database number, or TLS fails.
        """
        link = Link(address, clock)
        try:
            await link.check()
            hidden = await asyncio.to_thread(fingerprints, keys or {})
            bus = cls(link, url, hidden, clock, place)
        except BaseException:
            await link.close()
            raise
        try:
            await bus.start()
        except BaseException:
            await bus.aclose()
            raise
        return bus

    async def start(self) -> None:
        """Join the replicas. `open` does that."""
        self._subscription.start()
        await self._leases.start()

    @property
    def available(self) -> bool:
        return self._link.available

    @property
    def steady_s(self) -> float:
        return self._link.steady_s

    @property
    def renewed(self) -> bool:
        return self._leases.renewed

    @property
    def now_s(self) -> float:
        return self._leases.now_ms / 1000

    # --- tickets and messages ---

    async def spend(self, ticket: str, for_s: float) -> bool:
        return not await self._once(f"{PREFIX}ticket:{_hidden(ticket)}", for_s)

    async def put(self, key: str, value: Message, for_s: float) -> None:
        text = json.dumps(value)
        await self._link.request(lambda client: client.set(PREFIX + key, text, px=_ms(for_s)))

    async def get(self, key: str) -> Message | None:
        text = await self._link.request(lambda client: client.get(PREFIX + key))
        value: Message | None = json.loads(text) if text is not None else None
        return value

    # --- owners of calls ---

    def own(self, call_sid: str, epoch: int) -> None:
        self._leases.own(call_sid, epoch)

    def held_epoch(self, call_sid: str) -> int | None:
        return self._leases.epoch(call_sid)

    def disown(self, call_sid: str) -> Awaitable[None]:
        return self._leases.disown(call_sid)

    async def owner(self, call_sid: str) -> Owner | None:
        return (await self.owners([call_sid])).get(call_sid)

    async def owners(self, call_sids: Sequence[str]) -> dict[str, Owner]:
        if not call_sids:
            return {}
        keys = [owner_key(sid) for sid in call_sids]
        ours = {sid: own for sid in call_sids if (own := self._own(sid)) is not None}
        try:
            texts = await self._link.request(lambda client: client.mget(keys))
        except BusUnavailable:
            if len(ours) < len(call_sids):
                raise
            return ours
        found = {
            sid: Owner(text.partition(" ")[0], int(text.partition(" ")[2]))
            for sid, text in zip(call_sids, texts, strict=True)
            if text is not None
        }
        found |= {sid: own for sid, own in ours.items() if self._leases.claims(sid)}
        if len(found) < len(call_sids) and not self._link.settled:
            raise BusUnavailable("Redis was away, and owners of calls register anew; try again")
        return found

    def _own(self, call_sid: str) -> Owner | None:
        epoch = self._leases.epoch(call_sid)
        return Owner(self.replica, epoch) if epoch is not None else None

    @property
    def on_order(self) -> OnOrder:
        """See `Bus.on_order`."""
        return self._orders.on_order

    @on_order.setter
    def on_order(self, on_order: OnOrder) -> None:
        self._orders.on_order = on_order

    async def ask(self, call_sid: str, order: Message, within_s: float = 3.0) -> Message:
        return await self._orders.ask(call_sid, order, within_s)

    @property
    def on_request(self) -> OnRequest:
        """See `Bus.on_request`."""
        return self._orders.on_request

    @on_request.setter
    def on_request(self, on_request: OnRequest) -> None:
        self._orders.on_request = on_request

    async def replicas(self) -> dict[str, str]:
        entries = await self._others()
        return {replica: entry.get("place", "") for replica, entry in entries.items()}

    async def ask_replica(self, replica: str, request: Message, within_s: float) -> Message:
        return await self._orders.ask_replica(replica, request, within_s)

    async def tell(self, replica: str, news: Message) -> None:
        text = json.dumps({"news": news, "from": self.replica})
        await self._link.request(lambda client: client.publish(channel(replica), text))

    async def announce(self, call_sid: str, epoch: int) -> None:
        text = json.dumps({"adopted": call_sid, "epoch": epoch, "from": self.replica})
        with suppress(BusUnavailable):
            await self._link.request(lambda client: client.publish(EVERY_REPLICA, text))

    def _take(self, message: dict[str, Any]) -> None:
        if "news" in message:
            self.on_news(message["from"], message["news"])
        elif "adopted" not in message:
            self._orders.take(message)
        elif message["from"] != self.replica:
            self.on_adopted(message["adopted"], message["epoch"])

    def _call_lost(self, call_sid: str, epoch: int) -> None:
        logger.warning("another replica has the call", extra={"call_sid": call_sid, "epoch": epoch})
        self.on_adopted(call_sid, epoch)

    # --- replicas ---

    def ready(self, ready: bool) -> None:
        self._ready = ready
        self._leases.changed()

    async def others_ready(self) -> bool:
        with suppress(BusUnavailable):
            return any(entry["ready"] for entry in (await self._others()).values())
        return False

    async def differing_keys(self) -> list[str]:
        with suppress(BusUnavailable):
            return [
                f"replica {replica} {entry['url']}".rstrip() + f": {', '.join(names)}"
                for replica, entry in (await self._others()).items()
                if (names := differing(self._keys, entry["keys"]))
            ]
        return []

    def _entry(self) -> dict[str, Any]:
        """What the others see of this replica."""
        return {
            "ready": self._ready,
            "calls": self.count_calls(),
            "url": self._url,
            "place": self.place,
            "keys": self._keys,
        }

    async def _others(self) -> dict[str, dict[str, Any]]:
        listed = await self._link.request(lambda client: client.zrange(REPLICAS, 0, -1))
        others = [each for each in listed if each != self.replica]
        if not others:
            return {}
        keys = [replica_key(each) for each in others]
        entries = await self._link.request(lambda client: client.mget(keys))
        found = zip(others, entries, strict=True)
        return {replica: json.loads(text) for replica, text in found if text is not None}

    async def _warn_of_other_keys(self) -> None:
        for each in await self.differing_keys():
            fix = "give all replicas the same values, and restart this one"
            logger.warning("secrets of replicas differ", extra={"reason": each, "fix": fix})

    # --- limits over all replicas ---

    async def reserve(self, name: str, key: str, most: int, for_s: float) -> bool:
        taken = await self._link.request(
            lambda client: client.eval(RESERVE, 1, places_key(name), key, most, _ms(for_s))
        )
        if taken:
            self._leases.place_taken(name, key, for_s)
        return bool(taken)

    def hold(self, name: str, key: str, for_s: float) -> Awaitable[None]:
        return self._leases.hold(name, key, for_s)

    def unreserve(self, name: str, key: str) -> Awaitable[None]:
        return self._leases.free(name, key)

    def leave_place(self, name: str, key: str) -> None:
        self._leases.leave_place(name, key)

    async def once(self, name: str, key: str, for_s: float) -> float:
        return await self._once(_once_key(name, key), for_s)

    def allow_again(self, name: str, key: str) -> Awaitable[None]:
        return self._leases.forget(_once_key(name, key))

    async def _once(self, key: str, for_s: float) -> float:
        request = secrets.token_hex(8)
        left_ms = await self._link.request(
            lambda client: client.eval(ONCE, 1, key, request, _ms(for_s))
        )
        return float(left_ms) / 1000

    async def aclose(self) -> None:
        await self._subscription.close()
        await self._orders.close()
        await self._leases.close()
        await self._link.close()


def _ms(seconds: float) -> int:
    """At least one: Redis takes no 0."""
    return max(1, round(seconds * 1000))


def _hidden(text: str) -> str:
    """A text that Redis need not know: a ticket, a telephone number."""
    return blake2b(text.encode(), digest_size=16, person=b"phone-agent").hexdigest()


def _once_key(name: str, key: str) -> str:
    return f"{PREFIX}once:{name}:{_hidden(key)}"
