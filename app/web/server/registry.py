"""All connections of the process, and which one is closed when there are too many."""

import asyncio
import logging
from collections import deque
from typing import Protocol

from app.web.server.limits import (
    DESCRIPTORS_PER_CALL,
    RESERVED_DESCRIPTORS,
    UNAUTHENTICATED_PER_TURN,
    Limits,
)
from app.web.server.memory import release_free_memory
from app.web.server.refusals import Refusals

logger = logging.getLogger(__name__)

FEWEST = 8  # connections that are allowed, however few descriptors there are
FLOOD = 100  # unauthenticated connections
EBB = 10  # unauthenticated connections: the flood is over
RELEASE_S = 1.0  # from the end of a flood until free memory is released

MADE_ROOM = "connections closed to make room"
TOO_MANY = "too many connections are open; the oldest unauthenticated one is closed first"
TOO_MUCH = "unfinished requests take too much memory; the oldest unauthenticated is closed first"
NO_ROOM = (
    "all others are calls or busy authenticated clients; raise the limit of open files "
    "(ulimit -n, or LimitNOFILE= of a systemd unit), or set MAX_CALLS to what it allows"
)


class Member(Protocol):
    """What the registry needs of a connection; see `Connection`."""

    peer: str
    authenticated: bool
    #: Received bytes of an unfinished request. The registry counts them.
    held_bytes: int

    @property
    def carries_call(self) -> bool:
        """Whether it is a media socket."""
        ...

    @property
    def idle(self) -> bool:
        """Whether it is kept without a request in progress: closing it harms no client."""
        ...

    def take_turn(self) -> None:
        """Continue: `Registry.may_read` returned False before."""
        ...

    def shutdown(self) -> None: ...
    def abort(self) -> None: ...


class Registry:
    """Counts connections, and aborts some of them when there are too many.

    Call `opened` and `closed` for every connection, `authenticated` after its first valid
    signature, token or ticket, `held` as its unfinished request grows, and `may_read` before
    reading from an unauthenticated one. Any of these may abort other connections, or this one.

    `descriptors`: how many file descriptors the process may open.
    """

    def __init__(self, limits: Limits, refusals: Refusals, descriptors: int) -> None:
        self.limits = limits
        self.refusals = refusals
        self._descriptors = descriptors
        self._unauthenticated: dict[Member, None] = {}
        self._authenticated: dict[Member, None] = {}
        self._calls = 0
        self._held_bytes = 0
        self._reads = 0  # of unauthenticated connections, in this turn of the loop
        self._queue: deque[Member] = deque()
        self._flooded = False
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._unauthenticated) + len(self._authenticated)

    @property
    def members(self) -> list[Member]:
        return [*self._unauthenticated, *self._authenticated]

    @property
    def room(self) -> int:
        """How many connections there may be now. Calls need descriptors beside their media sockets;
        those of the next call are kept free."""
        kept = RESERVED_DESCRIPTORS + DESCRIPTORS_PER_CALL * (self._calls + 1)
        return max(FEWEST, min(self.limits.connections, self._descriptors - kept))

    def opened(self, member: Member) -> None:
        self._unauthenticated[member] = None
        self._empty.clear()
        self._flooded = self._flooded or len(self._unauthenticated) > FLOOD
        while len(self) > self.room:
            if not self.close_one(TOO_MANY, spare=member):
                self._close(member, NO_ROOM, logging.ERROR)
                return

    def authenticated(self, member: Member) -> None:
        """A request on this connection had a valid signature, token or ticket."""
        if member in self._unauthenticated:
            del self._unauthenticated[member]
            self._authenticated[member] = None
            self._held_bytes -= member.held_bytes
            if member.carries_call:
                self._calls += 1
                self._make_room()

    def carries_call(self, member: Member) -> None:
        """An authenticated connection became a media socket."""
        if member in self._authenticated:
            self._calls += 1
            self._make_room()

    def held(self, member: Member, size_bytes: int) -> None:
        """`size_bytes` of an unfinished request were received; negative: it is finished."""
        member.held_bytes += size_bytes
        if member not in self._unauthenticated:
            return
        self._held_bytes += size_bytes
        while self._held_bytes > self.limits.held_bytes and self._unauthenticated:
            self._close(next(iter(self._unauthenticated)), TOO_MUCH)

    def may_read(self, member: Member) -> bool:
        """Whether an unauthenticated connection may be read in this turn of the event loop.

        If not, keep what was read: `take_turn` is called in a later turn. The limit leaves most of
        each turn to the calls.
        """
        if self._reads == 0:
            asyncio.get_running_loop().call_soon(self._next_turn)
        self._reads += 1
        if self._reads <= UNAUTHENTICATED_PER_TURN:
            return True
        self._queue.append(member)
        return False

    def _next_turn(self) -> None:
        turn = [
            self._queue.popleft() for _ in range(min(UNAUTHENTICATED_PER_TURN, len(self._queue)))
        ]
        self._reads = len(turn)
        if turn:
            asyncio.get_running_loop().call_soon(self._next_turn)
        for member in turn:
            try:
                member.take_turn()
            except Exception as error:  # the boundary of one connection: the others have a turn
                logger.error("connection failed", exc_info=error)
                member.abort()

    def closed(self, member: Member) -> None:
        if member in self._unauthenticated:
            del self._unauthenticated[member]
            self._held_bytes -= member.held_bytes
        elif member in self._authenticated:
            del self._authenticated[member]
            self._calls -= member.carries_call
        if not len(self):
            self._empty.set()
        if self._flooded and len(self._unauthenticated) < EBB:
            self._flooded = False
            asyncio.get_running_loop().call_later(RELEASE_S, release_free_memory)

    async def wait_empty(self) -> None:
        """Wait until no connection is left."""
        await self._empty.wait()

    def close_one(self, why: str, spare: Member | None = None) -> bool:
        """Close the connection that matters least: the oldest unauthenticated one, else an idle
        one. Returns False if there is none besides `spare`."""
        victim = next((each for each in self._unauthenticated if each is not spare), None)
        if victim is None:
            victim = next((each for each in self._authenticated if each.idle), None)
        if victim is None:
            return False
        self._close(victim, why)
        return True

    def _make_room(self) -> None:
        """A call began: free the descriptors that it is going to open."""
        while len(self) > self.room and self.close_one(TOO_MANY):
            pass

    def _close(self, member: Member, why: str, level: int = logging.WARNING) -> None:
        self.closed(member)
        self.refusals.add(MADE_ROOM, why, member.peer, level)
        member.abort()
