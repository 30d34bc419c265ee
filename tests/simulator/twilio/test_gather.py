"""<Gather>: the keys of a caller, and the action that gets them."""

from collections.abc import AsyncIterator

import pytest

from app.simulator.twilio import Call, PhoneLine
from tests.simulator.twilio.twilio_bridge import PUBLIC, STREAM, TOKEN, TinyBridge, tiny_bridge


@pytest.fixture
async def bridge() -> AsyncIterator[TinyBridge]:
    async with tiny_bridge() as bridge:
        bridge.answer("/digits", "<Say>Thank you</Say>")
        yield bridge


@pytest.fixture
async def line(bridge: TinyBridge) -> AsyncIterator[PhoneLine]:
    async with PhoneLine(
        bridge.url, auth_token=TOKEN, public_url=PUBLIC, pause_scale=0.001, say_ms=0
    ) as line:
        yield line


async def ask(line: PhoneLine, bridge: TinyBridge, gather: str) -> Call:
    bridge.answer("/incoming-call", gather + "<Say>Nothing</Say>")
    call = await line.call()
    await call.wait_for(lambda: call.prompts == 1)
    return call


def press(call: Call, keys: str) -> None:
    for key in keys:
        call.press(key)


async def test_num_digits_leads_to_the_action(line: PhoneLine, bridge: TinyBridge) -> None:
    call = await ask(
        line,
        bridge,
        '<Gather numDigits="4" action="/digits" timeout="60"><Say>Your PIN</Say></Gather>',
    )
    press(call, "12345")
    await call.wait_ended()
    (form,) = bridge.requested("/digits")
    assert form["Digits"] == "1234"
    assert form["CallSid"] == call.call_sid
    assert "FinishedOnKey" not in form
    assert call.said == ["Your PIN", "Thank you"]
    assert call.pressed == list("12345")
    assert call.errors == []


async def test_a_hash_ends_the_digits_and_is_not_one_of_them(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    call = await ask(line, bridge, '<Gather action="/digits" method="GET" timeout="60"/>')
    press(call, "42#")
    await call.wait_ended()
    (request,) = [request for request in bridge.requests if request.method == "GET"]
    assert "Digits=42&" in request.path + "&"
    assert "FinishedOnKey=%23" in request.path


async def test_finish_on_key_can_be_another_key(line: PhoneLine, bridge: TinyBridge) -> None:
    call = await ask(
        line, bridge, '<Gather action="/digits" finishOnKey="*" numDigits="3" timeout="60"/>'
    )
    press(call, "1#*")
    await call.wait_ended()
    assert bridge.requested("/digits")[0]["Digits"] == "1#"


async def test_the_timeout_ends_the_digits(line: PhoneLine, bridge: TinyBridge) -> None:
    call = await ask(line, bridge, '<Gather action="/digits" timeout="0.05"/>')
    press(call, "7")
    await call.wait_ended()
    assert bridge.requested("/digits")[0]["Digits"] == "7"


async def test_without_a_key_the_document_continues(line: PhoneLine, bridge: TinyBridge) -> None:
    call = await ask(
        line, bridge, '<Gather action="/digits" timeout="0.01"><Play>/menu.mp3</Play></Gather>'
    )
    await call.wait_ended()
    assert call.played == ["/menu.mp3"]
    assert call.said == ["Nothing"]
    assert bridge.requested("/digits") == []


async def test_action_on_empty_result_requests_the_action_without_digits(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    call = await ask(
        line, bridge, '<Gather action="/digits" timeout="0.01" actionOnEmptyResult="true"/>'
    )
    await call.wait_ended()
    assert bridge.requested("/digits")[0]["Digits"] == ""


async def test_a_key_stops_the_prompt(line: PhoneLine, bridge: TinyBridge) -> None:
    bridge.answer(
        "/incoming-call",
        '<Gather numDigits="1" action="/digits" timeout="60">'
        '<Say>Press 1</Say><Pause length="3600000"/><Say>Or 2</Say></Gather>',
    )
    call = await line.call()
    await call.wait_for(lambda: bool(call.said))
    call.press("1")
    await call.wait_ended()
    assert call.said == ["Press 1", "Thank you"]


async def test_without_an_action_the_document_is_requested_again(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    bridge.answer("/incoming-call", '<Gather numDigits="1" timeout="60"/>', "<Say>Again</Say>")
    call = await line.call()
    await call.wait_for(lambda: call.prompts == 1)
    call.press("9")
    await call.wait_ended()
    assert bridge.requested("/incoming-call")[1]["Digits"] == "9"
    assert call.said == ["Again"]


async def test_a_gather_for_speech_takes_no_keys(line: PhoneLine, bridge: TinyBridge) -> None:
    call = await ask(line, bridge, '<Gather input="speech" action="/digits" timeout="0.05"/>')
    press(call, "1")
    await call.wait_ended()
    assert call.said == ["Nothing"]


async def test_the_stream_gets_keys_pressed_outside_a_gather(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    bridge.answer("/digits", f"<Connect>{STREAM}</Connect>")
    call = await ask(line, bridge, '<Gather numDigits="1" action="/digits" timeout="60"/>')
    call.press("1")
    leg = await bridge.leg()
    await call.wait_connected()
    call.press("2")
    await leg.until(lambda: bool(leg.of("dtmf")))
    assert [message["dtmf"]["digit"] for message in leg.of("dtmf")] == ["2"]


async def test_hanging_up_during_a_gather_requests_nothing(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    call = await ask(line, bridge, '<Gather action="/digits" timeout="60"/>')
    call.press("1")
    call.hang_up()
    await call.wait_ended()
    assert bridge.requested("/digits") == []
