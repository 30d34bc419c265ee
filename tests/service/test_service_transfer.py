"""A caller is transferred: the announcement is heard, then Twilio dials, once."""

import asyncio
import random
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from app.simulator.realtime import Reply
from app.simulator.twilio import Callee, Network
from app.simulator.twilio.rest import RestServer
from tests.service.transfer_world import (
    ANNOUNCEMENT,
    ANSWER,
    DESK,
    HELLO,
    INF,
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
    outputs,
    request_of,
    size,
    transfer_reply,
    transfer_world,
)
from tests.service.world import API_TOKEN, noise

ONE = desk(name="desk", number=DESK)
TAKES = Callee(answers_after_ms=30, presses="1", talks_ms=30)


def announcing(ms: int, seed: object, speed: float = INF) -> Reply:
    return Reply("I am connecting you.", audio=noise(ms, seed), speed=speed)


# --- the announcement -----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
async def test_the_farewell_is_heard_to_its_end_before_the_redirect_100_of_100(seed: int) -> None:
    """25 callers each; ways of 30 to 90 ms, and announcements of any length and speed."""
    dice = random.Random(f"farewell {seed}")
    farewells = {
        request_of(n): announcing(dice.randrange(40, 600), (seed, n), dice.choice((INF, 5.0, 1.2)))
        for n in range(25)
    }
    agent = Agent({said: transfer_reply(farewell) for said, farewell in farewells.items()})
    network = Network(delay_ms=60, jitter_ms=30, seed=seed)
    async with transfer_world(agent, ONE, network=network) as w:
        w.line.callee = TAKES
        everybody = await callers(w, agent, 25)
        await asyncio.gather(*(caller.transferred() for caller in everybody))
        for caller in everybody:
            await caller.call.wait_ended()
            farewell = farewells[caller.request]
            (order,) = caller.orders
            heard_bytes = caller.call.playback.heard_bytes(order.at_ms)
            assert heard_bytes == size(HELLO, farewell)
            assert caller.call.heard == (HELLO.audio or b"") + (farewell.audio or b"")
        await w.settled()
        for caller in everybody:
            assert outcomes(await w.record(caller.call.call_sid)) == ["completed"]


@pytest.mark.parametrize("seed", range(2))
async def test_an_interrupted_announcement_transfers_no_caller_50_of_50(seed: int) -> None:
    """25 callers each, who speak at any moment of it; the agent answers them all."""
    dice = random.Random(f"interrupted {seed}")
    words = {n: dice.choice(("No.", "Actually, wait.")) for n in range(25)}
    after_ms = {n: dice.randrange(1, 380) for n in range(25)}
    handing_over = {
        request_of(n): transfer_reply(announcing(600, (seed, n), dice.choice((INF, 1.5))))
        for n in range(25)
    }
    agent = Agent(handing_over)
    async with transfer_world(agent, ONE) as w:
        everybody = await callers(w, agent, 25)

        async def interrupt(number: int, caller: Caller) -> None:
            await caller.greeted()
            caller.says(caller.request)
            await caller.call.wait_heard(size(HELLO) + after_ms[number] * 8)
            caller.says(words[number])
            answer = ANSWER.audio or b""
            await caller.call.wait_for(lambda: caller.call.heard.endswith(answer))

        await asyncio.gather(*(interrupt(n, caller) for n, caller in enumerate(everybody)))
        # long enough for an order that comes late: the guard time, and more
        await asyncio.gather(*(caller.call.wait_quiet(500) for caller in everybody))
        assert not w.line.rest_requests and not w.line.children
        for caller in everybody:
            caller.call.hang_up()
            await caller.call.wait_ended()
            suspended = [each for each in outputs(caller.session) if "Not transferred" in each]
            called = [i for i in caller.session.items if i.type == "function_call"]
            assert len(suspended) == sum(item.status == "completed" for item in called)
        await w.settled()
        for caller in everybody:
            assert outcomes(await w.record(caller.call.call_sid)) == []


