"""No human accepts the call: it resumes with the agent, which knows what was said."""

import asyncio
import random
from dataclasses import dataclass

import pytest

from app.simulator.realtime import Reply
from app.simulator.twilio import Callee, Fault
from tests.service.transfer_world import (
    ANNOUNCEMENT,
    ANSWER,
    BACK,
    BACK_WITHIN_MS,
    DESK,
    HELLO,
    NIGHT,
    SALES,
    Agent,
    Caller,
    all_hang_up,
    callers,
    desk,
    outcomes,
    request_of,
    size,
    told,
    transfer_reply,
    transfer_world,
)
from tests.service.world import noise, restarted

ONE = desk(name="desk", number=DESK)
BUSY = Callee(goes="busy", answers_after_ms=20)
TAKES = Callee(answers_after_ms=20, presses="1", talks_ms=20)
ALL_HEARD = (HELLO.audio or b"") + (ANNOUNCEMENT.audio or b"")


def restored(caller: Caller, outcome: str, name: str = "desk") -> None:
    """The present session was told all that was heard, and what became of the transfer."""
    roles = told(caller.present_session)
    assert roles[:3] == [
        ("assistant", HELLO.text),
        ("user", caller.request),
        ("assistant", ANNOUNCEMENT.text),
    ]
    role, result = roles[3]
    assert role == "system"
    assert result.startswith("Result of transfer_to_human: Nobody took the call. ")
    assert f"{name}: {outcome} (" in result
    assert len([each for each in roles if each[0] != "system"]) == 3


# --- a hundred of them ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Fate:
    callee: Callee
    outcome: str


def fate(number: int, dice: random.Random) -> Fate:
    """What becomes of a caller: one way after the other, at random times."""
    rings_ms, later_ms = dice.uniform(0, 90), dice.uniform(0, 60)
    fates = (
        Fate(Callee(goes="busy", answers_after_ms=rings_ms), "busy"),
        Fate(Callee(goes="no-answer"), "no-answer"),
        Fate(Callee(goes="failed", answers_after_ms=rings_ms), "failed"),
        Fate(Callee(answers_after_ms=60_000), "no-answer"),  # too late
        Fate(Callee(answers_after_ms=rings_ms, machine=True), "not-accepted"),
        Fate(
            Callee(answers_after_ms=rings_ms, presses="2", presses_after_ms=later_ms),
            "not-accepted",
        ),
        Fate(Callee(answers_after_ms=rings_ms), "not-accepted"),  # says hello, presses nothing
        Fate(Callee(answers_after_ms=rings_ms, hangs_up_after_ms=later_ms), "not-accepted"),
    )
    return fates[number % len(fates)]


@pytest.mark.parametrize("seed", range(4))
async def test_a_caller_that_no_human_accepts_resumes_within_1500_ms_100_of_100(seed: int) -> None:
    """25 callers each, every one with a human of their own who is not reached."""
    dice = random.Random(f"back {seed}")
    fates = [fate(seed * 25 + n, dice) for n in range(25)]
    file = desk(
        *(
            f'name = "d{n}"\nnumber = "+141555503{n:02}"\nring_seconds = {dice.randrange(20, 60)}'
            for n in range(25)
        )
    )
    says = {request_of(n): transfer_reply(destination=f"d{n}") for n in range(25)}
    agent = Agent(says)
    async with transfer_world(agent, file, line={"ring_scale": 0.005}) as w:
        w.line.callees = {f"+141555503{n:02}": each.callee for n, each in enumerate(fates)}
        everybody = await callers(w, agent, 25)

        async def there_and_back(caller: Caller) -> None:
            await caller.transferred()
            await caller.resumed()

        await asyncio.gather(*map(there_and_back, everybody))
        for n, caller in enumerate(everybody):
            assert caller.resume_ms() <= BACK_WITHIN_MS
            restored(caller, fates[n].outcome, f"d{n}")
            assert caller.call.heard == ALL_HEARD + (BACK.audio or b"")
            assert len(caller.call.streams) == 2 and not caller.call.errors
        assert len(w.model.open_sessions) == 25
        for record, each in zip(await all_hang_up(everybody), fates, strict=True):
            assert outcomes(record) == [each.outcome]
            assert (record["status"], record["ended_by"]) == ("completed", "caller")


# --- more than one --------------------------------------------------------------------------------

THREE = desk(
    f'name = "desk"\nnumber = "{DESK}"\nthen = ["sales", "night"]',
    f'name = "sales"\nnumber = "{SALES}"',
    f'name = "night"\nnumber = "{NIGHT}"',
)


