"""Repeated log lines: the first few pass, the rest are counted and summarized."""

import logging
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

MOST = 5  # lines of one kind in a window
WINDOW_S = 10.0
MOST_KINDS = 1000
_OWNER = ("call_sid", "request_id")


@dataclass(frozen=True, slots=True)
class Common:
    """What the lines of one kind have in common."""

    logger: str
    level: str
    message: str
    extras: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Summary:
    """How often a line was repeated without being written."""

    common: Common
    repeated: int
    #: The time over which they were counted.
    seconds: float


@dataclass(slots=True)
class _Kind:
    common: Common
    #: When its window began, in monotonic seconds.
    began_s: float
    passed: int = 0
    #: Lines counted for the next summary.
    held: int = 0

    def summary(self, now_s: float) -> Summary:
        return Summary(self.common, self.held, now_s - self.began_s)


class Repeats:
    """Counts lines by kind: the same logger, level, message, reason, decision and exception type.
    Lines of different calls are different kinds, so that no call suppresses the lines of another.

    `MOST` lines of each kind pass in `WINDOW_S`. The rest is counted; `due` returns the counts once
    the window is over. At most `MOST_KINDS` kinds are kept; the oldest one makes room.

    `now_s`: monotonic seconds.
    """

    def __init__(self) -> None:
        self._kinds: dict[Hashable, _Kind] = {}
        self._made_room: list[Summary] = []

    def passes(self, record: logging.LogRecord, now_s: float) -> bool:
        """Whether to write this line; if not, it is counted."""
        key = _key(record)
        kind = self._kinds.get(key)
        if kind is None or (now_s - kind.began_s >= WINDOW_S and not kind.held):
            self._kinds.pop(key, None)
            self._make_room(now_s)
            kind = self._kinds[key] = _Kind(_common(record), now_s)
        if kind.passed < MOST:
            kind.passed += 1
            return True
        kind.held += 1
        return False

    def due(self, now_s: float, *, all_of_them: bool = False) -> Iterable[Summary]:
        """The summaries of windows that are over, or of all windows."""
        found, self._made_room = self._made_room, []
        for key, kind in [*self._kinds.items()]:
            if not all_of_them and now_s - kind.began_s < WINDOW_S:
                continue
            if kind.held:
                found.append(kind.summary(now_s))
                kind.began_s, kind.held = now_s, 0
            else:
                del self._kinds[key]
        return found

    def _make_room(self, now_s: float) -> None:
        while len(self._kinds) >= MOST_KINDS:
            kind = self._kinds.pop(next(iter(self._kinds)))
            if kind.held:
                self._made_room.append(kind.summary(now_s))


def _key(record: logging.LogRecord) -> Hashable:
    message = record.msg if isinstance(record.msg, str) else str(record.msg)
    raised = record.exc_info[0] if record.exc_info else None
    extras = tuple(_extras(record).items())
    return record.name, record.levelno, message.partition("\n")[0], raised, extras


def _common(record: logging.LogRecord) -> Common:
    message = record.getMessage().partition("\n")[0]
    return Common(record.name, record.levelname, message, _extras(record))


def _extras(record: logging.LogRecord) -> dict[str, str]:
    found = ((name, record.__dict__.get(name)) for name in (*_OWNER, "reason", "decision"))
    return {name: value for name, value in found if isinstance(value, str)}