async def test_an_interrupted_caller_is_transferred_once_the_model_asks_again() -> None:
    agent = Agent(
        {"A human.": transfer_reply(announcing(400, 1)), "Yes, please.": transfer_reply()}
    )
    async with transfer_world(agent, ONE) as w:
        w.line.callee = TAKES
        (caller,) = await callers(w, agent)
        await caller.greeted()
        caller.says("A human.")
        await caller.call.wait_heard(size(HELLO) + 400)
        caller.says("Wait.")
        await caller.call.wait_for(lambda: caller.call.heard.endswith(ANSWER.audio or b"?"))
        assert not caller.orders
        caller.says("Yes, please.")
        record = await caller.ended()
        assert outcomes(record) == ["completed"] and len(caller.orders) == 1
        assert caller.call.heard.endswith(ANNOUNCEMENT.audio or b"?")


# --- who is dialled -------------------------------------------------------------------------------


GARBAGE: list[dict[str, Any]] = [
    {"destination": "+19005550199"},
    {"destination": "+1 900 555 0199", "number": "+19005550199", "to": "+19005550199"},
    {"destination": ["desk"]},
    {"destination": {"name": "desk", "number": "+19005550199"}},
    {"destination": 19005550199},
    {"destination": "desk\n+19005550199"},
    {"destination": "sip:evil@example.com"},
    {"destination": "</Number><Number>+19005550199"},
]


async def test_a_number_that_the_model_makes_up_is_never_dialled() -> None:
    """One caller for each way to put it."""
    file = desk(f'name = "desk"\nnumber = "{DESK}"', f'name = "sales"\nnumber = "{SALES}"')
    agent = Agent(
        {
            request_of(n): transfer_reply(reason="call +19005550199", **arguments)
            for n, arguments in enumerate(GARBAGE)
        }
    )
    async with transfer_world(agent, file) as w:
        everybody = await callers(w, agent, len(GARBAGE))

        async def insist(caller: Caller) -> None:
            await caller.greeted()
            caller.says(caller.request)
            await caller.call.wait_for(lambda: caller.call.heard.endswith(ANSWER.audio or b"?"))

        await asyncio.gather(*map(insist, everybody))
        for caller in everybody:
            (told,) = outputs(caller.session)
            assert told.startswith("Not transferred: there is no such destination.")
            assert "desk, sales" in told and "+" not in told
        assert [outcomes(each) for each in await all_hang_up(everybody)] == [[]] * len(GARBAGE)
        assert not w.line.rest_requests and not w.line.children


async def test_numbers_in_what_is_said_about_a_caller_are_not_dialled() -> None:
    """The only destination is reached, whatever the model writes beside it."""
    text = "dial +19005550199 & <Number>+19005550199</Number>"
    agent = Agent(transfer_reply(reason=text, summary=text, number="+19005550199"))
    async with transfer_world(agent, ONE) as w:
        w.line.callee = TAKES
        (caller,) = await callers(w, agent)
        await caller.transferred()
        await caller.ended()
        assert [dialed.target for dialed in caller.call.dialed] == [DESK]
        assert [each.to for each in w.line.children.values()] == [DESK]
        (human,) = caller.call.dialed
        assert text in [said.text for said in human.heard]


async def test_the_api_takes_names_and_no_numbers() -> None:
    file = desk(f'name = "desk"\nnumber = "{DESK}"', f'name = "sales"\nnumber = "{SALES}"')
    agent = Agent()
    async with transfer_world(agent, file) as w:
        (caller,) = await callers(w, agent)
        await caller.greeted()
        for name in (DESK, "+19005550199", "desk ", ""):
            status, problem = await order(w, caller, name)
            assert status == 409 and "expected one of: desk, sales" in problem["detail"]
        await caller.hangs_up()
        assert not w.line.rest_requests and not w.line.children


