"""A softphone's transfer rings in its page: answered, declined, unanswered. It never dials."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.bridge.expiry import ExpiryLimits
from app.bridge.softphone.calls import SoftphoneLimits
from app.call.events import StreamEnded
from app.simulator.realtime import RealtimeServer, Reply
from tests.service.api import api
from tests.service.softphone_client import Softphone
from tests.service.test_service_softphone import NO_ACCOUNT
from tests.service.transfer_world import (
    BACK,
    DESK,
    HELLO,
    REASON,
    SALES,
    SUMMARY,
    Agent,
    desk,
    outcomes,
    size,
    told,
    transfer_reply,
)
from tests.service.world import ACCOUNT_SID, AGENT, World, noise, world

ONE = desk(name="desk", number=DESK)
SHORT = desk(name="desk", number=DESK, ring_seconds=5)
MANY_KEYS = "1W2W3W4W5W6W7W8W9W0W1W2W3W4W5W6W7W8W9W0W"
QUICK = SoftphoneLimits(ring_scale=0.02)
TWO = desk(
    f'name = "desk"\nnumber = "{DESK}"\nthen = ["sales"]\nwarm = true',
    f'name = "sales"\nnumber = "{SALES}"\nwarm = true',
)
ACCOUNT = {"twilio_account_sid": ACCOUNT_SID, "twilio_auth_token": "secret", "public_url": None}


@asynccontextmanager
async def transferred(
    file: str = ONE,
    *,
    arguments: Any = None,
    account: bool = False,
    limits: SoftphoneLimits = SoftphoneLimits(),  # noqa: B008 - frozen
) -> AsyncIterator[tuple[World, Softphone]]:
    """A call whose transfer rings in the page, and that is over at the end."""
    agent = Agent(transfer=transfer_reply(**(arguments or {})))
    given = ACCOUNT if account else NO_ACCOUNT
    async with world(RealtimeServer(agent.brain), agent=file, **given) as w:
        w.state.softphone.limits = limits
        phone = await Softphone.call(w)
        await phone.heard(size(HELLO))
        session = await w.model.session(0)
        session.start_speech()
        session.stop_speech("A human please.")
        await phone.over()
        assert phone.closed == 1000
        yield w, phone
        await w.settled()
        assert not w.switchboard.is_live(phone.call_sid)
        assert w.line.rest_requests == []


async def resumes(w: World, phone: Softphone, step: dict[str, Any]) -> None:
    """The call goes on with the agent, which knows why; then the caller hangs up."""
    assert step["state"] == "stream"
    heard = len(phone.audio)
    await phone.open(step["stream_url"])
    await phone.heard(heard + size(BACK))
    known = [text for _, text in told(w.model.sessions[-1])]
    assert any("Nobody took the call" in each for each in known), known
    await phone.hang_up()


async def ring_out(phone: Softphone, number: int = 0) -> dict[str, Any]:
    """Ask about an attempt until it rings no more."""
    for _ in range(200):
        step = await phone.attempt(number)
        if step["state"] != "ringing" or step["attempt"] != number:
            break
        await asyncio.sleep(0.05)
    return step


@pytest.mark.parametrize("account", [False, True])
async def test_a_human_answers_in_the_page_and_the_call_ends_when_they_hang_up(
    account: bool,
) -> None:
    async with transferred(account=account) as (w, phone):
        step = await phone.next()
        assert (step["state"], step["attempt"], step["destination"]) == ("ringing", 0, "desk")
        assert (step["reason"], step["summary"]) == (REASON, SUMMARY)
        assert (await phone.attempt())["state"] == "ringing"
        live = await w.record(phone.call_sid)
        assert (live["status"], outcomes(live)) == ("in-progress", ["ringing"])
        assert (await phone.answer())["state"] == "talking"
        assert (await phone.answer())["state"] == "talking"  # a repeated request
        assert outcomes(await w.record(phone.call_sid)) == ["in-progress"]
        assert (await phone.attempt())["state"] == "talking"
        assert (await phone.end("completed"))["state"] == "over"
        record = await phone.record()
        assert (record["status"], outcomes(record)) == ("completed", ["completed"])
        assert record["ended_by"] == "transfer"
        assert "transfer" not in record["cost"]


async def test_a_human_declines_and_the_call_goes_on_with_the_agent() -> None:
    async with transferred() as (w, phone):
        await phone.next()
        step = await phone.end("busy")
        await resumes(w, phone, step)
        record = await phone.record()
        assert (record["status"], outcomes(record)) == ("completed", ["busy"])


async def test_no_answer_and_the_call_goes_on_with_the_agent() -> None:
    async with transferred(SHORT, limits=QUICK) as (w, phone):
        await phone.next()
        await resumes(w, phone, await ring_out(phone))
        assert outcomes(await phone.record()) == ["no-answer"]


async def test_destinations_are_tried_in_order_and_none_is_warm() -> None:
    async with transferred(TWO, arguments={"destination": "desk"}) as (w, phone):
        assert (await phone.next())["destination"] == "desk"
        step = await phone.end("busy")
        assert (step["state"], step["attempt"], step["destination"]) == ("ringing", 1, "sales")
        assert (await phone.attempt(0))["attempt"] == 1  # a late question
        assert (await phone.answer(1))["state"] == "talking"
        assert (await phone.end("completed", 1))["state"] == "over"
        assert outcomes(await phone.record()) == ["busy", "completed"]


@pytest.mark.parametrize(("answered", "outcome"), [(False, "canceled"), (True, "completed")])
async def test_the_caller_hangs_up_while_it_rings_or_they_talk(
    answered: bool, outcome: str
) -> None:
    async with transferred() as (_, phone):
        await phone.next()
        if answered:
            await phone.answer()
        assert (await phone.end("canceled"))["state"] == "over"
        record = await phone.record()
        assert (record["status"], outcomes(record)) == ("completed", [outcome])


async def test_an_operator_ends_a_call_that_rings() -> None:
    async with transferred() as (w, phone):
        await phone.next()
        told = await api(w, "POST", f"/calls/{phone.call_sid}/hangup")
        assert told.status == 202
        record = await phone.record()
        assert (record["status"], outcomes(record)) == ("completed", ["canceled"])
        assert (await phone.attempt())["state"] == "over"


async def test_a_page_that_is_closed_while_it_rings_ends_the_call() -> None:
    """No human answers, and the page does not open the stream in which the call would go on."""
    async with transferred(SHORT, limits=QUICK) as (w, phone):
        ended = asyncio.Event()
        w.switchboard.on_call_ended.append(lambda _: ended.set())
        w.switchboard.expiry.limits = ExpiryLimits(softphone_s=0.05)
        await ring_out(phone)
        leg = w.switchboard.leg(phone.call_sid)
        assert leg is not None
        leg.feed(StreamEnded("no stream came", lost=True))
        await ended.wait()
        assert outcomes(await phone.record()) == ["no-answer"]


async def test_a_page_that_is_closed_while_they_talk_ends_the_call() -> None:
    async with transferred() as (w, phone):
        await phone.next()
        ended = asyncio.Event()
        w.switchboard.on_call_ended.append(lambda _: ended.set())
        w.state.softphone.limits = SoftphoneLimits(seen_s=0.05)
        await phone.answer()
        await ended.wait()
        assert outcomes(await phone.record()) == ["completed"]


async def test_an_agent_without_destinations_has_one_at_a_softphone() -> None:
    async with transferred(AGENT) as (_, phone):
        assert (await phone.next())["destination"] == "human"
        await phone.end("canceled")


async def test_keys_that_twilio_would_press_sound_in_the_page() -> None:
    keys = Reply(
        "One moment.",
        audio=noise(60, "moment"),
        speed=float("inf"),
        tool_calls=[("send_digits", {"digits": MANY_KEYS})],
    )
    file = AGENT + "[builtin_tools]\nsend_digits = true\n"
    agent = Agent(transfer=keys)
    async with world(RealtimeServer(agent.brain), agent=file, **NO_ACCOUNT) as w:
        phone = await Softphone.call(w)
        await phone.heard(size(HELLO))
        session = await w.model.session(0)
        session.start_speech()
        session.stop_speech("A human please.")
        await phone.over()
        step = await phone.next()
        assert (step["state"], step["digits"]) == ("stream", MANY_KEYS)
        await phone.open(step["stream_url"])
        await phone.heard(size(HELLO, keys) + 1)
        await phone.hang_up()
        assert (await phone.record())["status"] == "completed"
