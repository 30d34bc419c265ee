"""The bus of one process: everything in its memory, without a task or a socket."""

import math
import secrets
from collections.abc import Callable, Generator, Sequence
from time import monotonic, time

from app.bridge.bus.bus import (
    Message,
    NoAnswer,
    NoOwner,
    OnAdopted,
    OnNews,
    OnOrder,
    OnRequest,
    Owner,
    ignore_adoption,
    ignore_news,
    no_calls,
    refuse_order,
    refuse_request,
)
from app.bridge.bus.expiring import Expiring


class Done:
    """An awaitable that is done already, so that nothing has to be awaited."""

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


DONE = Done()


class LocalBus:
    """The `Bus` of a process without REDIS_URL. `clock`: monotonic seconds."""

    shared = False
    available = True
    steady_s = math.inf
    renewed = True

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.replica = secrets.token_hex(6)
        self.on_order: OnOrder = refuse_order
        self.on_adopted: OnAdopted = ignore_adoption
        self.on_request: OnRequest = refuse_request
        self.on_news: OnNews = ignore_news
        self.count_calls = no_calls
        self.place = ""
        self._clock = clock
        self._owned: dict[str, int] = {}
        self._spent = Expiring[bool](clock)
        self._kept = Expiring[Message](clock)
        self._done = Expiring[bool](clock)
        self._reserved: dict[str, Expiring[bool]] = {}

    @property
    def now_s(self) -> float:
        return time()

    async def spend(self, ticket: str, for_s: float) -> bool:
        if ticket in self._spent:
            return False
        self._spent.put(ticket, True, for_s)
        return True

    async def put(self, key: str, value: Message, for_s: float) -> None:
        self._kept.put(key, value, for_s)

    async def get(self, key: str) -> Message | None:
        return self._kept.get(key)

    def own(self, call_sid: str, epoch: int) -> None:
        self._owned[call_sid] = epoch

    def held_epoch(self, call_sid: str) -> int | None:
        return self._owned.get(call_sid)

    def disown(self, call_sid: str) -> Done:
        self._owned.pop(call_sid, None)
        return DONE

    async def owner(self, call_sid: str) -> Owner | None:
        epoch = self._owned.get(call_sid)
        return Owner(self.replica, epoch) if epoch is not None else None

    async def owners(self, call_sids: Sequence[str]) -> dict[str, Owner]:
        return {
            sid: Owner(self.replica, self._owned[sid]) for sid in call_sids if sid in self._owned
        }

    async def ask(self, call_sid: str, order: Message, within_s: float = 3.0) -> Message:
        if call_sid not in self._owned:
            raise NoOwner("this process does not have the call")
        return await self.on_order(call_sid, order)

    async def announce(self, call_sid: str, epoch: int) -> None:
        pass

    def ready(self, ready: bool) -> None:
        pass

    async def others_ready(self) -> bool:
        return False

    async def replicas(self) -> dict[str, str]:
        return {}

    async def ask_replica(self, replica: str, request: Message, within_s: float) -> Message:
        raise NoAnswer("there are no other replicas")

    async def tell(self, replica: str, news: Message) -> None:
        pass

    async def differing_keys(self) -> list[str]:
        return []

    async def reserve(self, name: str, key: str, most: int, for_s: float) -> bool:
        places = self._reserved.setdefault(name, Expiring(self._clock))
        if key not in places and len(places) >= most:
            return False
        places.put(key, True, max(for_s, places.left_s(key)))
        return True

    def hold(self, name: str, key: str, for_s: float) -> Done:
        places = self._reserved.setdefault(name, Expiring(self._clock))
        places.put(key, True, max(for_s, places.left_s(key)))
        return DONE

    def unreserve(self, name: str, key: str) -> Done:
        if name in self._reserved:
            self._reserved[name].remove(key)
        return DONE

    def leave_place(self, name: str, key: str) -> None:
        pass

    async def once(self, name: str, key: str, for_s: float) -> float:
        left_s = self._done.left_s(f"{name}:{key}")
        if not left_s:
            self._done.put(f"{name}:{key}", True, for_s)
        return left_s

    def allow_again(self, name: str, key: str) -> Done:
        self._done.remove(f"{name}:{key}")
        return DONE

    async def aclose(self) -> None:
        self._owned.clear()
