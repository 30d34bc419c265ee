"""A human is briefed while the caller hears music: joined when they press 1, or else brought on."""

import asyncio

import pytest

from app.simulator.twilio import Callee, Conference, Fault, OutgoingCall
from tests.service.transfer_world import (
    BACK,
    BACK_WITHIN_MS,
    DESK,
    NIGHT,
    SALES,
    SIP,
    SUMMARY,
    Agent,
    Caller,
    all_hang_up,
    callers,
    desk,
    outcomes,
    request_of,
    told,
    transfer_reply,
    transfer_world,
)
from tests.service.world import AGENT, World, decisions

WARM = desk(name="desk", number=DESK, warm=True)
MUSIC = desk(
    f'name = "desk"\nnumber = "{DESK}"\nwarm = true',
    agent=f'{AGENT}\n[transfer]\nhold_music = "https://music.example.com/soft.mp3"\n',
)
TAKES = Callee(answers_after_ms=60, presses="1", talks_ms=60)
NEVER = Callee(goes="no-answer")
PATIENT = {"ring_scale": 1, "gather_scale": 1}

NOT_TAKEN = {
    "busy": (Callee(goes="busy", answers_after_ms=30), "busy"),
    "no answer": (NEVER, "no-answer"),
    "failed": (Callee(goes="failed"), "failed"),
    "refuses": (Callee(presses="2"), "not-accepted"),
    "says nothing": (Callee(), "not-accepted"),
    "voicemail": (Callee(machine=True), "not-accepted"),
    "hangs up while briefed": (Callee(hangs_up_after_ms=20), "not-accepted"),
}


async def room(w: World, caller: Caller) -> Conference:
    """The room that the caller waits in."""
    await caller.dialed()
    (found,) = [each for each in w.line.conferences if each.name.endswith(caller.call.call_sid)]
    return found


def brought_back(caller: Caller) -> float:
    """How long it took from Twilio's last question until the agent was heard again, in ms."""
    return caller.resume_ms("/fetched")


async def test_a_caller_hears_music_while_the_human_is_briefed_and_then_the_human() -> None:
    agent = Agent()
    async with transfer_world(agent, WARM) as w:
        w.line.callee = TAKES
        (caller,) = await callers(w, agent, to="+14155550100")
        await caller.transferred()
        waiting = await room(w, caller)
        human = await w.line.outbound()
        record = await caller.ended()
        assert [said.verb for said in caller.call.hold] == ["Play"]  # Twilio's own
        assert [said.text for said in human.spoken_by_twilio][1] == SUMMARY
        assert (human.to, human.from_) == (DESK, "+14155550100") and human.pressed == ["1"]
        assert len(waiting.together(caller.call.call_sid, human.call_sid)) == 1
        began_ms = waiting.together(caller.call.call_sid, human.call_sid)[0][0]
        assert all(said.at_ms < began_ms for said in human.spoken_by_twilio)
        assert not [said for said in caller.call.spoken_by_twilio if said.verb == "Beep"]
        assert outcomes(record) == ["completed"] and record["transfers"][0]["warm"]
        assert (record["status"], record["ended_by"]) == ("completed", "transfer")
        assert not human.is_live and w.switchboard.live_calls == 0
        assert len(caller.orders) == 1 and not w.model.open_sessions


async def test_the_hold_music_is_the_one_of_the_agent_file() -> None:
    agent = Agent()
    async with transfer_world(agent, MUSIC, line=PATIENT) as w:
        w.line.callee = NEVER
        (caller,) = await callers(w, agent)
        await caller.transferred()
        (dialed,) = caller.call.dialed
        assert dialed.attributes["waitUrl"] == "https://music.example.com/soft.mp3"
        await caller.hangs_up()


@pytest.mark.parametrize("replaced", [False, True], ids=["", "asks when replaced"])
async def test_callers_are_back_when_the_human_is_not_reached(replaced: bool) -> None:
    """Two callers for each way, all at once, and every one with a room and a human of their own."""
    ways = [*NOT_TAKEN.values()] * 2
    numbers = [f"+141555503{n:02}" for n in range(len(ways))]
    file = desk(
        *(f'name = "d{n}"\nnumber = "{each}"\nwarm = true' for n, each in enumerate(numbers))
    )
    agent = Agent({request_of(n): transfer_reply(destination=f"d{n}") for n in range(len(ways))})
    async with transfer_world(agent, file, line={"asks_when_replaced": replaced}) as w:
        w.line.callees = {n: callee for n, (callee, _) in zip(numbers, ways, strict=True)}
        everybody = await callers(w, agent, len(ways))

        async def there_and_back(caller: Caller) -> None:
            await caller.transferred()
            await caller.resumed()

        await asyncio.gather(*map(there_and_back, everybody))
        for n, (caller, (_, outcome)) in enumerate(zip(everybody, ways, strict=True)):
            roles = told(caller.present_session)
            assert ("user", caller.request) in roles and f"d{n}: {outcome} (" in str(roles)
            assert brought_back(caller) <= BACK_WITHIN_MS
            assert caller.call.heard.endswith(BACK.audio or b"?")
            assert len(caller.call.streams) == 2 and not caller.call.errors
        records = await all_hang_up(everybody)
        assert [outcomes(each) for each in records] == [[outcome] for _, outcome in ways]
        assert {each["ended_by"] for each in records} == {"caller"}
        assert len(w.model.sessions) == 2 * len(ways)


