"""Which media sockets are accepted, and which are refused or closed."""

import asyncio
import base64

import pytest

from app.bridge.expiry import ExpiryLimits
from app.simulator.realtime import Reply, Script
from app.simulator.twilio import signature
from app.web.twilio import call_webhooks
from tests.service.raw_twilio import CALL_SID, call_form, raw_stream, refusal, request
from tests.service.twiml_check import check_twiml
from tests.service.world import PUBLIC_URL, World, decisions, noise, world

HELLO = Reply("Hello.", audio=noise(100, "hello"), speed=float("inf"))
OTHER_SID = "CA" + "8" * 32


async def ended(w: World, call_sid: str = CALL_SID) -> None:
    """The caller hung up: let go of the leg."""
    await request(w, "/call-status", {"CallSid": call_sid, "CallStatus": "completed"})
    await w.settled()


async def test_a_ticket_opens_one_stream_once() -> None:
    async with world(Script(HELLO)) as w:
        url = (await request(w)).stream_url
        async with raw_stream(w, url) as first, raw_stream(w, url) as second:
            await first.start()
            assert (await first.receive())["event"] in ("mark", "media")
            await second.start()
            assert await second.close_code() == 1008
            assert await refusal(w, url) == 403  # used up
            assert w.switchboard.live_calls == 1  # the first one goes on
        await w.settled()
        assert len(w.model.sessions) == 1


async def test_a_ticket_is_for_its_own_call() -> None:
    async with world(Script(HELLO, HELLO)) as w:
        mine = await request(w)
        theirs = await request(w, form=call_form(OTHER_SID))
        async with raw_stream(w, mine.stream_url) as stream:
            await stream.start(OTHER_SID)
            assert await stream.close_code() == 1008
        async with raw_stream(w, theirs.stream_url) as stream:
            await stream.start(OTHER_SID)
            assert (await stream.receive())["event"] in ("mark", "media")
        await ended(w)
        await ended(w, OTHER_SID)


async def test_a_stream_without_a_known_ticket_gets_no_model_session() -> None:
    async with world(Script()) as w:
        base = PUBLIC_URL.replace("https", "wss")
        for path in ("/media-stream", "/media-stream/", "/media-stream/guess", "/media-stream/a/b"):
            assert await refusal(w, base + path) == 403
        assert not w.model.handshakes
        assert w.switchboard.live_calls == 0
        assert [line["reason"] for line in w.log.of("media socket refused")] == [
            "the stream's URL has no ticket",
            "the stream's URL has no ticket",
            "the ticket is unknown",
            "there is no such path",
        ]


async def test_the_handshake_must_be_signed() -> None:
    async with world(Script(HELLO)) as w:
        url = (await request(w)).stream_url
        for wrong in ("", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=", signature("another", url)):
            assert await refusal(w, url, signed=wrong) == 403
        async with raw_stream(w, url) as stream:  # none of these used the ticket up
            await stream.start()
            assert (await stream.receive())["event"] in ("mark", "media")
        await w.settled()


async def test_if_present_a_missing_signature_is_let_in_and_a_wrong_one_is_not() -> None:
    async with world(Script(HELLO), twilio_stream_signature="if-present") as w:
        url = (await request(w)).stream_url
        for wrong in ("AAAAAAAAAAAAAAAAAAAAAAAAAAA=", signature("another", url)):
            assert await refusal(w, url, signed=wrong) == 403
        assert await refusal(w, f"{PUBLIC_URL}/media-stream/guess", signed="") == 403
        async with raw_stream(w, url, signed="") as stream:
            await stream.start()
            assert (await stream.receive())["event"] in ("mark", "media")
        await w.settled()


async def test_a_socket_that_does_not_start_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_webhooks, "START_S", 0.1)
    async with world(Script(HELLO)) as w:
        url = (await request(w)).stream_url
        async with raw_stream(w, url) as silent, raw_stream(w, url) as chatty:
            for message in ("", "[]", '{"event":"connected"}', '{"event":"start"}'):
                await chatty.socket.send_str(message)
            assert await silent.close_code() == 1008
            assert await chatty.close_code() == 1008
        async with raw_stream(w, url) as stream:  # the ticket is as good as before
            await stream.start()
            assert (await stream.receive())["event"] in ("mark", "media")
        await w.settled()
        assert len(w.log.of("media socket without a good start closed")) == 2


