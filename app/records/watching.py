"""What watchers of calls see: every event and command, and what the record adds at a call's end.

There is one list, and everything that counts or shows calls reads it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from app.call import commands as do
from app.call import events as ev
from app.call.exits.attempts import RINGING, TALKING
from app.records.record import Transfers, TurnRow
from app.wires.twilio.call import CallInfo


@dataclass(frozen=True, slots=True)
class TransferEnded:
    """An attempt to transfer the caller has its outcome."""

    #: As in the record's `transfers`.
    outcome: str


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The record of a call is closed: no event of it follows. Comes once."""

    #: As in the record; empty: no agent had the call.
    ended_by: str
    #: Of what has a known price, in US dollars.
    cost_usd: float


@dataclass(frozen=True, slots=True)
class TurnsChanged:
    """Turns of the conversation changed: they are stored like this."""

    #: New turns, and turns in place of those of the same position.
    rows: Sequence[TurnRow]
    #: The positions whose turns are deleted: the last ones.
    removed: range


Watched = ev.Event | do.Command | TransferEnded | TurnsChanged | CallEnded

Watcher = Callable[[CallInfo, Watched, float], None]
"""Called with every event and command, and its time in ms. It runs on the event loop before the
command is performed, so it must return at once."""


@dataclass(frozen=True, slots=True)
class Selective:
    """A watcher that sees messages of some classes alone: the others cost it nothing."""

    watch: Watcher
    kinds: frozenset[type]

    def __call__(self, call: CallInfo, message: Watched, now_ms: float) -> None:
        if type(message) in self.kinds:
            self.watch(call, message, now_ms)


class Audience(dict[type, tuple[Watcher, ...]]):
    """The watchers of each class of messages."""

    def __init__(self, watchers: Iterable[Watcher]) -> None:
        super().__init__()
        self._watchers = watchers

    def __missing__(self, kind: type) -> tuple[Watcher, ...]:
        self[kind] = watchers = tuple(self._watchers_of(kind))
        return watchers

    def _watchers_of(self, kind: type) -> Iterator[Watcher]:
        for watcher in self._watchers:
            if not isinstance(watcher, Selective):
                yield watcher
            elif kind in watcher.kinds:
                yield watcher.watch


@lru_cache(maxsize=1)
def audience(watchers: tuple[Watcher, ...]) -> Audience:
    """That of these watchers. All calls have the same."""
    return Audience(watchers)


def known_usd(cost: Mapping[str, Any]) -> float:
    """The sum of the parts of a record's cost that have a known price."""
    parts = (amount for part, amount in cost.items() if part != "total")
    return sum(amount for amount in parts if isinstance(amount, float))


def outcomes_of(transfers: Transfers) -> list[str]:
    """The outcome of each transfer; empty: it has none yet."""
    outcomes = (str(each.get("outcome", "")) for each in transfers)
    return ["" if outcome in (RINGING, TALKING) else outcome for outcome in outcomes]