async def test_the_agent_knows_how_it_went_with_each_of_them() -> None:
    agent = Agent(transfer_reply(destination="desk"))
    async with transfer_world(agent, THREE) as w:
        w.line.callees = {
            DESK: BUSY,
            SALES: Callee(machine=True),
            NIGHT: Callee(goes="no-answer"),
        }
        (caller,) = await callers(w, agent)
        await caller.transferred()
        await caller.resumed()
        for name, outcome in (("desk", "busy"), ("sales", "not-accepted"), ("night", "no-answer")):
            restored(caller, outcome, name)
        record = await caller.hangs_up()
        assert outcomes(record) == ["busy", "not-accepted", "no-answer"]
        (told_model,) = [turn for turn in record["transcript"] if turn["role"] == "tool"]
        assert told_model["extra"]["name"] == "transfer_to_human"


async def test_a_second_transfer_of_the_call_counts_on_from_the_first() -> None:
    again = "Then the other one, please."
    asked = {request_of(0): "desk", again: "sales"}
    agent = Agent({said: transfer_reply(destination=name) for said, name in asked.items()})
    async with transfer_world(agent, THREE) as w:
        w.line.callees = {
            DESK: BUSY,
            SALES: Callee(goes="no-answer"),
            NIGHT: Callee(presses="2"),
        }
        (caller,) = await callers(w, agent)
        await caller.transferred()
        await caller.resumed()
        caller.says(again)
        await caller.dialed(4)
        session = await caller.resumed()
        assert "sales: no-answer" in str(told(session)) and "desk: busy" in str(told(session))
        w.line.callees[SALES] = TAKES
        caller.says(again)
        record = await caller.ended()
        assert outcomes(record) == ["busy", "no-answer", "not-accepted", "no-answer", "completed"]
        numbers = [r.url.split("/")[-2] for r in caller.asked("/ended")]
        assert numbers == ["0", "1", "2", "3", "4"]
        assert (record["status"], record["ended_by"]) == ("completed", "transfer")


# --- the caller hangs up --------------------------------------------------------------------------

WHEN = {
    "while it rings": (Callee(goes="no-answer"), "canceled"),
    "in the whisper": (Callee(answers_after_ms=10), "canceled"),
    "while they talk": (Callee(presses="1"), "completed"),
}


@pytest.mark.parametrize("status", ["/call-status", ""], ids=["status", "no status"])
@pytest.mark.parametrize("asks", [True, False], ids=["asks", "asks not"])
@pytest.mark.parametrize(("callee", "outcome"), WHEN.values(), ids=WHEN)
async def test_a_caller_who_hangs_up_while_away_leaves_nothing(
    callee: Callee, outcome: str, asks: bool, status: str
) -> None:
    if not (asks or status):
        pytest.skip("Twilio would tell of it in no way")
    agent = Agent()
    line = {"ring_scale": 1, "gather_scale": 1, "asks_after_hangup": asks}
    async with transfer_world(agent, ONE, line={**line, "status_callback_url": status}) as w:
        w.line.callee = callee
        (caller,) = await callers(w, agent)
        await caller.transferred()
        (human,) = w.line.children.values()
        if callee.presses:
            await caller.call.wait_for(lambda: caller.call.talking_ms is not None)
        elif callee.goes == "answers":
            await human.wait_for(lambda: human.prompts > 0)
        else:
            await human.wait_for(lambda: human.status == "ringing")
        record = await caller.hangs_up()
        assert outcomes(record) == [outcome]
        assert (record["status"], record["ended_by"]) == ("completed", "transfer")
        assert record["ended_at"] and record["duration_s"]
        assert not human.is_live and w.switchboard.live_calls == 0
        assert not w.model.open_sessions and len(w.model.sessions) == 1


async def test_a_repeated_dial_action_resumes_the_call_once() -> None:
    agent = Agent()
    async with transfer_world(agent, ONE) as w:
        w.line.callee = BUSY
        (caller,) = await callers(w, agent)
        await caller.transferred()
        await caller.call.wait_connected(2)
        (ended,) = caller.asked("/ended")
        client = w.line._open.client
        again = await asyncio.gather(*(client.request(ended.url, ended.params) for _ in range(3)))
        assert {(each.status, each.body) for each in again} == {(200, ended.body)}
        await caller.resumed()
        assert len(w.model.sessions) == 2 and len(caller.call.streams) == 2
        assert outcomes(await caller.hangs_up()) == ["busy"]


async def test_twilio_asking_after_the_replaced_stream_changes_nothing() -> None:
    agent = Agent()
    async with transfer_world(agent, ONE, line={"asks_when_replaced": True}) as w:
        w.line.callee = BUSY
        (caller,) = await callers(w, agent)
        await caller.transferred()
        await caller.resumed()
        restored(caller, "busy")
        (asked,) = caller.asked("/stream-ended")
        assert "<Dial" in asked.body
        assert len(w.model.sessions) == 2
        assert outcomes(await caller.hangs_up()) == ["busy"]