async def test_a_human_that_twilio_refuses_to_call_delays_no_caller() -> None:
    agent = Agent()
    async with transfer_world(agent, WARM) as w:
        w.line.rest_faults.append(Fault(400, path="Calls.json"))
        (caller,) = await callers(w, agent)
        await caller.transferred()
        session = await caller.resumed()
        assert "desk: failed (" in str(told(session))
        record = await caller.hangs_up()
        ((made, reason),) = decisions(record)
        assert made == "human could not be rung" and reason.startswith("desk: Twilio refused")
        assert outcomes(record) == ["failed"]


async def test_a_human_who_may_have_been_called_is_waited_for() -> None:
    """The order to call them took effect and its answer was lost."""
    agent = Agent()
    async with transfer_world(agent, WARM, line=PATIENT) as w:
        w.line.rest_faults.append(Fault(lost=True, path="Calls.json"))
        w.line.callee = Callee(answers_after_ms=400, presses="1", talks_ms=20)
        (caller,) = await callers(w, agent)
        await caller.transferred()
        assert outcomes(await caller.ended()) == ["completed"]
        assert len([r for r in w.line.rest_requests if r.path.endswith("/Calls.json")]) == 1


async def test_a_human_who_was_perhaps_not_called_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "app.bridge.transfers.warm.BRIEFING_S", -19.8
    )  # of the twenty that it rings
    agent = Agent()
    async with transfer_world(agent, WARM, line=PATIENT) as w:
        w.line.rest_faults.append(Fault(lost=True, path="Calls.json"))
        w.line.callee = NEVER
        (caller,) = await callers(w, agent)
        await caller.transferred()
        await caller.resumed()
        assert outcomes(await caller.hangs_up()) == ["failed"]


