"""<Dial>: whisper, bridge, and the parameters of the action."""

from collections.abc import AsyncIterator

import pytest

from app.simulator.twilio import Call, Callee, PhoneLine
from tests.simulator.twilio.twilio_bridge import PUBLIC, TOKEN, TinyBridge, tiny_bridge

HUMAN = "+15550100007"
OTHER = "+15550100008"
DIAL = (
    '<Dial action="/dialed" timeout="20" callerId="+15550109999">'
    f'<Number url="/whisper">{HUMAN}</Number></Dial><Say>Not reached</Say>'
)
WHISPER = (
    '<Say>A caller asks for you</Say><Gather numDigits="1" timeout="1" action="/accepted">'
    "<Say>Press 1</Say></Gather><Hangup/>"
)


@pytest.fixture
async def bridge() -> AsyncIterator[TinyBridge]:
    async with tiny_bridge() as bridge:
        bridge.answer("/incoming-call", DIAL)
        bridge.answer("/whisper", WHISPER)
        bridge.answer("/accepted", "<Say>Thank you</Say>")
        bridge.answer("/dialed", "<Say>Done</Say>")
        yield bridge


@pytest.fixture
async def line(bridge: TinyBridge) -> AsyncIterator[PhoneLine]:
    async with PhoneLine(
        bridge.url,
        auth_token=TOKEN,
        public_url=PUBLIC,
        pause_scale=0.001,
        gather_scale=0.05,
        ring_scale=0.001,
        say_ms=0,
    ) as line:
        yield line


async def run(line: PhoneLine) -> Call:
    call = await line.call()
    await call.wait_ended()
    return call


async def test_a_callee_accepts_talks_and_hangs_up(line: PhoneLine, bridge: TinyBridge) -> None:
    line.callees[HUMAN] = Callee(answers_after_ms=10, presses="1", talks_ms=600)
    call = await run(line)
    (dialed,) = call.dialed
    assert (dialed.kind, dialed.target, dialed.status) == ("Number", HUMAN, "completed")
    assert dialed.dial["timeout"] == "20"
    assert dialed.attributes["url"] == "/whisper"
    assert [said.text for said in dialed.heard] == [
        "A caller asks for you",
        "Press 1",
        "Thank you",
    ]
    assert dialed.pressed == ["1"]
    assert dialed.answered_ms is not None and dialed.bridged_ms is not None
    assert dialed.ended_ms is not None
    assert dialed.answered_ms - dialed.at_ms >= 9
    assert dialed.ended_ms - dialed.bridged_ms >= 599
    (form,) = bridge.requested("/dialed")
    assert form["DialCallStatus"] == "completed"
    assert form["DialCallSid"] == dialed.call_sid != call.call_sid
    assert form["DialBridged"] == "true"
    assert form["DialCallDuration"] == "1"
    assert form["CallStatus"] == "in-progress"
    assert form["CallSid"] == call.call_sid
    assert call.said == ["Done"]
    assert call.errors == []


async def test_the_whisper_belongs_to_the_child_call(line: PhoneLine, bridge: TinyBridge) -> None:
    line.callees[HUMAN] = Callee(presses="1", talks_ms=0)
    call = await run(line)
    (whisper,), (accepted,) = bridge.requested("/whisper"), bridge.requested("/accepted")
    assert accepted["Digits"] == "1"
    for form in (whisper, accepted):
        assert form["CallSid"] == call.dialed[0].call_sid
        assert form["ParentCallSid"] == call.call_sid
        assert form["CallStatus"] == "in-progress"
        assert form["Direction"] == "outbound-dial"
        assert (form["To"], form["From"]) == (HUMAN, "+15550109999")
    child = line.children[call.dialed[0].call_sid]
    assert child.status == "completed"
    assert child.call_sid not in line.calls


