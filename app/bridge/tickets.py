"""Tickets prove that a media socket belongs to a call that this service answered.

A ticket is random, for one call, good once, and expires.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from app.bridge.leg.leg import Leg
from app.bridge.spent_tickets import SpentTickets

TICKET_S = 30.0
EXPIRED = "the ticket is expired"


@dataclass(frozen=True, slots=True)
class _Ticket:
    leg: Leg
    expires_s: float


class Tickets:
    """The tickets of this process. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._tickets: dict[str, _Ticket] = {}
        self._spent = SpentTickets(clock)

    def give(self, leg: Leg, before_s: float = 0.0) -> str:
        """A new ticket for a stream of this leg's call, good for `TICKET_S`. `before_s`: how long
        Twilio runs other verbs before it opens the stream; added to that."""
        now_s = self._clock()
        for name in [n for n, t in self._tickets.items() if t.expires_s < now_s - TICKET_S]:
            del self._tickets[name]
            self._spent.add(name, EXPIRED)
        name = secrets.token_urlsafe(24)
        self._tickets[name] = _Ticket(leg, now_s + TICKET_S + before_s)
        return name

    def is_good(self, name: str) -> bool:
        """Whether a media socket may be opened with this ticket."""
        found = self._tickets.get(name)
        return found is not None and found.expires_s >= self._clock()

    def find(self, name: str) -> Leg | None:
        """The leg of a ticket that is good, or expired less than `TICKET_S` ago. The ticket is not
        used up."""
        found = self._tickets.get(name)
        return found.leg if found is not None else None

    def why_not(self, name: str) -> str:
        """Why a ticket is not good."""
        return EXPIRED if name in self._tickets else self._spent.why(name)

    def take(self, name: str) -> Leg | None:
        """Use a ticket up. Returns its leg; None: the ticket is not good."""
        found = self._tickets.pop(name, None)
        self._spent.add(name, "the ticket was used already")
        return found.leg if found is not None and found.expires_s >= self._clock() else None
