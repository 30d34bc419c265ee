"""What was refused at the port, summed up: a flood of strangers is a few lines of the log."""

import asyncio
import logging
from dataclasses import dataclass

logger = logging.getLogger(__name__)

FIRST_S = 1.0
LONGEST_S = 60.0


@dataclass(slots=True)
class _Kind:
    window_s: float
    count: int = 0
    peer: str = ""
    detail: str = ""
    timer: asyncio.TimerHandle | None = None


class Refusals:
    """Counts refusals by message and reason. The first line of a kind comes a second after its
    first refusal, later ones at growing distances up to a minute. Call `flush` at the end.

    Reasons are sentences of this service: what a peer sent has no place in them, or there would be
    as many kinds as peers like.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop or asyncio.get_running_loop()
        self._kinds: dict[tuple[int, str, str], _Kind] = {}

    def add(
        self,
        message: str,
        why: str,
        peer: str = "",
        level: int = logging.WARNING,
        detail: str = "",
    ) -> None:
        """`peer`: the address, `detail`: more about the reason; a line has the last ones of those
        that it sums up."""
        key = (level, message, why)
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = _Kind(FIRST_S)
        kind.count += 1
        kind.peer, kind.detail = peer, detail
        if kind.timer is None:
            kind.timer = self._loop.call_later(kind.window_s, self._tell, key)

    def flush(self) -> None:
        """Log what has not been logged."""
        for key, kind in self._kinds.items():
            if kind.timer is not None:
                kind.timer.cancel()
            self._line(key, kind)
        self._kinds.clear()

    def _tell(self, key: tuple[int, str, str]) -> None:
        kind = self._kinds[key]
        if not kind.count:  # it has stopped: the next one gets its line within a second again
            del self._kinds[key]
            return
        self._line(key, kind)
        kind.window_s = min(2 * kind.window_s, LONGEST_S)
        kind.timer = self._loop.call_later(kind.window_s, self._tell, key)

    def _line(self, key: tuple[int, str, str], kind: _Kind) -> None:
        if kind.count:
            level, message, why = key
            extra = {"why": why, "detail": kind.detail, "count": kind.count, "peer": kind.peer}
            logger.log(level, message, extra={name: each for name, each in extra.items() if each})
            kind.count = 0