async def test_a_socket_lost_before_its_start_is_no_fault() -> None:
    async with world(Script(HELLO)) as w:
        url = (await request(w)).stream_url
        async with raw_stream(w, url) as stream:
            await stream.send({"event": "connected"})
        await _all_sockets_gone(w)
        await ended(w)


async def _all_sockets_gone(w: World) -> None:
    while tasks := set(w.server.server_state.tasks):
        await asyncio.wait(tasks)


async def test_half_open_connections_delay_no_call() -> None:
    async with world(Script(HELLO)) as w:
        host, port = w.url.removeprefix("http://").split(":")
        writers = []
        for _ in range(50):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /media-stream/x HTTP/1.1\r\nHost: b\r\nUpgrade: websocket\r\n")
            writers.append(writer)
        call = await w.connected()
        await call.wait_quiet()
        assert call.heard == HELLO.audio
        for writer in writers:
            writer.close()
            await writer.wait_closed()


@pytest.mark.parametrize("started", [False, True])
async def test_a_message_above_a_mebibyte_closes_the_socket(started: bool) -> None:
    async with world(Script(HELLO)) as w:
        url = (await request(w)).stream_url
        async with raw_stream(w, url) as stream:
            if started:
                await stream.start()
            payload = base64.b64encode(bytes(800_000)).decode()
            await stream.send({"event": "media", "media": {"payload": payload}})
            assert await stream.close_code() == 1009
        await ended(w)


async def test_past_most_calls_the_line_is_busy() -> None:
    async with world(Script(HELLO, HELLO), max_calls=1) as w:
        first = await w.connected()
        second = await w.line.call()
        await second.wait_ended()
        assert len(second.said) == 1 and "busy" in second.said[0]
        assert check_twiml(second.twiml_history[0]) == ["Say", "Hangup"]
        assert (second.status, second.errors) == ("completed", [])
        assert len(w.model.handshakes) == 1
        record = await w.record(second.call_sid)
        assert (record["status"], record["ended_by"]) == ("completed", "busy")
        assert decisions(record) == [("call turned away", "MAX_CALLS is reached")]

        first.hang_up()
        await first.wait_ended()
        await w.settled()
        third = await w.connected()
        await third.wait_quiet()
        assert third.heard == HELLO.audio


async def test_while_draining_new_calls_are_turned_away_and_live_ones_served() -> None:
    async with world(Script(HELLO, HELLO)) as w:
        w.switchboard.expiry.limits = ExpiryLimits(slot_s=0.1)
        live = await w.connected()
        ringing = await request(w)
        draining = asyncio.create_task(w.switchboard.drain(60))
        await asyncio.wait({asyncio.create_task(w.status_of("/healthz"))})
        assert [await w.status_of("/healthz"), await w.status_of("/readyz")] == [200, 503]

        new = await w.line.call()
        await new.wait_ended()
        assert len(new.said) == 1 and "busy" in new.said[0]

        assert (await request(w)).status == 200  # repeated by Twilio: a call of this process
        async with raw_stream(w, ringing.stream_url) as stream:
            await stream.start()
            assert (await stream.receive())["event"] in ("mark", "media")
            assert not draining.done()
        await live.wait_quiet()
        live.hang_up()
        await live.wait_ended()
        ended_form = {"CallSid": live.call_sid, "CallStatus": "completed"}
        assert (await request(w, "/call-status", ended_form)).status == 204
        assert check_twiml((await request(w, "/stream-ended", ended_form)).body) == ["Hangup"]
        await draining
        assert w.switchboard.live_calls == 0
