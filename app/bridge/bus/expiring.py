"""Values that expire, in memory."""

from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T")

# Expired values are removed once this many were added, and as many as were left the last time.
SWEEP_AFTER = 64


class Expiring(Generic[T]):
    """A dictionary whose values expire. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._values: dict[str, tuple[float, T]] = {}
        self._sweep_at = SWEEP_AFTER

    def put(self, key: str, value: T, for_s: float) -> None:
        """Keep a value for `for_s` seconds from now."""
        if len(self._values) >= self._sweep_at:
            self._sweep()
            self._sweep_at = 2 * len(self._values) + SWEEP_AFTER
        self._values[key] = (self._clock() + for_s, value)

    def get(self, key: str) -> T | None:
        """The value; None: there is none, or it is expired."""
        found = self._values.get(key)
        return found[1] if found is not None and found[0] > self._clock() else None

    def left_s(self, key: str) -> float:
        """Seconds until the value expires; 0.0: there is none."""
        found = self._values.get(key)
        return max(0.0, found[0] - self._clock()) if found is not None else 0.0

    def remove(self, key: str) -> None:
        """Remove a value, if there is one."""
        self._values.pop(key, None)

    def items_left(self) -> list[tuple[str, float]]:
        """The keys of what is not expired, and the seconds until it is."""
        now_s = self._clock()
        self._sweep()
        return [(key, until_s - now_s) for key, (until_s, _) in self._values.items()]

    def __contains__(self, key: str) -> bool:
        return self.left_s(key) > 0

    def __len__(self) -> int:
        """How many values are not expired."""
        self._sweep()
        return len(self._values)

    def _sweep(self) -> None:
        now_s = self._clock()
        for key in [key for key, (until_s, _) in self._values.items() if until_s <= now_s]:
            del self._values[key]
