"""The media stream breaks and the caller does not hang up: the call goes on in another stream."""

import asyncio
from functools import partial

import pytest

from app.bridge.stream_retries import RetryLimits
from app.bridge.streams import StreamRefused
from app.call.events import StreamBlocked, StreamEnded, StreamStarted
from app.simulator.realtime import RealtimeServer, Reply, Script
from app.simulator.twilio import Callee
from app.wires.twilio.call import CallInfo
from tests.service.raw_twilio import CALL_SID, RawStream, call_form, raw_stream, request
from tests.service.transfer_world import DESK, Agent, callers, desk, outcomes, transfer_world
from tests.service.twiml_check import check_twiml
from tests.service.world import AGENT, PUBLIC_URL, decisions, noise, world

INF = float("inf")
HELLO = Reply("Hello, the front desk.", audio=noise(60, "hello"), speed=INF)
ANSWER = Reply("We open at nine.", audio=noise(60, "nine"), speed=INF)
BACK = Reply("Sorry, the line broke.", audio=noise(60, "back"), speed=INF)
BYE = Reply("Goodbye.", audio=noise(60, "bye"), speed=INF)


async def test_the_agent_of_the_next_stream_knows_what_was_said() -> None:
    script = Script(HELLO, ANSWER, BACK, BYE)
    async with world(script, agent=AGENT) as w:
        call = await w.connected()
        first = await w.model.session()
        await call.wait_quiet()
        first.start_speech()
        first.stop_speech("When do you open?")
        await call.wait_heard(2 * 480)

        await call.drop()
        await first.closed.wait()
        await call.wait_connected(2)
        second = await w.model.session(1)
        await call.wait_heard(3 * 480)

        told = [event["item"] for event in second.events_of("conversation.item.create")]
        assert [(item["role"], item["content"][0]["text"]) for item in told[:3]] == [
            ("assistant", "Hello, the front desk."),
            ("user", "When do you open?"),
            ("assistant", "We open at nine."),
        ]
        assert (
            "lost for a moment"
            in second.events_of("response.create")[0]["response"]["instructions"]
        )
        second.start_speech()
        second.stop_speech("Never mind.")
        await call.wait_heard(4 * 480)
        call.hang_up()
        await call.wait_ended()
        await w.settled()
        record = await w.record(call.call_sid)

    assert (record["status"], record["ended_by"]) == ("completed", "caller")
    assert [turn["text"] for turn in record["transcript"]] == [
        "Hello, the front desk.",
        "When do you open?",
        "We open at nine.",
        "Sorry, the line broke.",
        "Never mind.",
        "Goodbye.",
    ]
    assert [event["name"] for event in record["events"]].count("StreamStarted") == 2


SCALED = RetryLimits(works_s=0.01, window_s=0.05)  # a minute is 50 ms


async def test_a_long_call_with_a_cut_every_minute_goes_on_for_ever() -> None:
    server = RealtimeServer(lambda turn: HELLO)
    async with world(server, agent=AGENT) as w:
        w.switchboard.streams.retry_limits = SCALED
        call = await w.connected()
        for streams in range(1, 13):
            await call.wait_connected(streams)
            await call.wait_heard(streams * 480)
            await call.drop()
        await call.wait_connected(13)
        await call.wait_heard(13 * 480)
        assert not call.said
        call.hang_up()
        await call.wait_ended()
        await w.settled()
        record = await w.record(call.call_sid)
        assert (record["status"], record["ended_by"]) == ("completed", "caller")
        assert [turn["text"] for turn in record["transcript"]] == [HELLO.text] * 13


