"""The records of all replicas' calls, past and live, from whichever replica is asked."""

from typing import Any

import pytest

from app.simulator.realtime import RealtimeServer
from tests.redis_server import shared_redis
from tests.service.api import api
from tests.service.routed_replicas import Replicas, by_path, replicas
from tests.service.test_service_actions import Talker
from tests.service.transfer_world import HELLO, size
from tests.service.world import World


@pytest.fixture
def redis_url() -> str:
    return shared_redis().url


async def record(w: World, call_sid: str) -> dict[str, Any]:
    told = await api(w, "GET", f"/calls/{call_sid}")
    assert told.status == 200, told.body
    found: dict[str, Any] = told.body
    return found


async def listed(w: World, query: str = "") -> list[tuple[str, str]]:
    told = await api(w, "GET", f"/calls{query}")
    assert told.status == 200, told.body
    return [(each["call_sid"], each["status"]) for each in told.body["calls"]]


async def greeted(r: Replicas, number: int) -> Any:
    r.route = by_path({"/media-stream": number})
    call = await r.connected()
    await call.wait_heard(size(HELLO))
    await call.wait_quiet()
    return call


async def test_every_replica_shows_live_calls_with_what_was_said_so_far(
    postgres_url: str, redis_url: str
) -> None:
    async with replicas(RealtimeServer(Talker().brain), postgres_url, redis_url, count=3) as r:
        calls = [await greeted(r, number) for number in range(3)]
        sids = [call.call_sid for call in calls]
        for each in r.worlds:
            for sid in sids:  # written as it is said
                while not (shown := await record(each, sid))["transcript"]:
                    pass
                while len((shown := await record(each, sid))["events"]) < 5:
                    pass
                assert [turn["text"] for turn in shown["transcript"]] == ["Hello."]
                assert (shown["status"], shown["ended_at"]) == ("in-progress", None)
                assert shown["agent"] and shown["from"] and shown["started_at"]
            assert {sid for sid, _ in await listed(each, "?status=in-progress")} == {*sids}
        calls[1].hang_up()
        await calls[1].wait_ended()
        for each in r.worlds:
            while dict(await listed(each))[sids[1]] != "completed":
                pass
            assert {sid for sid, _ in await listed(each, "?status=in-progress")} == {
                sids[0],
                sids[2],
            }


async def test_pages_of_calls_go_on_at_any_replica(postgres_url: str, redis_url: str) -> None:
    async with replicas(RealtimeServer(Talker().brain), postgres_url, redis_url) as r:
        calls = [await greeted(r, number % 2) for number in range(3)]
        found, before = [], ""
        for number in range(3):
            page = await api(r[number % 2], "GET", f"/calls?limit=1{before}")
            found += [each["call_sid"] for each in page.body["calls"]]
            before = f"&before={page.body['next']}"
        assert page.body["next"] is None
        assert found == [call.call_sid for call in reversed(calls)]
