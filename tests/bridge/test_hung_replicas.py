"""Which calls of a replica that answers nothing another one takes, and when."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.bridge.bus.bus import LEASE_S, BusUnavailable, Message, NoOwner, Owner
from app.bridge.bus.local_bus import LocalBus
from app.bridge.hung_replicas import EXPIRED_S, HungReplicas
from app.call import commands as do
from app.errors import TwilioError
from app.records.store import Store, StoreUnavailable, TimelineRow

SID, BASE = "CA1", "https://bridge.example.com"


class FakeBus(LocalBus):
    """The leases that a test gives and takes."""

    shared = True

    def __init__(self) -> None:
        super().__init__()
        self.steady_s = 1000.0
        self.leases: dict[str, Owner] = {SID: Owner("other", 1)}
        self.answers = False
        self.requests = 0

    async def owners(self, call_sids: Sequence[str]) -> dict[str, Owner]:
        self.requests += 1
        if not self.steady_s:
            raise BusUnavailable("away")
        return {sid: self.leases[sid] for sid in call_sids if sid in self.leases}

    async def ask(self, call_sid: str, order: Message, within_s: float = 3.0) -> Message:
        if not self.answers:
            raise NoOwner("no lease")
        return {}


class Parts:
    """What the watch uses of the service, and what it did."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.bus = FakeBus()
        self.rest = self.streams = self
        self.taken: list[str] = []
        self.redirected: list[tuple[str, str]] = []
        self.live: set[str] = set()
        self.draining = False
        self.agent = SimpleNamespace(agent=SimpleNamespace(destinations=()))
        #: How many requests to Twilio fail.
        self.failures = 0
        self.now_s = 0.0
        services: Any = self
        self.watch = HungReplicas(services, services, services, lambda: BASE, lambda: self.now_s)

    def is_live(self, call_sid: str) -> bool:
        return call_sid in self.live

    def note_decision(self, call_sid: str, decision: str, reason: str) -> None:
        pass

    def urls(self, base_url: str, ticket: str) -> dict[str, str]:
        return {"stream_url": f"wss://bridge/{ticket}", "action_url": f"{base_url}/stream-ended"}

    async def take_from_hung(self, call: Any, base_url: str, epoch: int) -> str | None:
        self.taken.append(call.call_sid)
        return "ticket"

    async def take_over(self, call: Any, base_url: str) -> str | None:
        return "another ticket"

    async def redirect(self, call_sid: str, twiml: str) -> None:
        if self.failures:
            self.failures -= 1
            raise TwilioError("Twilio does not answer")
        self.redirected.append((call_sid, twiml))

    async def look(self, times: int = 1, every_s: float = 1.0) -> None:
        for _ in range(times):
            self.now_s += every_s
            await self.watch.look()

    async def expire(self) -> None:
        """Its lease is seen, and expires."""
        await self.look()
        self.bus.leases.clear()
        await self.look(int(EXPIRED_S) + 2)


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    store = await Store.open(f"sqlite:///{tmp_path}/calls.db")
    store.save_call(SID, status="in-progress", direction="inbound", agent_name="Ada")
    await store.flush()
    assert await store.adopt(SID) == 1
    yield Parts(store)
    await store.aclose()


async def test_a_call_whose_lease_expired_and_whose_owner_is_silent_gets_another_stream(
    parts: Parts,
) -> None:
    await parts.expire()
    assert parts.taken == [SID]
    ((call_sid, twiml),) = parts.redirected
    assert call_sid == SID and "wss://bridge/ticket" in twiml
    await parts.look(20)
    assert len(parts.redirected) == 1


async def test_a_lease_that_is_back_in_time_changes_nothing(parts: Parts) -> None:
    await parts.look()
    lease = parts.bus.leases.pop(SID)
    await parts.look(int(EXPIRED_S) - 1)
    parts.bus.leases[SID] = lease
    await parts.look(20)
    assert not parts.taken


async def test_a_call_whose_lease_was_never_seen_is_left_alone(parts: Parts) -> None:
    parts.bus.leases.clear()
    await parts.look(20)
    assert not parts.taken


