"""Two replicas with one database and one Redis: whichever one Twilio reaches serves the call."""

import asyncio
import random
from typing import Any

import pytest

from app.bridge import arrivals
from app.records.database import Database
from app.records.store import Store, StoreUnavailable
from app.simulator.realtime import RealtimeServer, Reply, Script
from app.simulator.twilio import Call, signature
from tests.redis_server import redis_server, shared_redis
from tests.service.api import api
from tests.service.broken_streams import no_websockets, spoil
from tests.service.raw_twilio import CALL_SID, RawStream, call_form, raw_stream, refusal, request
from tests.service.routed_replicas import Replicas, by_path, in_turn, replicas
from tests.service.twiml_check import check_twiml
from tests.service.world import AUTH_TOKEN, decisions, names, noise

INF = float("inf")
HELLO = Reply("Hello.", audio=noise(60, "hello"), speed=INF)
AGAIN = Reply("Are you there?", audio=noise(60, "again"), speed=INF)
OTHER_SID = "CA" + "8" * 32
STREAMS_ELSEWHERE = by_path({"/media-stream": 1})
USED = "the ticket was used already"


@pytest.fixture
def redis_url() -> str:
    return shared_redis().url


async def over(r: Replicas, number: int = 0, call_sid: str = CALL_SID) -> None:
    """Twilio reports the end of a call to that replica."""
    await request(r[number], "/call-status", {"CallSid": call_sid, "CallStatus": "completed"})


async def ended(r: Replicas, call: Call) -> dict[str, Any]:
    call.hang_up()
    await call.wait_ended()
    await r.settled()
    for document in call.twiml_history:
        check_twiml(document)
    return await r.record(call.call_sid)


async def hears(stream: RawStream) -> None:
    """Until a whole answer has been heard."""
    for _ in range(2):
        while (message := await stream.receive())["event"] != "mark":
            pass
        await stream.send(message)


# --- the stream reaches another replica than the webhook ------------------------------------------


async def test_a_call_is_served_where_its_stream_arrives(postgres_url: str, redis_url: str) -> None:
    async with replicas(Script(HELLO), postgres_url, redis_url) as r:
        r.route = STREAMS_ELSEWHERE
        call = await r.connected()
        await call.wait_quiet()
        assert call.heard == HELLO.audio
        assert r[0].switchboard.leg(call.call_sid) is None
        assert r[1].switchboard.is_live(call.call_sid)
        assert len(r.model.handshakes) == 1
        record = await ended(r, call)
        assert (record["from"], record["to"]) == ("+15550100001", "+15550109999")
        assert [turn["text"] for turn in record["transcript"]] == ["Hello."]
        assert decisions(record) == [] and names(record).count("LegOpened") == 1


@pytest.mark.parametrize("number", [0, 1])
async def test_a_webhook_opens_no_session_before_the_stream_has_come(
    postgres_url: str, redis_url: str, number: int
) -> None:
    async with replicas(Script(HELLO), postgres_url, redis_url) as r:
        url = (await request(r[0])).stream_url
        assert not r.model.handshakes and not r[0].switchboard.live_calls
        row = await r[1].store.get_call(CALL_SID)
        assert row is not None and (row.status, row.from_number) == ("ringing", "+15550100001")
        async with raw_stream(r[number], url) as stream:
            await stream.start()
            assert (await stream.receive())["event"] in ("mark", "media")
            assert r[number].switchboard.live_calls == 1
        await over(r, number)
        await r.settled()


async def test_a_ticket_is_good_once_over_all_replicas(postgres_url: str, redis_url: str) -> None:
    async with replicas(Script(HELLO), postgres_url, redis_url) as r:
        url = (await request(r[0])).stream_url
        async with raw_stream(r[1], url) as first:
            await first.start()
            assert (await first.receive())["event"] in ("mark", "media")
            async with raw_stream(r[0], url) as second:
                await second.start()
                assert await second.close_code() == 1008
            assert await refusal(r[0], url) == await refusal(r[1], url) == 403
            assert r[1].switchboard.live_calls == 1 and not r[0].switchboard.live_calls
        (line,) = r.log.of("media socket without a good start closed")
        assert line["reason"] == USED
        assert [line["reason"] for line in r.log.of("media socket refused")] == [USED, USED]
        await over(r, 1)
        await r.settled()
        assert len(r.model.handshakes) == 1