async def test_an_operator_hands_a_caller_over_by_name() -> None:
    file = desk(f'name = "desk"\nnumber = "{DESK}"', f'name = "sales"\nnumber = "{SALES}"')
    agent = Agent()
    async with transfer_world(agent, file) as w:
        w.line.callee = TAKES
        (caller,) = await callers(w, agent)
        await caller.greeted()
        assert (await order(w, caller, "sales"))[0] == 202
        record = await caller.ended()
        assert [dialed.target for dialed in caller.call.dialed] == [SALES]
        assert caller.call.heard.endswith(ANNOUNCEMENT.audio or b"?")
        assert outcomes(record) == ["completed"] and record["ended_by"] == "transfer"
        assert (await order(w, caller, "sales"))[0] == 409


async def order(w: Any, caller: Caller, name: str) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {API_TOKEN}"}
    url = f"{w.url}/calls/{caller.call.call_sid}/transfer"
    http: aiohttp.ClientSession = w.http
    async with http.post(url, json={"destination": name}, headers=headers) as answer:
        return answer.status, await answer.json()


# --- how they are dialled -------------------------------------------------------------------------


async def test_a_human_hears_who_waits_presses_1_and_talks() -> None:
    agent = Agent()
    async with transfer_world(agent, ONE) as w:
        w.line.callee = TAKES
        (caller,) = await callers(w, agent)
        await caller.transferred()
        record = await caller.ended()
        (human,) = caller.call.dialed
        assert SUMMARY in [said.text for said in human.heard] and human.pressed == ["1"]
        assert human.status == "completed" and human.bridged_ms
        assert (record["status"], record["ended_by"]) == ("completed", "transfer")
        assert record["transfers"] == [
            {
                "destination": "desk",
                "outcome": "completed",
                "reason": "a price",
                "summary": SUMMARY,
                "warm": False,
                "seconds": 0.0,
            }
        ]
        assert not w.model.open_sessions and w.switchboard.live_calls == 0
        assert not caller.call.errors


async def test_the_model_session_is_closed_while_the_caller_talks_with_a_human() -> None:
    agent = Agent()
    async with transfer_world(agent, ONE) as w:
        w.line.callee = Callee(presses="1")
        (caller,) = await callers(w, agent)
        await caller.transferred()
        await caller.call.wait_for(lambda: caller.call.talking_ms is not None)
        await caller.session.closed.wait()
        record = await w.record(caller.call.call_sid)
        assert record["status"] == "in-progress" and outcomes(record) == ["in-progress"]
        assert w.switchboard.live_calls == 1
        record = await caller.hangs_up()
        assert record["status"] == "completed" and outcomes(record) == ["completed"]


LONG = [
    "A very long story. " * 263,
    "<Say>&amp;</Say> \"quoted\" 'and' $dollar ${brace} " * 100,
    "☎️ Grüße 你好 🙂" * 400,
    "\x00\x08\x1f\ufffe bell \x07" * 200,
]
NOT_IN_XML = dict.fromkeys(map(ord, "\x00\x07\x08\x1f\ufffe"), "\ufffd")


async def test_a_summary_of_any_kind_reaches_the_human_and_the_record() -> None:
    agent = Agent(
        {request_of(n): transfer_reply(summary=text[:5000]) for n, text in enumerate(LONG)}
    )
    async with transfer_world(agent, ONE) as w:
        w.line.callee = TAKES
        everybody = await callers(w, agent, len(LONG))
        await asyncio.gather(*(caller.transferred() for caller in everybody))
        for caller, summary in zip(everybody, LONG, strict=True):
            await caller.call.wait_ended()
            (human,) = caller.call.dialed
            said = human.heard[1].text
            assert 100 < len(said) <= 600 and human.status == "completed"
            assert said.strip()[:90] == summary[:90].translate(NOT_IN_XML)
        for caller, summary in zip(everybody, LONG, strict=True):
            record = await caller.ended()
            assert outcomes(record) == ["completed"]
            assert record["transfers"][0]["summary"] == summary[:5000]


async def test_a_sip_desk_is_reached() -> None:
    agent = Agent()
    async with transfer_world(agent, desk(name="desk", sip=SIP)) as w:
        w.line.callee = TAKES
        (caller,) = await callers(w, agent)
        await caller.transferred()
        assert outcomes(await caller.ended()) == ["completed"]
        (human,) = caller.call.dialed
        assert (human.kind, human.target) == ("Sip", SIP)


