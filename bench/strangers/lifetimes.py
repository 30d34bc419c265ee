"""How long the service keeps the socket of a client that makes no progress.

Read from the kernel's list of sockets (Linux), because a client that does not read does not see the
close.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

from bench.process import SERVICE, ready, running
from bench.strangers.attacks import ANSWER_UNREAD, FORM, GET, UPGRADE, WHOLE
from bench.strangers.talk import TalkLedger, TalkModel
from bench.strangers.target import Target

EACH = 3
MOST_ASKED = 200  # times 500 requests
TRICKLE_S = 1.0
WATCHED_S = 36.0
SPARE_S = 2.0
LOOK_S = 0.25
HEADINGS = ("a socket that", "closed after, s", "")

Begin = Callable[[Target], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of client that makes no progress."""

    name: str
    #: How long the service may keep its sockets.
    limit_s: float
    #: Opens `EACH` sockets.
    begin: Begin
    #: Sent byte by byte afterwards.
    more: bytes = b""


@dataclass(slots=True)
class Lifetime:
    """How long the sockets of a kind stayed open."""

    kind: Kind
    #: Until the last one was closed; infinity: longer than it was watched.
    longest_s: float

    @property
    def broken(self) -> bool:
        return self.longest_s > self.kind.limit_s + SPARE_S

    @property
    def row(self) -> tuple[str, ...]:
        told = f"more than {WATCHED_S:.0f}" if self.longest_s == inf else f"{self.longest_s:.1f}"
        limit = f"(≤ {self.kind.limit_s:g})"
        return self.kind.name, f"{told} {limit}", "FAIL" if self.broken else "PASS"


async def measure() -> list[Lifetime]:
    """Measure all kinds at once, on a service without calls."""
    model = TalkModel(TalkLedger(0))
    port = await model.start()
    try:
        with running(SERVICE, port) as service:
            await ready(service)
            return await asyncio.gather(*(_live(kind, Target(service.port)) for kind in KINDS))
    finally:
        model.stop()


async def _live(kind: Kind, target: Target) -> Lifetime:
    await kind.begin(target)
    began_s = time.monotonic()
    tickles = asyncio.create_task(_trickle(target, kind.more))
    ports = target.ports
    longest_s = inf
    while time.monotonic() < began_s + WATCHED_S:
        await asyncio.sleep(LOOK_S)
        if not held(target.port, ports):
            longest_s = time.monotonic() - began_s
            break
    tickles.cancel()
    target.close()
    return Lifetime(kind, longest_s)


async def _trickle(target: Target, text: bytes) -> None:
    for at in range(len(text)):
        for connection in target.connections:
            await connection.send(text[at : at + 1])
        await asyncio.sleep(TRICKLE_S)


def held(port: int, clients: Sequence[int]) -> int:
    """How many of these clients' sockets the server on `port` has open. `clients`: their ports."""
    count = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        here, there = (int(address.rpartition(":")[2], 16) for address in fields[1:3])
        count += here == port and there in clients and fields[9] != "0"
    return count


def _say(data: bytes) -> Begin:
    async def begin(target: Target) -> None:
        await target.each(EACH, data)

    return begin


async def _second(target: Target) -> None:
    for connection in await target.each(EACH, WHOLE):
        await connection.answered()
        await connection.send(GET)


async def _unread(target: Target) -> None:
    for _ in range(EACH):
        connection = await target.connect(reads=False)
        for _ in range(MOST_ASKED):
            if connection is None or not await connection.send(ANSWER_UNREAD * 500):
                break  # the service stopped reading


async def _no_start(target: Target) -> None:
    for _ in range(EACH):
        await target.ticket_holder(starts=False)


KINDS = (
    Kind("says nothing", 10, _say(b"")),
    Kind("sends half a head", 10, _say(GET)),
    Kind(
        "sends a head byte by byte", 10, _say(b"G"), b"ET /healthz HTTP/1.1\r\nHost: " + b"a" * 40
    ),
    Kind("sends half a second head", 10, _second),
    Kind("sends half a handshake", 10, _say(UPGRADE)),
    Kind("sends a handshake byte by byte", 10, _say(UPGRADE), b"Cookie: " + b"a" * 40),
    Kind("was refused its handshake", 10, _say(UPGRADE + b"\r\n")),
    Kind("sends 200 headers and an Upgrade", 10, _say(UPGRADE + b"X: 1\r\n" * 200 + b"\r\n")),
    Kind("sends no body", 20, _say(FORM)),
    Kind("sends a body byte by byte", 20, _say(FORM), b"a" * 40),
    Kind("sends an Upgrade with a body", 20, _say(UPGRADE + b"Content-Length: 10\r\n\r\n")),
    Kind("reads no answer", 30, _unread),
    Kind("holds a ticket and sends no start", 10, _no_start),
)
