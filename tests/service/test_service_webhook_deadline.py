"""The database is locked or hangs, or a handler fails: Twilio is answered in time all the same."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from app.records.store import StoreUnavailable
from app.simulator.realtime import RealtimeServer, Reply, Turn
from app.simulator.twilio import Call, Callee
from tests.service.api import ANN, OURS, place
from tests.service.broken_streams import asks_late
from tests.service.raw_twilio import CALL_SID, call_form, request
from tests.service.transfer_world import DESK, Agent, callers, desk, outcomes, transfer_world
from tests.service.twiml_check import check_twiml
from tests.service.world import AGENT, World, decisions, noise, restarted, world

INF = float("inf")
HELLO = Reply("Hello.", audio=noise(60, "hello"), speed=INF)
BACK = Reply("Sorry, the line broke.", audio=noise(60, "back"), speed=INF)
ONE_MOMENT, SORRY = "One moment, please.", "We are sorry"
QUICK = {"pause_scale": 0.01, "gather_scale": 0.02, "ring_scale": 0.02}
DIALLED = {"CallStatus": "in-progress", "DialCallStatus": "busy", "DialBridged": "false"}
TAKEN = {"CallStatus": "in-progress", "DialCallStatus": "completed", "DialBridged": "true"}


def brain(turn: Turn) -> Reply:
    return HELLO if "first time" in turn.instructions else BACK


@contextmanager
def locked(w: World) -> Iterator[None]:
    """Another program writes, and takes its time."""
    path = w.settings.database_url.get_secret_value().removeprefix("sqlite:///")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@contextmanager
def unreadable(w: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The database refuses whatever it is asked."""

    async def refuses(call_sid: str) -> None:
        raise StoreUnavailable("the database does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(w.store, "get_call", refuses)
        yield


@contextmanager
def hanging(w: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The database accepts queries, answers none, and ignores their cancellation."""
    over = asyncio.Event()

    async def hangs(call_sid: str) -> None:
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue

    with monkeypatch.context() as patched:
        patched.setattr(w.store, "get_call", hangs)
        patched.setattr("app.web.twilio.webhook_deadline.ANSWER_S", 0.2)
        try:
            yield
        finally:
            over.set()


@asynccontextmanager
async def lost_and_restarted(w: World) -> AsyncIterator[tuple[Call, asyncio.Event]]:
    """A call whose line was lost, and a process that does not know it. Twilio asks once the event
    is set."""
    may_ask = asks_late(w)
    call = await w.connected()
    await call.wait_quiet(30)
    await call.drop()
    await w.settled()
    async with restarted(w):
        yield call, may_ask
        call.hang_up()
        await call.wait_ended()
        await w.settled()


def told(w: World, number: int) -> str:
    events = w.model.sessions[number].events_of("conversation.item.create")
    return str([event["item"] for event in events])


# --- a stream that ended --------------------------------------------------------------------------


async def test_a_locked_database_does_not_keep_a_caller_from_the_agent_that_knows_them() -> None:
    async with world(RealtimeServer(brain)) as w, lost_and_restarted(w) as (call, may_ask):
        with locked(w):
            w.store.save_call("CA" + "1" * 32, status="ringing")  # waits, and so would a flush
            may_ask.set()
            await call.wait_connected(2)
            await call.wait_heard(2 * 480)
            assert HELLO.text in told(w, 1) and not call.said


async def test_a_database_that_cannot_be_read_leaves_the_caller_with_a_fresh_agent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world(RealtimeServer(brain)) as w, lost_and_restarted(w) as (call, may_ask):
        with unreadable(w, monkeypatch):
            may_ask.set()
            await call.wait_connected(2)
            await call.wait_heard(2 * 480)
            assert "cannot be read" in told(w, 1) and not call.said
        call.hang_up()
        await call.wait_ended()
        await w.settled()
        record = await w.record(call.call_sid)
        assert [turn["text"] for turn in record["transcript"]] == [HELLO.text, BACK.text]
        assert decisions(record)[-1] == ("call taken over", "its record cannot be read")
        assert [each["name"] for each in record["events"]].count("LegOpened") == 2


async def test_a_database_that_hangs_leaves_the_caller_with_a_fresh_agent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world(RealtimeServer(brain)) as w, lost_and_restarted(w) as (call, may_ask):
        with hanging(w, monkeypatch):
            may_ask.set()
            await call.wait_connected(2)
            await call.wait_heard(2 * 480)
        (logged,) = w.log.of("webhook answered with its fallback")
        assert (logged["call_sid"], logged["path"]) == (call.call_sid, "/stream-ended")


async def test_a_call_that_is_new_is_answered_while_the_database_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world(RealtimeServer(brain)) as w:
        with hanging(w, monkeypatch), monkeypatch.context() as patched:
            patched.setattr("app.web.twilio.webhook_deadline.ANSWER_S", 2.5)
            call = await w.connected()
            await call.wait_quiet()
            assert call.heard == HELLO.audio and not call.said


async def test_a_callee_is_spoken_to_though_nothing_is_known_of_their_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world(RealtimeServer(brain), twilio_phone_number=OURS) as w:
        with hanging(w, monkeypatch), monkeypatch.context() as patched:
            patched.setattr("app.web.twilio.webhook_deadline.ANSWER_S", 2.5)
            form = call_form(CallStatus="in-progress", Direction="outbound-api", To=ANN)
            answer = await request(w, "/outgoing-call/of-another-process", form)
            assert check_twiml(answer.body) == ["Connect", "Hangup"]
        await request(w, "/call-status", {"CallSid": CALL_SID, "CallStatus": "completed"})
        await w.settled()


# --- a transfer -----------------------------------------------------------------------------------

ATTEMPT = f"/transfers/{CALL_SID}/0"


async def test_a_transfer_that_memory_knows_goes_on_while_the_database_is_locked() -> None:
    agent = Agent()
    async with transfer_world(agent, desk(name="desk", number=DESK)) as w:
        w.line.callee = Callee(goes="busy", answers_after_ms=20)
        (caller,) = await callers(w, agent)
        with locked(w):
            await caller.transferred()
            await caller.resumed()
        assert outcomes(await caller.hangs_up()) == ["busy"]


async def test_a_human_hears_a_whisper_without_a_summary_and_takes_the_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world(RealtimeServer(brain)) as w:
        with hanging(w, monkeypatch):
            child = call_form("CA" + "8" * 32, Direction="outbound-dial", CallStatus="in-progress")
            whisper = await request(w, f"{ATTEMPT}/whisper", child)
            assert check_twiml(whisper.body) == ["Gather", "Gather", "Hangup"]
            assert "press 1" in whisper.body and "language" not in whisper.body
            no = await request(w, f"{ATTEMPT}/pressed", {**child, "Digits": "2"})
            cold = await request(w, f"{ATTEMPT}/pressed", {**child, "Digits": "1"})
            theirs = {**child, "Direction": "outbound-api", "Digits": "1"}
            warm = await request(w, f"{ATTEMPT}/pressed", theirs)
        assert check_twiml(no.body) == ["Hangup"] and check_twiml(cold.body) == []
        assert check_twiml(warm.body) == ["Dial"] and f"transfer-{CALL_SID}" in warm.body


@pytest.mark.parametrize("question", ["ended", "left", "fetched"])
@pytest.mark.parametrize("away", ["hangs", "cannot be read"])
async def test_a_caller_of_whose_transfer_nothing_is_known_is_with_an_agent_again(
    question: str, away: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(RealtimeServer(brain)) as w:
        with {"hangs": hanging, "cannot be read": unreadable}[away](w, monkeypatch):
            answer = await request(w, f"{ATTEMPT}/{question}", call_form(**DIALLED))
            assert check_twiml(answer.body) == ["Connect", "Hangup"]
            other = call_form("CA" + "8" * 32, **TAKEN)
            taken = await request(w, f"/transfers/{other['CallSid']}/0/{question}", other)
            assert check_twiml(taken.body) == ["Hangup"]
        assert "Nobody took the call: busy" in told(w, 0)
        await request(w, "/call-status", {"CallSid": CALL_SID, "CallStatus": "completed"})
        await w.settled()


async def test_what_twilio_only_tells_is_always_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(RealtimeServer(brain), fails=True) as w:
        monkeypatch.setattr(w.switchboard, "status_changed", _fails)
        for path in ("/call-status", f"{ATTEMPT}/status"):
            answer = await request(w, path, call_form(CallStatus="completed"))
            assert answer.status == 204


# --- a bug ----------------------------------------------------------------------------------------


class Fault:
    """Takes a method's place, and fails so many times."""

    def __init__(self, method: Any, times: int) -> None:
        self._method = method
        self._times = times

    async def __call__(self, *args: Any, **more: Any) -> Any:
        self._times -= 1
        if self._times >= 0:
            raise RuntimeError("a bug")
        return await self._method(*args, **more)


def _fails(*_: object) -> None:
    raise RuntimeError("a bug")


async def test_a_caller_is_asked_to_wait_when_the_webhook_fails_and_is_answered_then() -> None:
    async with world(RealtimeServer(brain), line=QUICK, fails=True) as w:
        w.reconnects.answer = Fault(w.reconnects.answer, 2)  # type: ignore[method-assign]
        call = await w.connected()
        await call.wait_quiet()
        assert call.said == [ONE_MOMENT] * 2 and call.heard == HELLO.audio
        assert [check_twiml(each) for each in call.twiml_history] == [
            ["Say", "Pause", "Redirect"],
            ["Say", "Pause", "Redirect"],
            ["Connect", "Hangup"],
        ]
        failed = w.log.of("webhook failed")
        assert [each["call_sid"] for each in failed] == [call.call_sid] * 2


async def test_a_webhook_that_always_fails_ends_with_an_apology() -> None:
    async with world(RealtimeServer(brain), line=QUICK, fails=True) as w:
        w.reconnects.answer = Fault(w.reconnects.answer, 99)  # type: ignore[method-assign]
        call = await w.line.call()
        await call.wait_ended()
        assert call.said[:2] == [ONE_MOMENT] * 2 and call.said[2].startswith(SORRY)
        assert len(w.log.of("webhook failed")) == 3


@pytest.mark.parametrize("human", [True, False], ids=["human", "no human"])
async def test_a_question_that_cannot_be_answered_leads_to_a_human_or_an_apology(
    human: bool,
) -> None:
    file = desk(name="desk", number=DESK) if human else AGENT
    async with world(RealtimeServer(brain), agent=file, line=QUICK, fails=True) as w:
        w.line.callee = Callee(answers_after_ms=10, presses="1", talks_ms=10)
        w.reconnects.resume = Fault(w.reconnects.resume, 99)  # type: ignore[method-assign]
        call = await w.connected()
        await call.wait_quiet()
        await call.drop()
        await call.wait_ended()
        await w.settled()
        assert call.said[:2] == [ONE_MOMENT] * 2 and call.said[2].startswith(SORRY)
        assert len(call.dialed) == human
        record = await w.record(call.call_sid)
        assert (record["status"], record["ended_by"]) == ("completed", "error")
        assert len(w.log.of("webhook failed")) == 3


async def test_a_callee_is_asked_to_wait_when_the_webhook_fails() -> None:
    line = {**QUICK, "ring_scale": 1}
    async with world(RealtimeServer(brain), line=line, fails=True, twilio_phone_number=OURS) as w:
        w.reconnects.answer = Fault(w.reconnects.answer, 1)  # type: ignore[method-assign]
        w.line.callees[ANN] = Callee(talks_ms=60_000)
        await place(w)
        call = await w.line.outbound()
        await call.wait_connected()
        await call.wait_quiet()
        assert call.said == [ONE_MOMENT] and call.heard == HELLO.audio


async def test_a_failed_question_about_a_transfer_is_asked_again() -> None:
    agent = Agent()
    async with transfer_world(agent, desk(name="desk", number=DESK), fails=True) as w:
        transfers: Any = w.state.transfers
        w.line.callee = Callee(goes="busy", answers_after_ms=20)
        (caller,) = await callers(w, agent)
        transfers._after = Fault(transfers._after, 1)
        await caller.transferred()
        await caller.resumed()
        assert caller.call.said[-1] == ONE_MOMENT
        await caller.hangs_up()


async def test_what_twilio_did_not_sign_is_refused_before_anything_is_looked_at() -> None:
    async with world(RealtimeServer(brain)) as w:
        none = f"/transfers/{CALL_SID}/none/ended"
        for path in ("/incoming-call", "/stream-ended", "/stream-ended/keys", none):
            assert (await request(w, path, call_form(), token="wrong")).status == 403
        assert (await request(w, none)).status == 404
        assert not w.model.handshakes and w.switchboard.live_calls == 0