async def test_a_withheld_caller_is_shown_as_our_number() -> None:
    agent = Agent()
    async with transfer_world(agent, ONE) as w:
        w.line.callee = TAKES
        everybody = []
        for from_ in ("anonymous", "+266696687", "Restricted", ""):
            everybody += await callers(w, agent, from_=from_, to="+14155550100")
        await asyncio.gather(*(caller.transferred() for caller in everybody))
        for caller in everybody:
            await caller.call.wait_ended()
            (human,) = caller.call.dialed
            assert human.dial["callerId"] == "+14155550100" and human.status == "completed"


async def test_a_caller_is_shown_to_the_human_with_their_own_number() -> None:
    agent = Agent()
    async with transfer_world(agent, ONE) as w:
        w.line.callee = TAKES
        (caller,) = await callers(w, agent, from_="+14155550177")
        await caller.transferred()
        await caller.ended()
        (human,) = caller.call.dialed
        assert "callerId" not in human.dial
        assert [each.from_ for each in w.line.children.values()] == ["+14155550177"]


THREE = desk(
    f'name = "desk"\nnumber = "{DESK}"\nring_seconds = 5\nthen = ["sales", "night"]',
    f'name = "sales"\nnumber = "{SALES}"\nring_seconds = 7',
    f'name = "night"\nnumber = "{NIGHT}"',
)


async def test_they_are_rung_one_after_the_other_until_one_takes_the_call() -> None:
    agent = Agent(transfer_reply(destination="desk"))
    async with transfer_world(agent, THREE) as w:
        w.line.callees = {
            DESK: Callee(goes="busy"),
            SALES: Callee(presses="2"),
            NIGHT: TAKES,
        }
        (caller,) = await callers(w, agent)
        await caller.transferred()
        record = await caller.ended()
        assert [each.target for each in caller.call.dialed] == [DESK, SALES, NIGHT]
        assert [each.dial["timeout"] for each in caller.call.dialed] == ["5", "7", "20"]
        assert outcomes(record) == ["busy", "not-accepted", "completed"]
        assert [each["destination"] for each in record["transfers"]] == ["desk", "sales", "night"]
        assert len(caller.orders) == 1 and len(caller.call.streams) == 1


async def test_a_destination_that_is_closed_is_not_rung() -> None:
    never = 'hours = ["Mon 00:00-00:01"]\ntimezone = "UTC"'  # but for a minute a week
    file = desk(f'name = "desk"\nnumber = "{DESK}"\n{never}', f'name = "sales"\nnumber = "{SALES}"')
    agent = Agent(transfer_reply(destination="desk"))
    async with transfer_world(agent, file) as w:
        (caller,) = await callers(w, agent)
        await caller.greeted()
        caller.says("The human at the desk please.")
        await caller.call.wait_for(lambda: caller.call.heard.endswith(ANSWER.audio or b"?"))
        (told,) = outputs(caller.session)
        assert "desk is closed until Monday, 00:00" in told and "There now: sales" in told
        record = await caller.hangs_up()
        assert not w.line.rest_requests and outcomes(record) == []


async def test_redirects_are_sent_with_twilios_own_package(monkeypatch: pytest.MonkeyPatch) -> None:
    agents: list[str] = []
    answer = RestServer._answer

    async def watched(self: RestServer, request: web.BaseRequest) -> web.StreamResponse:
        agents.append(request.headers["User-Agent"])
        return await answer(self, request)

    monkeypatch.setattr(RestServer, "_answer", watched)
    agent = Agent()
    async with transfer_world(agent, desk(name="desk", number=DESK, warm=True)) as w:
        w.line.callee = TAKES
        (caller,) = await callers(w, agent)
        await caller.transferred()
        assert outcomes(await caller.ended()) == ["completed"]
        assert len(agents) == len(w.line.rest_requests) > 1
        assert all(each.startswith("twilio-python/") for each in agents)
