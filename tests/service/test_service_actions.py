"""What the HTTP API does to live calls: hand over, say, hang up; and when it refuses to."""

from typing import Any

import pytest

from app.call.events import StreamEnded
from app.simulator.realtime import RealtimeServer, Reply, Turn
from app.simulator.twilio import Callee, Fault
from tests.service.api import api
from tests.service.transfer_world import (
    ANNOUNCEMENT,
    ANSWER,
    DESK,
    HELLO,
    SALES,
    Agent,
    callers,
    desk,
    outcomes,
    size,
    transfer_world,
)
from tests.service.world import AGENT, World, decisions, names, noise, world

WORDS = "Your taxi is here — really, now."
SAID = Reply(WORDS, audio=noise(120, "said"), speed=float("inf"))
ALSO = Reply("And it is yellow.", audio=noise(80, "also"), speed=float("inf"))
UNKNOWN = "CA" + "9" * 32
ONE = desk(name="desk", number=DESK)
TWO = desk(f'name = "desk"\nnumber = "{DESK}"', f'name = "sales"\nnumber = "{SALES}"')
EXPECTED = "no such destination; expected one of: desk, sales"
STAYS = Callee(presses="1")
ORDERS = [("hangup", None), ("say", {"text": WORDS}), ("transfer", {"destination": "desk"})]


