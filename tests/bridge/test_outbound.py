"""Outbound calls: limits and slots, over REST to a stand-in on loopback."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from app.bridge.outbound import GRACE_S, Outbound, OutboundRefused, PlacedCall
from app.records.store import Store
from app.wires.twilio.rest import TwilioRest
from tests.wires.twilio.twilio_stand_in import (
    ACCOUNT,
    TOKEN,
    Answer,
    Twilio,
    breaks_off,
    says,
    twilio_that,
)

OURS, ANN, BOB, EVE = "+14155550100", "+14155550123", "+14155550124", "+14155550125"
BASE = "https://voice.example.com"
RING_S, LONGEST_CALL_S, REPEAT_S = 30, 3600, 60.0


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class World:
    """Twilio, whose calls are CA1, CA2, …; the outbound calls; a clock that a test moves."""

    def __init__(self, twilio: Twilio, rest: TwilioRest, store: Store) -> None:
        self.twilio = twilio
        self.rest = rest
        self.store = store
        self.clock = Clock()
        self.outbound = self.outbound_with()
        twilio.answers = [self.places]

    def outbound_with(self, **options: Any) -> Outbound:
        chosen: dict[str, Any] = {
            "rest": self.rest,
            "from_number": OURS,
            "most_calls": 2,
            "repeat_s": REPEAT_S,
            "ring_s": RING_S,
            "longest_call_s": LONGEST_CALL_S,
            "clock": self.clock,
        }
        self.outbound = Outbound(store=self.store, **(chosen | options))
        return self.outbound

    async def places(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"sid": f"CA{len(self.twilio.requests)}"}, status=201)

    async def place(self, to: str, **options: Any) -> str:
        return await self.outbound.place(to, **({"base_url": BASE} | options))

    async def refused(self, to: str, **options: Any) -> OutboundRefused:
        """Place a call that must be refused, without a REST request. Returns the refusal."""
        dialled = len(self.twilio.requests)
        with pytest.raises(OutboundRefused) as refused:
            await self.place(to, **options)
        assert len(self.twilio.requests) == dialled
        return refused.value

    def token(self, number: int = 1) -> str:
        """The token of the first call that was placed, the second, …"""
        url = self.twilio.forms[number - 1]["Url"][0]
        assert url.startswith(f"{BASE}/outgoing-call/")
        return url.rpartition("/")[2]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = await Store.open(f"sqlite:///{tmp_path}/calls.db")
    async with twilio_that() as twilio:
        rest = TwilioRest(ACCOUNT, ACCOUNT, TOKEN, twilio.url, backoff_s=0.0)
        yield World(twilio, rest, store)
        await rest.aclose()
    await store.aclose()


# --- a call and its life --------------------------------------------------------------------------


async def test_a_call_is_placed_and_its_record_is_there_before_it_rings(world: World) -> None:
    assert await world.place(ANN) == "CA1"
    assert world.twilio.forms == [
        {
            "To": [ANN],
            "From": [OURS],
            "Url": [f"{BASE}/outgoing-call/{world.token()}"],
            "StatusCallback": [f"{BASE}/call-status"],
            "StatusCallbackEvent": ["initiated", "ringing", "answered", "completed"],
            "Timeout": [str(RING_S)],
            "MachineDetection": ["DetectMessageEnd"],
            "AsyncAmd": ["true"],
            "AsyncAmdStatusCallback": [f"{BASE}/answering-machine/{world.token()}"],
            "TimeLimit": [str(LONGEST_CALL_S)],
        }
    ]
    await world.store.flush()
    row = await world.store.get_call("CA1")
    assert row is not None
    assert (row.direction, row.status, row.account_sid) == ("outbound-api", "queued", ACCOUNT)
    assert (row.from_number, row.to_number) == (OURS, ANN)


async def test_the_callee_gets_the_greeting_and_context_of_the_call(world: World) -> None:
    await world.place(ANN, greeting="Hello Ann", voicemail="Call us back", context="her table")
    token = world.token()
    placed = PlacedCall(token, ANN, "Hello Ann", "Call us back", "her table", "CA1")
    assert world.outbound.placed("CA1") == placed
    assert world.outbound.answered(token, "CA1") == placed
    assert world.outbound.answered(token, "CA1") == placed  # Twilio repeats its webhooks


async def test_another_call_is_not_answered_with_the_token(world: World) -> None:
    await world.place(ANN)
    assert world.outbound.answered(world.token(), "CA999") is None
    assert world.outbound.answered(world.token(), "") is None
    assert world.outbound.answered("made-up", "CA1") is None
    assert world.outbound.placed("CA999") is None
    assert world.outbound.answered(world.token(), "CA1") is not None


async def test_tokens_cannot_be_guessed(world: World) -> None:
    await world.place(ANN)
    await world.place(BOB)
    assert world.token(1) != world.token(2)
    assert len(world.token(1)) >= 32


async def test_a_call_that_has_ended_is_not_answered_again(world: World) -> None:
    await world.place(ANN)
    for _ in range(3):  # in any order, as often as Twilio likes
        world.outbound.ended("CA1")
        world.outbound.ended("CA of an incoming call")
    assert world.outbound.placed("CA1") is None
    assert world.outbound.answered(world.token(), "CA1") is None
    assert world.outbound.live_calls == 0


async def test_twilio_may_request_twiml_before_it_answers_the_rest_request(world: World) -> None:
    async def answers_late(request: web.Request) -> web.StreamResponse:
        placed = world.outbound.answered(world.token(), "CA1")
        assert placed is not None and placed.call_sid == "CA1"
        assert world.outbound.answered(world.token(), "CA2") is None
        return await world.places(request)

    world.twilio.answers = [answers_late]
    assert await world.place(ANN) == "CA1"
    assert world.outbound.placed("CA1") is not None


@pytest.mark.parametrize("asked_first", [True, False])
async def test_a_call_may_end_before_its_rest_request_is_answered(
    world: World, asked_first: bool
) -> None:
    async def answers_too_late(request: web.Request) -> web.StreamResponse:
        if asked_first:
            world.outbound.answered(world.token(), "CA1")
        world.outbound.ended("CA1")
        return await world.places(request)

    world.twilio.answers = [answers_too_late]
    assert await world.place(ANN) == "CA1"
    assert world.outbound.live_calls == 0
    assert world.outbound.placed("CA1") is None


async def test_a_late_rest_response_does_not_set_a_status_back(world: World) -> None:
    async def answers_late(request: web.Request) -> web.StreamResponse:
        world.store.save_call("CA1", status="ringing")
        return await world.places(request)

    world.twilio.answers = [answers_late]
    await world.place(ANN)
    await world.store.flush()
    row = await world.store.get_call("CA1")
    assert row is not None and (row.status, row.to_number) == ("ringing", ANN)


# --- how many at once -----------------------------------------------------------------------------


async def test_no_more_calls_at_a_time_than_allowed(world: World) -> None:
    await world.place(ANN)
    await world.place(BOB)
    refused = await world.refused(EVE)
    assert refused.status == 429 and "OUTBOUND_MAX_CALLS" in str(refused)
    world.outbound.ended("CA1")
    assert await world.place(EVE) == "CA3"


async def test_calls_placed_at_the_same_moment_are_counted_too(world: World) -> None:
    results = await asyncio.gather(*map(world.place, (ANN, BOB, EVE)), return_exceptions=True)
    assert set(results[:2]) == {"CA1", "CA2"}
    assert isinstance(results[2], OutboundRefused)
    assert len(world.twilio.requests) == 2


async def test_a_limit_of_0_places_no_call(world: World) -> None:
    world.outbound_with(most_calls=0)
    refused = await world.refused(ANN)
    assert refused.status == 403 and "OUTBOUND_MAX_CALLS" in str(refused)


async def test_calls_that_ring_count_against_the_room_for_live_calls(world: World) -> None:
    await world.place(ANN, room=1)
    refused = await world.refused(BOB, room=1)
    assert refused.status == 429 and "MAX_CALLS" in str(refused)
    world.outbound.answered(world.token(), "CA1")  # whoever counts live calls counts it now
    await world.refused(BOB, room=0)
    assert await world.place(BOB, room=1) == "CA2"


@pytest.mark.parametrize("answered", [False, True])
async def test_a_call_whose_end_is_never_reported_frees_its_slot(
    world: World, answered: bool
) -> None:
    world.outbound_with(most_calls=1)
    await world.place(ANN)
    if answered:
        world.outbound.answered(world.token(), "CA1")
    longest_s = (LONGEST_CALL_S if answered else RING_S) + GRACE_S
    world.clock.now_s += longest_s - 1
    await world.refused(BOB)
    world.clock.now_s += 1
    assert await world.place(BOB) == "CA2"
    assert world.outbound.live_calls == 1
    assert world.outbound.placed("CA1") is None
    world.outbound.ended("CA1")  # told after all
    assert world.outbound.live_calls == 1


# --- the same number again ------------------------------------------------------------------------


async def test_a_number_is_not_called_again_within_repeat_s(world: World) -> None:
    await world.place(ANN)
    world.outbound.ended("CA1")
    world.clock.now_s += 12.5
    refused = await world.refused(ANN)
    assert (refused.status, refused.retry_after_s) == (409, 48)
    assert "48 s" in str(refused) and "OUTBOUND_REPEAT_SECONDS" in str(refused)
    assert await world.place(BOB) == "CA2"
    world.clock.now_s += REPEAT_S - 12.5
    assert await world.place(ANN) == "CA3"
    assert (await world.refused(ANN)).status == 409


async def test_the_same_number_twice_at_the_same_moment_is_called_once(world: World) -> None:
    results = await asyncio.gather(world.place(ANN), world.place(ANN), return_exceptions=True)
    assert results[0] == "CA1"
    assert isinstance(results[1], OutboundRefused) and results[1].status == 409
    assert len(world.twilio.requests) == 1


async def test_a_repeat_time_of_0_allows_every_call(world: World) -> None:
    world.outbound_with(repeat_s=0.0)
    assert [await world.place(ANN), await world.place(ANN)] == ["CA1", "CA2"]


async def test_a_call_that_twilio_refused_does_not_count(world: World) -> None:
    world.outbound_with(most_calls=1)
    world.twilio.answers = [says(400, 21211), world.places]
    with pytest.raises(OutboundRefused, match="errors/21211") as refused:
        await world.place(ANN)
    assert refused.value.status == 502
    assert world.outbound.live_calls == 0
    assert await world.place(ANN) == "CA2"


# --- Twilio's answer is lost ----------------------------------------------------------------------


async def test_a_call_that_may_ring_keeps_its_slot_and_is_answered(world: World) -> None:
    world.twilio.answers = [breaks_off]
    with pytest.raises(OutboundRefused, match="may ring all the same") as unknown:
        await world.place(ANN, context="her table")
    assert unknown.value.status == 504
    assert (await world.refused(ANN)).status == 409
    placed = world.outbound.answered(world.token(), "CA1")
    assert placed is not None and placed.context == "her table"
    await world.store.flush()
    assert await world.store.get_call("CA1") is not None
    world.outbound.ended("CA1")
    assert world.outbound.live_calls == 0


@pytest.mark.parametrize("answer", [breaks_off, says(400, 21211)])
async def test_a_call_whose_twiml_was_requested_is_placed_whatever_twilio_responds(
    world: World, answer: Answer
) -> None:
    async def tells_first(request: web.Request) -> web.StreamResponse:
        assert world.outbound.answered(world.token(), "CA1") is not None
        return await answer(request)

    world.twilio.answers = [tells_first]
    assert await world.place(ANN) == "CA1"
    assert world.outbound.placed("CA1") is not None


async def test_of_two_calls_that_one_request_placed_the_answered_one_goes_on(world: World) -> None:
    decided: list[tuple[str, str, str]] = []
    world.outbound.on_decision = lambda *told: decided.append(told)

    async def places_unawares(_: web.Request) -> web.StreamResponse:
        assert world.outbound.answered(world.token(), "CA77") is not None
        return web.Response(status=503)

    world.twilio.answers = [places_unawares, world.places]
    assert await world.place(ANN) == "CA77"
    assert world.outbound.answered(world.token(), "CA2") is None
    assert decided == [("CA77", "call of the same order ended", "it made CA2 too")]
    assert world.twilio.requests[2][1].endswith("/Calls/CA2.json")
    assert world.twilio.requests[2][3] == {"Status": "completed"}


# --- not possible now -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "base_url", "fix"),
    [
        ({"rest": None}, BASE, "TWILIO_AUTH_TOKEN"),
        ({"from_number": None}, BASE, "TWILIO_PHONE_NUMBER"),
        ({}, None, "PUBLIC_URL"),
        ({}, "", "PUBLIC_URL"),
    ],
)
async def test_a_missing_setting_is_named(
    world: World, options: dict[str, Any], base_url: str | None, fix: str
) -> None:
    world.outbound_with(**options)
    refused = await world.refused(ANN, base_url=base_url)
    assert refused.status == 409 and fix in str(refused)


async def test_a_draining_service_places_no_call_and_answers_those_it_placed(world: World) -> None:
    draining = False
    world.outbound_with(draining=lambda: draining)
    await world.place(ANN)
    draining = True
    assert (await world.refused(BOB)).status == 503
    assert world.outbound.answered(world.token(), "CA1") is not None


async def test_without_prefixes_only_the_own_country_is_allowed(world: World) -> None:
    refused = await world.refused("+493012345678")
    assert refused.status == 403 and "OUTBOUND_PREFIXES" in str(refused)
    world.outbound_with(prefixes=("+49",))
    assert await world.place("+493012345678") == "CA1"
    assert (await world.refused(ANN)).status == 403


async def test_a_refusal_is_logged_once_without_the_number(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.twilio.answers = [says(400, 21211)]
    with caplog.at_level(logging.INFO, "app"), pytest.raises(OutboundRefused):
        await world.place(ANN)
    await world.refused("+493012345678")
    ours = [record for record in caplog.records if record.name == "app.bridge.outbound"]
    assert [record.message for record in ours] == ["outbound call refused"] * 2
    assert [vars(record)["reason"] for record in ours] == [
        "refused by Twilio",
        "other country",
    ]
    for record in ours:
        assert ANN not in str(vars(record)) and "+4930" not in str(vars(record))


async def test_ended_calls_leave_nothing_in_memory(world: World) -> None:
    for call in range(1, 6):
        await world.place(f"+1415555020{call}")
        world.outbound.ended(f"CA{call}")
        world.clock.now_s += REPEAT_S
    kept = {name: value for name, value in vars(world.outbound).items() if type(value) is dict}
    assert {name: len(value) for name, value in kept.items()} == {
        "_slots": 0, "_tokens": 0, "_last_s": 1, "_in_flight": 0,
    }  # fmt: skip
