"""TwiML on a call: verbs in order, and warnings about unknown ones."""

from collections.abc import AsyncIterator

import pytest

from app.simulator.twilio import Call, PhoneLine
from tests.simulator.twilio.twilio_bridge import PUBLIC, STREAM, TOKEN, TinyBridge, tiny_bridge


@pytest.fixture
async def bridge() -> AsyncIterator[TinyBridge]:
    async with tiny_bridge() as bridge:
        yield bridge


@pytest.fixture
async def line(bridge: TinyBridge) -> AsyncIterator[PhoneLine]:
    async with PhoneLine(
        bridge.url, auth_token=TOKEN, public_url=PUBLIC, pause_scale=0.001, say_ms=0
    ) as line:
        yield line


async def run(line: PhoneLine) -> Call:
    call = await line.call()
    await call.wait_ended()
    return call


async def test_verbs_run_in_order_and_the_end_hangs_up(line: PhoneLine, bridge: TinyBridge) -> None:
    bridge.answer(
        "/incoming-call",
        '<Say voice="Polly.Joanna">Hello <emphasis>there</emphasis>\n you</Say>'
        "<Pause length='3'/><Play>/hold.mp3</Play><Play digits='ww12#'/><Say>Bye</Say>",
    )
    call = await run(line)
    assert call.said == ["Hello there you", "Bye"]
    assert call.played == ["/hold.mp3", "ww12#"]
    assert call.spoken_by_twilio[1].at_ms - call.spoken_by_twilio[0].at_ms >= 3 - 0.1
    assert call.status == "completed"
    assert call.errors == []
    assert len(call.twiml_history) == 1


async def test_nothing_runs_after_a_hangup(line: PhoneLine, bridge: TinyBridge) -> None:
    bridge.answer("/incoming-call", "<Say>One</Say><Hangup/><Say>Two</Say>")
    assert (await run(line)).said == ["One"]


@pytest.mark.parametrize(
    ("reject", "status"),
    [('<Reject reason="busy"/>', "busy"), ("<Reject/>", "no-answer")],
)
async def test_a_rejected_call_was_never_answered(
    line: PhoneLine, bridge: TinyBridge, reject: str, status: str
) -> None:
    bridge.answer("/incoming-call", reject + "<Say>Never</Say>")
    call = await run(line)
    assert call.status == status
    assert call.answered_ms is None
    assert call.said == []


async def test_a_redirect_replaces_the_document(line: PhoneLine, bridge: TinyBridge) -> None:
    bridge.answer("/incoming-call", "<Redirect>more/next?a=1&amp;b=2</Redirect><Say>No</Say>")
    bridge.answer("/more/next", "<Redirect>../last</Redirect>")
    bridge.answer("/last", "<Say>Yes</Say>")
    call = await run(line)
    assert call.said == ["Yes"]
    assert [request.url for request in call.requests] == [
        f"{PUBLIC}/incoming-call",
        f"{PUBLIC}/more/next?a=1&b=2",
        f"{PUBLIC}/last",
    ]


async def test_the_action_decides_after_the_stream(line: PhoneLine, bridge: TinyBridge) -> None:
    bridge.answer(
        "/incoming-call",
        f'<Connect action="/ended">{STREAM}</Connect><Say>Not reached</Say>',
    )
    bridge.answer("/ended", f'<Connect action="/ended">{STREAM}</Connect>', "<Say>Bye</Say>")
    call = await line.call()
    first = await bridge.leg()
    await first.socket.close()
    second = await bridge.leg()
    await second.socket.close(code=4001)
    await call.wait_ended()
    assert call.said == ["Bye"]
    requests = bridge.requested("/ended")
    assert [form["StreamSid"] for form in requests] == [first.stream_sid, second.stream_sid]
    assert {form["CallStatus"] for form in requests} == {"in-progress"}
    assert {form["CallSid"] for form in requests} == {call.call_sid}
    assert "4001" in call.errors[1][1]


async def test_no_action_is_requested_when_the_caller_hangs_up(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    bridge.answer("/incoming-call", f'<Connect action="/ended">{STREAM}</Connect>')
    call = await line.call()
    await bridge.leg()
    await call.wait_connected()
    call.hang_up()
    await call.wait_ended()
    assert bridge.requested("/ended") == []


async def test_the_status_callback_of_a_stream(line: PhoneLine, bridge: TinyBridge) -> None:
    bridge.answer(
        "/incoming-call",
        '<Connect><Stream url="/media-stream" name="main" statusCallback="/stream"/></Connect>',
    )
    call = await line.call()
    leg = await bridge.leg()
    await call.wait_connected()
    call.hang_up()
    await call.wait_ended()
    assert call.streams[0].order.url == "wss://bridge.example.com/media-stream"
    forms = bridge.requested("/stream")
    assert [form["StreamEvent"] for form in forms] == ["stream-started", "stream-stopped"]
    for form in forms:
        assert form["StreamSid"] == leg.stream_sid
        assert form["StreamName"] == "main"
        assert form["CallSid"] == call.call_sid


async def test_the_status_callback_of_a_broken_stream_has_the_error(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    bridge.answer(
        "/incoming-call",
        '<Connect><Stream url="/media-stream" statusCallback="/stream"/></Connect>',
    )
    call = await line.call()
    leg = await bridge.leg()
    await leg.socket.send_str("{}")
    await call.wait_ended()
    forms = bridge.requested("/stream")
    assert [form["StreamEvent"] for form in forms] == [
        "stream-started",
        "stream-error",
        "stream-stopped",
    ]
    assert "31924" in forms[1]["StreamError"]


@pytest.mark.parametrize(
    "document",
    ["", "<Response>", " <?xml version='1.0'?><Response/>", "<Response>a & b</Response>", "<Hi/>"],
)
async def test_a_document_that_cannot_be_parsed(
    line: PhoneLine, bridge: TinyBridge, document: str
) -> None:
    bridge.documents["/incoming-call"] = [document]
    call = await run(line)
    assert call.error_codes == [12100]
    assert call.status == "completed"


async def test_unknown_verbs_and_attributes_are_skipped_with_a_warning(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    long_value = "v" * 500
    bridge.answer(
        "/incoming-call",
        '<Speak>Hello</Speak><Say tone="warm">Hi</Say><Pause length="soon"/>'
        f'<Connect><Stream url="ws://x/y"><Parameter name="a" value="{long_value}"/></Stream>'
        "</Connect><Connect/>",
    )
    call = await run(line)
    assert call.said == ["Hi"]
    assert call.error_codes == [12200, 12200, 12200, 12200, 31922, 12200]
    words = " ".join(text for _, text in call.errors)
    for part in ("<Speak>", "'tone'", "504"[:2], "'soon'", "without <Stream>"):
        assert part in words
