"""Buses of a test, and time that it moves on top of the real one."""

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic

from app.bridge.bus.redis_bus import RedisBus
from app.config.redis_url import parse_redis_url


class Clock:
    """Monotonic seconds, `ahead_s` later than they are."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return monotonic() + self.ahead_s


async def opened(
    url: str, clock: Callable[[], float] = monotonic, keys: Mapping[str, str] | None = None
) -> RedisBus:
    """A bus of a replica. `keys`: its secrets. Close it."""
    return await RedisBus.open(parse_redis_url(url), keys=keys, clock=clock)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so; the test's own time limit ends it."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def until_away(*buses: RedisBus) -> None:
    """Wait until these replicas have noticed that Redis is away."""
    for bus in buses:
        bus._leases.changed()  # there is something to write
    await until(lambda: not any(bus.available for bus in buses))
