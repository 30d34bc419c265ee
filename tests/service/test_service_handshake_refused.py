"""Media streams that never come: the caller hears words, then an agent, a human or an apology."""

import asyncio
from typing import Any

import pytest

from app.records.replays import replay_call
from app.simulator.realtime import RealtimeServer, Reply, Script
from app.simulator.twilio import Call, Callee
from app.web.twilio import call_webhooks
from tests.service.broken_streams import (
    Handshake,
    Spoils,
    no_websockets,
    spoil,
    unknown_ticket,
    wrong_signature,
)
from tests.service.raw_twilio import CALL_SID, Answer, call_form, raw_stream, request
from tests.service.transfer_world import DESK, desk
from tests.service.twiml_check import check_twiml
from tests.service.world import AGENT, World, decisions, noise, world

INF = float("inf")
HELLO = Reply("Hello.", audio=noise(60, "hello"), speed=INF)
ONE_MOMENT, SORRY = "One moment, please.", "We are sorry"
TAKES = Callee(answers_after_ms=10, presses="1", talks_ms=10)
WITH_HUMAN = desk(name="desk", number=DESK)
QUICK = {"pause_scale": 0.01, "gather_scale": 0.02, "ring_scale": 0.02}

REFUSALS: dict[str, tuple[Spoils, str]] = {
    "a proxy without WebSockets": (no_websockets, "does the proxy pass WebSockets on?"),
    "a wrong signature": (wrong_signature, "TWILIO_AUTH_TOKEN"),
    "an unknown ticket": (unknown_ticket, "does the proxy pass WebSockets on?"),
}


def silence_s(call: Call) -> list[float]:
    """The waits that the TwiML asked for between words, in s of a real line."""
    return [
        float(twiml.partition('length="')[2].partition('"')[0] or 0) for twiml in call.twiml_history
    ]


async def ended(w: World, call: Call) -> dict[str, Any]:
    await call.wait_ended()
    await w.settled()
    for document in call.twiml_history:
        check_twiml(document)
    return await w.record(call.call_sid)


@pytest.mark.parametrize("kind", REFUSALS)
@pytest.mark.parametrize("human", [True, False], ids=["human", "no human"])
async def test_a_caller_whose_every_stream_is_refused_reaches_a_human_or_an_apology(
    kind: str, human: bool
) -> None:
    spoils, cause = REFUSALS[kind]
    async with world(Script(HELLO), agent=WITH_HUMAN if human else AGENT, line=QUICK) as w:
        w.line.callee = TAKES
        tried = spoil(w, spoils)
        call = await w.line.call()
        record = await ended(w, call)

        assert len(tried) == 5 and not call.streams
        assert call.said[:4] == [ONE_MOMENT] * 4 and call.said[4].startswith(SORRY)
        assert max(silence_s(call)) <= 6 and sum(silence_s(call)) < 25
        assert [dialed.status for dialed in call.dialed] == (["completed"] if human else [])
        assert len(w.model.sessions) == 1 and not w.model.open_sessions
        assert (record["status"], record["ended_by"]) == ("completed", "handshake")
        made = decisions(record)
        assert [each for each in made if each[0] == "line given up" and cause in each[1]]
        assert made[-1][0] == (
            "caller transferred to a human" if human else "call ended with an apology"
        )
        logged = [(each["decision"], each["reason"]) for each in w.log.of("call decision")]
        refused = [each for each in made if each[0] == "media socket refused"]
        assert logged == [each for each in made if each not in refused]
        lines = w.log.of("media socket refused")  # one for each, which has the peer as well
        of_call = [line["call_sid"] for line in lines if "call_sid" in line]
        assert of_call == [call.call_sid] * len(refused)
        assert w.switchboard.live_calls == 0


async def test_a_stream_that_works_late_brings_the_whole_greeting_of_the_first_session() -> None:
    async with world(Script(HELLO), line=QUICK) as w:
        tried = spoil(w, no_websockets, times=2)
        call = await w.connected()
        await call.wait_quiet(30)
        assert call.heard == HELLO.audio and call.said == [ONE_MOMENT] * 2
        assert len(tried) == 3 and len(w.model.sessions) == 1
        call.hang_up()
        record = await ended(w, call)
        assert (record["status"], record["ended_by"]) == ("completed", "caller")
        assert [each for each, _ in decisions(record)] == ["media stream tried again"] * 2
        assert replay_call(await w.store.timeline(call.call_sid)).difference is None