class Talker:
    """Says what the test wants."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []

    def brain(self, turn: Turn) -> Reply:
        self.turns.append(turn)
        if "\n\nSay exactly this" not in turn.instructions:
            return HELLO if turn.kind == "direct" else ANSWER
        return SAID if turn.instructions.endswith(WORDS) else ALSO


async def order(w: World, call_sid: str, what: str, body: Any = None) -> Any:
    return await api(w, "POST", f"/calls/{call_sid}/{what}", body)


# --- say ------------------------------------------------------------------------------------------


async def test_words_are_said_exactly_and_when_the_caller_has_spoken() -> None:
    talker = Talker()
    async with world(RealtimeServer(talker.brain)) as w:
        call = await w.connected()
        await call.wait_quiet()
        session = await w.model.session()
        session.start_speech()
        told = await order(w, call.call_sid, "say", {"text": f"\x85  {WORDS}\n\ufeff"})
        assert (told.status, told.body) == (202, {"call_sid": call.call_sid})
        assert len(session.events_of("response.create")) == 1  # the greeting's
        session.stop_speech("Hello?")
        await call.wait_heard(size(HELLO, ANSWER, SAID))
        await call.wait_quiet()

        assert call.heard == b"".join(r.audio or b"" for r in (HELLO, ANSWER, SAID))
        assert talker.turns[-1].instructions.endswith(f": {WORDS}")
        call.hang_up()
        await call.wait_ended()
        await w.settled()
        said = (await w.record(call.call_sid))["transcript"][-1]
        assert (said["role"], said["text"], said["cut"]) == ("assistant", WORDS, False)


async def test_words_wait_their_turn_one_after_the_other() -> None:
    async with world(RealtimeServer(Talker().brain)) as w:
        call = await w.connected()
        for text in (WORDS, ALSO.text):
            assert (await order(w, call.call_sid, "say", {"text": text})).status == 202
        await call.wait_heard(size(HELLO, SAID, ALSO))
        await call.wait_quiet()
        assert call.heard == b"".join(r.audio or b"" for r in (HELLO, SAID, ALSO))


async def test_what_cannot_be_said_is_refused() -> None:
    async with world(RealtimeServer(Talker().brain)) as w:
        call = await w.connected()
        blank = ("", " \n\t", *"\x1c\x1f\x85\xa0\u180e\u200b\u2028\u3000\ufeff")
        for text in (*blank, "x" * 2001, 7, None, "\ud83d"):
            told = await order(w, call.call_sid, "say", {"text": text})
            assert told.status == 422 and told.detail.startswith("body"), told.body


# --- hang up --------------------------------------------------------------------------------------


async def test_a_live_call_is_hung_up_at_once() -> None:
    async with world(RealtimeServer(Talker().brain)) as w:
        call = await w.connected()
        await call.wait_quiet()
        told = await order(w, call.call_sid, "hangup")
        assert (told.status, told.body) == (202, {"call_sid": call.call_sid})
        await call.wait_ended()
        await w.settled()

        record = await w.record(call.call_sid)
        assert (record["status"], record["ended_by"]) == ("completed", "operator")
        assert [r.form["Status"] for r in w.line.rest_requests] == ["completed"]


async def test_a_call_is_hung_up_while_the_caller_talks_with_a_human() -> None:
    agent = Agent()
    async with transfer_world(agent, ONE) as w:
        w.line.callee = STAYS
        (caller,) = await callers(w, agent)
        await caller.transferred()
        await caller.call.wait_for(lambda: caller.call.dialed[0].bridged_ms is not None)
        assert (await order(w, caller.call.call_sid, "hangup")).status == 202
        record = await caller.ended()

        assert (record["status"], outcomes(record)) == ("completed", ["completed"])
        assert [r.form.get("Status") for r in caller.orders] == [None, "completed"]


async def test_a_hang_up_that_twilio_does_not_do_says_so() -> None:
    agent = Agent()
    async with transfer_world(agent, ONE) as w:
        w.line.callee = STAYS
        (caller,) = await callers(w, agent)
        await caller.transferred()
        w.line.rest_faults.append(Fault(401))
        told = await order(w, caller.call.call_sid, "hangup")
        assert told.status == 502 and "TWILIO_AUTH_TOKEN" in told.detail
        assert caller.call.is_live
        await caller.hangs_up()


# --- hand over ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "body", "number"),
    [
        (ONE, {}, DESK),
        (ONE, {"destination": "desk"}, DESK),
        (TWO, {"destination": "sales"}, SALES),
    ],
)
async def test_a_caller_hears_the_announcement_and_is_transferred(
    file: str, body: dict[str, str], number: str
) -> None:
    agent = Agent()
    async with transfer_world(agent, file) as w:
        w.line.callee = Callee(presses="1", talks_ms=30)
        (caller,) = await callers(w, agent)
        await caller.greeted()
        told = await order(w, caller.call.call_sid, "transfer", body)
        assert (told.status, told.body) == (202, {"call_sid": caller.call.call_sid})
        record = await caller.ended()

        assert caller.call.heard == (HELLO.audio or b"") + (ANNOUNCEMENT.audio or b"")
        assert caller.call.playback.heard_bytes(caller.orders[0].at_ms) == size(HELLO, ANNOUNCEMENT)
        assert [dialed.target for dialed in caller.call.dialed] == [number]
        (transfer,) = record["transfers"]
        assert transfer["outcome"] == "completed"
        assert transfer["destination"] == body.get("destination", "desk")


async def test_only_a_named_destination_is_dialled() -> None:
    agent = Agent()
    async with transfer_world(agent, TWO) as w:
        (caller,) = await callers(w, agent)
        await caller.greeted()
        for destination in ("kitchen", "Desk", "", DESK, "+14155550188", "sip:a@b.example"):
            told = await order(w, caller.call.call_sid, "transfer", {"destination": destination})
            assert (told.status, told.detail) == (409, EXPECTED)
        assert not w.line.rest_requests
        assert (await caller.hangs_up())["transfers"] == []


async def test_without_a_destination_no_caller_is_transferred() -> None:
    async with world(RealtimeServer(Talker().brain), agent=AGENT) as w:
        call = await w.connected()
        told = await order(w, call.call_sid, "transfer", {})
        assert told.status == 409 and "TRANSFER_NUMBER" in told.detail


# --- a stream that is lost before an order is carried out -----------------------------------------


async def test_words_of_a_lost_stream_are_said_on_the_next() -> None:
    async with world(RealtimeServer(Talker().brain), agent=ONE) as w:
        call = await w.connected()
        await call.wait_quiet()
        (await w.model.session()).start_speech()  # so the words wait
        assert (await order(w, call.call_sid, "say", {"text": WORDS})).status == 202
        await call.drop()
        await call.wait_connected(2)
        await (await w.model.session(1)).until(
            lambda s: WORDS in str(s.events_of("response.create"))
        )
        await call.wait_quiet()
        call.hang_up()
        await call.wait_ended()
        await w.settled()
        record = await w.record(call.call_sid)
        assert WORDS in [turn["text"] for turn in record["transcript"]]
        assert "ReportDecision" not in names(record, "command")


async def test_a_transfer_of_a_lost_stream_is_made_on_the_next() -> None:
    agent = Agent()
    async with transfer_world(agent, ONE) as w:
        w.line.callee = Callee(presses="1", talks_ms=30)
        (caller,) = await callers(w, agent)
        await caller.greeted()
        caller.session.start_speech()  # so the announcement waits
        told = await order(w, caller.call.call_sid, "transfer", {"destination": "desk"})
        assert told.status == 202
        await caller.call.drop()
        await caller.dialed()
        record = await caller.ended()
        assert outcomes(record) == ["completed"]
        assert names(record).count("StreamStarted") == 2


async def test_an_order_of_a_call_that_ends_with_its_lost_stream_is_reported() -> None:
    async with world(RealtimeServer(Talker().brain), agent=ONE) as w:
        call = await w.connected()
        await call.wait_quiet()
        session = await w.model.session()
        session.start_speech()
        assert (await order(w, call.call_sid, "say", {"text": WORDS})).status == 202
        leg = w.switchboard.leg(call.call_sid)
        assert leg is not None
        leg.feed(StreamEnded("lost", lost=True))
        call.hang_up()
        await call.wait_ended()
        await w.settled()
        while w.switchboard.is_live(call.call_sid):
            await w.status_of("/healthz")
        assert ("leave out what it was to say", "the call ended") in decisions(
            await w.record(call.call_sid)
        )


# --- calls that are not there, or not there now ---------------------------------------------------


@pytest.mark.parametrize(("what", "body"), ORDERS)
async def test_only_live_calls_are_ordered_about(what: str, body: Any) -> None:
    async with world(RealtimeServer(Talker().brain), agent=ONE) as w:
        told = await order(w, UNKNOWN, what, body)
        assert told.status == 404 and "GET /calls" in told.detail
        call = await w.connected()
        call.hang_up()
        await call.wait_ended()
        await w.settled()
        while not w.switchboard.has_ended(call.call_sid):  # Twilio's status callback is on its way
            await w.status_of("/healthz")
        await w.store.flush()
        told = await order(w, call.call_sid, what, body)
        assert (told.status, told.detail) == (409, "the call has ended")
        assert not w.line.rest_requests


@pytest.mark.parametrize(("what", "body"), ORDERS[1:])
async def test_who_talks_with_a_human_hears_nothing_of_the_agent(what: str, body: Any) -> None:
    agent = Agent()
    async with transfer_world(agent, ONE) as w:
        w.line.callee = STAYS
        (caller,) = await callers(w, agent)
        await caller.transferred()
        for _ in ("it rings", "they talk"):
            told = await order(w, caller.call.call_sid, what, body)
            assert told.status == 409 and told.detail
            await caller.call.wait_for(lambda: caller.call.dialed[0].bridged_ms is not None)
        assert len(caller.orders) == len(caller.call.dialed) == 1
        await caller.hangs_up()


async def test_without_a_twilio_account_a_call_elsewhere_cannot_be_hung_up() -> None:
    line = {"auth_token": "", "api_token": "the operator's token"}
    async with world(
        RealtimeServer(Talker().brain), line=line, twilio_account_sid=None, twilio_auth_token=None
    ) as w:
        w.store.save_call("CA1", status="in-progress")
        told = await order(w, "CA1", "hangup")
        assert told.status == 409 and "TWILIO_ACCOUNT_SID" in told.detail
