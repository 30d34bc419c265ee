"""<Dial><Conference>: hold music, who hears each other, and how it ends."""

from collections.abc import AsyncIterator

import pytest
from twilio.rest import Client

from app.simulator.twilio import BUILT_IN_HOLD_MUSIC, Call, Callee, PhoneLine
from tests.simulator.twilio.twilio_bridge import PUBLIC, TOKEN, TinyBridge, tiny_bridge, twiml
from tests.simulator.twilio.twilio_client import HttpClient

AGENT = "+15550100007"


@pytest.fixture
async def bridge() -> AsyncIterator[TinyBridge]:
    async with tiny_bridge() as bridge:
        bridge.answer("/dialed", "<Say>Done</Say>")
        yield bridge


@pytest.fixture
async def line(bridge: TinyBridge) -> AsyncIterator[PhoneLine]:
    async with PhoneLine(
        bridge.url, auth_token=TOKEN, public_url=PUBLIC, pause_scale=0.001, say_ms=0, hold_ms=5
    ) as line:
        yield line


@pytest.fixture
async def client(line: PhoneLine) -> AsyncIterator[Client]:
    http = HttpClient(line.rest_url)
    yield Client(line.account_sid, TOKEN, http_client=http)
    await http.close()


def room(attributes: str = "", name: str = "room-1", dial: str = 'action="/dialed"') -> str:
    return f"<Dial {dial}><Conference {attributes}>{name}</Conference></Dial>"


async def enter(line: PhoneLine, bridge: TinyBridge, document: str) -> Call:
    bridge.answer("/incoming-call", document)
    entered = len(_participants(line))
    call = await line.call()
    await call.wait_for(lambda: len(_participants(line)) > entered)
    return call


def _participants(line: PhoneLine) -> list[str]:
    return [each.call_sid for room in line.conferences for each in room.participants]


