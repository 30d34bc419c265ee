"""Lines that say the same again and again: the first ones pass, then they are summed up."""

import logging
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

MOST = 5  # lines of one kind in a window
WINDOW_S = 10.0
MOST_KINDS = 1000
_WHOSE = ("call_sid", "request_id")


@dataclass(frozen=True, slots=True)
class Common:
    """What lines of one kind have in common."""

    logger: str
    level: str
    message: str
    extras: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Summary:
    """How often a line was not written."""

    said: Common
    repeated: int
    seconds: float


@dataclass(slots=True)
class _Kind:
    said: Common
    began_s: float
    passed: int = 0
    held: int = 0

    def summary(self, now_s: float) -> Summary:
        return Summary(self.said, self.held, now_s - self.began_s)


class Repeats:
    """Counts lines by what they say: the same logger, level, message, reason and kind of exception.
    Lines of different calls are different ones, so none of a call's is lost for another call's.

    Of each kind `MOST` pass in `WINDOW_S`; the others are counted, and `due` tells how many when
    the window is over, as long as there are any. At most `MOST_KINDS` are kept; the oldest makes
    room. `now_s`: monotonic seconds.
    """

    def __init__(self) -> None:
        self._kinds: dict[Hashable, _Kind] = {}
        self._made_room: list[Summary] = []

    def passes(self, record: logging.LogRecord, now_s: float) -> bool:
        """Whether this line is to be written."""
        key = _key(record)
        kind = self._kinds.get(key)
        if kind is None or (now_s - kind.began_s >= WINDOW_S and not kind.held):
            self._kinds.pop(key, None)
            self._make_room(now_s)
            kind = self._kinds[key] = _Kind(_said(record), now_s)
        if kind.passed < MOST:
            kind.passed += 1
            return True
        kind.held += 1
        return False

    def due(self, now_s: float, *, all_of_them: bool = False) -> Iterable[Summary]:
        """What was held back in windows that are over, or in all windows."""
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
    said = record.msg if isinstance(record.msg, str) else str(record.msg)
    raised = record.exc_info[0] if record.exc_info else None
    extras = tuple(_extras(record).items())
    return record.name, record.levelno, said.partition("\n")[0], raised, extras


def _said(record: logging.LogRecord) -> Common:
    message = record.getMessage().partition("\n")[0]
    return Common(record.name, record.levelname, message, _extras(record))


def _extras(record: logging.LogRecord) -> dict[str, str]:
    found = ((name, record.__dict__.get(name)) for name in (*_WHOSE, "reason", "decision"))
    return {name: value for name, value in found if isinstance(value, str)}
