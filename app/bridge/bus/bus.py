"""The promises of a bus: tickets used once, owners of calls, orders, replicas, limits over all.

`LocalBus` keeps them for one process, `RedisBus` for any number of replicas.
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from app.errors import BridgeError

#: An owner's lease on its call, and a replica's on its own entry. Both are renewed while they live.
LEASE_S = 8.0
RENEW_S = 3.0

#: JSON objects: orders, their outcomes, and what `put` keeps.
Message = Mapping[str, Any]
OnOrder = Callable[[str, Message], Coroutine[Any, Any, Message]]
OnRequest = Callable[[Message], Coroutine[Any, Any, Message]]
OnAdopted = Callable[[str, int], None]
OnNews = Callable[[str, Message], None]


class BusUnavailable(BridgeError):
    """Redis is away, did not answer within its deadline, or cannot know the answer yet."""


class NoOwner(BridgeError):
    """No replica has a live lease on the call."""


class NoAnswer(BridgeError):
    """The owner of the call did not answer before the order's deadline."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The replica that runs the leg of a call."""

    replica: str
    #: The call's epoch at that replica: each adoption raises it.
    epoch: int


class Bus(Protocol):
    """What replicas share. `aclose` it.

    Methods raise `BusUnavailable` where that is said; the others have a result in any case. What
    returns an `Awaitable` takes effect without being awaited; await it to know that it is done.
    """

    #: Called in the owner with (call_sid, order); returns the outcome. At most once for each order,
    #: and never after its deadline.
    on_order: OnOrder
    #: Called with (call_sid, epoch) when another replica has adopted a call.
    on_adopted: OnAdopted
    #: How many calls this replica has, for the others to see.
    count_calls: Callable[[], int]

    #: Called with a request of another replica's, see `ask_replica`; returns the outcome. It may be
    #: called more than once for a request.
    on_request: OnRequest
    #: Called with (replica, news) when another replica sends news, see `tell`.
    on_news: OnNews
    #: Where this replica is, in words for people: REPLICA_URL, or its host and RECORDINGS_DIR.
    place: str

    @property
    def replica(self) -> str:
        """The random identifier of this process: 12 hex digits."""

    @property
    def shared(self) -> bool:
        """Whether there may be other replicas."""

    @property
    def available(self) -> bool:
        """Whether Redis answers now. Always true without Redis."""

    @property
    def steady_s(self) -> float:
        """For how many seconds Redis has answered without interruption; 0: it does not. Infinite
        without Redis."""

    @property
    def renewed(self) -> bool:
        """Whether the leases of this process were renewed less than `LEASE_S` ago, so that no other
        replica takes its calls for those of one that hangs. Always true without Redis."""

    @property
    def now_s(self) -> float:
        """Unix seconds by the clock that all replicas share: that of Redis. While it is away, by
        what is known of it."""

    # --- tickets and messages ---

    async def spend(self, ticket: str, for_s: float) -> bool:
        """Use a ticket up. True: this is its first use within `for_s`.

        Raises:
            BusUnavailable: decide by the memory of this process.
        """

    async def put(self, key: str, value: Message, for_s: float) -> None:
        """Keep a small JSON object for all replicas, such as `call:<sid>`.

        Raises:
            BusUnavailable: it is not kept.
        """

    async def get(self, key: str) -> Message | None:
        """What `put` keeps; None: nothing.

        Raises:
            BusUnavailable: it is not known.
        """

    # --- owners of calls ---

    def own(self, call_sid: str, epoch: int) -> None:
        """This process runs the leg of a call: hold a lease on it until `disown`. An owner with a
        higher epoch keeps the call; then `on_adopted` is called."""

    def held_epoch(self, call_sid: str) -> int | None:
        """The epoch with which this process holds a call; None: it does not, or lost it."""

    def disown(self, call_sid: str) -> Awaitable[None]:
        """This process does not run the call any more. Another owner's lease is left alone."""

    async def owner(self, call_sid: str) -> Owner | None:
        """Who has a live lease on a call; None: no replica.

        Raises:
            BusUnavailable: Redis does not answer, or was away within the last two leases, so that
                an owner may not have registered anew.
        """

    async def owners(self, call_sids: Sequence[str]) -> dict[str, Owner]:
        """The owners of many calls, in one request; a call without one is left out. See `owner`.

        Raises:
            BusUnavailable: likewise, if one of the calls has no owner.
        """

    async def ask(self, call_sid: str, order: Message, within_s: float = 3.0) -> Message:
        """Have the owner of a call carry out an order (`on_order`). Returns the outcome.

        Raises:
            NoOwner: no live lease on the call; the order was not carried out.
            NoAnswer: the deadline passed, or the owner failed. It may have been carried out.
            BusUnavailable: it was not carried out.
        """

    async def announce(self, call_sid: str, epoch: int) -> None:
        """This process has adopted a call: call `on_adopted` of all others, as far as they are
        reached. Who is not reached learns it from its lease within `RENEW_S`."""

    # --- replicas ---

    def ready(self, ready: bool) -> None:
        """Whether this replica takes new calls, for the others to see."""

    async def others_ready(self) -> bool:
        """Whether another replica takes new calls; False also while Redis does not answer."""

    async def replicas(self) -> dict[str, str]:
        """The places of the other replicas, by their identifiers.

        Raises:
            BusUnavailable: they are not known.
        """

    async def ask_replica(self, replica: str, request: Message, within_s: float) -> Message:
        """Ask a replica for something that it may be asked for twice (`on_request`). Returns the
        outcome. One message of up to 64 KiB each way: ask for the next when this one has come.

        Raises:
            NoAnswer: the replica is gone, failed, or did not answer in time.
            BusUnavailable: it was not asked.
        """

    async def tell(self, replica: str, news: Message) -> None:
        """Send news to a replica (`on_news`). They may be lost; those that arrive are in order.

        Raises:
            BusUnavailable: they were not sent.
        """

    async def differing_keys(self) -> list[str]:
        """One text for each other replica that has other secrets than this one, naming their
        variables. Empty while Redis does not answer."""

    # --- limits over all replicas ---

    async def reserve(self, name: str, key: str, most: int, for_s: float) -> bool:
        """Take one of `most` places of this name; False: all are taken. A place is free again after
        `unreserve` or `for_s`. A key that has a place keeps it, for at least `for_s` from now.

        Raises:
            BusUnavailable: count in this process.
        """

    def hold(self, name: str, key: str, for_s: float) -> Awaitable[None]:
        """Keep the place of a key for at least `for_s` from now, or take one more than there
        are."""

    def unreserve(self, name: str, key: str) -> Awaitable[None]:
        """Free a place, also one that another replica took."""

    def leave_place(self, name: str, key: str) -> None:
        """Another replica may keep the place: this one does not take it anew if Redis loses it."""

    async def once(self, name: str, key: str, for_s: float) -> float:
        """0.0: this is the first time within `for_s`. Otherwise the seconds until it is allowed.

        Raises:
            BusUnavailable: decide by the memory of this process.
        """

    def allow_again(self, name: str, key: str) -> Awaitable[None]:
        """What `once` allowed did not happen: allow it at once."""

    async def aclose(self) -> None:
        """Give up all leases of this process and close the connections."""


async def refuse_order(call_sid: str, order: Message) -> Message:
    """In place of `on_order` until it is set."""
    raise NoOwner("this process takes no orders")


async def refuse_request(request: Message) -> Message:
    """In place of `on_request` until it is set."""
    raise NoAnswer("this process takes no requests")


def ignore_adoption(call_sid: str, epoch: int) -> None:
    """In place of `on_adopted` until it is set."""


def ignore_news(replica: str, news: Message) -> None:
    """In place of `on_news` until it is set."""


def no_calls() -> int:
    """In place of `count_calls` until it is set."""
    return 0
