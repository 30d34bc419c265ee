"""The model's session is lost, or not to be had: the caller is not."""

import pytest

from app.simulator.realtime import Fault, RealtimeServer, Reply, Script, Session
from app.simulator.twilio import Callee
from app.wires.realtime.socket import LARGEST_MESSAGE_BYTES
from tests.service.world import names, noise, world

INF = float("inf")
HELLO = Reply("Hello.", audio=noise(100, "hello"), speed=INF)
ANSWER = Reply("We open at nine.", audio=noise(150, "answer"), speed=INF)
AGAIN = Reply("As I said, at nine.", audio=noise(120, "again"), speed=INF)


def seed_of(session: Session) -> list[tuple[str, str]]:
    """What a session was told about the conversation so far."""
    items = [event["item"] for event in session.events_of("conversation.item.create")]
    return [(item["role"], item["content"][0]["text"]) for item in items]


@pytest.mark.parametrize("how", ["drop", "session_expired", "message too big"])
async def test_a_lost_session_is_replaced_and_the_call_goes_on(how: str) -> None:
    async with world(Script(HELLO, ANSWER, AGAIN)) as w:
        call = await w.connected()
        first = await w.model.session()
        await call.wait_quiet()
        first.start_speech()
        first.stop_speech("When do you open?")
        await call.wait_heard(250 * 8)
        await call.wait_quiet()

        w.model.hang()  # no answer for a while
        if how == "drop":
            first.drop()
        elif how == "session_expired":
            first.send_error(how, "It is over.")
        else:
            first.send_raw(bytes(LARGEST_MESSAGE_BYTES + 1))
        await first.closed.wait()
        meanwhile = noise(200, "meanwhile")
        call.say(meanwhile)
        await call.wait_spoken()
        await w.model.resume()
        second = await w.model.session(1)
        await second.until(lambda s: meanwhile in s.heard)

        seed = seed_of(second)
        assert seed[:3] == [
            ("assistant", "Hello."),
            ("user", "When do you open?"),
            ("assistant", "We open at nine."),
        ]
        assert [role for role, _ in seed[3:]] == ["system"]
        order = [event["type"] for event in second.client_events]
        assert order[0] == "session.update"
        # What was said meanwhile is speech to the new session too: it answers.
        await call.wait_heard(370 * 8)
        assert call.heard == b"".join(reply.audio or b"" for reply in (HELLO, ANSWER, AGAIN))
        assert len(call.streams) == 1 and not call.errors
        call.hang_up()
        await call.wait_ended()
        await w.settled()
        record = await w.record(call.call_sid)
        assert names(record).count("ModelLost") == 1
        assert (record["status"], record["ended_by"]) == ("completed", "caller")
        (lost,) = w.log.of("no model session")
        assert how != "message too big" or lost["reason"].endswith("above the limit of 16 MiB")


async def test_what_plays_goes_on_when_the_session_is_lost() -> None:
    long = Reply("A long answer to your question.", audio=noise(600, "long"), speed=INF)
    async with world(Script(long)) as w:
        call = await w.connected()
        first = await w.model.session()
        await call.wait_heard(800)
        first.drop()
        await w.model.session(1)
        await call.wait_quiet()
        assert call.heard == long.audio


@pytest.mark.parametrize(
    ("case", "number"),
    [
        (Fault(refuse_status=401), None),
        (Fault(refuse_status=503), "+14155550123"),
        (Fault(mute=True), None),
        ("insufficient_quota", "+14155550123"),
    ],
)
async def test_a_model_lost_for_good_is_apologised_for(
    case: Fault | str, number: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.call.model.connection.GIVE_UP_MS", 300.0)
    server = RealtimeServer(Script(HELLO))
    async with world(server, transfer_number=number) as w:
        w.line.callee = Callee(presses="1", talks_ms=10)
        call = await w.connected()
        first = await server.session()
        await call.wait_quiet()
        if isinstance(case, Fault):
            server.fault = case
            first.drop()
        else:
            first.send_error(case, "It is over.")
        await call.wait_ended()
        await w.settled()
        assert len(call.said) == 1 and call.said[0].startswith("We are sorry")
        assert [dialed.target for dialed in call.dialed] == ([number] if number else [])
        record = await w.record(call.call_sid)
        assert (record["status"], record["ended_by"]) == ("completed", "model")
        assert not server.open_sessions


async def test_a_model_out_of_reach_from_the_start_is_apologised_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.call.model.connection.GIVE_UP_MS", 300.0)
    async with world(Script(), openai_base_url="http://127.0.0.1:9/v1") as w:
        call = await w.line.call()
        await call.wait_ended()
        assert len(call.said) == 1 and call.said[0].startswith("We are sorry")
        await w.settled()
        assert (await w.record(call.call_sid))["ended_by"] == "model"
