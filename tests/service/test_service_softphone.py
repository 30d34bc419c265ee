"""The softphone's doors, and a whole call over them: no telephone, no Twilio account."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from app.bridge.expiry import ExpiryLimits
from app.simulator.realtime import RealtimeServer, Reply, Script
from tests.service.api import api
from tests.service.softphone_client import FRAME, Softphone, new_call
from tests.service.world import ACCOUNT_SID, API_TOKEN, World, decisions, names, noise, world

INF = float("inf")
HELLO = Reply("Hello.", audio=noise(200, "hello"), speed=INF)
LONG = Reply("One two three.", audio=noise(5000, "long"), speed=INF)
BYE = Reply(
    "Goodbye.", audio=noise(60, "bye"), speed=INF, tool_calls=[("end_call", {"reason": "done"})]
)
NO_ACCOUNT: dict[str, Any] = {
    "twilio_account_sid": None,
    "twilio_auth_token": None,
    "public_url": None,
}
REFUSED = "media socket refused"
TURNED_AWAY = "call turned away"


@asynccontextmanager
async def softphones(*replies: Reply, **more: Any) -> AsyncIterator[World]:
    brain = Script(*replies) if replies else RealtimeServer(lambda _: HELLO)
    async with world(brain, **{**NO_ACCOUNT, **more}) as w:
        yield w
        assert w.line.rest_requests == []


async def handshake(w: World, url: str, **headers: str) -> int:
    """The status with which a handshake is refused; 101: it is not."""
    try:
        async with w.http.ws_connect(url, headers=headers):
            return 101
    except aiohttp.WSServerHandshakeError as error:
        return error.status


# --- a whole call ---------------------------------------------------------------------------------


@pytest.mark.parametrize("account", [False, True])
async def test_a_softphone_hears_the_greeting_and_its_record_is_a_call_s(account: bool) -> None:
    more = {"twilio_account_sid": ACCOUNT_SID, "twilio_auth_token": "secret"} if account else {}
    async with softphones(**more) as w:
        phone = await Softphone.call(w)
        await phone.heard(1600)
        assert phone.audio == HELLO.audio
        live = (await api(w, "GET", f"/calls/{phone.call_sid}")).body
        assert (live["status"], live["direction"]) == ("in-progress", "softphone")
        await phone.hang_up()
        record = await phone.record()
        assert (record["status"], record["direction"]) == ("completed", "softphone")
        assert record["ended_by"] == "caller"
        assert record["cost"]["line"] == 0
        assert record["transcript"][0]["text"] == "Hello."
        metrics = await (
            await w.http.get(f"{w.url}/metrics", headers={"Authorization": f"Bearer {API_TOKEN}"})
        ).text()
        assert 'phone_agent_calls_total{direction="softphone",ended_by="caller"} 1.0' in metrics


async def test_a_key_interrupts_the_agent_and_clears_what_the_softphone_plays() -> None:
    async with softphones(LONG, Reply("Yes?", audio=noise(60, "yes"), speed=INF)) as w:
        phone = await Softphone.call(w)
        await phone.heard(20_000)
        await phone.press("5")
        await phone.until(lambda: phone.clears > 0)
        await phone.hang_up()
        assert "ReportInterruption" in names(await phone.record(), "command")


async def test_the_agent_hangs_up_and_the_service_closes_the_stream() -> None:
    async with softphones(HELLO, BYE) as w:
        phone = await Softphone.call(w)
        await phone.heard(1600)
        session = w.model.sessions[0]
        session.start_speech()
        session.stop_speech("Thank you, bye.")
        await phone.over()
        assert phone.closed == 1000
        record = await phone.record()
        assert (record["status"], record["ended_by"]) == ("completed", "agent")
        assert (await phone.next())["state"] == "over"


async def test_an_operator_hangs_up_a_softphone() -> None:
    async with softphones() as w:
        phone = await Softphone.call(w)
        await phone.heard(1600)
        told = await api(w, "POST", f"/calls/{phone.call_sid}/hangup")
        assert told.status == 202
        await phone.over()
        assert (await phone.record())["ended_by"] == "operator"


# --- streams that end -----------------------------------------------------------------------------


async def test_a_page_that_is_closed_has_hung_up() -> None:
    async with softphones() as w:
        phone = await Softphone.call(w)
        await phone.heard(1600)
        assert phone.socket is not None
        await phone.socket.close(code=1001)
        record = await phone.record()
        assert (record["status"], record["ended_by"]) == ("completed", "caller")


async def test_a_lost_stream_goes_on_in_another_one() -> None:
    async with softphones(HELLO, Reply("Are you there?", audio=noise(60, 1), speed=INF)) as w:
        phone = await Softphone.call(w)
        await phone.heard(1600)
        await phone.drop()
        step = await phone.next()
        assert step["state"] == "stream"
        await phone.open(step["stream_url"])
        await phone.heard(1601)
        await phone.hang_up()
        record = await phone.record()
        assert [each["role"] for each in record["transcript"]] == ["assistant", "assistant"]


async def test_a_stream_that_stays_lost_ends_the_call() -> None:
    async with softphones() as w:
        w.switchboard.expiry.limits = ExpiryLimits(softphone_s=0.05)
        ended = asyncio.Event()
        w.switchboard.on_call_ended.append(lambda _: ended.set())
        phone = await Softphone.call(w)
        await phone.heard(1600)
        await phone.drop()
        await ended.wait()
        record = await phone.record()
        assert record["status"] == "completed"
        assert ("record closed", "the softphone did not come back within 0.05 s") in decisions(
            record
        )
        assert (await phone.next())["state"] == "over"


# --- the doors ------------------------------------------------------------------------------------


async def test_a_softphone_without_the_token_is_refused() -> None:
    async with softphones() as w:
        for token in (None, "wrong"):
            assert (await new_call(w, token=token)).status == 401
        assert (await new_call(w, token=None, origin="null")).status == 401
        assert len(w.log.of("request without the API's token refused")) == 3
        assert w.switchboard.live_calls == 0


@pytest.mark.parametrize(
    "origin", ["null", "https://evil.example", "http://127.0.0.1:1", "", "file://", "http://[::1"]
)
async def test_a_foreign_page_is_refused(origin: str) -> None:
    async with softphones() as w:
        assert (await new_call(w, origin=origin)).status == 403
        (line,) = w.log.of("softphone of a foreign page refused")
        assert origin in line["reason"]
        phone = Softphone(w, "")
        told = await new_call(w)
        assert await handshake(w, told.body["stream_url"], Origin=origin) == 403
        (refused,) = w.log.of(REFUSED)
        assert origin in refused["reason"]
        phone.call_sid = told.body["call_sid"]  # the ticket is still good
        await phone.open(told.body["stream_url"])
        await phone.hang_up()


async def test_the_stream_has_the_page_s_origin() -> None:
    async with softphones(public_url="https://bridge.example.com/agent") as w:
        own = w.url.replace("http", "ws", 1)
        told = await new_call(w)
        assert told.body["stream_url"].startswith(f"{own}/media-stream/")
        told = await new_call(w, origin=w.url)
        assert told.body["stream_url"].startswith(f"{own}/media-stream/")
        told = await new_call(w, origin="https://bridge.example.com")
        public = "wss://bridge.example.com/agent/media-stream/"
        assert told.body["stream_url"].startswith(public)
        told = await new_call(w, host="bridge.example.com")
        assert told.body["stream_url"].startswith(public)
        told = await new_call(w, host="tunnel.example", origin="https://tunnel.example")
        assert told.body["stream_url"].startswith("wss://tunnel.example/media-stream/")


async def test_a_stream_url_is_good_once() -> None:
    async with softphones() as w:
        told = await new_call(w)
        phone = Softphone(w, told.body["call_sid"])
        await phone.open(told.body["stream_url"])
        await phone.heard(1600)
        assert await handshake(w, told.body["stream_url"]) == 403
        (line,) = w.log.of(REFUSED)
        assert line["reason"] == "the ticket was used already"
        await phone.hang_up()


async def test_tickets_of_phones_and_softphones_do_not_fit_each_other() -> None:
    async with world(Script(HELLO, HELLO, HELLO), public_url=None) as w:
        told = await new_call(w)
        caller = w.line.ring()
        await caller.wait_answer()
        stream = caller.twiml_history[0].partition('url="')[2].partition('"')[0]
        ours = stream.replace("wss://", "ws://").replace("bridge.example.com", w.url[7:])
        ours = f"{w.url.replace('http', 'ws', 1)}/media-stream/{ours.rpartition('/')[2]}"
        assert await handshake(w, ours) == 403  # a phone's ticket, not signed by Twilio
        phone = Softphone(w, told.body["call_sid"])
        await phone.open(told.body["stream_url"], start=False)
        await phone.start(caller.call_sid)
        await phone.over()
        assert phone.closed == 1008
        reasons = [line["reason"] for line in w.log.of("media socket without a good start closed")]
        assert reasons == ["the start names another call, or one that is over"]
        assert len(w.log.of(REFUSED)) == 1
        await api(w, "POST", f"/calls/{told.body['call_sid']}/hangup")


async def test_softphones_count_in_max_calls() -> None:
    async with softphones(max_calls=1) as w:
        phone = await Softphone.call(w)
        told = await new_call(w)
        assert (told.status, told.headers["Retry-After"]) == (503, "30")
        assert "MAX_CALLS" in told.detail
        (line,) = [each for each in w.log.of("call decision") if each["decision"] == TURNED_AWAY]
        assert line["reason"] == "MAX_CALLS is reached"
        await phone.hang_up()
        await w.settled()
        await (await Softphone.call(w)).hang_up()


async def test_only_calls_of_softphones_have_its_routes() -> None:
    async with softphones() as w:
        for path in ("next", "transfers/0/answer"):
            told = await api(w, "POST", f"/softphone/calls/CA{'1' * 32}/{path}")
            assert told.status == 404 and "no such call" in told.detail
        phone = await Softphone.call(w)
        told = await api(w, "GET", f"/softphone/calls/{phone.call_sid}/transfers/0")
        assert told.status == 404 and "no such transfer" in told.detail
        await phone.send("media", media={"track": "inbound", "payload": FRAME})
        await phone.hang_up()
