"""What a leg passes on to the next one of its call."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.bridge.leg.leg import Leg
from app.bridge.leg.seed import LegSeed, first_seed
from app.bridge.services import Services
from app.bridge.voice_paces import VoicePaces
from app.call import commands as do
from app.call import events as ev
from app.call.events import STREAM_LOST, ResumeCause
from app.call.words.word_times import Pace
from app.config.settings import Settings
from app.records.carried import Placed
from app.records.stored_call import StoredCall, read_stored_call
from app.wires.twilio.call import CallInfo

CALL = CallInfo("CA1", "AC1", "inbound", "+14155550101", "+14155550102")
BASE = "https://bridge.example.com"
SAID = (("assistant", "Hello."), ("user", "My parcel is late."))


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    values = {
        "openai_api_key": "the model's key",
        "openai_base_url": "http://127.0.0.1:9/v1",  # nothing listens there
        "database_url": f"sqlite:///{tmp_path / 'calls.db'}",
        "recordings_dir": tmp_path,
    }
    opened = await Services.open(Settings(_env_file=None, **values))  # type: ignore[call-arg,arg-type]
    yield opened
    await opened.aclose()


async def no_redirect(leg: Leg, command: do.TransferCall | do.PlayDigits) -> None:
    raise AssertionError("no call is redirected here")


def open_leg(seed: LegSeed, services: Services) -> Leg:
    return Leg(seed, services, no_redirect)


async def ended_leg(seed: LegSeed, services: Services) -> Leg:
    """A leg whose stream was lost before its model was there."""
    leg = open_leg(seed, services)
    leg.begin()
    running = asyncio.create_task(leg.run())
    leg.feed(ev.StreamEnded("lost", lost=True))
    await running
    return leg


async def test_a_new_call_starts_with_nothing(services: Services) -> None:
    seed = first_seed(CALL, services, BASE)
    opened = seed.opening()
    assert (opened.history, opened.tool, opened.secret_entry_open) == ((), "", False)
    assert (seed.detected, seed.earlier_transfers, seed.secrets) == (None, (), frozenset())
    assert seed.agent is services.agent.agent and seed.resume_cause is STREAM_LOST


async def test_a_call_of_another_process_goes_on_from_its_record(services: Services) -> None:
    transfers: list[dict[str, Any]] = [{"destination": "desk", "outcome": "busy"}]
    stored = StoredCall(SAID, turns=2, entries=9, transfers=transfers, age_s=60.0)
    cause = ResumeCause("transfer_to_human", "call_1", "busy")
    first = first_seed(CALL, services, BASE, stored=stored, resume_cause=cause)
    leg = await ended_leg(first, services)
    opened = leg.seed.opening()
    assert opened.history == SAID
    assert (opened.tool, opened.call_id, opened.output) == ("transfer_to_human", "call_1", "busy")

    later = leg.next_seed()
    *before, (role, result) = later.history
    assert tuple(before) == SAID and role == "system" and "busy" in result
    assert later.opening().tool == ""
    assert later.earlier_transfers == tuple(transfers)  # also when the first leg transfers no one
    assert later.began_s == leg.seed.began_s and later.recorder is leg.seed.recorder


@pytest.mark.parametrize("cause", [STREAM_LOST, ResumeCause("transfer_to_human", "call_1", "busy")])
async def test_a_transfer_ends_a_secret_entry_and_a_lost_stream_does_not(
    services: Services, cause: ResumeCause
) -> None:
    stored = StoredCall(SAID, secret_entry_open=True)
    seed = first_seed(CALL, services, BASE, stored=stored, resume_cause=cause)
    assert seed.opening().secret_entry_open is (cause == STREAM_LOST)


async def test_the_next_leg_has_what_the_call_learned_and_not_what_others_did(
    services: Services,
) -> None:
    shared = VoicePaces(1)
    services = dataclasses.replace(services, paces=shared)
    leg = await ended_leg(first_seed(CALL, services, BASE), services)
    shared.call_ended([Pace((400.0,))])  # another call's
    assert leg.next_seed().paces == leg.seed.paces == (Pace(),)
    assert first_seed(CALL, services, BASE).paces == (Pace((400.0,)),)
    assert first_seed(CALL, services, BASE).opening().whole_frames


async def test_a_voicemail_that_is_reached_after_the_leg_is_left_on_the_next_one(
    services: Services,
) -> None:
    leg = open_leg(first_seed(CALL, services, BASE), services)
    reached = ev.CalleeDetected("machine_end_beep", "Please call back.")
    leg.keep_for_next_leg(reached)
    leg.keep_for_next_leg(ev.CalleeDetected("human"))
    assert leg.next_seed().detected == reached


async def test_what_a_leg_showed_of_who_answered_outlasts_it(services: Services) -> None:
    leg = open_leg(first_seed(CALL, services, BASE), services)
    assert leg.next_seed().opening().shown == "no evidence"
    leg.feed(ev.DigitPressed("1"))
    assert leg.next_seed().opening().shown == "key pressed"


async def stored(services: Services, **values: Any) -> StoredCall:
    """What is stored of `CALL`, for the next process."""
    services.store.save_call(CALL.call_sid, **values)
    await services.store.flush()
    found = await read_stored_call(services.store, CALL.call_sid)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("over", [False, True])
async def test_a_message_for_an_answering_machine_is_known_after_a_restart(
    services: Services, over: bool
) -> None:
    leg = open_leg(first_seed(CALL, services, BASE), services)
    leg.begin()
    reached = ev.CalleeDetected("machine_end_beep", "Ann, call us back.")
    if over:
        leg.feed(ev.StreamEnded("lost", lost=True))
        leg.keep_for_next_leg(reached)
    else:
        leg.feed(reached)
    # The process is killed here: the leg stores nothing more.
    before = await stored(services, answered_by="machine_end_beep")
    seed = first_seed(CALL, services, BASE, stored=before)
    assert (seed.detected, seed.shown) == (reached, "no evidence")


@pytest.mark.parametrize("over", [False, True])
async def test_a_verdict_that_evidence_outranks_does_so_after_a_restart(
    services: Services, over: bool
) -> None:
    leg = open_leg(first_seed(CALL, services, BASE), services)
    leg.begin()
    leg.feed(ev.DigitPressed("1"))
    detected = ev.CalleeDetected("machine_end_silence", "Ann, call us back.")
    if over:
        leg.feed(ev.StreamEnded("lost", lost=True))
        leg.keep_for_next_leg(detected)
    else:
        leg.feed(detected)
    before = await stored(services, answered_by="machine_end_silence")
    seed = first_seed(CALL, services, BASE, stored=before)
    assert (seed.detected, seed.shown) == (detected, "key pressed")


@pytest.mark.parametrize("answered_by", ["machine_end_beep", "fax", "human", None])
async def test_a_verdict_that_only_the_record_knows_comes_with_the_agents_message(
    services: Services, answered_by: str | None
) -> None:
    first_seed(CALL, services, BASE)
    before = await stored(services, answered_by=answered_by)
    outbound = dataclasses.replace(services.agent.agent.outbound, voicemail="Call us back.")
    agent = dataclasses.replace(services.agent.agent, outbound=outbound)
    expected = ev.CalleeDetected(answered_by, "Call us back.") if answered_by else None
    assert first_seed(CALL, services, BASE, agent=agent, stored=before).detected == expected


async def test_another_agent_may_go_on(services: Services) -> None:
    leg = open_leg(first_seed(CALL, services, BASE), services)
    other = services.agent.agent.calling("Good morning.", "")
    assert leg.next_seed().agent is leg.seed.agent
    assert leg.next_seed(agent=other).agent is other


async def test_a_seed_shows_no_secret(services: Services) -> None:
    seed = dataclasses.replace(first_seed(CALL, services, BASE), secrets=frozenset({"sesame"}))
    assert "sesame" not in repr(seed)
    with pytest.raises(dataclasses.FrozenInstanceError):
        seed.secrets = frozenset()  # type: ignore[misc]


# --- what a killed process left in the record -----------------------------------------------------


async def test_keys_that_were_typed_go_on_in_another_process(services: Services) -> None:
    leg = await talking_leg(services)
    for digit in "407":
        leg.feed(ev.DigitPressed(digit))
    seed = first_seed(CALL, services, BASE, stored=await stored(services))
    assert seed.opening().entry is not None and seed.opening().entry == leg.next_seed().entry
    assert seed.entry is not None and seed.entry.digits == "407"


async def test_keys_that_were_typed_outlast_a_process_that_never_got_a_stream(
    services: Services,
) -> None:
    leg = await talking_leg(services)
    leg.feed(ev.DigitPressed("4"))
    between = open_leg(first_seed(CALL, services, BASE, stored=await stored(services)), services)
    between.begin()
    between.feed(ev.SayRequested("One moment."))  # saves what is carried
    seed = first_seed(CALL, services, BASE, stored=await stored(services))
    assert seed.entry is not None and seed.entry.digits == "4"


async def test_orders_that_were_accepted_are_carried_out_in_another_process(
    services: Services,
) -> None:
    leg = await talking_leg(services)
    leg.feed(ev.SayRequested("Your table is ready."))
    seed = first_seed(CALL, services, BASE, stored=await stored(services))
    assert seed.orders == (ev.SayRequested("Your table is ready."),)
    other = open_leg(seed, services)
    assert other.orders.open == seed.orders
    leg.feed(ev.StreamEnded("lost", lost=True))
    leg.next_seed()
    seed = first_seed(CALL, services, BASE, stored=await stored(services))
    assert seed.orders == (ev.SayRequested("Your table is ready."),)


async def test_an_outbound_call_is_about_the_same_in_another_process(services: Services) -> None:
    placed = Placed("token", "Hello Ann.", "Call us back.", "her table")
    called = dataclasses.replace(CALL, direction="outbound-api")
    first_seed(called, services, BASE)
    before = await stored(
        services, direction="outbound-api", placed=placed.as_data(), answered_by="machine_end_beep"
    )
    seed = first_seed(called, services, BASE, stored=before)
    assert seed.agent.greeting == "Hello Ann." and "her table" in seed.agent.instructions
    assert seed.detected == ev.CalleeDetected("machine_end_beep", "Call us back.")


@pytest.mark.parametrize(
    ("story", "tool", "said"),
    [
        ([], "", ""),
        ([do.PlayDigits("call_7", "1w2")], "send_digits", "call_7"),
        ([do.TransferCall("call_8", ("desk",), "", "", True)], "transfer_to_human", "call_8"),
        ([do.PlayDigits("call_7", "1"), ev.RedirectFailed("refused")], "", ""),
        ([do.PlayDigits("call_7", "1"), ev.LegOpened()], "", ""),
    ],
)
async def test_why_the_caller_left_the_agent_is_known_to_another_process(
    services: Services, story: list[ev.Event | do.Command], tool: str, said: str
) -> None:
    seed = first_seed(CALL, services, BASE)
    for each in story:  # the recorder stores what redirects a call at once
        if type(each).__module__ == ev.__name__:
            seed.recorder.event(each, 1.0)  # type: ignore[arg-type]
        else:
            seed.recorder.command(each, 1.0)  # type: ignore[arg-type]
    seed.recorder.save_timeline()
    attempts = [{"destination": "desk", "outcome": "busy", "call_id": "call_8", "first": 0}]
    before = await stored(services, transfers=attempts)
    opened = first_seed(CALL, services, BASE, stored=before).opening()
    assert (opened.tool, opened.call_id) == (tool, said)
    assert ("desk: busy" in opened.output) == (tool == "transfer_to_human")


# --- the losing side ------------------------------------------------------------------------------


async def test_a_leg_that_another_process_has_writes_nothing_more(services: Services) -> None:
    leg = await talking_leg(services)
    running = asyncio.create_task(leg.run())
    await services.store.flush()
    leg.lose()
    leg.feed(ev.DigitPressed("4"))
    leg.save_transfers([{"destination": "desk", "outcome": "busy"}])
    leg.record_decision("too late", "another process has the call")
    leg.finish_record()
    leg.close_record()
    await running
    await services.store.flush()
    row = await services.store.get_call(CALL.call_sid)
    assert row is not None
    assert (row.status, row.ended_at, row.ended_by) == ("in-progress", None, None)
    assert (row.transfers, row.carried) == ([], {})
    entries = await services.store.timeline(CALL.call_sid)
    assert not {"DigitPressed", "DecisionMade", "EndLeg"} & {entry.name for entry in entries}


async def talking_leg(services: Services) -> Leg:
    """A leg whose stream has started and whose model is not there. Its process does not run it, so
    that nothing is stored but what is stored at once."""
    leg = open_leg(first_seed(CALL, services, BASE), services)
    leg.begin()
    leg.feed(ev.StreamStarted("MZ1"))
    return leg
