"""Announced streams: what any replica learns of them, and for how long they count."""

import pytest

from app.bridge.announcements import KEPT_S, Announced, Announcements
from app.bridge.bus.bus import BusUnavailable, Message
from app.bridge.bus.local_bus import LocalBus
from app.bridge.stream_retries import RetryLimits
from app.call.events import STREAM_LOST, ResumeCause
from app.wires.twilio.call import CallInfo

CALL = CallInfo("CA1", "AC1", "outbound-api", "+15550100001", "+15550109999")
LIMITS = RetryLimits()


class Away(LocalBus):
    """A bus that may be away."""

    away = False

    async def get(self, key: str) -> Message | None:
        if self.away:
            raise BusUnavailable("Redis is away")
        return await super().get(key)

    async def put(self, key: str, value: Message, for_s: float) -> None:
        if self.away:
            raise BusUnavailable("Redis is away")
        await super().put(key, value, for_s)


class Scene:
    """Two replicas that share a bus and a clock."""

    def __init__(self) -> None:
        self.now_s = 1e9
        self.freed = 0
        self.bus = Away(lambda: self.now_s)
        self.first, self.second = self._replica(), self._replica()

    def _replica(self) -> Announcements:
        return Announcements(self.bus, self._count, lambda: self.now_s)

    def _count(self) -> None:
        self.freed += 1


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_any_replica_learns_all_of_an_announced_stream(scene: Scene) -> None:
    cause = ResumeCause("transfer_to_human", "call_1", "Busy.")
    announced = Announced(CALL, "https://b.example.com", True, cause, "Hello.", "Be brief.")
    await scene.first.announce(announced, 30)
    assert await scene.second.get("CA1") == announced
    assert scene.first.call_sids == {"CA1"} and not scene.second.call_sids


async def test_an_announced_call_counts_until_its_stream_comes(scene: Scene) -> None:
    await scene.first.announce(Announced(CALL), 30)
    await scene.first.started(Announced(CALL))
    assert not scene.first.call_sids and scene.freed == 1
    scene.first.free("CA1")
    assert scene.freed == 1


async def test_an_announced_call_counts_no_longer_than_its_ticket_is_good(scene: Scene) -> None:
    await scene.first.announce(Announced(CALL), 0)
    scene.first._timers["CA1"]._run()
    assert not scene.first.call_sids and scene.freed == 1


async def test_once_the_stream_has_started_the_next_one_is_no_beginning(scene: Scene) -> None:
    cause = ResumeCause("send_digits", "call_1", "Pressed.")
    announced = Announced(CALL, "https://b", True, cause, "Hello.", "Be brief.")
    await scene.first.announce(announced, 30)
    await scene.second.started(announced)
    found = await scene.first.get("CA1")
    assert found == Announced(CALL, "https://b", started_s=scene.now_s)
    assert found.resume_cause == STREAM_LOST


async def test_a_stream_that_is_tried_again_is_as_new_as_the_first_one(scene: Scene) -> None:
    await scene.first.announce(Announced(CALL, is_new=True, instructions="Be brief."), 30)
    assert await scene.second.failed(CALL, LIMITS) == 1
    await scene.second.announce(Announced(CALL), 30)
    found = await scene.first.get("CA1")
    assert found is not None and found.is_new and found.instructions == "Be brief."


async def test_failures_count_over_all_replicas(scene: Scene) -> None:
    pauses = []
    for each in (scene.first, scene.second, scene.first, scene.second, scene.first):
        await each.announce(Announced(CALL), 30)
        scene.now_s += 0.1
        pauses.append(await each.failed(CALL, LIMITS))
    assert pauses == [1, 2, 4, 6, None]


async def test_a_stream_that_carried_the_call_is_followed_at_once(scene: Scene) -> None:
    await scene.first.announce(Announced(CALL), 30)
    await scene.second.started(Announced(CALL))
    scene.now_s += 5
    assert await scene.first.failed(CALL, LIMITS) == 0


async def test_a_stream_that_lasted_long_is_followed_at_once(scene: Scene) -> None:
    await scene.first.announce(Announced(CALL), 30)
    await scene.second.started(Announced(CALL))
    scene.now_s += 10 * KEPT_S
    assert await scene.first.get("CA1") is None
    assert await scene.first.failed(CALL, LIMITS) == 0


async def test_while_the_bus_is_away_a_replica_knows_its_own(scene: Scene) -> None:
    scene.bus.away = True
    announced = Announced(CALL, is_new=True)
    await scene.first.announce(announced, 30)
    assert await scene.first.get("CA1") == announced
    assert await scene.second.get("CA1") is None
    assert [await scene.first.failed(CALL, LIMITS) for _ in range(5)] == [1, 2, 4, 6, None]
    scene.now_s += 31 + KEPT_S
    assert await scene.first.get("CA1") is None


async def test_an_announcement_of_another_version_is_not_read(scene: Scene) -> None:
    await scene.bus.put("call:CA1", {"call": "CA1"}, 30)
    assert await scene.first.get("CA1") is None
