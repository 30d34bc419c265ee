"""A line is lost, and Twilio asks late, or never: the call is over when Twilio says so, not before.

Half a minute and ten minutes are shortened here; which comes when is waited for, not guessed.
"""

import asyncio
from typing import Any

import pytest

from app.bridge.expiry import ExpiryLimits
from app.call.events import StreamEnded
from app.simulator.realtime import RealtimeServer, Reply, Script, Session, Turn
from app.simulator.twilio import Call, Callee, Fault
from tests.service.api import ANN, OURS, place
from tests.service.broken_streams import asks_late
from tests.service.raw_twilio import CALL_SID, call_form, raw_stream, request
from tests.service.transfer_world import DESK, desk
from tests.service.twiml_check import check_twiml
from tests.service.world import World, decisions, names, noise, restarted, world

INF = float("inf")
HELLO = Reply("Hello, the front desk.", audio=noise(60, "hello"), speed=INF)
ANSWER = Reply("We open at nine.", audio=noise(60, "nine"), speed=INF)
BACK = Reply("Sorry, the line broke.", audio=noise(60, "back"), speed=INF)
QUESTION = "When do you open?"
SAID = [("assistant", HELLO.text), ("user", QUESTION), ("assistant", ANSWER.text)]
SOON = ExpiryLimits(slot_s=0.05)
FORGETS = ExpiryLimits(slot_s=0.05, expire_s=1.2)


def brain(turn: Turn) -> Reply:
    if turn.kind == "direct":
        return HELLO if "first time" in turn.instructions else BACK
    return ANSWER


class Waits:
    """Waits of the switchboard's own, told by events."""

    def __init__(self, w: World, limits: ExpiryLimits) -> None:
        self.slot_free, self.over = asyncio.Event(), asyncio.Event()
        w.switchboard.expiry.limits = limits
        w.switchboard.on_slot_freed.append(lambda _: self.slot_free.set())
        w.switchboard.on_call_ended.append(lambda _: self.over.set())


async def talked(w: World, call: Call) -> Session:
    """The caller is greeted, asks, and is answered."""
    session = await w.model.session(len(w.model.sessions) - 1)
    await call.wait_quiet()
    session.start_speech()
    session.stop_speech(QUESTION)
    await call.wait_heard(len(call.heard) + 480)
    await call.wait_quiet(30)
    return session


def told(session: Session) -> list[tuple[str, str]]:
    items = [event["item"] for event in session.events_of("conversation.item.create")]
    return [(item["role"], item["content"][0]["text"]) for item in items][:3]


async def back_with_history(w: World, call: Call, sessions: int = 2) -> None:
    """The caller is with the agent again, which knows what was said."""
    heard = len(call.heard)
    await call.wait_connected(2)
    await call.wait_heard(heard + 480)
    assert told(await w.model.session(sessions - 1)) == SAID and not call.said


async def hung_up(w: World, call: Call) -> dict[str, Any]:
    call.hang_up()
    await call.wait_ended()
    await w.settled()
    return await w.record(call.call_sid)


# --- late -----------------------------------------------------------------------------------------


async def test_twilio_asking_after_the_slot_is_free_gets_the_caller_back_to_the_agent() -> None:
    async with world(RealtimeServer(brain), max_calls=1) as w:
        waits, may_ask = Waits(w, SOON), asks_late(w)
        call = await w.connected()
        session = await talked(w, call)
        await call.drop()
        await session.closed.wait()
        assert w.switchboard.live_calls == 1 and w.switchboard.full
        await waits.slot_free.wait()
        assert w.switchboard.live_calls == 0 and not w.model.open_sessions
        record = await w.record(call.call_sid)
        assert (record["status"], record["ended_at"]) == ("in-progress", None)
        assert [made for made, _ in decisions(record)] == ["line lost, waiting for Twilio"]

        other = await w.connected()  # another caller has the only slot
        await other.wait_quiet()
        may_ask.set()
        await back_with_history(w, call, sessions=3)
        assert w.switchboard.live_calls == 2
        other.hang_up()
        await other.wait_ended()
        record = await hung_up(w, call)
        assert (record["status"], record["ended_by"]) == ("completed", "caller")
        assert decisions(record)[-1][0] == "call goes on in another stream"
        assert [(t["role"], t["text"]) for t in record["transcript"]] == [
            *SAID,
            ("assistant", BACK.text),
        ]


async def test_a_lost_call_holds_up_no_drain_for_longer_than_its_slot() -> None:
    async with world(RealtimeServer(brain)) as w:
        Waits(w, SOON)
        may_ask = asks_late(w)
        call = await w.connected()
        await call.wait_quiet()
        await call.drop()
        await w.switchboard.drain(20)
        assert w.switchboard.live_calls == 0 and w.switchboard.is_live(call.call_sid)
        may_ask.set()
        await call.wait_connected(2)
        await hung_up(w, call)


