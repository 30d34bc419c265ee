"""Tickets of one process, and of several replicas."""

from collections.abc import Callable

import pytest

from app.bridge.bus.bus import BusUnavailable
from app.bridge.bus.local_bus import LocalBus
from app.bridge.signed_tickets import TicketSigner, ticket_key
from app.bridge.tickets import EXPIRED, SKEW_S, TICKET_S, USED, Tickets

CALL_SID = "CA" + "7" * 32
UNKNOWN = "the ticket is unknown"


class SharedBus(LocalBus):
    """A bus that all replicas of a test share."""

    shared = True
    away = False

    async def spend(self, ticket: str, for_s: float) -> bool:
        if self.away:
            raise BusUnavailable("Redis is away")
        return await super().spend(ticket, for_s)


class Clocks:
    """Monotonic and Unix seconds of a replica."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.ahead_s = 1e9

    def monotonic(self) -> float:
        return self.now_s

    def unix(self) -> float:
        return self.now_s + self.ahead_s


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


Replica = Callable[..., Tickets]


@pytest.fixture
def bus(clocks: Clocks) -> SharedBus:
    return SharedBus(clocks.monotonic)


@pytest.fixture
def replica(clocks: Clocks, bus: SharedBus) -> Replica:
    def made(secret: str = "the auth token", *, unix: Callable[[], float] = clocks.unix) -> Tickets:
        return Tickets(TicketSigner(ticket_key(secret)), bus, clocks.monotonic, unix)

    return made


def one_process(clocks: Clocks) -> Tickets:
    signer = TicketSigner(ticket_key("the auth token"))
    return Tickets(signer, LocalBus(), clocks.monotonic, clocks.unix)


def test_a_ticket_is_good_once(clocks: Clocks) -> None:
    tickets = one_process(clocks)
    ticket = tickets.give(CALL_SID)
    assert tickets.is_good(ticket) and tickets.call_of(ticket) == CALL_SID
    assert tickets.take(ticket)
    assert not tickets.is_good(ticket) and not tickets.take(ticket)
    assert tickets.call_of(ticket) == "" and tickets.why_not(ticket) == USED


def test_a_ticket_expires_and_belongs_to_its_call_a_little_longer(clocks: Clocks) -> None:
    tickets = one_process(clocks)
    ticket = tickets.give(CALL_SID, before_s=5)
    clocks.now_s += TICKET_S + 5
    assert tickets.is_good(ticket)
    clocks.now_s += 0.001
    assert not tickets.is_good(ticket) and tickets.why_not(ticket) == EXPIRED
    assert tickets.call_of(ticket) == CALL_SID
    clocks.now_s += TICKET_S
    tickets.give(CALL_SID)
    assert tickets.call_of(ticket) == "" and tickets.why_not(ticket) == EXPIRED
    assert not tickets.take(ticket)


def test_one_process_takes_no_ticket_that_another_made(clocks: Clocks) -> None:
    """It does not know whether that one was used before a restart."""
    ticket = one_process(clocks).give(CALL_SID)
    restarted = one_process(clocks)
    assert not restarted.is_good(ticket) and restarted.call_of(ticket) == ""
    assert restarted.why_not(ticket) == UNKNOWN
    assert restarted.why_not("") == "the stream's URL has no ticket"


async def test_any_replica_takes_a_ticket_and_one_of_them_uses_it(replica: Replica) -> None:
    first, second, third = replica(), replica(), replica()
    ticket = first.give(CALL_SID)
    for each in (first, second, third):
        assert each.is_good(ticket) and each.call_of(ticket) == CALL_SID
    assert second.take(ticket) and await second.spend(ticket)
    assert not second.is_good(ticket) and second.why_not(ticket) == USED
    for each in (first, third):  # they learn it from the bus
        assert each.take(ticket) and not await each.spend(ticket)


def test_a_replica_with_other_secrets_takes_no_ticket(replica: Replica) -> None:
    ticket, other = replica().give(CALL_SID), replica("another token")
    assert not other.is_good(ticket) and other.why_not(ticket) == UNKNOWN
    assert not other.take(ticket)


def test_a_ticket_expires_at_every_replica(replica: Replica, clocks: Clocks) -> None:
    ticket, other = replica().give(CALL_SID), replica()
    clocks.now_s += TICKET_S + SKEW_S
    assert other.is_good(ticket)
    clocks.now_s += 0.01
    assert not other.is_good(ticket) and other.why_not(ticket) == EXPIRED
    assert not other.take(ticket)


@pytest.mark.parametrize("off_s", [-9.0, 9.0])
async def test_the_clocks_of_replicas_may_differ_a_little(
    replica: Replica, clocks: Clocks, off_s: float
) -> None:
    other = replica(unix=lambda: clocks.unix() + off_s)
    ticket = replica().give(CALL_SID)
    clocks.now_s += TICKET_S - 0.1
    assert other.take(ticket) and await other.spend(ticket)
    clocks.now_s += SKEW_S  # as long as any replica takes it, it is known to be used
    assert not await replica(unix=lambda: clocks.unix() - off_s).spend(ticket)


async def test_while_the_bus_is_away_a_ticket_is_good_once_at_each_replica(
    replica: Replica, bus: SharedBus
) -> None:
    bus.away = True
    first, second = replica(), replica()
    ticket = first.give(CALL_SID)
    for each in (first, second):
        assert each.take(ticket) and await each.spend(ticket)
        assert not each.take(ticket)


def test_a_ticket_of_a_probe_is_current_for_a_while_and_no_streams(clocks: Clocks) -> None:
    tickets = one_process(clocks)
    signer = TicketSigner(ticket_key("the auth token"))
    current = signer.sign("doctor", clocks.unix() + 30, "probe")
    expired = signer.sign("doctor", clocks.unix() - 60, "probe")

    assert tickets.is_probe(current) and not tickets.is_good(current)
    assert not tickets.is_probe(expired) and not tickets.is_probe("anything")
    assert not tickets.is_probe(tickets.give(CALL_SID))
