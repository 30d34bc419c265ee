"""An operator's orders, given to any replica: the one that has the call carries them out."""

import asyncio
from typing import Any

import pytest

from app.bridge.bus.bus import NoOwner
from app.records.store import StoreUnavailable
from app.simulator.realtime import RealtimeServer
from app.simulator.twilio import Call, Callee
from tests.redis_server import redis_server, shared_redis
from tests.service.api import Told, api, place
from tests.service.routed_replicas import Replicas, by_path, in_turn, replicas
from tests.service.test_service_actions import ONE, ORDERS, SAID, TWO, UNKNOWN, WORDS, Talker
from tests.service.transfer_world import ANNOUNCEMENT, DESK, HELLO, Agent, size
from tests.service.world import World, decisions, names

QUICK = {"ring_scale": 0.02, "gather_scale": 0.02, "hold_ms": 20.0}
HERE, OTHER = 1, 0
EVERY = [("hangup", None), ("say", {"text": WORDS}), ("transfer", {"destination": "desk"})]


@pytest.fixture
def redis_url() -> str:
    return shared_redis().url


async def order(w: World, call_sid: str, what: str, body: Any = None) -> Told:
    return await api(w, "POST", f"/calls/{call_sid}/{what}", body)


async def greeted(r: Replicas) -> Call:
    """A call at replica `HERE`."""
    r.route = by_path({"/media-stream": HERE})
    call = await r.connected()
    await call.wait_heard(size(HELLO))
    await call.wait_quiet()
    assert r[HERE].switchboard.is_live(call.call_sid)
    await registered(r, call.call_sid)
    return call


async def registered(r: Replicas, call_sid: str) -> None:
    """Wait until every replica finds the owner of a call."""
    bus = r[OTHER].state.services.bus
    while await bus.owner(call_sid) is None:
        await r[OTHER].status_of("/healthz")


async def left(r: Replicas, call_sid: str) -> None:
    """Wait until no replica owns a call."""
    bus = r[OTHER].state.services.bus
    while await bus.owner(call_sid) is not None:
        await r[OTHER].status_of("/healthz")


async def ended(r: Replicas, call: Call) -> dict[str, Any]:
    call.hang_up()
    await call.wait_ended()
    await r.settled()
    while any(each.switchboard.is_live(call.call_sid) for each in r.worlds):
        await r[OTHER].status_of("/healthz")
    await left(r, call.call_sid)
    return await r.record(call.call_sid)


# --- carried out ----------------------------------------------------------------------------------


async def test_words_ordered_at_another_replica_are_said(postgres_url: str, redis_url: str) -> None:
    async with replicas(RealtimeServer(Talker().brain), postgres_url, redis_url, count=3) as r:
        call = await greeted(r)
        for number in (2, OTHER):
            heard = len(call.heard)
            told = await order(r[number], call.call_sid, "say", {"text": WORDS})
            assert (told.status, told.body) == (202, {"call_sid": call.call_sid})
            await call.wait_heard(heard + size(SAID))
            await call.wait_quiet()
        record = await ended(r, call)
        assert [turn["text"] for turn in record["transcript"]][1:] == [WORDS, WORDS]
        assert names(record).count("SayRequested") == 2


async def test_a_caller_is_transferred_by_an_order_at_another_replica(
    postgres_url: str, redis_url: str
) -> None:
    server = RealtimeServer(Agent().brain)
    async with replicas(server, postgres_url, redis_url, agent=TWO, line=QUICK) as r:
        r.line.callee = Callee(presses="1", talks_ms=30)
        call = await greeted(r)
        told = await order(r[OTHER], call.call_sid, "transfer", {"destination": "kitchen"})
        expected = "no such destination; expected one of: desk, sales"
        assert (told.status, told.detail) == (409, expected)
        told = await order(r[OTHER], call.call_sid, "transfer", {"destination": "desk"})
        assert told.status == 202
        await call.wait_ended()
        assert call.heard == (HELLO.audio or b"") + (ANNOUNCEMENT.audio or b"")
        assert [dialed.target for dialed in call.dialed] == [DESK]
        record = await ended(r, call)
        assert [each["outcome"] for each in record["transfers"]] == ["completed"]
        assert names(record).count("TransferRequested") == 1


async def test_a_call_is_hung_up_at_once_by_an_order_at_another_replica(
    postgres_url: str, redis_url: str
) -> None:
    async with replicas(RealtimeServer(Talker().brain), postgres_url, redis_url) as r:
        call = await greeted(r)
        told = await order(r[OTHER], call.call_sid, "hangup")
        assert (told.status, told.body) == (202, {"call_sid": call.call_sid})
        await call.wait_ended()
        record = await ended(r, call)
        assert (record["status"], record["ended_by"]) == ("completed", "operator")
        assert names(record).count("HangUpRequested") == 1
        assert [each.form["Status"] for each in r.line.rest_requests] == ["completed"]