async def test_a_call_of_which_twilio_says_nothing_is_over_in_the_end() -> None:
    async with world(RealtimeServer(brain)) as w:
        waits = Waits(w, FORGETS)
        async with raw_stream(w, (await request(w)).stream_url) as stream:
            await stream.start()
            await stream.receive()
        await waits.slot_free.wait()
        lost = await w.record(CALL_SID)
        assert (lost["status"], lost["ended_at"]) == ("in-progress", None)
        await waits.over.wait()
        record = await w.record(CALL_SID)
        assert (record["status"], record["ended_by"]) == ("completed", "line")
        assert decisions(record)[-1][0] == "record closed"
        assert "said nothing" in decisions(record)[-1][1]
        assert record["duration_s"] < 1.0  # it is known of until the line was lost
        assert not w.switchboard.is_live(CALL_SID)
        (logged,) = [
            each for each in w.log.of("call decision") if each["decision"] == "record closed"
        ]
        assert logged["call_sid"] == CALL_SID and logged["levelname"] == "WARNING"

        late = await request(w, "/stream-ended", call_form(CallStatus="in-progress"))
        assert check_twiml(late.body) == ["Say", "Hangup"] and len(w.model.sessions) == 1


async def test_a_stream_that_never_comes_and_is_not_asked_about_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.call.caller.stream_deadlines.UNCLAIMED_MS", 100.0)
    async with world(RealtimeServer(brain)) as w:
        waits = Waits(w, ExpiryLimits(slot_s=60))
        answer = await request(w)
        session = await w.model.session()
        await session.closed.wait()
        await waits.slot_free.wait()  # at once: it had its half minute
        assert w.switchboard.live_calls == 0
        record = await w.record(CALL_SID)
        assert (record["status"], record["ended_at"]) == ("ringing", None)
        assert decisions(record) == [("line lost, waiting for Twilio", "no media stream came")]
        async with raw_stream(w, answer.stream_url) as stream:  # Twilio took its time
            await stream.start()
            assert (await stream.receive())["event"] in ("mark", "media")
            await w.model.session(1)
            assert w.switchboard.live_calls == 1
            await request(w, "/call-status", {"CallSid": CALL_SID, "CallStatus": "completed"})
        await w.settled()
        assert (await w.record(CALL_SID))["ended_by"] == "caller"


# --- what Twilio says -----------------------------------------------------------------------------


async def test_the_status_of_a_lost_call_ends_it_and_its_question_comes_too_late() -> None:
    async with world(RealtimeServer(brain)) as w:
        Waits(w, SOON)
        async with raw_stream(w, (await request(w)).stream_url) as stream:
            await stream.start()
            await stream.receive()
        await w.settled()
        await request(w, "/call-status", {"CallSid": CALL_SID, "CallStatus": "completed"})
        record = await w.record(CALL_SID)
        assert (record["status"], record["ended_by"]) == ("completed", "line")
        for status, verbs in (("completed", ["Hangup"]), ("in-progress", ["Say", "Hangup"])):
            late = await request(w, "/stream-ended", call_form(CallStatus=status))
            assert check_twiml(late.body) == verbs
        assert len(w.model.sessions) == 1


async def test_a_question_that_says_itself_that_the_call_is_over_ends_it() -> None:
    async with world(RealtimeServer(brain)) as w:
        async with raw_stream(w, (await request(w)).stream_url) as stream:
            await stream.start()
            await stream.receive()
        await w.settled()
        answer = await request(w, "/stream-ended", call_form(CallStatus="completed"))
        assert check_twiml(answer.body) == ["Hangup"]
        record = await w.record(CALL_SID)
        assert record["status"] == "completed" and not w.switchboard.is_live(CALL_SID)


@pytest.mark.parametrize("path", ["/incoming-call", "/stream-ended"])
async def test_no_session_is_opened_for_a_call_that_is_over(path: str) -> None:
    async with world(RealtimeServer(brain)) as w:
        answer = await request(w, path, call_form(CallStatus="completed"))
        assert check_twiml(answer.body) == ["Hangup"] and not w.model.sessions


# --- amid something -------------------------------------------------------------------------------

LONG_BYE = Reply("Thank you, goodbye!", audio=noise(3000, "bye"), speed=INF)
BYE = Reply("Goodbye.", audio=noise(60, "bye"), speed=INF)
END = [("end_call", {"reason": "the caller is done"})]


