"""REST updates during a <Dial> or a stream, of the call and of its child calls."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from app.simulator.twilio import Call, Callee, Fault, PhoneLine
from tests.simulator.twilio.twilio_bridge import (
    PUBLIC,
    STREAM,
    TOKEN,
    TinyBridge,
    tiny_bridge,
    twiml,
)
from tests.simulator.twilio.twilio_client import HttpClient

HUMAN = "+15550100007"


@pytest.fixture
async def bridge() -> AsyncIterator[TinyBridge]:
    async with tiny_bridge() as bridge:
        bridge.answer("/incoming-call", f'<Dial action="/dialed">{HUMAN}</Dial>')
        bridge.answer("/dialed", "<Say>Done</Say>")
        yield bridge


@pytest.fixture
async def line(bridge: TinyBridge) -> AsyncIterator[PhoneLine]:
    async with PhoneLine(bridge.url, auth_token=TOKEN, public_url=PUBLIC, say_ms=0) as line:
        line.callee = Callee()
        yield line


async def talking(line: PhoneLine) -> tuple[Call, Call]:
    call = await line.call()
    await call.wait_for(lambda: call.talking_ms is not None)
    return call, line.children[call.dialed[0].call_sid]


async def test_redirecting_the_caller_hangs_up_the_callee(
    line: PhoneLine, bridge: TinyBridge, client: Client
) -> None:
    call, child = await talking(line)
    await client.calls(call.call_sid).update_async(twiml=twiml("<Say>Back with me</Say>"))
    await call.wait_ended()
    assert call.said == ["Back with me"]
    assert child.status == call.dialed[0].status == "completed"
    assert bridge.requested("/dialed") == []


async def test_redirecting_the_caller_while_it_rings_cancels_the_callee(
    line: PhoneLine, bridge: TinyBridge, client: Client
) -> None:
    line.callee = Callee("no-answer")
    call = await line.call()
    await call.wait_for(lambda: bool(call.dialed))
    await client.calls(call.call_sid).update_async(twiml=twiml("<Say>Never mind</Say>"))
    await call.wait_ended()
    assert call.dialed[0].status == "canceled"
    assert call.said == ["Never mind"]


async def test_a_child_call_is_shown_with_its_parent(line: PhoneLine, client: Client) -> None:
    call, child = await talking(line)
    shown = await client.calls(child.call_sid).fetch_async()
    assert shown.parent_call_sid == call.call_sid
    assert shown.direction == "outbound-dial"
    assert shown.status == "in-progress"
    assert shown.to == HUMAN


async def test_completing_the_child_call_ends_the_talk(
    line: PhoneLine, bridge: TinyBridge, client: Client
) -> None:
    call, child = await talking(line)
    await client.calls(child.call_sid).update_async(status="completed")
    await call.wait_ended()
    assert call.said == ["Done"]
    assert bridge.requested("/dialed")[0]["DialCallStatus"] == "completed"


@pytest.mark.parametrize("status", ["completed", "canceled"])
async def test_completing_a_ringing_child_call_cancels_it(
    line: PhoneLine, bridge: TinyBridge, client: Client, status: str
) -> None:
    line.callee = Callee("no-answer")
    call = await line.call()
    await call.wait_for(lambda: bool(call.dialed))
    await client.calls(call.dialed[0].call_sid).update_async(status=status)
    await call.wait_ended()
    (form,) = bridge.requested("/dialed")
    assert (form["DialCallStatus"], form["DialBridged"]) == ("canceled", "false")


async def test_redirecting_the_child_call_takes_it_out_of_the_dial(
    line: PhoneLine, bridge: TinyBridge, client: Client
) -> None:
    call, child = await talking(line)
    bridge.answer("/own", f"<Connect>{STREAM}</Connect>")
    await client.calls(child.call_sid).update_async(url=f"{PUBLIC}/own")
    await call.wait_ended()
    assert call.said == ["Done"], "the <Dial> of the caller is over"
    leg = await bridge.leg()
    assert leg.of("start")[0]["start"]["callSid"] == child.call_sid
    assert child.is_live
    child.hang_up()
    await child.wait_ended()


@pytest.mark.parametrize("asks", [True, False])
async def test_the_action_of_a_stream_that_an_update_replaces(
    bridge: TinyBridge, asks: bool
) -> None:
    bridge.answer("/incoming-call", f'<Connect action="/ended">{STREAM}</Connect>')
    bridge.answer("/ended", "<Say>Never</Say>")
    async with PhoneLine(
        bridge.url, auth_token=TOKEN, public_url=PUBLIC, asks_when_replaced=asks
    ) as line:
        call = await line.call()
        leg = await bridge.leg()
        await call.wait_connected()
        http = HttpClient(line.rest_url)
        client = Client(line.account_sid, TOKEN, http_client=http)
        await client.calls(call.call_sid).update_async(twiml=twiml("<Say>New</Say>"))
        await http.close()
        await call.wait_ended()
    assert call.said == ["New"]
    forms = bridge.requested("/ended")
    assert len(forms) == asks
    for form in forms:
        assert form["StreamSid"] == leg.stream_sid
        assert form["CallStatus"] == "in-progress"


async def test_an_update_whose_answer_is_lost_takes_effect(line: PhoneLine, client: Client) -> None:
    call, child = await talking(line)
    line.rest_faults.append(Fault(path=f"/Calls/{call.call_sid}.json", lost=True))
    assert (await client.calls(child.call_sid).fetch_async()).sid == child.call_sid
    assert len(line.rest_faults) == 1, "it is for another path"
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await client.calls(call.call_sid).update_async(twiml=twiml("<Say>Back</Say>"))
    await call.wait_ended()
    assert call.said == ["Back"]
    assert line.rest_faults == []


async def test_a_call_whose_creation_gets_no_answer_is_made(
    line: PhoneLine, client: Client
) -> None:
    line.rest_faults.append(Fault(path="/Calls.json", lost=True))
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await client.calls.create_async(to=HUMAN, from_=HUMAN, twiml=twiml("<Say>Hi</Say>"))
    call = await line.outbound()
    await call.wait_ended()
    assert call.said == ["Hi"]


async def test_faults_can_be_for_one_path_only(line: PhoneLine, client: Client) -> None:
    call, _ = await talking(line)
    line.rest_faults.extend([Fault(path="/Calls.json"), Fault(429, path=call.call_sid)])
    with pytest.raises(TwilioRestException) as refusal:
        await client.calls(call.call_sid).fetch_async()
    assert refusal.value.status == 429
    with pytest.raises(TwilioRestException) as refusal:
        await client.calls.create_async(to=HUMAN, from_=HUMAN, twiml=twiml("<Say>Hi</Say>"))
    assert refusal.value.status == 503


async def test_leaving_the_line_ends_every_call(bridge: TinyBridge) -> None:
    before = asyncio.all_tasks()
    async with PhoneLine(bridge.url, auth_token=TOKEN, public_url=PUBLIC) as line:
        line.callee = Callee()
        call, child = await talking(line)
        line.callee = Callee("no-answer")
        ringing = await line.call()
        await ringing.wait_for(lambda: bool(ringing.dialed))
    assert not call.is_live and not child.is_live
    assert line.children[ringing.dialed[0].call_sid].status == "canceled"
    ours = {task for task in asyncio.all_tasks() - before if "simulator" in repr(task)}
    assert ours == set()
