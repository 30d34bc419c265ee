"""The REST API, used through the twilio package and through raw requests."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from app.simulator.twilio import Call, Fault, PhoneLine
from tests.simulator.twilio.twilio_bridge import (
    PUBLIC,
    STREAM,
    TOKEN,
    Leg,
    TinyBridge,
    tiny_bridge,
    twiml,
)
from tests.simulator.twilio.twilio_client import HttpClient, basic

KEY, SECRET = "SK" + "0" * 32, "key-secret"


@pytest.fixture
async def bridge() -> AsyncIterator[TinyBridge]:
    async with tiny_bridge() as bridge:
        bridge.answer(
            "/incoming-call", f'<Connect action="/ended">{STREAM}</Connect><Say>Fell through</Say>'
        )
        yield bridge


@pytest.fixture
async def line(bridge: TinyBridge) -> AsyncIterator[PhoneLine]:
    async with PhoneLine(
        bridge.url, auth_token=TOKEN, public_url=PUBLIC, api_key=KEY, api_secret=SECRET
    ) as line:
        yield line


async def connected(line: PhoneLine, bridge: TinyBridge) -> tuple[Call, Leg]:
    call = await line.call()
    leg = await bridge.leg()
    await call.wait_connected()
    return call, leg


async def test_a_call_is_shown_as_it_is(
    line: PhoneLine, bridge: TinyBridge, client: Client
) -> None:
    call, _ = await connected(line, bridge)
    shown = await client.calls(call.call_sid).fetch_async()
    assert shown.sid == call.call_sid
    assert shown.status == "in-progress"
    assert shown.direction == "inbound"
    assert shown._from == call.from_
    assert shown.to == call.to
    assert shown.start_time is not None
    assert shown.duration is None
    call.hang_up()
    await call.wait_ended()
    shown = await client.calls(call.call_sid).fetch_async()
    assert shown.status == "completed"
    assert shown.duration == str(call.duration_s())
    assert shown.end_time >= shown.start_time


async def test_completing_a_call_stops_its_stream_and_requests_no_action(
    line: PhoneLine, bridge: TinyBridge, client: Client
) -> None:
    call, leg = await connected(line, bridge)
    updated = await client.calls(call.call_sid).update_async(status="completed")
    assert updated.status == "completed"
    await leg.closed.wait()
    await call.wait_ended()
    assert leg.events[-1] == "stop"
    assert call.said == []
    assert bridge.requested("/ended") == []
    assert call.errors == []
    request = line.rest_requests[-1]
    assert request.method == "POST"
    assert request.path == f"/2010-04-01/Accounts/{line.account_sid}/Calls/{call.call_sid}.json"
    assert request.form == {"Status": "completed"}


async def test_new_twiml_replaces_the_stream(
    line: PhoneLine, bridge: TinyBridge, client: Client
) -> None:
    bridge.answer("/dialed", "<Say>Back again</Say>")
    call, leg = await connected(line, bridge)
    document = twiml('<Dial action="/dialed"><Number>+15550100007</Number></Dial>')
    await client.calls(call.call_sid).update_async(twiml=document)
    await leg.closed.wait()
    await call.wait_ended()
    assert leg.events[-1] == "stop"
    assert call.twiml_history[1] == document
    assert call.dialed[0].target == "+15550100007"
    assert bridge.requested("/ended") == []
    assert bridge.requested("/dialed")[0]["DialCallStatus"] == "completed"
    assert call.said == ["Back again"]


async def test_a_new_url_replaces_a_pause(
    line: PhoneLine, bridge: TinyBridge, client: Client
) -> None:
    bridge.answer("/incoming-call", '<Say>Wait</Say><Pause length="3600"/>')
    bridge.answer("/next", f"<Connect>{STREAM}</Connect>")
    call = await line.call()
    await call.wait_for(lambda: bool(call.said))
    await client.calls(call.call_sid).update_async(url=f"{PUBLIC}/next", method="GET")
    leg = await bridge.leg()
    assert leg.stream_sid == call.stream_sid
    assert bridge.requests[-1].method == "GET"


async def test_the_last_of_two_quick_updates_wins(
    line: PhoneLine, bridge: TinyBridge, client: Client
) -> None:
    call, _ = await connected(line, bridge)
    pause = twiml('<Pause length="3600"/>')
    update = client.calls(call.call_sid).update_async
    await asyncio.gather(update(twiml=pause), update(twiml=pause))
    await update(twiml=twiml("<Say>Last</Say>"))
    await call.wait_ended()
    assert call.said == ["Last"]


async def test_an_ended_or_unknown_call_is_not_found(
    line: PhoneLine, bridge: TinyBridge, client: Client
) -> None:
    call, _ = await connected(line, bridge)
    call.hang_up()
    for call_sid in (call.call_sid, "CA" + "0" * 32):
        with pytest.raises(TwilioRestException) as refusal:
            await client.calls(call_sid).update_async(status="completed")
        assert (refusal.value.status, refusal.value.code) == (404, 20404)


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"Twiml": "x" * 4001}, 32018),
        ({"Twiml": "<Response/>", "Url": "https://bridge.example.com/"}, 20001),
        ({"Status": "busy"}, 20001),
        ({"Status": "canceled"}, 21220),
    ],
)
async def test_an_invalid_update_changes_nothing(
    line: PhoneLine, bridge: TinyBridge, http: HttpClient, form: dict[str, object], code: int
) -> None:
    call, leg = await connected(line, bridge)
    answer = await http.request(
        "POST",
        f"https://api.twilio.com/2010-04-01/Accounts/{line.account_sid}/Calls/{call.call_sid}.json",
        data=form,
        auth=(KEY, SECRET),
    )
    assert answer.status_code == 400
    assert f'"code": {code}' in answer.text
    assert call.is_live
    assert not leg.closed.is_set()


async def test_a_ringing_call_can_be_canceled_but_not_redirected(
    line: PhoneLine, bridge: TinyBridge, client: Client
) -> None:
    bridge.hold_webhooks = True
    call = line.ring()
    await bridge.holding.wait()
    with pytest.raises(TwilioRestException) as refusal:
        await client.calls(call.call_sid).update_async(twiml="<Response/>")
    assert refusal.value.code == 21220
    await client.calls(call.call_sid).update_async(status="canceled")
    await call.wait_ended()
    assert call.status == "canceled"


@pytest.mark.parametrize(
    ("user", "password", "status"),
    [("account", TOKEN, 200), (KEY, SECRET, 200), ("account", "wrong", 401), ("", "", 401)],
)
async def test_credentials_are_checked(
    line: PhoneLine, bridge: TinyBridge, user: str, password: str, status: int
) -> None:
    call, _ = await connected(line, bridge)
    proof = basic(line.account_sid if user == "account" else user, password)
    headers = {"Authorization": proof}
    url = f"{line.rest_url}/2010-04-01/Accounts/{line.account_sid}/Calls/{call.call_sid}.json"
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        assert answer.status == status
        body = await answer.json()
    assert body["code" if status == 401 else "sid"] == (20003 if status == 401 else call.call_sid)


async def test_faults_apply_in_order(line: PhoneLine, bridge: TinyBridge, client: Client) -> None:
    call, _ = await connected(line, bridge)
    line.rest_faults.append(Fault(status=503, times=2))
    line.rest_faults.append(Fault(status=429, retry_after=1.5))
    line.rest_faults.append(Fault(status=None, delay_s=0.05))
    statuses = []
    for _ in range(3):
        with pytest.raises(TwilioRestException) as refusal:
            await client.calls(call.call_sid).update_async(status="completed")
        statuses.append((refusal.value.status, refusal.value.code))
    assert statuses == [(503, 20503), (503, 20503), (429, 20429)]
    assert call.is_live
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    assert (await client.calls(call.call_sid).update_async(status="completed")).sid
    assert loop.time() - began_s >= 0.049
    assert line.rest_faults == []
    assert len(line.rest_requests) == 4
    assert not call.is_live


async def test_a_fault_can_set_retry_after(line: PhoneLine) -> None:
    line.rest_faults.append(Fault(status=429, retry_after=2))
    async with aiohttp.ClientSession() as session, session.post(line.rest_url + "/x") as answer:
        assert answer.status == 429
        assert answer.headers["Retry-After"] == "2"
