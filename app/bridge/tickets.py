"""Tickets prove that a media socket belongs to a call that this service answered.

A ticket is signed, for one call, good once, and expires. In one process only the tickets that it
made are good. With several replicas a ticket is good at each of them, and the bus settles that it
is used once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, time

from app.bridge.bus.bus import Bus, BusUnavailable
from app.bridge.signed_tickets import Kind, SignedTicket, TicketSigner
from app.bridge.spent_tickets import SpentTickets

TICKET_S = 30.0
#: The clocks of replicas may differ by so much.
SKEW_S = 10.0
EXPIRED = "the ticket is expired"
USED = "the ticket was used already"


def _no_softphone(call_sid: str) -> bool:
    """No call is a softphone's."""
    return False


@dataclass(frozen=True, slots=True)
class _Ticket:
    call_sid: str
    expires_s: float  # monotonic


class Tickets:
    """The tickets of this process, and those of other replicas that reach it.

    Args:
        of_softphone: whether a call SID is that of a softphone's call. Its tickets are of another
            kind, and are not good while the bus is away: no signature backs them.
        clock: monotonic seconds.
        wall_clock: Unix seconds.
    """

    def __init__(
        self,
        signer: TicketSigner,
        bus: Bus,
        clock: Callable[[], float] = monotonic,
        wall_clock: Callable[[], float] = time,
        *,
        of_softphone: Callable[[str], bool] = _no_softphone,
    ) -> None:
        self._signer = signer
        self._bus = bus
        self._of_softphone = of_softphone
        self._clock = clock
        self._wall_clock = wall_clock
        self._tickets: dict[str, _Ticket] = {}
        self._spent = SpentTickets(clock)

    def give(self, call_sid: str, before_s: float = 0.0) -> str:
        """A new ticket for a stream of this call, good for `TICKET_S`. `before_s`: how long Twilio
        runs other verbs before it opens the stream; added to that."""
        now_s, for_s = self._clock(), TICKET_S + before_s
        for name in [n for n, t in self._tickets.items() if t.expires_s < now_s - TICKET_S]:
            del self._tickets[name]
            self._spent.add(name, EXPIRED)
        kind: Kind = "softphone" if self._of_softphone(call_sid) else "phone"
        name = self._signer.sign(call_sid, self._wall_clock() + for_s, kind)
        self._tickets[name] = _Ticket(call_sid, now_s + for_s)
        return name

    def is_good(self, name: str) -> bool:
        """Whether a media socket may be opened with this ticket, as far as this process knows."""
        if (found := self._tickets.get(name)) is not None:
            return found.expires_s >= self._clock()
        other = self._of_another_replica(name)
        return other is not None and self._is_current(other)

    def is_probe(self, name: str) -> bool:
        """Whether it is a current ticket of a probe, which opens nothing."""
        probe = self._signer.read(name, "probe")
        return probe is not None and self._is_current(probe)

    def call_of(self, name: str) -> str:
        """The SID of the call of a ticket that is not used, and good or expired lately. Empty: it
        is unknown. The ticket is not used up."""
        if (found := self._tickets.get(name)) is not None:
            return found.call_sid
        other = self._of_another_replica(name)
        return other.call_sid if other is not None else ""

    def why_not(self, name: str) -> str:
        """Why a ticket is not good."""
        if name in self._tickets:
            return EXPIRED
        return EXPIRED if self._of_another_replica(name) is not None else self._spent.why(name)

    def take(self, name: str) -> bool:
        """Use a ticket up in this process. False: it is not good. Then call `spend`, if there are
        other replicas."""
        good = self.is_good(name)
        self._tickets.pop(name, None)
        self._spent.add(name, USED)
        return good

    async def spend(self, name: str) -> bool:
        """Use a ticket up in all replicas. False: another one used it before. While the bus is
        away, what this process remembers decides; False for a softphone's."""
        signed = self._read(name)
        left_s = signed.expires_s - self._wall_clock() if signed is not None else 0.0
        try:
            return await self._bus.spend(name, max(0.0, left_s) + 2 * SKEW_S)
        except BusUnavailable:
            return signed is None or not self._of_softphone(signed.call_sid)

    def _of_another_replica(self, name: str) -> SignedTicket | None:
        if not self._bus.shared or name in self._spent:
            return None
        return self._read(name)

    def _read(self, name: str) -> SignedTicket | None:
        """What a ticket says, whose kind fits its call."""
        if (phone := self._signer.read(name, "phone")) is not None:
            return None if self._of_softphone(phone.call_sid) else phone
        softphone = self._signer.read(name, "softphone")
        return softphone if softphone and self._of_softphone(softphone.call_sid) else None

    def _is_current(self, ticket: SignedTicket) -> bool:
        return ticket.expires_s >= self._wall_clock() - SKEW_S