async def test_two_callers_talk_in_a_conference_until_one_leaves(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    one = await enter(line, bridge, room())
    assert one.talking_ms is None
    assert [(said.verb, said.text) for said in one.hold] == [("Play", BUILT_IN_HOLD_MUSIC)]
    two = await enter(line, bridge, room())
    (conference,) = line.conferences
    assert conference.name == "room-1"
    assert conference.started_ms is not None
    assert one.talking_ms is not None and two.talking_ms is not None
    assert two.hold == []
    two.hang_up()
    await two.wait_ended()
    assert one.talking_ms is None
    assert not conference.is_over
    ((begin_ms, end_ms),) = conference.together(one.call_sid, two.call_sid)
    first, second = conference.participants
    assert (begin_ms, end_ms) == (conference.started_ms, second.left_ms)
    assert first.left_ms is None
    one.hang_up()
    await one.wait_ended()
    assert conference.is_over
    assert conference.together(one.call_sid, one.call_sid[::-1]) == []


async def test_a_participant_who_may_not_start_the_conference_waits_for_one_who_may(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    waiting = 'startConferenceOnEnter="false"'
    one = await enter(line, bridge, room(waiting))
    two = await enter(line, bridge, room(waiting))
    (conference,) = line.conferences
    assert conference.started_ms is None
    assert one.talking_ms is two.talking_ms is None
    assert conference.together(one.call_sid, two.call_sid) == []
    three = await enter(line, bridge, room())
    assert conference.started_ms is not None
    assert all(call.talking_ms is not None for call in (one, two, three))


async def test_the_wait_url_document_plays_again_and_again(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    bridge.answer("/wait", "<Say>One moment</Say><Play>/music.mp3</Play><Gather/>")
    call = await enter(line, bridge, room('waitUrl="/wait" waitMethod="GET"'))
    await call.wait_for(lambda: len(call.hold) >= 4)
    texts = [said.text for said in call.hold[:4]]
    assert texts == ["One moment", "/music.mp3", "One moment", "/music.mp3"]
    assert call.said == []
    waits = [request.path for request in bridge.requests if request.path.startswith("/wait?")]
    assert f"ConferenceSid={line.conferences[0].conference_sid}" in waits[0]
    assert set(call.error_codes) == {12200}, "a waiting room asks for no keys"
    other = await enter(line, bridge, room())
    heard = len(call.hold)
    other.hang_up()
    await other.wait_ended()
    assert len(call.hold) == heard, "the music stopped when they met"


async def test_the_wait_url_may_be_an_audio_file(line: PhoneLine, bridge: TinyBridge) -> None:
    bridge.answer("/incoming-call", room('waitUrl="/music.mp3"'))
    call = await line.call()
    bridge.content_type = "audio/mpeg"
    await call.wait_for(lambda: bool(call.hold))
    assert [said.text for said in call.hold] == [f"{PUBLIC}/music.mp3"]
    assert call.errors == []


async def test_an_empty_wait_url_is_silent(line: PhoneLine, bridge: TinyBridge) -> None:
    call = await enter(line, bridge, room('waitUrl=""'))
    await enter(line, bridge, room())
    assert call.hold == []


async def test_end_conference_on_exit_ends_it_for_all(line: PhoneLine, bridge: TinyBridge) -> None:
    one = await enter(line, bridge, room())
    two = await enter(line, bridge, room('endConferenceOnExit="true"'))
    two.hang_up()
    await one.wait_ended()
    assert line.conferences[0].is_over
    forms = [form for form in bridge.requested("/dialed") if form["CallSid"] == one.call_sid]
    assert [form["DialCallStatus"] for form in forms] == ["answered"]
    assert forms[0]["CallStatus"] == "in-progress"
    assert forms[0]["DialBridged"] == "true"
    assert one.said == ["Done"]
    await two.wait_ended()
    (form,) = [form for form in bridge.requested("/dialed") if form["CallSid"] == two.call_sid]
    assert (form["CallStatus"], form["DialCallStatus"]) == ("completed", "answered")
    assert one.dialed[0].status == "answered"


async def test_a_name_is_a_new_conference_after_its_conference_ended(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    one = await enter(line, bridge, room())
    one.hang_up()
    await one.wait_ended()
    two = await enter(line, bridge, room())
    assert len(line.conferences) == 2
    assert [each.call_sid for each in line.conferences[1].present] == [two.call_sid]


async def test_different_names_are_different_conferences(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    one = await enter(line, bridge, room(name="room-1"))
    two = await enter(line, bridge, room(name="room-2"))
    assert one.talking_ms is two.talking_ms is None


async def test_hangup_on_star_leaves_the_conference(line: PhoneLine, bridge: TinyBridge) -> None:
    call = await enter(line, bridge, room(dial='action="/dialed" hangupOnStar="true"'))
    call.press("*")
    await call.wait_ended()
    assert call.said == ["Done"]
    assert bridge.requested("/dialed")[0]["DialBridged"] == "false", "the conference was empty"


@pytest.mark.parametrize(
    ("beep", "beeps"),
    [
        ("true", ["onEnter", "onExit"]),
        ("false", []),
        ("onEnter", ["onEnter"]),
        ("onExit", ["onExit"]),
    ],
)
async def test_entering_and_leaving_beep(
    line: PhoneLine, bridge: TinyBridge, beep: str, beeps: list[str]
) -> None:
    one = await enter(line, bridge, room('beep="false"'))
    two = await enter(line, bridge, room(f'beep="{beep}"'))
    two.hang_up()
    await two.wait_ended()
    heard = [said.text for said in one.spoken_by_twilio if said.verb == "Beep"]
    assert heard == beeps


async def test_events_are_reported_to_the_first_url(line: PhoneLine, bridge: TinyBridge) -> None:
    events = 'statusCallback="/conf" statusCallbackEvent="start end join leave"'
    one = await enter(line, bridge, room(events))
    two = await enter(
        line, bridge, room('statusCallback="/other" statusCallbackEvent="join" beep="false"')
    )
    two.hang_up()
    await two.wait_ended()
    one.hang_up()
    await one.wait_ended()
    (conference,) = line.conferences
    await conference.finish()
    forms = bridge.requested("/conf")
    assert [(form["StatusCallbackEvent"], form.get("CallSid")) for form in forms] == [
        ("participant-join", one.call_sid),
        ("participant-join", two.call_sid),
        ("conference-start", None),
        ("participant-leave", two.call_sid),
        ("participant-leave", one.call_sid),
        ("conference-end", None),
    ]
    assert {form["FriendlyName"] for form in forms} == {"room-1"}
    assert {form["ConferenceSid"] for form in forms} == {conference.conference_sid}
    assert forms[-1]["ReasonConferenceEnded"] == "last-participant-left"
    assert bridge.requested("/other") == []
    assert len(conference.requests) == 6


async def test_a_caller_waits_while_the_human_hears_the_briefing(
    line: PhoneLine, bridge: TinyBridge, client: Client
) -> None:
    bridge.answer("/incoming-call", '<Say>Hello</Say><Pause length="3600000"/>')
    bridge.answer("/joined", room('endConferenceOnExit="true"', dial=""))
    line.callees[AGENT] = Callee(presses="1", presses_after_ms=5, talks_ms=30)
    caller = await line.call()
    await caller.wait_for(lambda: bool(caller.said))
    hold = twiml(room('startConferenceOnEnter="false"'))
    await client.calls(caller.call_sid).update_async(twiml=hold)
    await caller.wait_for(lambda: bool(caller.hold))
    briefing = twiml(
        '<Gather numDigits="1" action="/joined" timeout="60"><Say>A caller</Say></Gather>'
    )
    await client.calls.create_async(to=AGENT, from_=caller.to, twiml=briefing)
    human = await line.outbound()
    await human.wait_ended()
    await caller.wait_ended()
    ((begin_ms, end_ms),) = line.conferences[0].together(caller.call_sid, human.call_sid)
    assert end_ms - begin_ms >= 29
    assert caller.said == ["Hello", "Done"], "the caller heard nothing of the briefing"
    assert human.said == ["A caller"]
    assert human.pressed == ["1"]


async def test_a_replaced_document_leaves_the_conference(
    line: PhoneLine, bridge: TinyBridge, client: Client
) -> None:
    call = await enter(line, bridge, room())
    await client.calls(call.call_sid).update_async(twiml=twiml("<Say>Back</Say>"))
    await call.wait_ended()
    assert call.said == ["Back"]
    assert line.conferences[0].is_over
    assert bridge.requested("/dialed") == []


async def test_time_limit_ends_a_conference(
    bridge: TinyBridge,
) -> None:
    async with PhoneLine(bridge.url, public_url=PUBLIC, ring_scale=0.001) as line:
        call = await enter(line, bridge, room(dial='action="/dialed" timeLimit="20"'))
        await call.wait_ended()
        assert call.said == ["Done"]
