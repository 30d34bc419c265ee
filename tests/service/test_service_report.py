"""A whole call, and the report that its owner gets: signed, with a summary of the model's own."""

import pytest
from standardwebhooks import Webhook as Verifier

from app.simulator.realtime import Options, Script
from tests.records.after_call_scene import Owner, an_owner
from tests.service.wire_types import check_client_event
from tests.service.world import AGENT, World, world

SECRET = "whsec_c2lnbmVkIGJ5IHRoZSBicmlkZ2U="
BYTES_PER_CHARACTER = Options().ms_per_character * 8  # of the voice that the model makes up
WITH_SUMMARY = AGENT.replace("[turns]", "[after_call]\nsummary = true\n[turns]")


async def a_short_call(w: World) -> str:
    call = await w.connected()
    session = await w.model.session()
    await call.wait_quiet(1)
    session.start_speech()
    session.stop_speech("Two pizzas, please.")
    await call.wait_heard(len("Hello.They") * BYTES_PER_CHARACTER)
    call.hang_up()
    await call.wait_ended()
    return call.call_sid


async def told_of(owner: Owner, w: World) -> None:
    call_sid = await a_short_call(w)
    report = await owner.report()
    record = await w.record(call_sid)
    del record["events"]
    assert report["data"] == record
    ((headers, body),) = owner.requests
    assert headers["webhook-id"] == f"call_{call_sid}"
    assert Verifier(SECRET).verify(body, headers) == report


async def test_the_report_to_the_owner_shows_a_call_as_the_api_does() -> None:
    script = Script("Hello.", "They come.")
    async with an_owner() as owner:
        async with world(script, call_webhook_url=owner.url, call_webhook_secret=SECRET) as w:
            await told_of(owner, w)
            assert len(w.model.sessions) == 1


async def test_the_report_to_the_owner_has_the_summary_of_the_call() -> None:
    script = Script("Hello.", "They come.", "They want two pizzas.")
    async with an_owner() as owner:
        async with world(
            script, agent=WITH_SUMMARY, call_webhook_url=owner.url, call_webhook_secret=SECRET
        ) as w:
            await told_of(owner, w)
            summary = await w.model.session(1)
            await summary.closed.wait()
            for event in summary.client_events:
                check_client_event(event)
            assert "2. caller: Two pizzas, please." in (script.turns[-1].items[0].text or "")
        told = owner.requests[0][1]

    assert b'"summary": "They want two pizzas."' in told


@pytest.mark.parametrize("agent", [AGENT, WITH_SUMMARY])
async def test_without_an_address_nothing_is_sent_and_a_summary_is_made_if_asked_for(
    agent: str,
) -> None:
    async with world(Script("Hello.", "They come.", "They want two pizzas."), agent=agent) as w:
        call_sid = await a_short_call(w)
        if agent is AGENT:
            await w.settled()
            assert len(w.model.sessions) == 1
            assert await w.store.report_queue.state(call_sid) is None
        else:
            summary = await w.model.session(1)
            await summary.closed.wait()
            while await w.store.report_queue.state(call_sid) != "kept":
                pass
            assert (await w.record(call_sid))["summary"] == "They want two pizzas."