def ends(goodbye: Reply) -> Reply:
    return Reply(goodbye.text, audio=goodbye.audio, speed=INF, tool_calls=END)


async def test_a_line_lost_amid_the_goodbye_comes_back_and_the_call_is_not_over() -> None:
    async with world(Script(HELLO, ends(LONG_BYE), BACK)) as w:
        call = await w.connected()
        await call.wait_quiet()
        session = await w.model.session()
        session.start_speech()
        session.stop_speech("That was all.")
        await call.wait_heard(480 + 4000)
        await call.drop()
        await call.wait_connected(2)
        await call.wait_heard(len(call.heard) + 480)
        assert not w.line.rest_requests and not call.said
        record = await hung_up(w, call)
        assert (record["status"], record["ended_by"]) == ("completed", "caller")


async def test_a_line_lost_after_the_goodbye_was_heard_ends_the_call() -> None:
    async with world(Script(HELLO, ends(BYE), BACK)) as w:
        w.line.rest_faults.append(Fault(None, delay_s=5, times=9))  # the hang-up takes its time
        call = await w.connected()
        await call.wait_quiet()
        session = await w.model.session()
        session.start_speech()
        session.stop_speech("That was all.")
        while not w.line.rest_requests:
            await call.wait_heard(len(call.heard))
            await w.status_of("/healthz")
        await call.drop()
        await call.wait_ended()
        await w.settled()
        assert check_twiml(call.twiml_history[-1]) == ["Hangup"] and len(call.streams) == 1
        record = await w.record(call.call_sid)
        assert (record["status"], record["ended_by"]) == ("completed", "agent")


async def test_a_line_lost_amid_the_announcement_of_a_transfer_rings_no_human() -> None:
    asks = [("transfer_to_human", {"reason": "a price", "summary": "chairs"})]
    long = Reply("I am connecting you.", audio=noise(3000, "long"), speed=INF, tool_calls=asks)
    async with world(Script(HELLO, long, BACK), agent=desk(name="desk", number=DESK)) as w:
        call = await w.connected()
        await call.wait_quiet()
        session = await w.model.session()
        session.start_speech()
        session.stop_speech("A human, please.")
        await call.wait_heard(480 + 4000)
        await call.drop()
        await call.wait_connected(2)
        await call.wait_heard(len(call.heard) + 480)
        assert not call.dialed and not w.line.rest_requests
        assert (await hung_up(w, call))["ended_by"] == "caller"


async def test_a_line_lost_while_the_order_to_transfer_is_out_is_transferred() -> None:
    asks = [("transfer_to_human", {"reason": "a price", "summary": "chairs"})]
    short = Reply("I am connecting you.", audio=noise(60, "short"), speed=INF, tool_calls=asks)
    quick = {"gather_scale": 0.02}
    file = desk(name="desk", number=DESK)
    async with world(Script(HELLO, short), agent=file, line=quick) as w:
        w.line.callee = Callee(answers_after_ms=10, presses="1", talks_ms=10)
        w.line.rest_faults.append(Fault(None, delay_s=3, times=9))
        call = await w.connected()
        await call.wait_quiet()
        session = await w.model.session()
        session.start_speech()
        session.stop_speech("A human, please.")
        while not w.line.rest_requests:
            await w.status_of("/healthz")
        await call.drop()
        await call.wait_ended()
        await w.settled()
        record = await w.record(call.call_sid)
        assert [each["outcome"] for each in record["transfers"]] == ["completed"]
        assert (record["status"], record["ended_by"]) == ("completed", "transfer")


async def test_two_losses_in_a_row_keep_the_history() -> None:
    async with world(RealtimeServer(brain)) as w:
        call = await w.connected()
        await talked(w, call)
        await call.drop()
        await call.wait_connected(2)
        await call.drop()
        await call.wait_connected(3)
        await call.wait_heard(len(call.heard) + 480)
        assert told(w.model.sessions[-1]) == SAID
        record = await hung_up(w, call)
        assert (record["status"], record["ended_by"]) == ("completed", "caller")


# --- the process stops ----------------------------------------------------------------------------


async def test_a_lost_call_is_taken_over_by_the_process_after_the_one_that_stopped() -> None:
    async with world(RealtimeServer(brain)) as w:
        Waits(w, SOON)
        may_ask = asks_late(w)
        call = await w.connected()
        session = await talked(w, call)
        await call.drop()
        await session.closed.wait()
        async with restarted(w):
            record = await w.record(call.call_sid)
            assert (record["status"], record["ended_at"]) == ("in-progress", None)
            assert decisions(record)[-1][0] == "record left open"
            may_ask.set()
            await back_with_history(w, call)
            record = await hung_up(w, call)
            assert (record["status"], record["ended_by"]) == ("completed", "caller")
            assert decisions(record)[-1] == ("call taken over", "another process had it")
            positions = [each["data"]["order"] for each in record["events"]]
            assert positions == sorted(positions)


