"""Outbound calls: callees, status callbacks, detection, and refused parameters."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from app.simulator.twilio import Call, Callee, OutgoingCall, PhoneLine
from tests.simulator.twilio.twilio_bridge import (
    PUBLIC,
    STREAM,
    TOKEN,
    TinyBridge,
    tiny_bridge,
    twiml,
)
from tests.simulator.twilio.twilio_client import HttpClient

TO, FROM = "+15550100007", "+15550109999"
EVENTS = ["initiated", "ringing", "answered", "completed"]
CONNECT = twiml(f"<Connect>{STREAM}</Connect>")


@pytest.fixture
async def bridge() -> AsyncIterator[TinyBridge]:
    async with tiny_bridge() as bridge:
        bridge.answer("/outbound", f"<Connect>{STREAM}</Connect>")
        yield bridge


@pytest.fixture
async def line(bridge: TinyBridge) -> AsyncIterator[PhoneLine]:
    async with PhoneLine(
        bridge.url, auth_token=TOKEN, public_url=PUBLIC, ring_scale=0.001, say_ms=0
    ) as line:
        yield line


async def place(line: PhoneLine, client: Client, **fields: Any) -> OutgoingCall:
    if "twiml" not in fields:
        fields.setdefault("url", f"{PUBLIC}/outbound")
    made = await client.calls.create_async(**{"to": TO, "from_": FROM, **fields})
    call = await line.outbound(len(line.calls))
    assert made.sid == call.call_sid
    return call


async def test_the_callee_talks_with_the_agent_over_the_stream(
    line: PhoneLine, bridge: TinyBridge, client: Client
) -> None:
    async def curious(call: Call) -> None:
        await call.wait_connected()
        call.say(b"\x01" * 160)
        call.press("5")
        await call.wait_heard(80)
        call.hang_up()

    line.callees[TO] = Callee(answers_after_ms=5, script=curious)
    call = await place(line, client)
    leg = await bridge.leg()
    await leg.until(lambda: "dtmf" in leg.events)
    await leg.play(b"\x02" * 800)
    await call.wait_ended()
    assert leg.events[-1] == "stop"
    (form,) = bridge.requested("/outbound")
    assert form["CallSid"] == call.call_sid
    assert form["CallStatus"] == "in-progress"
    assert form["Direction"] == "outbound-api"
    assert (form["To"], form["From"]) == (TO, FROM)
    assert "AnsweredBy" not in form
    assert "ParentCallSid" not in form
    assert call.status == "completed"
    assert line.calls == {call.call_sid: call}
    assert call.errors == []


async def test_a_created_call_is_shown_as_queued(
    line: PhoneLine, bridge: TinyBridge, client: Client
) -> None:
    made = await client.calls.create_async(to=TO, from_=FROM, twiml=twiml("<Say>Hi</Say>"))
    assert made.status == "queued"
    assert made.direction == "outbound-api"
    call = await line.outbound()
    await call.wait_ended()
    assert call.said == ["Hi"]
    shown = await client.calls(call.call_sid).fetch_async()
    assert (shown.status, shown.to, shown._from) == ("completed", TO, FROM)
    request = line.rest_requests[0]
    assert request.path == f"/2010-04-01/Accounts/{line.account_sid}/Calls.json"


async def test_a_url_overrides_twiml(line: PhoneLine, bridge: TinyBridge, client: Client) -> None:
    bridge.answer("/outbound", "<Say>From the URL</Say>")
    call = await place(
        line, client, url=f"{PUBLIC}/outbound", method="GET", twiml=twiml("<Say>Inline</Say>")
    )
    await call.wait_ended()
    assert call.said == ["From the URL"]
    assert bridge.requests[0].method == "GET"


async def test_every_event_is_reported_in_order(
    line: PhoneLine, bridge: TinyBridge, client: Client
) -> None:
    line.callees[TO] = Callee(answers_after_ms=5)
    call = await place(
        line,
        client,
        twiml=twiml("<Say>Hi</Say>"),
        status_callback=f"{PUBLIC}/progress",
        status_callback_event=EVENTS,
    )
    await call.wait_ended()
    assert line.rest_requests[0].all("StatusCallbackEvent") == EVENTS
    assert line.rest_requests[0].form["StatusCallbackEvent"] == "completed"
    forms = bridge.requested("/progress")
    assert [form["CallStatus"] for form in forms] == [
        "initiated",
        "ringing",
        "in-progress",
        "completed",
    ]
    assert [form["SequenceNumber"] for form in forms] == ["0", "1", "2", "3"]
    assert all(form["CallSid"] == call.call_sid for form in forms)
    assert all(form["Timestamp"] for form in forms)
    assert [form.get("CallDuration") for form in forms] == [None, None, None, "0"]


@pytest.mark.parametrize("goes", ["busy", "no-answer", "failed"])
async def test_a_call_that_is_not_answered_reports_why(
    line: PhoneLine, bridge: TinyBridge, client: Client, goes: str
) -> None:
    line.callees[TO] = Callee(goes)
    call = await place(line, client, timeout=10, status_callback=f"{PUBLIC}/progress")
    await call.wait_ended()
    (form,) = bridge.requested("/progress")
    assert form["CallStatus"] == call.status == goes
    assert form["CallDuration"] == "0"
    assert bridge.requested("/outbound") == []
    assert call.answered_ms is None


async def test_status_callbacks_that_arrive_twice(bridge: TinyBridge) -> None:
    async with PhoneLine(bridge.url, auth_token=TOKEN, callbacks="twice") as line:
        http = HttpClient(line.rest_url)
        client = Client(line.account_sid, TOKEN, http_client=http)
        call = await place(
            line,
            client,
            twiml=twiml("<Say>Hi</Say>"),
            status_callback=f"{PUBLIC}/progress",
            status_callback_event=["answered", "completed"],
        )
        await call.wait_ended()
        await http.close()
    forms = bridge.requested("/progress")
    assert [form["SequenceNumber"] for form in forms] == ["0", "0", "1", "1"]


async def test_status_callbacks_that_arrive_out_of_order(bridge: TinyBridge) -> None:
    orders = []
    async with PhoneLine(bridge.url, auth_token=TOKEN, callbacks="shuffled", seed=5) as line:
        http = HttpClient(line.rest_url)
        client = Client(line.account_sid, TOKEN, http_client=http)
        for number in range(1, 6):
            path = f"/progress{number}"
            call = await place(
                line,
                client,
                twiml=twiml("<Say>Hi</Say>"),
                status_callback=PUBLIC + path,
                status_callback_event=EVENTS,
            )
            await call.wait_ended()
            orders.append([form["SequenceNumber"] for form in bridge.requested(path)])
        await http.close()
    assert all(set(order) == {"0", "1", "2", "3"} for order in orders), "none is lost"
    assert any(order != sorted(order) for order in orders), "some come too late"
    assert any(len(order) > 4 for order in orders), "some come twice"


@pytest.mark.parametrize(
    ("callee", "mode", "answered_by"),
    [
        (Callee(), "Enable", "human"),
        (Callee(), "DetectMessageEnd", "human"),
        (Callee(machine=True), "Enable", "machine_start"),
        (Callee(machine=True, greeting_ms=40), "DetectMessageEnd", "machine_end_beep"),
        (
            Callee(machine=True, answered_by="machine_end_silence"),
            "DetectMessageEnd",
            "machine_end_silence",
        ),
        (Callee(answered_by="unknown"), "Enable", "unknown"),
        (Callee(answered_by="fax"), "Enable", "fax"),
    ],
)
async def test_asynchronous_answering_machine_detection(
    line: PhoneLine,
    bridge: TinyBridge,
    client: Client,
    callee: Callee,
    mode: str,
    answered_by: str,
) -> None:
    line.callees[TO] = callee
    call = await place(
        line,
        client,
        machine_detection=mode,
        async_amd="true",
        async_amd_status_callback=f"{PUBLIC}/amd",
        status_callback=f"{PUBLIC}/progress",
    )
    await bridge.leg()
    await call.wait_for(lambda: bool(call.answered_by))
    assert (await client.calls(call.call_sid).fetch_async()).answered_by == answered_by
    call.hang_up()
    await call.wait_ended()
    (form,) = bridge.requested("/amd")
    assert form["AnsweredBy"] == answered_by
    assert form["CallSid"] == call.call_sid
    waited_ms = 20 if not answered_by.startswith("machine_end") else callee.greeting_ms
    assert int(form["MachineDetectionDuration"]) == waited_ms
    assert bridge.requested("/progress")[0]["AnsweredBy"] == answered_by


async def test_a_voicemail_greets_beeps_and_records(
    line: PhoneLine, bridge: TinyBridge, client: Client
) -> None:
    line.callees[TO] = Callee(
        machine=True, greeting=b"\x03" * 1600, greeting_ms=300, record_ms=200, presses="1"
    )
    call = await place(line, client)
    leg = await bridge.leg()
    await leg.play(b"\x01" * 8000)
    await call.wait_for(lambda: call.beeped_ms is not None)
    await call.wait_ended()
    assert call.beeped_ms is not None and call.answered_ms is not None
    assert call.ended_ms is not None
    assert call.beeped_ms - call.answered_ms >= 299
    assert call.ended_ms - call.beeped_ms >= 199
    assert 0 < len(call.recorded) < len(call.heard)
    assert call.heard.endswith(call.recorded)
    assert call.voice.spans, "the greeting was said on the stream"


async def test_synchronous_answering_machine_detection_delays_the_document(
    line: PhoneLine, bridge: TinyBridge, client: Client
) -> None:
    bridge.answer("/outbound", "<Say>Hi</Say>")
    line.callees[TO] = Callee(machine=True, greeting_ms=30)
    call = await place(line, client, machine_detection="DetectMessageEnd")
    await call.wait_ended()
    (form,) = bridge.requested("/outbound")
    assert form["AnsweredBy"] == "machine_end_beep"
    assert call.answered_ms is not None
    assert call.requests[0].sent_ms - call.answered_ms >= 29


async def test_send_digits_switches_detection_off(
    line: PhoneLine, bridge: TinyBridge, client: Client
) -> None:
    line.callees[TO] = Callee(machine=True, detected_after_ms=0)
    call = await place(
        line,
        client,
        twiml=twiml('<Pause length="0.1"/>'),
        send_digits="ww12#",
        machine_detection="Enable",
        async_amd="true",
        async_amd_status_callback=f"{PUBLIC}/amd",
    )
    await call.wait_ended()
    assert call.played == ["ww12#"]
    assert bridge.requested("/amd") == []


async def test_the_stream_can_start_before_the_rest_answer(
    line: PhoneLine, bridge: TinyBridge, client: Client
) -> None:
    line.connects_before_answering = True
    line.callees[TO] = Callee(answers_after_ms=20)
    creation = asyncio.create_task(client.calls.create_async(to=TO, from_=FROM, twiml=CONNECT))
    leg = await bridge.leg()
    made = await creation
    assert leg.of("start")[0]["start"]["callSid"] == made.sid
    assert made.status == "in-progress"
    made = await client.calls.create_async(to=TO, from_=FROM, twiml=twiml("<Say>Hi</Say>"))
    assert made.status in ("in-progress", "completed")
    line.callees[TO] = Callee("busy")
    made = await client.calls.create_async(to=TO, from_=FROM, twiml=CONNECT)
    assert made.status == "busy"


async def test_a_ringing_outbound_call_can_be_canceled(
    line: PhoneLine, bridge: TinyBridge, client: Client
) -> None:
    line.callees[TO] = Callee("no-answer")
    call = await place(line, client, timeout=600, status_callback=f"{PUBLIC}/progress")
    await call.wait_for(lambda: call.status == "ringing")
    with pytest.raises(TwilioRestException) as refusal:
        await client.calls(call.call_sid).update_async(twiml=CONNECT)
    assert refusal.value.code == 21220
    await client.calls(call.call_sid).update_async(status="canceled")
    await call.wait_ended()
    assert bridge.requested("/progress")[0]["CallStatus"] == "canceled"


async def test_an_answered_call_is_redirected_and_completed(
    line: PhoneLine, bridge: TinyBridge, client: Client
) -> None:
    call = await place(line, client)
    leg = await bridge.leg()
    await client.calls(call.call_sid).update_async(twiml=twiml('<Say>X</Say><Pause length="99"/>'))
    await leg.closed.wait()
    await call.wait_for(lambda: call.said == ["X"])
    await client.calls(call.call_sid).update_async(status="completed")
    await call.wait_ended()
    assert call.status == "completed"


async def test_time_limit_ends_a_call(line: PhoneLine, bridge: TinyBridge, client: Client) -> None:
    line.callees[TO] = Callee()
    call = await place(line, client, time_limit=20)
    await call.wait_ended()
    assert call.status == "completed"


async def test_a_callee_can_decline(line: PhoneLine, bridge: TinyBridge, client: Client) -> None:
    line.callees[TO] = Callee("no-answer")
    call = await place(line, client, timeout=600)
    call.hang_up()
    await call.wait_ended()
    assert call.status == "busy"


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"To": ""}, 21201),
        ({"To": "5550100"}, 21211),
        ({"To": "tomorrow"}, 21211),
        ({"From": ""}, 21213),
        ({"From": "me"}, 21212),
        ({"Url": "", "Twiml": "x" * 4001}, 32018),
        ({"Url": ""}, 21205),
        ({"Url": "/outbound"}, 21205),
        ({"Method": "PUT"}, 20001),
        ({"Timeout": "601"}, 20001),
        ({"TimeLimit": "soon"}, 20001),
        ({"StatusCallback": "here"}, 21609),
        ({"StatusCallbackEvent": "hung-up"}, 21626),
        ({"MachineDetection": "true"}, 20001),
        ({"AsyncAmd": "True"}, 20001),
        ({"SendDigits": "call me"}, 20001),
        ({"Colour": "red"}, 20001),
    ],
)
async def test_invalid_parameters_create_no_call(
    line: PhoneLine, http: HttpClient, form: dict[str, object], code: int
) -> None:
    answer = await http.request(
        "POST",
        f"https://api.twilio.com/2010-04-01/Accounts/{line.account_sid}/Calls.json",
        data={"To": TO, "From": FROM, "Url": f"{PUBLIC}/outbound", **form},
        auth=(line.account_sid, TOKEN),
    )
    assert answer.status_code == 400
    assert f'"code": {code}' in answer.text
    assert line.calls == {}


async def test_a_sip_address_can_be_called(
    line: PhoneLine, bridge: TinyBridge, client: Client
) -> None:
    call = await place(line, client, to="sip:bob@example.com", twiml=twiml("<Say>Hi</Say>"))
    await call.wait_ended()
    assert call.said == ["Hi"]


async def test_a_callee_s_script_that_fails_fails_the_test(bridge: TinyBridge) -> None:
    async def confused(call: Call) -> None:
        raise LookupError("who is this?")

    with pytest.raises(ExceptionGroup) as failure:
        async with PhoneLine(bridge.url, auth_token=TOKEN) as line:
            line.callee = Callee(script=confused)
            http = HttpClient(line.rest_url)
            client = Client(line.account_sid, TOKEN, http_client=http)
            call = await place(line, client)
            await call.wait_for(lambda: call.answered_ms is not None)
            await http.close()
    assert failure.group_contains(LookupError)
