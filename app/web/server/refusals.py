"""Refused connections and requests, summarized: a flood makes only a few log lines."""

import asyncio
import logging
from dataclasses import dataclass

from app.call.backoff import backoff

logger = logging.getLogger(__name__)

FIRST_S = 1.0
LONGEST_S = 60.0


@dataclass(slots=True)
class _Kind:
    """One message and reason, since its last log line."""

    #: Log lines in a row; the next one comes later with each.
    lines: int = 0
    count: int = 0
    peer: str = ""
    detail: str = ""
    timer: asyncio.TimerHandle | None = None


class Refusals:
    """Counts refusals by level, message and reason, and logs one line for many.

    The first line of a kind is logged a second after its first refusal, later ones at intervals
    that double up to a minute. Call `flush` at the end. Reasons must not contain anything that a
    peer sent: every reason makes a kind of its own.
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
        """Count a refusal. `why`: the reason. `peer`: the address. `detail`: more about the reason,
        possibly from the peer. A log line has the last peer and detail of those it counts."""
        key = (level, message, why)
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = _Kind()
        kind.count += 1
        kind.peer, kind.detail = peer, detail
        if kind.timer is None:
            self._schedule(key, kind)

    def flush(self) -> None:
        """Log the counts that have not been logged."""
        for key, kind in self._kinds.items():
            if kind.timer is not None:
                kind.timer.cancel()
            self._log(key, kind)
        self._kinds.clear()

    def _log_due(self, key: tuple[int, str, str]) -> None:
        kind = self._kinds[key]
        if not kind.count:  # none since the last line: the next one is logged within a second
            del self._kinds[key]
            return
        self._log(key, kind)
        self._schedule(key, kind)

    def _schedule(self, key: tuple[int, str, str], kind: _Kind) -> None:
        kind.lines += 1
        wait_s = backoff(FIRST_S, kind.lines, LONGEST_S)
        kind.timer = self._loop.call_later(wait_s, self._log_due, key)

    def _log(self, key: tuple[int, str, str], kind: _Kind) -> None:
        if kind.count:
            level, message, why = key
            extra = {"why": why, "detail": kind.detail, "count": kind.count, "peer": kind.peer}
            logger.log(level, message, extra={name: each for name, each in extra.items() if each})
            kind.count = 0
