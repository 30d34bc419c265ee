"""Rows of calls whose owner is in doubt: the database has a higher epoch than this process.

Either another process has adopted the call, or this one took it over while the database was away
and so got no epoch. What it saved is kept until that is decided.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from time import monotonic

from app.records.waiting import Waiting, Work

#: Most calls; the oldest make room.
MOST_CALLS = 200
#: Seconds within which it has to be decided.
DECIDED_S = 30.0


@dataclass(slots=True)
class _Call:
    """What is kept of a call."""

    since_s: float
    #: What was to be written, the oldest first.
    works: list[Work] = field(default_factory=list)
    #: What was saved since.
    saved: Waiting = field(default_factory=Waiting)


class Parked:
    """Calls by SID. `keep` their rows, then `release` or `drop` them."""

    def __init__(self) -> None:
        self._calls: dict[str, _Call] = {}

    def keep(self, call_sid: str, works: Iterable[Work]) -> None:
        """Keep rows of a call."""
        now_s = monotonic()
        self._calls = {
            sid: each for sid, each in self._calls.items() if now_s - each.since_s < DECIDED_S
        }
        if call_sid not in self._calls and len(self._calls) >= MOST_CALLS:
            del self._calls[next(iter(self._calls))]
        self._calls.setdefault(call_sid, _Call(now_s)).works.extend(works)

    def saved(self, call_sid: str) -> Waiting | None:
        """Where to save more of a call; None: nothing is kept of it."""
        call = self._calls.get(call_sid)
        if call is None or monotonic() - call.since_s >= DECIDED_S:
            self.drop(call_sid)
            return None
        return call.saved

    def drop(self, call_sid: str) -> None:
        """Another process has the call."""
        self._calls.pop(call_sid, None)

    def release(self, call_sid: str, epoch: int) -> list[Work]:
        """This process has the call, with this epoch: what is to be written of it."""
        call = self._calls.pop(call_sid, None)
        if call is None:
            return []
        works = [*call.works, call.saved.work()]
        return [replace(work, epochs={call_sid: epoch}) for work in works if work]