async def test_an_owner_that_answers_keeps_its_call(parts: Parts) -> None:
    parts.bus.answers = True
    await parts.expire()
    assert not parts.taken


async def test_no_lease_counts_as_expired_while_the_bus_was_away_lately(parts: Parts) -> None:
    await parts.look()
    parts.bus.leases.clear()
    await parts.look(2)
    parts.bus.steady_s = LEASE_S
    await parts.look(20)
    parts.bus.steady_s = 1000.0  # it has answered for long enough, and the owner is not back
    await parts.look(int(EXPIRED_S))
    assert not parts.taken
    await parts.look(2)
    assert parts.taken == [SID]


async def test_a_database_that_is_away_in_that_moment_delays_it_only(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_call_sid: str) -> None:
        raise StoreUnavailable("away")

    await parts.look()
    parts.bus.leases.clear()
    with monkeypatch.context() as patch:
        patch.setattr(parts.store, "get_call", away)
        await parts.look(int(EXPIRED_S))
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                await parts.look()
    await parts.look()
    assert parts.taken == [SID]


async def test_twilio_is_asked_again_until_it_answers(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.bridge.hung_replicas.AGAIN_S", (0.0, 0.0, 0.0))
    parts.failures = 2
    await parts.expire()
    while not parts.redirected:  # noqa: ASYNC110 # in a task
        await asyncio.sleep(0.01)
    assert parts.taken == [SID] and parts.failures == 0
    await parts.watch.aclose()


async def test_a_redirect_that_twilio_never_ran_does_not_leave_the_caller_in_silence(
    parts: Parts,
) -> None:
    parts.store.save_call(SID, transfers=[{"destination": "desk", "outcome": "ringing"}])
    await parts.store.flush()
    await parts.expire()
    await parts.look(25)
    assert not parts.taken
    await parts.look(10)  # longer than any telephone rings
    assert parts.taken == [SID]


async def test_a_replica_that_drains_takes_no_call(parts: Parts) -> None:
    parts.draining = True
    await parts.expire()
    assert not parts.taken


async def test_the_owners_of_all_calls_are_asked_for_in_one_request(parts: Parts) -> None:
    for number in range(20):
        parts.store.save_call(f"CB{number}", status="in-progress", agent_name="Ada")
    await parts.store.flush()
    await parts.look()
    assert parts.bus.requests == 1


async def test_a_replica_that_has_just_started_takes_a_call_once_leases_count_as_expired(
    parts: Parts,
) -> None:
    parts.bus.steady_s = 1.0
    await parts.look()
    parts.bus.leases.clear()
    parts.bus.steady_s = 2 * LEASE_S - 1
    await parts.look(20)
    assert not parts.taken
    parts.bus.steady_s = 2 * LEASE_S
    await parts.look(int(EXPIRED_S) + 2)
    assert parts.taken == [SID]


async def test_of_two_replicas_one_takes_the_call(parts: Parts) -> None:
    other = Parts(parts.store)
    other.bus = parts.bus
    services: Any = other
    other.watch = HungReplicas(services, services, services, lambda: BASE, lambda: other.now_s)
    for each in (parts, other):
        await each.look()
    parts.bus.leases.clear()
    for _ in range(int(EXPIRED_S) + 2):
        await parts.look()
        await other.look()
    assert len(parts.taken + other.taken) == 1


@pytest.mark.parametrize("where", ["rings", "talks", "keys", "adopted", "over"])
async def test_a_caller_who_is_not_with_the_agent_of_that_replica_is_left_alone(
    parts: Parts, where: str
) -> None:
    store = parts.store
    if where in ("rings", "talks"):
        outcome = {"rings": "ringing", "talks": "in-progress"}[where]
        store.save_call(SID, transfers=[{"destination": "desk", "outcome": outcome}])
    elif where == "keys":
        data = {"order": 1, "call_id": "call_1", "digits": "1"}
        name = do.PlayDigits.__name__
        store.append_timeline(SID, [TimelineRow(1, 1.0, "command", name, data)])
    elif where == "adopted":
        await store.adopt(SID)
    else:
        store.save_call(SID, status="completed")
    await store.flush()
    await parts.expire()
    assert not parts.taken