async def test_a_call_that_comes_back_while_the_process_stops_is_not_written_off() -> None:
    async with world(RealtimeServer(brain)) as w:
        async with raw_stream(w, (await request(w)).stream_url) as stream:
            await stream.start()
            await stream.receive()
        await w.settled()
        w.line.rest_faults.append(Fault(None, delay_s=5, times=9))
        other = await w.connected()
        await other.wait_quiet()
        closing = asyncio.create_task(w.switchboard.close(within_s=0.5))
        while not w.line.rest_requests:
            await w.status_of("/healthz")
        answer = await request(w, "/stream-ended", call_form(CallStatus="in-progress"))
        assert check_twiml(answer.body) == ["Connect", "Hangup"]
        await closing
        record = await w.record(CALL_SID)
        assert (record["status"], record["ended_at"]) == ("in-progress", None)
        assert decisions(record)[-1][0] == "record left open"
        assert (await w.record(other.call_sid))["ended_by"] == "shutdown"


async def test_a_call_that_comes_in_again_after_a_restart_keeps_its_record() -> None:
    """Twilio repeats a webhook whose answer it did not get."""
    async with world(RealtimeServer(brain)) as w:
        may_ask = asks_late(w)
        call = await w.connected()
        session = await talked(w, call)
        await call.drop()
        await session.closed.wait()
        async with restarted(w):
            answer = await request(w, form=call_form(call.call_sid))
            assert check_twiml(answer.body) == ["Connect", "Hangup"]
            assert told(await w.model.session(1)) == SAID
            may_ask.set()
            await call.wait_connected(2)
            await call.wait_heard(len(call.heard) + 480)
            record = await hung_up(w, call)
            assert [turn["text"] for turn in record["transcript"]][:3] == [t for _, t in SAID]
            assert len(record["transcript"]) == 4


# --- calls that we placed -------------------------------------------------------------------------

MESSAGE = Reply("Please call us back.", audio=noise(400, "message"), speed=INF)


async def test_a_placed_call_whose_line_is_lost_frees_its_slot_and_comes_back() -> None:
    settings: dict[str, Any] = {"outbound_max_calls": 1, "outbound_repeat_seconds": 0}
    async with world(RealtimeServer(brain), twilio_phone_number=OURS, **settings) as w:
        waits, may_ask = Waits(w, SOON), asks_late(w)
        w.line.callees[ANN] = Callee(talks_ms=60_000)
        await place(w)
        call = await w.line.outbound()
        await call.wait_connected()
        await talked(w, call)
        await call.drop()
        await waits.slot_free.wait()
        w.line.callees[ANN] = Callee("no-answer")
        assert (await place(w)).status == 201
        may_ask.set()
        await back_with_history(w, call)
        record = await hung_up(w, call)
        assert (record["status"], record["ended_by"]) == ("completed", "caller")


async def test_a_machine_hears_the_whole_message_in_the_stream_after_the_lost_one() -> None:
    def leaves(turn: Turn) -> Reply:
        return MESSAGE if "answering machine" in turn.instructions else HELLO

    async with world(RealtimeServer(leaves), twilio_phone_number=OURS) as w:
        w.line.callees[ANN] = Callee(machine=True, greeting=noise(60, "machine"), greeting_ms=60)
        await place(w, voicemail="Call us back.")
        call = await w.line.outbound()
        await call.wait_for(lambda: len(call.recorded) > 800)
        await call.drop()
        await call.wait_ended()
        await w.settled()
        assert call.recorded.endswith(MESSAGE.audio or b"?") and len(call.streams) == 2
        record = await w.record(call.call_sid)
        assert (record["status"], record["ended_by"]) == ("completed", "voicemail")


async def test_a_leg_may_be_told_of_a_loss_twice() -> None:
    async with world(RealtimeServer(brain)) as w:
        async with raw_stream(w, (await request(w)).stream_url) as stream:
            await stream.start()
            await stream.receive()
            leg = w.switchboard.leg(CALL_SID)
            assert leg is not None
            leg.feed(StreamEnded("lost", lost=True))
            leg.feed(StreamEnded("stopped by Twilio"))
        await w.settled()
        record = await w.record(CALL_SID)
        assert record["status"] == "in-progress" and names(record).count("StreamEnded") == 1
        await request(w, "/call-status", {"CallSid": CALL_SID, "CallStatus": "completed"})
