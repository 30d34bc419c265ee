"""A token in a webhook's URL is for one call that we placed: what names another call is refused."""

from app.simulator.realtime import RealtimeServer, Reply
from app.simulator.twilio import Callee
from tests.service.api import ANN, OURS, place
from tests.service.raw_twilio import CALL_SID, call_form, request
from tests.service.world import AGENT, World, noise, world

HELLO = Reply("Hello.", audio=noise(60, "hello"), speed=float("inf"))
BOB = "+14155550124"


def paths(w: World, number: int) -> list[str]:
    """Where Twilio asks about the call that was placed as this one."""
    orders = [r for r in w.line.rest_requests if r.path.endswith("/Calls.json")]
    form = orders[number].form
    urls = [form["Url"], form["AsyncAmdStatusCallback"]]
    return [f"/{url.partition('://')[2].partition('/')[2]}" for url in urls]


async def test_what_is_signed_for_one_call_is_good_for_no_other() -> None:
    async with world(
        RealtimeServer(lambda _: HELLO),
        agent=AGENT,
        twilio_phone_number=OURS,
        line={"ring_scale": 60},
    ) as w:
        w.line.callee = Callee("no-answer")  # both ring on
        ann = (await place(w, ANN)).body["call_sid"]
        bob = (await place(w, BOB)).body["call_sid"]
        await request(w, form=call_form())  # and a caller is there
        for number, others in ((0, (bob, CALL_SID)), (1, (ann, CALL_SID))):
            for path in paths(w, number):
                for other in others:
                    form = call_form(other, Direction="outbound-api", AnsweredBy="fax")
                    assert (await request(w, path, form)).status == 403
        await w.store.flush()
        for call_sid in (ann, bob):
            assert (await w.record(call_sid))["answered_by"] is None
        assert len(w.log.of("webhook that names another call refused")) == 8

        url, detected = paths(w, 0)
        form = call_form(ann, Direction="outbound-api", AnsweredBy="human")
        assert (await request(w, detected, form)).status == 204
        answer = await request(w, url, form)
        assert answer.status == 200 and answer.ticket
        assert (await request(w, url, form)).status == 200  # as often as Twilio asks
        for call_sid in (ann, bob, CALL_SID):
            await request(w, "/call-status", {"CallSid": call_sid, "CallStatus": "completed"})
        await w.settled()
        assert (await w.record(ann))["answered_by"] == "human"
