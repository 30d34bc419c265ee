"""Orders to the owner of a call, which may be another replica, and what became of them.

A message may be lost, so the order is sent again until an outcome comes. The owner knows it by its
identifier: it carries an order out once, and sends the outcome again.
"""

import asyncio
import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from time import monotonic
from typing import Any, TypeVar

from app.bridge.bus.bus import (
    BusUnavailable,
    Message,
    NoAnswer,
    NoOwner,
    OnOrder,
    OnRequest,
    Owner,
    refuse_order,
    refuse_request,
)
from app.bridge.bus.expiring import Expiring
from app.bridge.bus.leases import Leases
from app.bridge.bus.link import PREFIX, Link, end

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: An order is sent again after this time without an outcome.
AGAIN_S = 0.5
#: Or after this one, if no replica got it: the owner's subscription was lost this moment.
SOON_S = 0.05
#: Outcomes are kept this long after the order's deadline.
KEPT_S = 10.0


def channel(replica: str) -> str:
    """Where a replica gets its messages."""
    return f"{PREFIX}to:{replica}"


class Orders:
    """The orders that this replica sends, and those that it gets.

    Args:
        find_owner: the owner of a call; it may raise BusUnavailable.
    """

    def __init__(
        self,
        link: Link,
        leases: Leases,
        replica: str,
        find_owner: Callable[[str], Awaitable[Owner | None]],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.on_order: OnOrder = refuse_order
        self.on_request: OnRequest = refuse_request
        self._link = link
        self._leases = leases
        self._replica = replica
        self._find_owner = find_owner
        self._clock = clock
        self._awaited: dict[str, asyncio.Future[Message]] = {}
        # By the order's identifier: its outcome, and None until there is one.
        self._known = Expiring[list[Message]](clock)
        self._tasks: set[asyncio.Task[Any]] = set()

    # --- this replica asks ---

    async def ask(self, call_sid: str, order: Message, within_s: float) -> Message:
        """See `Bus.ask`."""
        until_s = self._clock() + within_s
        refused_by = ""
        while (left_s := until_s - self._clock()) > 0:
            owner = await self._find(call_sid)
            if owner.replica == refused_by:
                raise NoOwner("no replica has the call now")
            if owner.replica == self._replica:
                return await self._ask_here(call_sid, order, left_s)
            found = await self._ask_there(owner.replica, call_sid, order, until_s)
            if found is None:  # the call may have another owner by now
                continue
            if "outcome" in found:
                outcome: Message = found["outcome"]
                return outcome
            if "failed" in found:
                raise NoAnswer("the replica that has the call failed to do it; see its log")
            refused_by = owner.replica
        raise NoAnswer("the replica that has the call does not answer; look at the call")

    async def ask_replica(self, replica: str, request: Message, within_s: float) -> Message:
        """See `Bus.ask_replica`."""
        found = await self._ask_there(replica, "", request, self._clock() + within_s)
        if found is None:
            if not self._link.available:
                raise BusUnavailable("Redis is away; try again later")
            raise NoAnswer("the replica is gone")
        if "outcome" not in found:
            raise NoAnswer("the replica failed to do it; see its log")
        outcome: Message = found["outcome"]
        return outcome

    async def _ask_there(
        self, replica: str, call_sid: str, order: Message, until_s: float
    ) -> Message | None:
        """What a replica replies; None: the order did not reach it. Without `call_sid` it is a
        request to the replica itself."""
        identifier = secrets.token_hex(8)
        left_s = until_s - self._clock()
        message = {
            "order": order,
            "call_sid": call_sid,
            "id": identifier,
            "from": self._replica,
            "until_ms": round(self._leases.now_ms + left_s * 1000),
        }
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._awaited[identifier] = future
        may_be_there = False
        try:
            while (left_s := until_s - self._clock()) > 0:
                may_be_there = await self._may_reach(replica, message) or may_be_there
                again_s = AGAIN_S if may_be_there else SOON_S
                await asyncio.wait({future}, timeout=min(again_s, left_s))
                if future.done():
                    return future.result()
                if not may_be_there:
                    return None
        finally:
            del self._awaited[identifier]
        raise NoAnswer("the replica that has the call did not answer in time; look at the call")

    async def _find(self, call_sid: str) -> Owner:
        owner = await self._find_owner(call_sid)
        if owner is None:
            raise NoOwner("no replica has the call now")
        return owner

    async def _ask_here(self, call_sid: str, order: Message, within_s: float) -> Message:
        task = self._run(self.on_order(call_sid, order))
        await asyncio.wait({task}, timeout=within_s)
        if not task.done():  # it goes on, as in another replica
            raise NoAnswer("the order takes too long; look at the call")
        return task.result()

    async def _may_reach(self, replica: str, message: Message) -> bool:
        """Send a message to a replica. False: it did not get it."""
        was_available = self._link.available
        try:
            text = json.dumps(message)
            receivers: int = await self._link.request(
                lambda client: client.publish(channel(replica), text)
            )
        except BusUnavailable:
            return was_available
        return receivers > 0

    # --- this replica is asked ---

    def take(self, message: dict[str, Any]) -> None:
        """A message for this replica: an order, or the outcome of one."""
        if "order" in message:
            self._take_order(message)
        elif (future := self._awaited.get(message["id"])) is not None and not future.done():
            future.set_result(message)

    def _take_order(self, message: dict[str, Any]) -> None:
        left_s = (message["until_ms"] - self._leases.now_ms) / 1000
        if not message["call_sid"]:  # its outcome may be large: it is not kept
            if left_s > 0:
                self._run(self._answer(message))
            return
        known = self._known.get(message["id"])
        if known is None and left_s <= 0:
            logger.warning("order came too late", extra={"call_sid": message["call_sid"]})
        elif known is None:
            self._known.put(message["id"], [], left_s + KEPT_S)
            self._run(self._carry_out(message))
        elif known:
            self._run(self._reply(message, known[0]))
        # else: it is being carried out

    def _run(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work, name="order")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _carry_out(self, message: dict[str, Any]) -> None:
        call_sid = message["call_sid"]
        outcome: Message
        if self._leases.epoch(call_sid) is None:
            outcome = {"no_owner": True}
        else:
            try:
                outcome = {"outcome": await self.on_order(call_sid, message["order"])}
            except NoOwner:
                outcome = {"no_owner": True}
            except Exception as error:
                logger.error("order failed", exc_info=error, extra={"call_sid": call_sid})
                outcome = {"failed": True}
        known = self._known.get(message["id"])
        if known is not None:
            known.append(outcome)
        await self._reply(message, outcome)

    async def _answer(self, message: dict[str, Any]) -> None:
        outcome: Message
        try:
            outcome = {"outcome": await self.on_request(message["order"])}
        except Exception as error:
            logger.error("request of another replica failed", exc_info=error)
            outcome = {"failed": True}
        await self._reply(message, outcome)

    async def _reply(self, message: dict[str, Any], outcome: Message) -> None:
        # A reply that is lost is asked for again.
        await self._may_reach(message["from"], {"id": message["id"], **outcome})

    async def close(self) -> None:
        """End what is being carried out."""
        for task in [*self._tasks]:
            await end(task)