async def test_orders_that_wait_go_on_at_the_replica_that_takes_the_call_over(
    postgres_url: str, redis_url: str
) -> None:
    async with replicas(RealtimeServer(Talker().brain), postgres_url, redis_url) as r:
        call = await greeted(r)
        (await r.model.session()).start_speech()  # so the words wait
        assert (await order(r[OTHER], call.call_sid, "say", {"text": WORDS})).status == 202
        row = await r[OTHER].store.get_call(call.call_sid)  # `kill -9` may follow
        assert row is not None and row.carried["orders"] == [{"say": WORDS}]
        r.route = by_path({"/media-stream": OTHER})
        await call.drop()
        await call.wait_connected(2)
        await (await r.model.session(1)).until(
            lambda s: WORDS in str(s.events_of("response.create"))
        )
        await call.wait_for(lambda: (SAID.audio or b"") in call.heard)
        await call.wait_quiet()
        record = await ended(r, call)
        assert [turn["text"] for turn in record["transcript"]].count(WORDS) == 1


# --- refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("what", "body"), EVERY)
async def test_every_replica_knows_which_calls_there_are_and_which_have_ended(
    postgres_url: str, redis_url: str, what: str, body: Any
) -> None:
    async with replicas(RealtimeServer(Talker().brain), postgres_url, redis_url, agent=ONE) as r:
        told = await order(r[OTHER], UNKNOWN, what, body)
        assert told.status == 404 and "GET /calls" in told.detail
        call = await greeted(r)
        await ended(r, call)
        for each in r.worlds:
            told = await order(each, call.call_sid, what, body)
            assert (told.status, told.detail) == (409, "the call has ended")
        assert not r.line.rest_requests


async def test_an_order_is_refused_by_the_owner_in_the_same_words(
    postgres_url: str, redis_url: str
) -> None:
    server = RealtimeServer(Agent().brain)
    async with replicas(server, postgres_url, redis_url, agent=ONE, line=QUICK) as r:
        call = await greeted(r)
        assert (await order(r[OTHER], call.call_sid, "transfer", {})).status == 202
        for number in (OTHER, HERE):
            told = await order(r[number], call.call_sid, "say", {"text": WORDS})
            assert (told.status, told.detail) == (
                409,
                "the agent is ending or transferring the call",
            )
        await ended(r, call)


# --- calls without a leg --------------------------------------------------------------------------


async def test_a_caller_with_a_human_has_no_leg_anywhere_and_can_be_hung_up(
    postgres_url: str, redis_url: str
) -> None:
    server = RealtimeServer(Agent().brain)
    async with replicas(server, postgres_url, redis_url, agent=ONE, line=QUICK) as r:
        r.line.callee = Callee(presses="1")
        call = await greeted(r)
        assert (await order(r[OTHER], call.call_sid, "transfer", {})).status == 202
        await call.wait_for(lambda: bool(call.dialed) and call.dialed[0].bridged_ms is not None)
        await left(r, call.call_sid)
        for each in r.worlds:
            for what, body in ORDERS[1:]:
                told = await order(each, call.call_sid, what, body)
                assert (told.status, told.detail) == (
                    409,
                    "the call is being transferred, or Twilio is playing digits on it",
                )
        assert (await order(r[OTHER], call.call_sid, "hangup")).status == 202
        await call.wait_ended()
        record = await ended(r, call)
        assert record["status"] == "completed"
        assert [each["outcome"] for each in record["transfers"]] == ["completed"]
        assert decisions(record) == [("hang up", "an operator ordered it")]


async def test_a_lost_call_is_hung_up_and_takes_no_other_order(
    postgres_url: str, redis_url: str
) -> None:
    server = RealtimeServer(Talker().brain)
    async with replicas(server, postgres_url, redis_url, agent=ONE) as r:
        store = r[HERE].store
        store.save_call("CA1", status="in-progress")
        await store.flush()
        for what, body in ORDERS[1:]:
            told = await order(r[OTHER], "CA1", what, body)
            assert (told.status, told.detail) == (
                409,
                "the caller does not talk with the agent now",
            )
        told = await order(r[OTHER], "CA1", "hangup")  # Twilio does not know the call: it is over
        assert told.status == 202
        while (row := await store.get_call("CA1")) is None or row.ended_at is None:
            await r[OTHER].status_of("/healthz")
        assert row.status == "completed"