async def test_without_a_whisper_the_calls_are_bridged_at_the_answer(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    bridge.answer("/incoming-call", f'<Dial action="/dialed">{HUMAN}</Dial>')
    call = await run(line)
    assert call.dialed[0].kind == "Number"
    assert bridge.requested("/dialed")[0]["DialBridged"] == "true"
    assert line.children[call.dialed[0].call_sid].from_ == call.from_


@pytest.mark.parametrize("goes", ["busy", "no-answer", "failed"])
async def test_a_dial_that_is_not_answered_reports_why(
    line: PhoneLine, bridge: TinyBridge, goes: str
) -> None:
    bridge.answer("/incoming-call", '<Dial action="/dialed"><Sip>sip:bob@example.com</Sip></Dial>')
    line.callees["sip:bob@example.com"] = Callee(goes, presses="1")
    call = await run(line)
    (form,) = bridge.requested("/dialed")
    assert form["DialCallStatus"] == goes
    assert form["DialBridged"] == "false"
    assert "DialCallDuration" not in form
    assert (call.dialed[0].kind, call.dialed[0].status) == ("Sip", goes)
    assert call.dialed[0].answered_ms is None
    assert call.said == ["Done"]


async def test_a_callee_who_would_answer_after_the_timeout_does_not_answer(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    line.callees[HUMAN] = Callee(answers_after_ms=10_000)
    call = await run(line)
    assert bridge.requested("/dialed")[0]["DialCallStatus"] == "no-answer"
    (dialed,) = call.dialed
    assert dialed.ended_ms is not None and dialed.ended_ms - dialed.at_ms >= 19


async def test_a_callee_who_does_not_accept_is_not_bridged(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    bridge.answer("/accepted", "<Say>Too bad</Say><Hangup/>")
    line.callees[HUMAN] = Callee(presses="2", presses_after_ms=1, talks_ms=0)
    call = await run(line)
    assert bridge.requested("/accepted")[0]["Digits"] == "2"
    (form,) = bridge.requested("/dialed")
    assert (form["DialCallStatus"], form["DialBridged"]) == ("completed", "false")
    assert form["DialCallSid"] == call.dialed[0].call_sid
    assert call.dialed[0].bridged_ms is None


async def test_a_voicemail_presses_no_key(line: PhoneLine, bridge: TinyBridge) -> None:
    line.callees[HUMAN] = Callee(machine=True, presses="1", greeting_ms=10_000)
    call = await run(line)
    assert bridge.requested("/accepted") == []
    assert call.dialed[0].pressed == []
    (form,) = bridge.requested("/dialed")
    assert (form["DialCallStatus"], form["DialBridged"]) == ("completed", "false")


async def test_a_voicemail_records_and_then_hangs_up(line: PhoneLine, bridge: TinyBridge) -> None:
    bridge.answer("/incoming-call", f'<Dial action="/dialed">{HUMAN}</Dial>')
    line.callees[HUMAN] = Callee(machine=True, greeting_ms=10, record_ms=20)
    call = await run(line)
    child = line.children[call.dialed[0].call_sid]
    assert child.beeped_ms is not None and child.answered_ms is not None
    assert child.beeped_ms - child.answered_ms >= 9
    assert child.ended_ms is not None and child.ended_ms - child.beeped_ms >= 19


async def test_a_callee_hangs_up_during_the_whisper(line: PhoneLine, bridge: TinyBridge) -> None:
    bridge.answer("/whisper", '<Say>Listen</Say><Pause length="3600"/>')
    line.callees[HUMAN] = Callee(hangs_up_after_ms=10)
    await run(line)
    (form,) = bridge.requested("/dialed")
    assert (form["DialCallStatus"], form["DialBridged"]) == ("completed", "false")


async def test_a_whisper_that_cannot_be_fetched_prevents_the_bridge(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    bridge.documents["/whisper"] = ["no TwiML"]
    line.callees[HUMAN] = Callee(presses="1")
    call = await run(line)
    assert bridge.requested("/dialed")[0]["DialBridged"] == "false"
    assert line.children[call.dialed[0].call_sid].error_codes == [12100]


async def test_a_whisper_must_not_dial(line: PhoneLine, bridge: TinyBridge) -> None:
    bridge.answer("/whisper", f"<Connect/><Dial>{OTHER}</Dial>")
    line.callees[HUMAN] = Callee()
    call = await run(line)
    child = line.children[call.dialed[0].call_sid]
    assert child.error_codes == [12200, 13201]
    assert child.dialed == []
    assert bridge.requested("/dialed")[0]["DialBridged"] == "false"


async def test_a_whisper_may_redirect(line: PhoneLine, bridge: TinyBridge) -> None:
    bridge.answer("/whisper", "<Redirect>/other</Redirect>")
    bridge.answer("/other", "<Play>/ding.mp3</Play>")
    line.callees[HUMAN] = Callee(talks_ms=0)
    call = await run(line)
    assert [said.text for said in call.dialed[0].heard] == ["/ding.mp3"]
    assert bridge.requested("/dialed")[0]["DialBridged"] == "true"


async def test_the_first_of_several_numbers_to_answer_wins(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    numbers = [f"+1555010001{number}" for number in range(4)]
    nouns = "".join(f"<Number>{number}</Number>" for number in numbers)
    bridge.answer("/incoming-call", f'<Dial action="/dialed">{nouns}</Dial>')
    line.callee = Callee("no-answer")
    line.callees[numbers[1]] = Callee("busy")
    line.callees[numbers[2]] = Callee(answers_after_ms=5, talks_ms=0)
    call = await run(line)
    assert [dialed.status for dialed in call.dialed] == [
        "canceled",
        "busy",
        "completed",
        "canceled",
    ]
    assert bridge.requested("/dialed")[0]["DialCallSid"] == call.dialed[2].call_sid


async def test_sequential_dials_one_number_after_the_other_until_one_answers(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    numbers = [f"+1555010001{number}" for number in range(3)]
    nouns = "".join(f"<Number>{number}</Number>" for number in numbers)
    bridge.answer("/incoming-call", f'<Dial action="/dialed" sequential="true">{nouns}</Dial>')
    line.callee = Callee("busy")
    line.callees[numbers[1]] = Callee(talks_ms=0)
    call = await run(line)
    assert [dialed.target for dialed in call.dialed] == numbers[:2]
    first, second = call.dialed
    assert (first.status, second.status) == ("busy", "completed")
    assert first.ended_ms is not None and first.ended_ms <= second.at_ms
    assert bridge.requested("/dialed")[0]["DialCallSid"] == second.call_sid


async def test_a_dial_without_action_continues_with_the_next_verb(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    bridge.answer("/incoming-call", f"<Dial>{HUMAN}</Dial><Say>Next</Say>")
    assert (await run(line)).said == ["Next"]


async def test_an_invalid_number_cannot_be_dialed(line: PhoneLine, bridge: TinyBridge) -> None:
    bridge.answer("/incoming-call", '<Dial action="/dialed"><Number>5550100</Number></Dial>')
    call = await run(line)
    assert call.error_codes == [13224]
    assert call.dialed[0].call_sid == ""
    assert line.children == {}
    assert bridge.requested("/dialed")[0]["DialCallStatus"] == "failed"


async def test_time_limit_ends_the_talk_of_a_dial(line: PhoneLine, bridge: TinyBridge) -> None:
    bridge.answer("/incoming-call", f'<Dial action="/dialed" timeLimit="10">{HUMAN}</Dial>')
    line.callees[HUMAN] = Callee()
    call = await run(line)
    (dialed,) = call.dialed
    assert dialed.bridged_ms is not None and dialed.ended_ms is not None
    assert dialed.ended_ms - dialed.bridged_ms >= 9
    assert line.children[dialed.call_sid].status == "completed"
    assert bridge.requested("/dialed")[0]["DialBridged"] == "true"


async def test_hangup_on_star_ends_the_talk(line: PhoneLine, bridge: TinyBridge) -> None:
    bridge.answer("/incoming-call", f'<Dial action="/dialed" hangupOnStar="true">{HUMAN}</Dial>')
    line.callees[HUMAN] = Callee()
    call = await line.call()
    await call.wait_for(lambda: call.talking_ms is not None)
    call.press("1")
    call.press("*")
    await call.wait_ended()
    assert call.said == ["Done"]
    assert call.pressed == ["1", "*"]


async def test_hangup_on_star_while_it_rings_dials_no_further_number(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    bridge.answer(
        "/incoming-call",
        '<Dial action="/dialed" hangupOnStar="true" sequential="true" timeout="10000">'
        f"<Number>{HUMAN}</Number><Number>{OTHER}</Number></Dial>",
    )
    line.callee = Callee("no-answer")
    call = await line.call()
    await call.wait_for(lambda: bool(call.dialed))
    call.press("*")
    await call.wait_ended()
    assert [(dialed.target, dialed.status) for dialed in call.dialed] == [(HUMAN, "canceled")]


async def test_at_most_ten_numbers_ring(line: PhoneLine, bridge: TinyBridge) -> None:
    nouns = "".join(f"<Number>+155501000{number}</Number>" for number in range(10, 21))
    bridge.answer("/incoming-call", f"<Dial>{nouns}</Dial>")
    line.callee = Callee("busy")
    call = await run(line)
    assert len(call.dialed) == 10
    assert call.error_codes == [12200]


async def test_answer_on_bridge_answers_the_caller_when_bridged(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    bridge.answer("/incoming-call", f'<Dial answerOnBridge="true"><Number>{HUMAN}</Number></Dial>')
    line.callees[HUMAN] = Callee(answers_after_ms=5, talks_ms=5)
    call = await run(line)
    assert call.answered_ms is not None and call.dialed[0].answered_ms is not None
    assert call.answered_ms >= call.dialed[0].answered_ms


@pytest.mark.parametrize("asks", [True, False])
async def test_the_caller_hangs_up_while_it_rings(bridge: TinyBridge, asks: bool) -> None:
    async with PhoneLine(bridge.url, public_url=PUBLIC, asks_after_hangup=asks) as line:
        line.callees[HUMAN] = Callee(answers_after_ms=15_000)
        call = await line.call()
        await call.wait_for(lambda: bool(call.dialed))
        call.hang_up()
        await call.wait_ended()
    child = line.children[call.dialed[0].call_sid]
    assert child.status == call.dialed[0].status == "canceled"
    assert call.said == []
    forms = bridge.requested("/dialed")
    assert len(forms) == asks
    for form in forms:
        assert form["CallStatus"] == "completed"
        assert form["DialCallStatus"] == "canceled"
        assert form["DialBridged"] == "false"


async def test_the_caller_hangs_up_during_the_talk(line: PhoneLine, bridge: TinyBridge) -> None:
    line.callees[HUMAN] = Callee(presses="1")
    call = await line.call()
    await call.wait_for(lambda: call.talking_ms is not None)
    call.hang_up()
    await call.wait_ended()
    assert line.children[call.dialed[0].call_sid].status == "completed"
    (form,) = bridge.requested("/dialed")
    assert form["CallStatus"] == form["DialCallStatus"] == "completed"
    assert form["DialBridged"] == "true"
    assert call.said == []


async def test_the_status_callback_of_a_number_reports_its_call(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    events = "initiated ringing answered completed"
    bridge.answer(
        "/incoming-call",
        f'<Dial><Number statusCallback="/leg" statusCallbackEvent="{events}">{HUMAN}</Number>'
        f'<Number statusCallback="/other" statusCallbackMethod="GET">{OTHER}</Number></Dial>',
    )
    line.callees[HUMAN] = Callee(answers_after_ms=10, talks_ms=5)
    line.callees[OTHER] = Callee("no-answer")
    call = await run(line)
    forms = bridge.requested("/leg")
    assert [form["CallStatus"] for form in forms] == [
        "initiated",
        "ringing",
        "in-progress",
        "completed",
    ]
    assert [form["SequenceNumber"] for form in forms] == ["0", "1", "2", "3"]
    assert {form["CallSid"] for form in forms} == {call.dialed[0].call_sid}
    assert {form["ParentCallSid"] for form in forms} == {call.call_sid}
    assert "CallDuration" in forms[-1]
    gets = [request.path for request in bridge.requests if request.method == "GET"]
    assert len(gets) == 1
    assert gets[0].startswith("/other?") and "CallStatus=canceled" in gets[0]


async def test_answering_machine_detection_of_a_dialed_number(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    bridge.answer(
        "/incoming-call",
        '<Dial><Number machineDetection="Enable" amdStatusCallback="/amd" url="/whisper">'
        f"{HUMAN}</Number></Dial>",
    )
    line.callees[HUMAN] = Callee(machine=True, detected_after_ms=1)
    call = await run(line)
    (form,) = bridge.requested("/amd")
    assert form["AnsweredBy"] == "machine_start"
    assert form["CallSid"] == call.dialed[0].call_sid


def test_a_callee_with_an_unknown_outcome_is_refused() -> None:
    with pytest.raises(ValueError, match="busy"):
        Callee("engaged")
    with pytest.raises(ValueError, match="machine_start"):
        Callee(answered_by="robot")
    assert [Callee(presses=("3", "1")).keys(prompt) for prompt in (1, 2, 3)] == ["3", "1", ""]