async def test_a_hang_up_during_the_redirect_request_rings_no_human() -> None:
    agent = Agent()
    async with transfer_world(agent, ONE) as w:
        w.line.rest_faults.append(Fault(None, delay_s=0.3))
        (caller,) = await callers(w, agent)
        await caller.greeted()
        caller.says(caller.request)
        await caller.call.wait_heard(size(HELLO, ANNOUNCEMENT))
        while not caller.orders:
            await w.status_of("/healthz")
        record = await caller.hangs_up()
        assert record["status"] == "completed" and not w.line.children
        assert outcomes(record) == ["canceled"]
        assert w.switchboard.live_calls == 0


# --- the service stops ----------------------------------------------------------------------------


async def test_a_service_that_drains_waits_for_callers_who_are_away() -> None:
    agent = Agent()
    async with transfer_world(agent, ONE) as w:
        w.line.callee = Callee(goes="busy", answers_after_ms=300)
        (caller,) = await callers(w, agent)
        await caller.transferred()
        await caller.session.closed.wait()
        drain = asyncio.create_task(w.switchboard.drain(30))
        refused = await w.line.call()
        await refused.wait_ended()
        assert not refused.streams and not drain.done()
        await caller.resumed()
        restored(caller, "busy")
        assert not drain.done()
        await caller.hangs_up()
        await drain


ENDS = {
    "busy": (Callee(goes="busy", answers_after_ms=600), "busy"),
    "no 1": (Callee(answers_after_ms=600, presses="2"), "not-accepted"),
}


@pytest.mark.parametrize(("callee", "outcome"), ENDS.values(), ids=ENDS)
async def test_a_caller_is_back_with_a_service_that_was_restarted_meanwhile(
    callee: Callee, outcome: str
) -> None:
    agent = Agent()
    async with transfer_world(agent, ONE, line={"ring_scale": 1}) as w:
        w.line.callee = callee
        (caller,) = await callers(w, agent)
        await caller.transferred()
        await caller.session.closed.wait()
        async with restarted(w):
            await caller.resumed()
            roles = told(caller.present_session)
            assert roles[:3] == [
                ("assistant", HELLO.text),
                ("user", caller.request),
                ("assistant", ANNOUNCEMENT.text),
            ]
            assert roles[3][1].startswith("Result of transfer_to_human: Nobody took the call")
            heard = len(caller.call.heard)
            caller.says("Then tell me something else.")
            await caller.call.wait_heard(heard + size(ANSWER))
            record = await caller.hangs_up()
            assert outcomes(record) == [outcome]
            assert (record["status"], record["ended_by"]) == ("completed", "caller")
            said = [turn["text"] for turn in record["transcript"] if turn["role"] == "assistant"]
            assert said == [HELLO.text, ANNOUNCEMENT.text, BACK.text, ANSWER.text]


async def test_a_human_takes_a_call_from_a_service_that_was_restarted_meanwhile() -> None:
    agent = Agent()
    async with transfer_world(agent, ONE, line={"ring_scale": 1}) as w:
        w.line.callee = Callee(answers_after_ms=600, presses="1", talks_ms=20)
        (caller,) = await callers(w, agent)
        await caller.transferred()
        await caller.session.closed.wait()
        async with restarted(w):
            record = await caller.ended()
            assert outcomes(record) == ["completed"] and record["status"] == "completed"
            assert len(caller.call.streams) == 1


async def test_words_in_between_are_restored_as_far_as_they_were_heard() -> None:
    """An answer cut by the caller is restored as far as it was heard."""
    long = Reply("One two three four five six.", audio=noise(1200, "long"), speed=4.0)
    agent = Agent({"Read me the list.": long, "Stop, a human.": transfer_reply()})
    async with transfer_world(agent, ONE) as w:
        w.line.callee = BUSY
        (caller,) = await callers(w, agent)
        await caller.greeted()
        caller.says(f"This is {caller.name}.")
        await caller.call.wait_for(lambda: caller.call.heard.endswith(ANSWER.audio or b"?"))
        caller.says("Read me the list.")
        await caller.call.wait_heard(len(caller.call.heard) + 500 * 8)
        caller.says("Stop, a human.")
        await caller.dialed()
        roles = told(await caller.resumed())
        assert [role for role, _ in roles[:7]] == ["assistant", "user"] * 3 + ["assistant"]
        cut = roles[4][1]
        assert cut and long.text.startswith(cut) and cut != long.text
        assert outcomes(await caller.hangs_up()) == ["busy"]