@pytest.mark.parametrize("human", [True, False], ids=["human", "no human"])
async def test_a_line_that_breaks_again_and_again_is_given_up_with_words(human: bool) -> None:
    server = RealtimeServer(lambda turn: HELLO)
    file = desk(name="desk", number=DESK) if human else AGENT
    async with world(server, agent=file, line={"gather_scale": 0.02}) as w:
        w.switchboard.streams.retry_limits = RetryLimits(works_s=0.01, most_losses=3)
        w.line.callee = Callee(answers_after_ms=10, presses="1", talks_ms=10)
        call = await w.connected()
        for streams in (1, 2, 3):
            await call.wait_connected(streams)
            await call.wait_heard(streams * 480)
            await call.drop()
        await call.wait_ended()
        await w.settled()
        assert len(call.streams) == 3 and len(call.dialed) == human
        assert len(call.said) == 1 and call.said[0].startswith("We are sorry")
        record = await w.record(call.call_sid)
        assert (record["status"], record["ended_by"]) == ("completed", "line")
        made = [each for each, _ in decisions(record)]
        assert made[-2:] == [
            "line given up",
            "caller transferred to a human" if human else "call ended with an apology",
        ]


async def test_the_next_stream_of_a_live_call_is_served_while_draining() -> None:
    server = RealtimeServer(lambda turn: HELLO)
    async with world(server, agent=AGENT) as w:
        call = await w.connected()
        await call.wait_heard(480)
        w.switchboard.draining = True
        await call.drop()
        await call.wait_connected(2)
        await call.wait_heard(2 * 480)
        call.hang_up()
        await call.wait_ended()
        await w.settled()


async def test_a_webhook_repeated_for_a_live_call_opens_no_second_session() -> None:
    server = RealtimeServer(lambda turn: HELLO)
    async with world(server, agent=AGENT) as w:
        call = await w.connected()
        await call.wait_heard(480)
        assert await w.switchboard.answer(CallInfo(call.call_sid), PUBLIC_URL)
        assert len(server.sessions) == 1
        call.hang_up()
        await call.wait_ended()
        await w.settled()
        record = await w.record(call.call_sid)
        assert (record["status"], record["ended_by"]) == ("completed", "caller")


async def test_a_stream_that_twilio_opens_anew_takes_the_call_over() -> None:
    async with world(RealtimeServer(lambda turn: HELLO), agent=AGENT) as w:
        board, call = w.switchboard, CallInfo("CA" + "7" * 32)
        claim = partial(board.streams.claim, call=call, base_url=PUBLIC_URL)
        first = await claim(await board.answer(call, PUBLIC_URL) or "")
        first.feed(StreamStarted("MZ1"))
        ticket = await board.answer(call, PUBLIC_URL) or ""
        assert not first.over and len(w.model.sessions) == 1
        second = await claim(ticket)
        assert first.over and not second.over
        with pytest.raises(StreamRefused):
            await claim(ticket)
        await w.model.session(1)
        second.feed(StreamStarted("MZ2"))
        second.feed(StreamEnded("stopped by Twilio"))
        await w.settled()
        record = await w.record(call.call_sid)
        assert (record["status"], record["ended_by"]) == ("completed", "caller")


async def test_twilio_may_know_of_the_loss_first() -> None:
    async with world(RealtimeServer(lambda turn: HELLO), agent=AGENT) as w:
        form = call_form(CallStatus="in-progress")
        async with raw_stream(w, (await request(w)).stream_url) as stream:
            await stream.start()
            await hears(stream)
            session = await w.model.session()
            session.start_speech()
            session.stop_speech("When do you open?")
            await hears(stream)
            answer = await request(w, "/stream-ended", form)
            assert await stream.close_code() == 1000
        async with raw_stream(w, answer.stream_url) as stream:
            await stream.start()
            await hears(stream)
            await request(w, "/call-status", {**form, "CallStatus": "completed"})
        await w.settled()
        record = await w.record(form["CallSid"])
        assert (record["status"], record["ended_by"]) == ("completed", "caller")
        said = [turn["text"] for turn in record["transcript"]]
        assert said == [HELLO.text, "When do you open?", HELLO.text, HELLO.text]


async def hears(stream: RawStream) -> None:
    """Until everything that was sent has been heard."""
    while (message := await stream.receive())["event"] != "mark" or not message["mark"]["name"]:
        pass
    await stream.send(message)
    while (message := await stream.receive())["event"] != "mark":
        pass
    await stream.send(message)