async def test_a_stream_without_a_good_ticket_is_refused_by_every_replica(
    postgres_url: str, redis_url: str
) -> None:
    async with replicas(Script(), postgres_url, redis_url) as r:
        url = (await request(r[0])).stream_url
        changed = url[:-1] + ("A" if url[-1] != "A" else "B")
        for each in (r[0], r[1]):
            assert await refusal(each, changed) == 403
            assert await refusal(each, url, signed="") == 403
            assert await refusal(each, url, signed=signature("another", url)) == 403
        async with raw_stream(r[1], url) as stream:
            await stream.start(OTHER_SID)
            assert await stream.close_code() == 1008
        assert not r.model.handshakes
        await over(r)


async def test_an_expired_ticket_is_refused_by_every_replica(
    postgres_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.bridge.tickets.TICKET_S", -11.0)
    async with replicas(Script(), postgres_url, redis_url) as r:
        url = (await request(r[0])).stream_url
        assert await refusal(r[0], url) == await refusal(r[1], url) == 403
        reasons = {line["reason"] for line in r.log.of("media socket refused")}
        assert reasons == {"the ticket is expired"}
        await over(r)


async def test_a_call_placed_by_one_replica_is_about_the_same_at_another(
    postgres_url: str, redis_url: str
) -> None:
    async with replicas(
        Script(HELLO), postgres_url, redis_url, twilio_phone_number="+15550109999"
    ) as r:
        r.route = (
            by_path({"/outgoing-call": 1, "/media-stream": 2}, otherwise=0)
            if len(r.worlds) > 2
            else by_path({"/outgoing-call": 1})
        )
        asked = {"to": "+15550100002", "greeting": "Good evening.", "context": "It is about tea."}
        answer = await api(r[0], "POST", "/calls", asked)
        assert answer.status == 201, answer.body
        call = r.line.calls[answer.body["call_sid"]]
        await call.wait_connected()
        session = await r.model.session()
        await session.until(lambda s: bool(s.events_of("response.create")))
        said = str([session.events_of("session.update"), session.events_of("response.create")])
        assert "It is about tea." in said and "Good evening." in said
        await ended(r, call)


async def test_many_calls_at_once_are_served_wherever_each_request_arrives(
    postgres_url: str, redis_url: str
) -> None:
    model = RealtimeServer(lambda turn: HELLO)
    async with replicas(model, postgres_url, redis_url, count=3) as r:
        dice = random.Random(7)
        r.route = lambda url: dice.randrange(3)
        calls = await asyncio.gather(*(r.connected() for _ in range(12)))
        for call in calls:
            await call.wait_quiet()
            assert call.heard == HELLO.audio
        assert sum(each.switchboard.live_calls for each in r.worlds) == 12
        for call in calls:
            call.hang_up()
        for call in calls:
            record = await ended(r, call)
            assert (record["status"], record["ended_by"]) == ("completed", "caller")
            assert record["ended_at"] and record["duration_s"] > 0
            assert names(record).count("LegOpened") == 1 and decisions(record) == []
        assert len(r.model.handshakes) == 12 and not r.model.open_sessions
        assert not any(each.switchboard.live_calls for each in r.worlds)


# --- streams that come again ----------------------------------------------------------------------


async def test_a_lost_stream_goes_on_at_another_replica_with_all_that_was_said(
    postgres_url: str, redis_url: str
) -> None:
    async with replicas(RealtimeServer(lambda turn: AGAIN), postgres_url, redis_url) as r:
        first = (await request(r[0])).stream_url
        async with raw_stream(r[0], first) as stream:
            await stream.start()
            await hears(stream)
            asking = await r.model.session()
            asking.start_speech()
            asking.stop_speech("When do you open?")
            await hears(stream)
        again = await request(r[1], form=call_form(CallStatus="in-progress"))
        async with raw_stream(r[1], again.stream_url) as stream:
            await stream.start()
            session = await r.model.session(1)
            await session.until(lambda s: bool(s.events_of("response.create")))
            told = str(session.events_of("conversation.item.create"))
            assert "When do you open?" in told
        await over(r, 1)
        await r.settled()
        record = await r.record(CALL_SID)
        assert ("call taken over", "another process had it") in decisions(record)
        assert "When do you open?" in [turn["text"] for turn in record["transcript"]]
        assert names(record).count("LegOpened") == 2 and record["status"] == "completed"


async def test_a_stream_that_another_replica_gets_takes_the_call_from_a_live_one(
    postgres_url: str, redis_url: str
) -> None:
    async with replicas(RealtimeServer(lambda turn: HELLO), postgres_url, redis_url) as r:
        first = (await request(r[0])).stream_url
        again = (await request(r[1])).stream_url
        async with raw_stream(r[0], first) as old, raw_stream(r[1], again) as new:
            await old.start()
            assert (await old.receive())["event"] in ("mark", "media")
            await new.start()
            assert (await new.receive())["event"] in ("mark", "media")
            assert await old.close_code() == 1000
            assert not r[0].switchboard.live_calls and r[1].switchboard.live_calls == 1
            await over(r, 0)  # whichever replica Twilio tells
            assert await new.close_code() == 1000
        await r.settled()
        record = await r.record(CALL_SID)
        assert (record["status"], record["ended_by"]) == ("completed", "caller")
        assert names(record).count("LegOpened") == 2
        assert record["duration_s"] is not None


async def test_a_repeated_webhook_moves_a_session_that_was_opened_ahead(
    postgres_url: str, redis_url: str
) -> None:
    async with replicas(
        RealtimeServer(lambda turn: HELLO), postgres_url, redis_url, own_addresses=True
    ) as r:
        await request(r[0])
        url = (await request(r[1])).stream_url
        assert url.startswith("wss://replica-1.")
        async with raw_stream(r[1], url) as stream:
            await stream.start()
            assert (await stream.receive())["event"] in ("mark", "media")
            assert not r[0].switchboard.live_calls and r[1].switchboard.live_calls == 1
        await over(r, 1)
        await r.settled()
        assert (await r.record(CALL_SID))["status"] == "completed"


async def test_streams_that_fail_at_all_replicas_are_given_up_with_an_apology(
    postgres_url: str, redis_url: str
) -> None:
    quick = {"pause_scale": 0.01, "gather_scale": 0.02, "ring_scale": 0.02}
    async with replicas(Script(HELLO), postgres_url, redis_url, line=quick) as r:
        spoil(r[0], no_websockets)
        r.route = in_turn(2)
        call = await r.line.call()
        await call.wait_ended()
        await r.settled()
        assert call.said[:4] == ["One moment, please."] * 4
        assert call.said[4].startswith("We are sorry") and not call.streams
        record = await r.record(call.call_sid)
        assert (record["status"], record["ended_by"]) == ("completed", "handshake")


async def test_a_stream_that_works_late_brings_the_greeting(
    postgres_url: str, redis_url: str
) -> None:
    quick = {"pause_scale": 0.01}
    async with replicas(Script(HELLO), postgres_url, redis_url, line=quick) as r:
        spoil(r[0], no_websockets, times=2)
        call = await r.connected()
        await call.wait_quiet(30)
        assert call.heard == HELLO.audio and call.said == ["One moment, please."] * 2
        await ended(r, call)


# --- a replica's own address ----------------------------------------------------------------------


async def test_with_an_address_of_its_own_a_replica_opens_the_session_at_the_webhook(
    postgres_url: str, redis_url: str
) -> None:
    async with replicas(Script(HELLO), postgres_url, redis_url, own_addresses=True) as r:
        r.route = by_path({}, otherwise=1)
        answer = await request(r[1])
        assert answer.stream_url.startswith("wss://replica-1.example.com/media-stream/")
        action = answer.twiml.find("Connect")
        assert action is not None
        assert action.attrib["action"] == "https://bridge.example.com/stream-ended"
        assert len(r.model.handshakes) == 1 and r[1].switchboard.live_calls == 1
        public = answer.stream_url.replace("replica-1", "bridge")
        other = answer.stream_url.replace("replica-1", "replica-0")
        assert await refusal(r[1], answer.stream_url, signed=signature(AUTH_TOKEN, other)) == 403
        signed = signature(AUTH_TOKEN, public)
        async with raw_stream(r[1], answer.stream_url, signed=signed) as stream:
            await stream.send({"event": "connected"})
        async with raw_stream(r[1], answer.stream_url) as stream:
            await stream.start()
            assert (await stream.receive())["event"] in ("mark", "media")
        await over(r, 1)
        await r.settled()
        assert len(r.model.handshakes) == 1


async def test_calls_come_back_to_the_replica_that_answered_them(
    postgres_url: str, redis_url: str
) -> None:
    async with replicas(
        RealtimeServer(lambda turn: HELLO), postgres_url, redis_url, own_addresses=True
    ) as r:
        calls = [await r.connected() for _ in range(4)]
        for call in calls:
            await call.wait_quiet()
            assert call.heard == HELLO.audio
        assert r.reached_by("/media-stream") == r.reached_by("/incoming-call") == [0, 1, 0, 1]
        for call in calls:
            call.hang_up()
        for call in calls:
            await ended(r, call)
        assert len(r.model.handshakes) == 4


async def test_a_replica_whose_address_is_gone_hands_its_calls_to_another(
    postgres_url: str, redis_url: str
) -> None:
    """Its streams end, and Twilio asks at the public address what is next."""
    async with replicas(
        RealtimeServer(lambda turn: HELLO), postgres_url, redis_url, own_addresses=True
    ) as r:
        url = (await request(r[0])).stream_url
        async with raw_stream(r[0], url) as stream:
            await stream.start()
            await hears(stream)
        again = await request(r[1], "/stream-ended", call_form(CallStatus="in-progress"))
        assert again.stream_url.startswith("wss://replica-1.")
        assert r[1].switchboard.live_calls == 1 and not r[0].switchboard.live_calls
        async with raw_stream(r[1], again.stream_url) as stream:
            await stream.start()
            await hears(stream)
        await over(r, 0)  # whichever replica Twilio tells
        await r.settled()
        record = await r.record(CALL_SID)
        assert record["status"] == "completed" and names(record).count("LegOpened") == 2
        said = [turn["text"] for turn in record["transcript"]]
        assert said == ["Hello.", "Hello."]


async def test_own_addresses_that_lead_nowhere_are_given_up(
    postgres_url: str, redis_url: str
) -> None:
    quick = {"pause_scale": 0.01, "gather_scale": 0.02, "ring_scale": 0.02}
    async with replicas(
        RealtimeServer(lambda turn: HELLO), postgres_url, redis_url, line=quick, own_addresses=True
    ) as r:
        tried = spoil(r[0], no_websockets)
        call = await r.line.call()
        await call.wait_ended()
        await r.settled()
        assert len(tried) <= 10 and call.said[-1].startswith("We are sorry")
        record = await r.record(call.call_sid)
        assert (record["status"], record["ended_by"]) == ("completed", "handshake")
        assert not r.model.open_sessions


# --- how many calls -------------------------------------------------------------------------------


async def test_an_announced_call_counts_in_max_calls_until_its_stream_comes(
    postgres_url: str, redis_url: str
) -> None:
    async with replicas(Script(HELLO), postgres_url, redis_url, max_calls=1) as r:
        freed = asyncio.Event()
        r[0].switchboard.streams.announcements._on_freed = freed.set
        url = (await request(r[0])).stream_url
        assert (await request(r[0])).stream_url  # a repeated webhook is no second call
        busy = await request(r[0], form=call_form(OTHER_SID))
        assert check_twiml(busy.body) == ["Say", "Hangup"]
        async with raw_stream(r[1], url) as stream:
            await stream.start()
            assert (await stream.receive())["event"] in ("mark", "media")
            await freed.wait()
            assert (r[0].switchboard.room, r[1].switchboard.room) == (1, 0)
        await over(r, 1)
        await r.settled()


async def test_an_announced_call_that_ends_does_not_count(
    postgres_url: str, redis_url: str
) -> None:
    async with replicas(Script(), postgres_url, redis_url, max_calls=1) as r:
        await request(r[0])
        assert r[0].switchboard.room == 0
        await over(r, 0)
        assert r[0].switchboard.room == 1


@pytest.mark.parametrize("own_addresses", [False, True])
async def test_a_replica_that_drains_answers_new_calls_for_the_others(
    postgres_url: str, redis_url: str, own_addresses: bool
) -> None:
    async with replicas(Script(HELLO), postgres_url, redis_url, own_addresses=own_addresses) as r:
        await r[0].switchboard.drain(60)
        url = (await request(r[0])).stream_url
        assert url.startswith("wss://bridge.example.com/media-stream/")
        assert not r.model.handshakes
        async with raw_stream(r[1], url) as stream:
            await stream.start()
            assert (await stream.receive())["event"] in ("mark", "media")
            last = asyncio.create_task(r[1].switchboard.drain(60))
            while await r[0].state.services.bus.others_ready():
                pass
            busy = await request(r[0], form=call_form(OTHER_SID))
            assert check_twiml(busy.body) == ["Say", "Hangup"]
            await over(r, 1)
        await last
        await r.settled()


# --- stores away ----------------------------------------------------------------------------------


async def unavailable(*_arguments: object, **_options: object) -> None:
    raise StoreUnavailable("the database is away")


async def test_a_call_is_served_elsewhere_though_the_database_is_away(
    postgres_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with replicas(Script(HELLO), postgres_url, redis_url) as r:
        with monkeypatch.context() as patch:
            for name in ("get_call", "adopt", "turns", "timeline"):  # before it is known
                patch.setattr(Store, name, unavailable)
            r.route = STREAMS_ELSEWHERE
            call = await r.connected()
            await call.wait_quiet()
        assert call.heard == HELLO.audio
        record = await ended(r, call)
        assert (record["from"], record["to"]) == ("+15550100001", "+15550109999")
        assert [turn["text"] for turn in record["transcript"]] == ["Hello."]


async def test_a_call_is_served_elsewhere_though_redis_went_away_after_its_webhook(
    postgres_url: str,
) -> None:
    with redis_server() as server:
        async with replicas(Script(HELLO), postgres_url, server.url) as r:
            url = (await request(r[0])).stream_url
            server.stop()
            async with raw_stream(r[1], url) as first, raw_stream(r[1], url) as second:
                await first.start()
                assert (await first.receive())["event"] in ("mark", "media")
                await second.start()
                assert await second.close_code() == 1008  # used up, as this replica remembers
            await over(r, 1)
            await r.settled()
            record = await r.record(CALL_SID)
            assert (record["from"], record["status"]) == ("+15550100001", "completed")


async def test_a_database_that_is_slow_to_give_an_epoch_costs_no_call_and_no_record(
    postgres_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "ADOPTED_S", 0.3)
    async with replicas(Script(HELLO), postgres_url, redis_url) as r:
        raised, change = asyncio.Event(), Database.change

        async def slow(database: Database, work: Any) -> Any:
            done = await change(database, work)
            await raised.wait()
            return done

        monkeypatch.setattr(Database, "change", slow)
        r.route = STREAMS_ELSEWHERE
        call = await r.connected()
        await call.wait_quiet()
        assert call.heard == HELLO.audio
        raised.set()
        record = await ended(r, call)
        assert (record["status"], record["ended_by"]) == ("completed", "caller")
        assert [turn["text"] for turn in record["transcript"]] == ["Hello."]
