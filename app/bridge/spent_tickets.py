"""Tickets that are used or expired, and why: for the log line of a refused media socket."""

from collections.abc import Callable
from time import monotonic

KEPT_S = 600.0
MOST_KEPT = 10_000


class SpentTickets:
    """Remembers tickets for `KEPT_S`, the last `MOST_KEPT` at most. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._spent: dict[str, tuple[float, str]] = {}

    def add(self, ticket: str, why: str) -> None:
        """Remember that this ticket is not good any more."""
        now_s = self._clock()
        for name in [*self._spent]:
            if len(self._spent) < MOST_KEPT and self._spent[name][0] > now_s - KEPT_S:
                break
            del self._spent[name]
        self._spent[ticket] = now_s, why

    def __contains__(self, ticket: str) -> bool:
        return ticket in self._spent

    def why(self, ticket: str) -> str:
        """Why a ticket is not good; "unknown" for one that is not remembered."""
        _, why = self._spent.get(ticket, (0.0, ""))
        if why:
            return why
        return "the ticket is unknown" if ticket else "the stream's URL has no ticket"