async def test_two_questions_at_once_are_answered_with_one_leg() -> None:
    async with world(RealtimeServer(lambda turn: HELLO), agent=AGENT) as w:
        form = call_form(CallStatus="in-progress")
        async with raw_stream(w, (await request(w)).stream_url) as stream:
            await stream.start()
            await hears(stream)
        answers = await asyncio.gather(*(request(w, "/stream-ended", form) for _ in range(3)))
        assert all(check_twiml(each.body)[-2:] == ["Connect", "Hangup"] for each in answers)
        assert len(w.model.sessions) == 2 and w.switchboard.live_calls == 1
        for answer in answers:  # whichever of them Twilio took
            async with raw_stream(w, answer.stream_url) as stream:
                await stream.start()
                await hears(stream)
                break
        await request(w, "/call-status", {**form, "CallStatus": "completed"})
        await w.settled()


async def test_a_question_about_a_stream_that_was_replaced_does_not_touch_the_present_one() -> None:
    async with world(RealtimeServer(lambda turn: HELLO), agent=AGENT) as w:
        call = await w.connected()
        await call.wait_heard(480)
        await call.drop()
        await call.wait_connected(2)
        await call.wait_heard(2 * 480)
        (asked,) = [each for each in call.requests if each.url.endswith("/stream-ended")]
        assert asked.params["StreamSid"] == call.streams[0].stream_sid
        again = await request(w, "/stream-ended", asked.params)
        assert check_twiml(again.body) == ["Connect", "Hangup"]
        leg = w.switchboard.leg(call.call_sid)
        assert leg is not None and not leg.over and len(w.model.sessions) == 2
        call.hang_up()
        await call.wait_ended()
        await w.settled()


async def test_a_call_that_comes_in_again_while_a_human_is_rung_opens_no_session() -> None:
    agent = Agent()
    async with transfer_world(agent, desk(name="desk", number=DESK), line={"ring_scale": 1}) as w:
        w.line.callee = Callee(goes="no-answer")
        (caller,) = await callers(w, agent)
        await caller.transferred()
        await w.settled()
        again = await request(w, form=call_form(caller.call.call_sid))
        assert check_twiml(again.body) == ["Connect", "Hangup"]
        assert len(w.model.sessions) == 1 and not w.model.open_sessions
        assert outcomes(await caller.hangs_up()) == ["canceled"]


async def test_a_call_that_comes_in_again_after_its_line_was_lost_knows_what_was_said() -> None:
    async with world(RealtimeServer(lambda turn: HELLO), agent=AGENT) as w:
        async with raw_stream(w, (await request(w)).stream_url) as stream:
            await stream.start()
            await hears(stream)
        await w.settled()
        again = await request(w)
        second = await w.model.session(1)
        told = [event["item"] for event in second.events_of("conversation.item.create")]
        assert told[0]["content"][0]["text"] == HELLO.text
        async with raw_stream(w, again.stream_url) as stream:
            await stream.start()
            await hears(stream)
            await stream.send({"event": "stop", "stop": {}})
        await request(w, "/call-status", {"CallSid": CALL_SID, "CallStatus": "completed"})
        await w.settled()


async def test_a_socket_that_takes_no_more_is_closed_and_the_call_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.call.caller.stream_deadlines.STUCK_MS", 50.0)
    async with world(RealtimeServer(lambda turn: HELLO), agent=AGENT) as w:
        call = await w.connected()
        await call.wait_heard(480)
        leg = w.switchboard.leg(call.call_sid)
        assert leg is not None
        leg.feed(StreamBlocked())
        await call.wait_connected(2)
        await call.wait_heard(2 * 480)
        call.hang_up()
        await call.wait_ended()
        await w.settled()
        record = await w.record(call.call_sid)
        assert (record["status"], record["ended_by"]) == ("completed", "caller")