async def test_the_words_before_another_try_are_in_the_agents_language() -> None:
    async with world(Script(HELLO), agent=f'language = "de"\n{AGENT}', line=QUICK) as w:
        spoil(w, no_websockets, times=1)
        call = await w.connected()
        assert call.said == ["Einen Moment, bitte."]
        assert 'language="de-DE"' in call.twiml_history[1]


async def test_a_handshake_that_hangs_is_no_reason_to_wait_for_ever() -> None:
    """Twilio gives each of them up by itself, later than a refusal."""

    async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hangs, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    def to_nowhere(handshake: Handshake) -> Handshake:
        return f"ws://127.0.0.1:{port}/media-stream", handshake[1]

    async with server, world(Script(HELLO), line={**QUICK, "handshake_timeout_s": 0.2}) as w:
        spoil(w, to_nowhere)
        call = await w.line.call()
        record = await ended(w, call)
        assert call.said[-1].startswith(SORRY) and record["ended_by"] == "handshake"


# --- accepted, and yet no stream ------------------------------------------------------------------


async def tried(w: World, answer: Answer) -> Answer:
    """The TwiML that Twilio gets when it asks what follows that stream."""
    return await request(w, "/stream-ended", call_form(CallStatus="in-progress"))


def words_of(answer: Answer) -> list[str]:
    return [say.text or "" for say in answer.twiml.findall("Say")]


async def _says_nothing(w: World, url: str) -> None:
    async with raw_stream(w, url) as stream:
        await stream.send({"event": "connected"})
        assert await stream.close_code() == 1008


async def _starts_another_call(w: World, url: str) -> None:
    async with raw_stream(w, url) as stream:
        await stream.start("CA" + "8" * 32)
        assert await stream.close_code() == 1008


async def _closes_at_once(w: World, url: str) -> None:
    async with raw_stream(w, url) as stream:
        await stream.start()
        await stream.receive()
    await w.settled()


STARTS = {
    "no start": (_says_nothing, "no start came within 0.1 s", "handshake"),
    "another call's start": (_starts_another_call, "names another call", "handshake"),
    "closed at once": (_closes_at_once, "media socket closed", "line"),
}


@pytest.mark.parametrize("kind", STARTS)
async def test_a_socket_that_carries_no_call_again_and_again_is_given_up_with_words(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_webhooks, "START_S", 0.1)
    use, cause, ended_by = STARTS[kind]
    async with world(RealtimeServer(lambda turn: HELLO)) as w:
        answer = await request(w)
        said = []
        for _ in range(5):
            await use(w, answer.stream_url)
            answer = await tried(w, answer)
            said.append(words_of(answer))
        first = [] if kind == "closed at once" else [ONE_MOMENT]
        assert said[:4] == [first, [ONE_MOMENT], [ONE_MOMENT], [ONE_MOMENT]]
        assert said[4][0].startswith(SORRY) and check_twiml(answer.body) == ["Say", "Hangup"]
        await w.settled()
        record = await w.record(CALL_SID)
        assert (record["status"], record["ended_by"]) == ("completed", ended_by)
        (given_up,) = [reason for made, reason in decisions(record) if made == "line given up"]
        assert cause in given_up
        assert len(w.model.sessions) == (5 if kind == "closed at once" else 1)


async def test_keys_are_not_pressed_again_because_the_stream_after_them_was_refused() -> None:
    digits = "12w34" * 20
    keys = Reply(tool_calls=[("send_digits", {"digits": digits})])
    script = Script(HELLO, keys, HELLO)
    async with world(script, line=QUICK) as w:
        call = await w.connected()
        await call.wait_quiet()
        spoil(w, no_websockets, times=2)
        session = await w.model.session()
        session.start_speech()
        session.stop_speech("Press them.")
        await call.wait_connected(2)
        assert call.played == [digits] and call.said == [ONE_MOMENT] * 2
        second = await w.model.session(1)
        await second.until(lambda s: bool(s.events_of("response.create")))
        told = [event["item"] for event in second.events_of("conversation.item.create")]
        assert "The keys were pressed." in str(told)
        call.hang_up()
        assert (await ended(w, call))["ended_by"] == "caller"
