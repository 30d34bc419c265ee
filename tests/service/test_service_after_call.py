"""The report to the owner after a call has ended: once, for every kind of call."""

from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier

from app.config.settings import EMBEDDED
from app.simulator.realtime import RealtimeServer, Reply, Script, Turn
from app.simulator.twilio import Callee
from tests.records.after_call_scene import Owner, VirtualClock, an_owner, becomes, put_off_by
from tests.service.api import ANN, OURS, place
from tests.service.transfer_world import (
    ANNOUNCEMENT,
    BACK,
    DESK,
    HELLO,
    REASON,
    Agent,
    callers,
    desk,
    outcomes,
    transfer_world,
)
from tests.service.world import AGENT, World, world

SECRET = "whsec_c2lnbmVkIGJ5IHRoZSBicmlkZ2U="
SUMS_UP = AGENT.replace("[turns]", "[after_call]\nsummary = true\n[turns]")
ONE = desk(name="desk", number=DESK)


def told_to(owner: Owner) -> dict[str, Any]:
    return {"call_webhook_url": owner.url, "call_webhook_secret": SECRET}


async def only_report(owner: Owner, w: World, call_sid: str) -> dict[str, Any]:
    """The one report of a call: signed, and as the API tells it."""
    report = await owner.report()
    record = await w.record(call_sid)
    del record["events"]
    assert report["data"] == record
    ((headers, body),) = owner.requests
    assert headers["webhook-id"] == f"call_{call_sid}"
    assert Verifier(SECRET).verify(body, headers) == report
    return record


@pytest.mark.parametrize(
    ("callee", "outcome"),
    [
        (Callee(answers_after_ms=20, presses="1", talks_ms=30), "completed"),
        (Callee("no-answer"), "no-answer"),
    ],
)
async def test_a_transferred_call_is_reported_once_when_it_has_ended(
    callee: Callee, outcome: str
) -> None:
    agent = Agent()
    async with an_owner() as owner:
        async with transfer_world(agent, ONE, **told_to(owner)) as w:
            w.line.callee = callee
            (caller,) = await callers(w, agent)
            await caller.transferred()
            if outcome != "completed":
                await caller.resumed()
                caller.call.hang_up()
            await caller.call.wait_ended()
            record = await only_report(owner, w, caller.call.call_sid)

    assert len(owner.requests) == 1
    assert (record["status"], outcomes(record)) == ("completed", [outcome])
    assert record["transfers"][0]["reason"] == REASON
    said = [turn["text"] for turn in record["transcript"] if turn["role"] == "assistant"]
    back = [] if outcome == "completed" else [BACK.text]
    assert said == [HELLO.text, ANNOUNCEMENT.text, *back]


@pytest.mark.parametrize("goes", ["busy", "no-answer", "failed"])
async def test_an_outbound_call_that_is_not_answered_is_reported_too(goes: str) -> None:
    async with an_owner() as owner:
        line = {"ring_scale": 0.002, "callbacks": "twice"}
        async with world(Script(), line=line, twilio_phone_number=OURS, **told_to(owner)) as w:
            w.line.callees[ANN] = Callee(goes)
            call_sid = (await place(w)).body["call_sid"]
            record = await only_report(owner, w, call_sid)

    assert len(owner.requests) == 1
    assert (record["status"], record["direction"]) == (goes, "outbound-api")
    assert (record["to"], record["transcript"]) == (ANN, [])


async def one_short_call(w: World) -> str:
    call = await w.connected()
    await call.wait_quiet(1)
    call.hang_up()
    await call.wait_ended()
    await w.settled()
    return call.call_sid


