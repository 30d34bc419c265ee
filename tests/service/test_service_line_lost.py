"""The media stream breaks and the caller does not hang up: the call goes on in another stream."""

import pytest

from app.call.events import StreamEnded, StreamStarted
from app.recorder import CallInfo
from app.simulator.realtime import RealtimeServer, Reply, Script
from tests.service.world import AGENT, PUBLIC_URL, noise, world

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


async def test_a_line_that_breaks_again_and_again_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.switchboard.MOST_STREAMS", 3)
    server = RealtimeServer(lambda turn: HELLO)
    async with world(server, agent=AGENT) as w:
        call = await w.connected()
        for streams in (1, 2, 3):
            await call.wait_connected(streams)
            await call.wait_heard(streams * 480)
            await call.drop()
        await call.wait_ended()
        await w.settled()
        assert len(call.streams) == 3
        record = await w.record(call.call_sid)
        assert (record["status"], record["ended_by"]) == ("completed", "line")


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
        first = board.claim(await board.answer(call, PUBLIC_URL) or "", call.call_sid)
        assert first is not None
        first.feed(StreamStarted("MZ1"))
        ticket = await board.answer(call, PUBLIC_URL) or ""
        assert not first.over and len(w.model.sessions) == 1
        second = board.claim(ticket, call.call_sid)
        assert second is not None and first.over and not second.over
        assert board.claim(ticket, call.call_sid) is None
        await w.model.session(1)
        second.feed(StreamStarted("MZ2"))
        second.feed(StreamEnded("stopped by Twilio"))
        await w.settled()
        record = await w.record(call.call_sid)
        assert (record["status"], record["ended_by"]) == ("completed", "caller")


async def test_twilio_may_know_of_the_loss_first() -> None:
    async with world(RealtimeServer(lambda turn: HELLO), agent=AGENT) as w:
        board, call = w.switchboard, CallInfo("CA" + "8" * 32)
        first = board.claim(await board.answer(call, PUBLIC_URL) or "", call.call_sid)
        assert first is not None
        first.feed(StreamStarted("MZ1"))
        second = board.claim(await board.resume(call.call_sid, PUBLIC_URL) or "", call.call_sid)
        assert second is not None and first.over and not second.over
        second.feed(StreamEnded("stopped by Twilio"))
        await w.settled()
