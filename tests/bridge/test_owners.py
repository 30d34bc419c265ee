"""What replicas ask the owner of a call, and what the owner does."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest

from app.bridge.bus.bus import BusUnavailable, Message, NoAnswer, NoOwner
from app.bridge.bus.local_bus import LocalBus
from app.bridge.owners import Owners
from app.call.events import CalleeDetected, Event
from app.records.stored_call import CallIsOver

SID = "CA1"


class FakeBus(LocalBus):
    """Passes orders to another replica."""

    shared = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Message] = []
        self.replies: Callable[[Message], Message] = no_owner

    async def ask(self, call_sid: str, order: Message, within_s: float = 3.0) -> Message:
        self.asked.append(order)
        return self.replies(order)


def no_owner(order: Message) -> Message:
    raise NoOwner("none")


def silent(order: Message) -> Message:
    raise NoAnswer("silent")


class FakeLeg:
    """The leg of a call."""

    needs_fallback = False

    def __init__(self, *, past_goodbye: bool = False) -> None:
        self.past_goodbye = past_goodbye
        self.fed: list[Event] = []
        self.finished = self.recorded = False
        self.seed = self

    def feed(self, event: Event) -> None:
        self.fed.append(event)

    def finish_record(self) -> None:
        assert self.recorded  # the record names the file
        self.finished = True

    async def save_recording(self) -> None:
        self.recorded = True


class Parts:
    """What `Owners` uses of the service, and what it did."""

    def __init__(self, legs: Mapping[str, FakeLeg] | None = None) -> None:
        self.bus = FakeBus()
        self.legs = dict(legs or {})
        self.epochs: dict[str, int] = {}
        self.store = self.streams = self.announcements = self.without_leg = self
        self.on_outdated: Any = None
        self.lost: list[str] = []
        self.told: list[Event] = []
        self.outdated: list[tuple[str, int]] = []
        self.tell_owner: Any = None
        self.release: Any = None
        self.arrivals = self
        self.adopted: list[str] = []
        self.let_go_of: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []
        services: Any = self
        self.owners = Owners(services, services)

    def leg(self, call_sid: str) -> FakeLeg | None:
        return self.legs.get(call_sid)

    def lose(self, call_sid: str) -> None:
        self.lost.append(call_sid)
        self.legs.pop(call_sid, None)

    def tell(self, call_sid: str, event: Event) -> bool:
        self.told.append(event)
        return call_sid in self.legs

    def outdate(self, call_sid: str, epoch: int) -> None:
        self.outdated.append((call_sid, epoch))

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.create_task(work))

    async def adopt(self, call_sid: str, *, keeps: bool) -> bool:
        self.adopted += [call_sid] * keeps
        return True

    def let_go(self, call_sid: str) -> None:
        self.let_go_of.append(call_sid)

    def free(self, call_sid: str) -> None:
        pass

    async def flush(self, within_s: float) -> bool:
        return True


async def test_an_owner_writes_its_record_and_then_loses_the_call() -> None:
    leg = FakeLeg()
    parts = Parts({SID: leg})
    outcome = await parts.bus.on_order(SID, {"order": "release"})
    assert outcome == {"released": True, "goodbye": False}
    assert leg.finished and leg.fed and parts.lost == [SID]


async def test_an_owner_whose_agent_said_goodbye_keeps_the_call() -> None:
    owner, asking = Parts({SID: FakeLeg(past_goodbye=True)}), Parts()
    outcome = await owner.bus.on_order(SID, {"order": "release"})
    assert outcome == {"released": False, "goodbye": True} and not owner.lost
    asking.bus.replies = lambda order: outcome
    with pytest.raises(CallIsOver):
        await asking.owners.release_to_resume(SID)
    assert not await asking.owners.release(SID)


async def test_an_owner_that_does_not_answer_is_asked_once() -> None:
    parts = Parts()
    parts.bus.replies = silent
    assert not await parts.owners.release(SID)
    assert not await parts.owners.release(SID)
    assert len(parts.bus.asked) == 1


async def test_a_call_of_this_process_is_not_asked_for() -> None:
    parts = Parts({SID: FakeLeg()})
    assert not await parts.owners.release(SID) and not parts.bus.asked


async def test_an_owner_without_a_leg_closes_the_record_itself() -> None:
    """It would answer itself that the call is closed, as it is once its record is all that waits
    for the database."""
    parts = Parts()
    parts.bus.own(SID, 1)
    parts.bus.replies = lambda order: {"had": True}
    assert not await parts.owners.call_ended(SID, "completed") and not parts.bus.asked
    parts.bus.disown(SID)
    assert await parts.owners.call_ended(SID, "completed")


async def test_the_owner_learns_who_answered_an_outbound_call() -> None:
    owner, asking = Parts({SID: FakeLeg()}), Parts()
    verdict = CalleeDetected("machine_end_beep", "Call us back.")
    await asking.owners.callee_detected(SID, verdict)
    (order,) = asking.bus.asked
    assert await owner.bus.on_order(SID, order) == {"told": True}
    assert owner.told == [verdict]


@pytest.mark.parametrize(
    ("held", "adopted", "lost"), [(1, 2, True), (2, 2, False), (3, 2, False), (None, 2, True)]
)
async def test_only_a_higher_epoch_takes_a_call_away(
    held: int | None, adopted: int, lost: bool
) -> None:
    """News of an adoption come twice, and late. Nothing held: the lease went to another replica,
    whose epoch may be the same while the database is away."""
    parts = Parts({SID: FakeLeg()})
    if held is not None:
        parts.bus.own(SID, held)
    for _ in range(2):
        parts.bus.on_adopted(SID, adopted)
    assert (SID not in parts.legs) is lost
    assert (set(parts.outdated) == {(SID, adopted)}) is lost


@pytest.mark.parametrize("epoch", [0, 1])
async def test_while_redis_is_away_too_a_call_without_an_epoch_is_kept(
    epoch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = Parts({SID: FakeLeg()})
    parts.epochs[SID] = epoch

    async def unknown(_call_sid: str) -> None:
        raise BusUnavailable("away")

    monkeypatch.setattr(parts.bus, "owner", unknown)
    parts.on_outdated(SID)
    await asyncio.gather(*parts.tasks)
    assert (parts.adopted, parts.lost) == (([], [SID]) if epoch else ([SID], []))


async def test_what_was_saved_of_a_call_that_has_no_leg_here_is_let_go() -> None:
    parts = Parts({})
    parts.on_outdated(SID)
    assert parts.let_go_of == [SID] and not parts.tasks


@pytest.mark.parametrize("has_lease", [True, False])
async def test_a_call_whose_record_is_newer_is_kept_by_the_replica_that_has_its_lease(
    has_lease: bool,
) -> None:
    """It took the call over while the database was away. One that hung lost its lease."""
    parts = Parts({SID: FakeLeg()})
    if has_lease:
        parts.bus.own(SID, 2)
    parts.on_outdated(SID)
    await asyncio.gather(*parts.tasks)
    assert (parts.adopted, parts.lost) == (([SID], []) if has_lease else ([], [SID]))
    assert parts.let_go_of == parts.lost


async def test_an_order_that_is_not_known_is_refused() -> None:
    assert "refused" in await Parts().bus.on_order(SID, {"order": "sing"})