@pytest.mark.parametrize("times", [1, 3, 7])
async def test_a_caller_is_fetched_from_the_music_as_often_as_it_takes(
    times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.bridge.transfers.warm.FETCH_AGAIN_S", (0.01,))
    agent = Agent()
    async with transfer_world(agent, WARM) as w:
        w.line.callee = Callee(presses="2")
        (caller,) = await callers(w, agent)
        await caller.transferred()
        w.line.rest_faults.append(Fault(503, times=times, path=caller.call.call_sid))
        session = await caller.resumed()
        assert "desk: not-accepted (" in str(told(session))
        assert brought_back(caller) <= BACK_WITHIN_MS
        assert outcomes(await caller.hangs_up()) == ["not-accepted"]


@pytest.mark.parametrize("times", [1, 3])
async def test_a_caller_whose_fetching_was_done_unseen_is_fetched_once(times: int) -> None:
    agent = Agent()
    async with transfer_world(agent, WARM) as w:
        w.line.callee = Callee(presses="2")
        (caller,) = await callers(w, agent)
        await caller.transferred()
        w.line.rest_faults.append(Fault(lost=True, times=times, path=caller.call.call_sid))
        await caller.resumed()
        await caller.call.wait_quiet(500)  # an order repeated now would take them away again
        assert len(caller.asked("/fetched")) == 1 and len(caller.call.streams) == 2
        assert outcomes(await caller.hangs_up()) == ["not-accepted"]


@pytest.mark.parametrize("times", [1, 3])
async def test_a_human_is_rung_though_the_order_was_taken_unseen(times: int) -> None:
    agent = Agent()
    async with transfer_world(agent, WARM) as w:
        w.line.rest_faults.append(Fault(lost=True, times=times))
        w.line.callee = TAKES
        (caller,) = await callers(w, agent)
        await caller.transferred()
        assert outcomes(await caller.ended()) == ["completed"]
        assert len([r for r in w.line.rest_requests if r.path.endswith("/Calls.json")]) == 1


# --- hanging up -----------------------------------------------------------------------------------


async def _rings(human: OutgoingCall) -> None:
    await human.wait_for(lambda: human.status == "ringing")


async def _is_briefed(human: OutgoingCall) -> None:
    await human.wait_for(lambda: human.prompts > 0)


@pytest.mark.parametrize("status", ["/call-status", ""], ids=["status", "no status"])
@pytest.mark.parametrize("asks", [True, False], ids=["asks", "asks not"])
@pytest.mark.parametrize(
    ("callee", "until"), [(NEVER, _rings), (Callee(), _is_briefed)], ids=["rings", "briefed"]
)
async def test_a_human_is_let_go_when_the_caller_did_not_wait(
    callee: Callee, until: object, asks: bool, status: str
) -> None:
    if not (asks or status):
        pytest.skip("Twilio would tell of it in no way")
    agent = Agent()
    line = {**PATIENT, "asks_after_hangup": asks, "status_callback_url": status}
    async with transfer_world(agent, WARM, line=line) as w:
        w.line.callee = callee
        (caller,) = await callers(w, agent)
        await caller.transferred()
        human = await w.line.outbound()
        assert callable(until)
        await until(human)
        record = await caller.hangs_up()
        await human.wait_ended()
        assert human.status in ("canceled", "completed") and human.pressed == []
        assert outcomes(record) == ["canceled"]
        assert (record["status"], record["ended_by"]) == ("completed", "transfer")
        assert w.switchboard.live_calls == 0 and len(w.model.sessions) == 1


async def test_a_human_whose_call_was_only_being_placed_is_let_go() -> None:
    agent = Agent()
    async with transfer_world(agent, WARM, line=PATIENT) as w:
        w.line.rest_faults.append(Fault(None, delay_s=0.2, path="Calls.json"))
        w.line.callee = NEVER
        (caller,) = await callers(w, agent)
        await caller.transferred()
        while not [r for r in w.line.rest_requests if r.path.endswith("/Calls.json")]:
            await w.status_of("/healthz")
        record = await caller.hangs_up()
        human = await w.line.outbound()
        await human.wait_ended()
        assert human.answered_ms is None and outcomes(record) == ["canceled"]


async def test_a_caller_who_hangs_up_amid_the_talk_ends_it() -> None:
    agent = Agent()
    async with transfer_world(agent, WARM) as w:
        w.line.callee = Callee(presses="1")
        (caller,) = await callers(w, agent)
        await caller.transferred()
        await caller.call.wait_for(lambda: caller.call.talking_ms is not None)
        human = await w.line.outbound()
        record = await caller.hangs_up()
        await human.wait_ended()
        assert outcomes(record) == ["completed"] and record["status"] == "completed"


# --- more than one --------------------------------------------------------------------------------


@pytest.mark.parametrize("last", ["warm", "cold", "sip"])
async def test_the_next_one_is_rung_briefed_or_not(last: str) -> None:
    file = desk(
        f'name = "desk"\nnumber = "{DESK}"\nwarm = true\nthen = ["sales", "night"]',
        f'name = "sales"\nnumber = "{SALES}"\nwarm = true',
        'name = "night"\n'
        + {
            "warm": f'number = "{NIGHT}"\nwarm = true',
            "cold": f'number = "{NIGHT}"',
            "sip": f'sip = "{SIP}"\nwarm = true',
        }[last],
    )
    agent = Agent(transfer_reply(destination="desk"))
    async with transfer_world(agent, file) as w:
        w.line.callees = {DESK: Callee(goes="busy"), SALES: Callee(presses="9")}
        w.line.callee = TAKES
        (caller,) = await callers(w, agent, to="+14155550100")
        await caller.transferred()
        record = await caller.ended()
        assert outcomes(record) == ["busy", "not-accepted", "completed"]
        assert [each["warm"] for each in record["transfers"]] == [True, True, last != "cold"]
        kinds = [each.kind for each in caller.call.dialed]
        assert kinds == (["Conference", "Number"] if last == "cold" else ["Conference"])
        assert len(caller.orders) == (2 if last == "cold" else 1)
        assert record["status"] == "completed" and len(caller.call.streams) == 1


async def test_a_cold_one_before_a_warm_one_leads_into_the_waiting_room() -> None:
    file = desk(
        f'name = "desk"\nnumber = "{DESK}"\nthen = ["sales"]',
        f'name = "sales"\nnumber = "{SALES}"\nwarm = true',
    )
    agent = Agent(transfer_reply(destination="desk"))
    async with transfer_world(agent, file) as w:
        w.line.callees = {DESK: Callee(goes="busy"), SALES: TAKES}
        (caller,) = await callers(w, agent)
        await caller.transferred()
        record = await caller.ended()
        assert outcomes(record) == ["busy", "completed"]
        assert [each.kind for each in caller.call.dialed] == ["Number", "Conference"]


async def test_a_caller_is_back_when_none_of_them_took_the_call() -> None:
    file = desk(
        f'name = "desk"\nnumber = "{DESK}"\nwarm = true\nthen = ["sales"]',
        f'name = "sales"\nnumber = "{SALES}"\nwarm = true',
    )
    agent = Agent(transfer_reply(destination="desk"))
    async with transfer_world(agent, file) as w:
        w.line.callee = Callee(goes="no-answer")
        (caller,) = await callers(w, agent)
        await caller.transferred()
        session = await caller.resumed()
        assert "desk: no-answer" in str(told(session)) and "sales: no-answer" in str(told(session))
        caller.says(caller.request)
        await caller.dialed(2)
        await caller.resumed()
        record = await caller.hangs_up()
        assert outcomes(record) == ["no-answer"] * 4