async def test_an_outbound_call_that_rings_is_found_and_hung_up_at_every_replica(
    postgres_url: str, redis_url: str
) -> None:
    line = {"ring_scale": 1.0}
    server = RealtimeServer(Talker().brain)
    async with replicas(
        server, postgres_url, redis_url, line=line, twilio_phone_number="+14155550100"
    ) as r:
        r.line.callee = Callee(answers_after_ms=60_000)
        placed = await place(r[OTHER])
        assert placed.status == 201, placed.body
        found = await api(r[HERE], "GET", placed.headers["Location"])
        assert (found.status, found.body["call_sid"]) == (200, placed.body["call_sid"])
        listed = await api(r[HERE], "GET", "/calls")
        assert [each["call_sid"] for each in listed.body["calls"]] == [placed.body["call_sid"]]
        told = await order(r[HERE], placed.body["call_sid"], "say", {"text": WORDS})
        assert told.status == 409
        assert (await order(r[HERE], placed.body["call_sid"], "hangup")).status == 202
        call = r.line.calls[placed.body["call_sid"]]
        await call.wait_ended()
        await r.settled()


# --- owners that cannot be asked ------------------------------------------------------------------


async def test_while_redis_is_away_only_the_replica_with_the_call_takes_orders(
    postgres_url: str,
) -> None:
    with redis_server() as redis:
        async with replicas(
            RealtimeServer(Talker().brain), postgres_url, redis.url, agent=ONE
        ) as r:
            call = await greeted(r)
            redis.stop()
            for what, body in EVERY:
                told = await order(r[OTHER], call.call_sid, what, body)
                assert told.status == 503 and "Redis is away" in told.detail
                assert (await order(r[OTHER], UNKNOWN, what, body)).status == 404
            assert call.is_live and not r.line.rest_requests
            assert (await api(r[OTHER], "GET", "/calls")).status == 200
            heard = len(call.heard)
            assert (await order(r[HERE], call.call_sid, "say", {"text": WORDS})).status == 202
            await call.wait_heard(heard + size(SAID))
            assert (await order(r[HERE], call.call_sid, "hangup")).status == 202
            await call.wait_ended()
            await r.settled()
            told = await order(r[OTHER], call.call_sid, "hangup")
            while told.status == 503:  # until the record says so
                told = await order(r[OTHER], call.call_sid, "hangup")
            assert (told.status, told.detail) == (409, "the call has ended")


async def test_an_owner_that_does_not_answer_in_time_is_reported(
    postgres_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.bridge.operator_orders.ANSWER_S", 0.3)
    async with replicas(RealtimeServer(Talker().brain), postgres_url, redis_url) as r:
        call = await greeted(r)
        taking = r[HERE].state.services.bus
        hangs = asyncio.Event()

        async def hang(call_sid: str, order: Any) -> Any:
            await hangs.wait()

        carries_out, taking.on_order = taking.on_order, hang
        told = await order(r[OTHER], call.call_sid, "say", {"text": WORDS})
        assert told.status == 504 and "look at the call" in told.detail
        taking.on_order = carries_out
        hangs.set()
        record = await ended(r, call)
        assert "SayRequested" not in names(record)


async def test_a_replica_that_lost_a_call_and_does_not_know_it_carries_nothing_out(
    postgres_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with replicas(RealtimeServer(Talker().brain), postgres_url, redis_url) as r:
        call = await greeted(r)
        here = r[HERE].state
        resume, goes_on = here.reconnects.resume, asyncio.Event()

        async def wait(*args: Any, **options: Any) -> Any:
            await goes_on.wait()
            return await resume(*args, **options)

        monkeypatch.setattr(here.reconnects, "resume", wait)
        assert await r[OTHER].store.adopt(call.call_sid)  # as after a pause of the other process
        told = await order(r[HERE], call.call_sid, "say", {"text": WORDS})
        assert told.status == 409
        assert not r[HERE].switchboard.is_live(call.call_sid)
        with pytest.raises(NoOwner):
            await here.orders.carry_out(call.call_sid, {"order": "hangup"})
        assert not r.line.rest_requests
        goes_on.set()
        r.route = in_turn(2)
        await ended(r, call)


async def test_with_the_database_away_only_live_calls_take_orders(
    postgres_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with replicas(RealtimeServer(Talker().brain), postgres_url, redis_url) as r:
        call = await greeted(r)

        async def away(query: Any) -> Any:
            raise StoreUnavailable("the database is away")

        monkeypatch.setattr(r[OTHER].store, "_read", away)
        heard = len(call.heard)
        assert (await order(r[OTHER], call.call_sid, "say", {"text": WORDS})).status == 202
        await call.wait_heard(heard + size(SAID))
        assert (await order(r[OTHER], UNKNOWN, "say", {"text": WORDS})).status == 503
        assert (await api(r[OTHER], "GET", "/calls")).status == 503
        monkeypatch.undo()
        await ended(r, call)
