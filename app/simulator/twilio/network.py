"""The network between Twilio and the bridge: its clock, delays in order, and the 20 ms pace."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

FRAME_MS = 20

Item = TypeVar("Item")


def now_ms() -> float:
    """Monotonic milliseconds: the clock of every time in the simulator."""
    return time.monotonic() * 1000


@dataclass(frozen=True, slots=True)
class Network:
    """The delay between Twilio and the bridge, one way."""

    delay_ms: float = 0.0
    #: Each message takes `delay_ms` plus or minus up to this much.
    jitter_ms: float = 0.0
    #: The same seed gives the same delays.
    seed: int = 0

    def __post_init__(self) -> None:
        if self.delay_ms < 0 or self.jitter_ms < 0:
            raise ValueError("delay_ms and jitter_ms must not be negative")


class Arrivals:
    """Arrival times of messages: delayed, but never out of order, as with TCP."""

    def __init__(self, network: Network, direction: str) -> None:
        self._network = network
        self._random = random.Random(f"{network.seed} {direction}")
        self._last_ms = float("-inf")

    def arrival_ms(self, sent_ms: float) -> float:
        """The arrival time of a message that is sent at `sent_ms`. Call it in order of sending."""
        jitter_ms = self._random.uniform(-1, 1) * self._network.jitter_ms
        delay_ms = max(0.0, self._network.delay_ms + jitter_ms)
        self._last_ms = max(self._last_ms, sent_ms + delay_ms)
        return self._last_ms


class Link(Generic[Item]):
    """One direction of a connection: passes messages to `deliver` after their delay, in order.

    One timer waits for the next arrival. Without delay and jitter, `send` delivers at once.
    """

    def __init__(self, network: Network, direction: str, deliver: Callable[[Item], None]) -> None:
        self._instant = network.delay_ms == 0 and network.jitter_ms == 0
        self._arrivals = Arrivals(network, direction)
        self._deliver = deliver
        self._under_way: deque[tuple[float, Item]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def send(self, item: Item) -> None:
        """Send a message."""
        if self._instant:
            self._deliver(item)
            return
        self._under_way.append((self._arrivals.arrival_ms(now_ms()), item))
        if self._timer is None:
            self._wait()

    def close(self) -> None:
        """Drop the messages that have not arrived."""
        self._under_way.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        delay_s = max(0.0, self._under_way[0][0] - now_ms()) / 1000
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._arrive)

    def _arrive(self) -> None:
        # deliver() may close the link: the queue is empty then.
        while self._under_way and self._under_way[0][0] <= now_ms():
            self._deliver(self._under_way.popleft()[1])
        self._timer = None
        if self._under_way:
            self._wait()


class Pacer:
    """Calls every stream each 20 ms, all of them from one timer, without drift.

    Deadlines are absolute: after a stall the missed ticks follow at once. A timer wheel spreads the
    streams by the time at which they were added, so that a hundred do not send in one burst.
    """

    _SLOTS = 10
    _SLOT_MS = FRAME_MS / _SLOTS

    def __init__(self) -> None:
        self._slots: list[list[Callable[[], None]]] = [[] for _ in range(self._SLOTS)]
        self._origin_ms = now_ms()
        self._next = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, tick: Callable[[], None]) -> None:
        """Call `tick` every 20 ms from now on, the first time in 18 to 20 ms."""
        position = int((now_ms() - self._origin_ms) / self._SLOT_MS)
        self._slots[position % self._SLOTS].append(tick)
        if self._timer is None:
            self._next = position + 1
            self._wait()

    def remove(self, tick: Callable[[], None]) -> None:
        """Stop calling `tick`; nothing happens if it was not added."""
        for slot in self._slots:
            if tick in slot:
                slot.remove(tick)
        if self._timer is not None and not any(self._slots):
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        while not self._slots[self._next % self._SLOTS]:
            self._next += 1
        due_ms = self._origin_ms + self._next * self._SLOT_MS
        delay_s = max(0.0, due_ms - now_ms()) / 1000
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._turn)

    def _turn(self) -> None:
        position = int((now_ms() - self._origin_ms) / self._SLOT_MS)
        while self._next <= position:
            slot = self._slots[self._next % self._SLOTS]
            self._next += 1
            for tick in tuple(slot):
                tick()
        if self._timer is not None:
            self._timer.cancel()  # a tick may have added a stream to an empty wheel
            self._timer = None
        if any(self._slots):
            self._wait()