async def test_a_report_is_retried_while_the_owners_server_is_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = VirtualClock()
    monkeypatch.setattr("app.records.after_call.WallClock", lambda: clock)
    async with an_owner() as owner:
        owner.statuses = [503, 500, 204]
        async with world(Script("Hello."), **told_to(owner)) as w:
            call_sid = await one_short_call(w)
            for _ in ("503", "500"):
                clock.pass_(await put_off_by(w.store, owner, clock))
            await owner.report()
            await becomes(w.store, clock, call_sid, "delivered")

    assert owner.ids == [f"call_{call_sid}"] * 3
    assert len({body for _, body in owner.requests}) == 1


async def test_a_report_that_was_owed_when_the_service_ended_is_made_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = VirtualClock()
    monkeypatch.setattr("app.records.after_call.WallClock", lambda: clock)
    database_url = f"sqlite:///{tmp_path / 'calls.db'}"
    async with an_owner() as owner:
        owner.statuses = [503, 204]
        async with world(Script("Hello."), database_url=database_url, **told_to(owner)) as w:
            call_sid = await one_short_call(w)
            wait_s = await put_off_by(w.store, owner, clock)
        clock.pass_(wait_s)
        async with world(Script(), database_url=database_url, **told_to(owner)) as w:
            report = await owner.report()
            await becomes(w.store, clock, call_sid, "delivered")
            record = await w.record(call_sid)

    assert report["data"]["call_sid"] == call_sid and report["data"]["status"] == "completed"
    assert report["data"]["transcript"] == record["transcript"] != []
    assert owner.ids == [f"call_{call_sid}"] * 2


async def test_an_owner_who_was_told_is_not_told_again_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = VirtualClock()
    monkeypatch.setattr("app.records.after_call.WallClock", lambda: clock)
    database_url = f"sqlite:///{tmp_path / 'calls.db'}"
    async with an_owner() as owner:
        async with world(Script("Hello."), database_url=database_url, **told_to(owner)) as w:
            call_sid = await one_short_call(w)
            await owner.report()
            await becomes(w.store, clock, call_sid, "delivered")
        clock.pass_(3600)
        async with world(Script(), database_url=database_url, **told_to(owner)) as w:
            await clock.rest()
            assert await w.store.report_queue.state(call_sid) == "delivered"

    assert owner.ids == [f"call_{call_sid}"]


async def test_a_summary_knows_of_the_human_and_is_made_once_the_call_is_over() -> None:
    class SumsUp(Agent):
        def brain(self, turn: Turn) -> Reply:
            if "You write for the owner" in turn.instructions:
                given.append(turn.items[0].text or "")
                return Reply("Ann wants chairs, and no human was there.")
            return super().brain(turn)

    given: list[str] = []
    agent = SumsUp()
    async with an_owner() as owner:
        file = desk(name="desk", number=DESK, agent=SUMS_UP)
        async with transfer_world(agent, file, **told_to(owner)) as w:
            w.line.callee = Callee("busy")
            (caller,) = await callers(w, agent)
            await caller.transferred()
            await caller.resumed()
            assert not given
            caller.call.hang_up()
            await caller.call.wait_ended()
            record = await only_report(owner, w, caller.call.call_sid)
            written = w.model.sessions[-1]
            await written.closed.wait()

    assert record["summary"] == "Ann wants chairs, and no human was there."
    (told,) = given
    assert told.endswith("Handed to a human: destination desk, outcome busy")
    assert written.config["output_modalities"] == ["text"] and not written.heard


async def test_the_embedded_model_has_no_words_to_sum_a_call_up_with() -> None:
    async with an_owner() as owner:
        async with world(
            RealtimeServer(Agent().brain),
            agent=SUMS_UP,
            openai_realtime_model=EMBEDDED,
            **told_to(owner),
        ) as w:
            call = await w.connected()
            await call.wait_quiet(1)
            session = await w.model.session()
            session.start_speech()
            session.stop_speech("Two pizzas, please.")
            await call.wait_quiet(1)
            call.hang_up()
            await call.wait_ended()
            record = await only_report(owner, w, call.call_sid)
            assert len(w.model.handshakes) == 1

    assert record["summary"] is None
