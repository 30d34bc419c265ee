"""Volcengine's v3 sessions: canceled ones, failed ones, and other sessions' events."""

import asyncio
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from app.errors import VoiceError
from app.simulator.voices.mouth import tones
from app.wires.voices.volcengine.v3_sessions import headers
from tests.wires.voices.volcengine.volcengine_line import (
    APP,
    HELLO,
    SLOW,
    SPEAKER,
    TOKEN,
    at_once,
    background,
    line_to,
    settings,
    spoken,
    volcengine,
)
from tests.wires.voices.volcengine.volcengine_peer import (
    LOGID,
    Peer,
    event,
    failure,
    peer,
    sessions,
)

FINISHED = b'{"status_code":20000000,"message":"ok"}'


async def says(socket: ServerConnection, session: str) -> None:
    for frame in (
        event(350, session, b"{}"),
        event(352, session, b"abc"),
        event(352, session, b""),
        event(352, session, b"d", compress=True),
        event(351, session, b"{}"),
        event(154, session, b'{"usage":{}}'),
        event(359, session, b"{}"),
        event(152, session, FINISHED),
    ):
        await socket.send(frame)


async def test_only_audio_events_give_sound() -> None:
    async with peer(sessions(says)) as service, line_to(service.url, "v3") as line:
        assert await spoken(line.say(HELLO)) == b"abcd"
        assert await spoken(line.say(HELLO)) == b"abcd"
    assert service.connections == 1


async def test_another_sessions_sound_is_ignored() -> None:
    async def mixed(socket: ServerConnection, session: str) -> None:
        await socket.send(event(352, "another", b"XX"))
        await socket.send(event(153, "another", b"{}"))
        await socket.send(event(152, "another", FINISHED))
        await says(socket, session)
        await socket.send(event(352, session, b"too late"))

    async with peer(sessions(mixed)) as service, line_to(service.url, "v3") as line:
        assert await spoken(line.say(HELLO)) == b"abcd"
        assert await spoken(line.say(HELLO)) == b"abcd"
    assert service.connections == 1


# --- canceled -------------------------------------------------------------------------------------


async def test_a_dropped_session_is_canceled_and_its_connection_reused() -> None:
    async with (
        volcengine(plan=lambda _: SLOW) as stand_in,
        line_to(stand_in.url, "v3") as line,
    ):
        for _ in range(3):
            sounds = line.say(HELLO)
            await anext(sounds)
            at_once(sounds)
            await asyncio.gather(*background())
    assert stand_in.heard.connections == 1
    assert [said.dropped for said in stand_in.heard.said] == [True] * 3


async def test_late_sound_of_a_canceled_session_is_ignored() -> None:
    async def late(socket: ServerConnection, session: str) -> None:
        await socket.send(event(352, session, b"abcd"))
        assert await Peer([]).event(socket) == (101, session, {})
        await socket.send(event(352, session, b"XX"))
        await socket.send(event(151, session, b"{}"))
        await socket.send(event(352, session, b"XX"))

    async with peer(sessions(late, says)) as service, line_to(service.url, "v3") as line:
        sounds = line.say(HELLO)
        assert (await anext(sounds)).pcm == b"abcd"
        at_once(sounds)
        await asyncio.gather(*background())
        assert await spoken(line.say(HELLO)) == b"abcd"
    assert service.connections == 1


async def test_session_finished_counts_as_an_answer_to_cancel() -> None:
    async def ends(socket: ServerConnection, session: str) -> None:
        await socket.send(event(352, session, b"abcd"))
        await Peer([]).event(socket)
        await socket.send(event(152, session, FINISHED))

    async with peer(sessions(ends, says)) as service, line_to(service.url, "v3") as line:
        sounds = line.say(HELLO)
        await anext(sounds)
        at_once(sounds)
        await asyncio.gather(*background())
        assert await spoken(line.say(HELLO)) == b"abcd"
    assert service.connections == 1


@pytest.mark.parametrize("answer", [None, failure(55000000, b"no"), event(153, "s", b"{}")])
async def test_a_connection_is_closed_if_cancel_is_not_answered(
    answer: bytes | None,
) -> None:
    gone = asyncio.Event()

    async def deaf(socket: ServerConnection, session: str) -> None:
        await socket.send(event(352, session, b"abcd"))
        await Peer([]).event(socket)
        if answer is not None:
            await socket.send(answer)
        await socket.wait_closed()
        gone.set()

    async with peer(sessions(deaf), sessions(says)) as service, line_to(service.url, "v3") as line:
        sounds = line.say(HELLO)
        await anext(sounds)
        at_once(sounds)
        assert await spoken(line.say(HELLO)) == b"abcd"
        await gone.wait()
    assert service.connections == 2


async def test_a_session_that_has_not_started_yet_is_canceled_too() -> None:
    asked, canceled = asyncio.Event(), asyncio.Event()

    async def never_starts(socket: ServerConnection, session: str) -> None:
        asked.set()
        assert await Peer([]).event(socket) == (101, session, {})
        canceled.set()
        await socket.send(event(151, session, None))

    async with peer(sessions(never_starts, starts=False)) as service:
        async with line_to(service.url, "v3") as line:
            saying = asyncio.create_task(spoken(line.say(HELLO)))
            await asked.wait()
            saying.cancel()
            await canceled.wait()
            assert saying.cancelled()


# --- failed ---------------------------------------------------------------------------------------


def ends_with(frame: Any) -> Any:
    async def say(socket: ServerConnection, session: str) -> None:
        await socket.send(frame(session))

    return say


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (lambda s: event(153, s, b'{"status_code":45002001,"message":"no text"}'), "text"),
        (lambda s: event(153, s, b'{"status_code":45000001,"message":"bad"}'), "fatal"),
        (lambda s: event(153, s, b"{}"), "passing"),
        (lambda s: event(153, s, None), "passing"),
        (lambda s: event(152, s, b'{"status_code":40402003,"message":"exceed"}'), "text"),
        (lambda s: event(151, s, b"{}"), "passing"),
        (lambda s: event(52, "conn-1", b"{}"), "passing"),
        (lambda s: event(51, None, b'{"status_code":45000000}'), "fatal"),
        (lambda s: failure(45000292, b'{"error":"quota"}'), "passing"),
        (lambda s: failure(45000000, b"quota exceeded for types: concurrency"), "passing"),
        (lambda s: failure(55000000, b"resource ID is mismatched with speaker"), "fatal"),
        (lambda s: failure(55000000, b"oops", compress=True), "passing"),
    ],
)
async def test_a_failed_session_has_a_kind(frame: Any, kind: str) -> None:
    async with peer(sessions(ends_with(frame))) as service, line_to(service.url, "v3") as line:
        with pytest.raises(VoiceError) as failed:
            await spoken(line.say(HELLO))
    assert failed.value.kind == kind
    assert service.connections == 1


@pytest.mark.parametrize(
    "frame",
    [
        event(51, "conn-1", b'{"status_code":45000000,"message":"no"}'),
        event(51, None, b'{"status_code":45000000,"message":"no"}'),
        failure(45000000, b"no"),
    ],
)
async def test_connection_failed_is_reported_with_its_code(frame: bytes) -> None:
    async def answer(_told: Peer, socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(frame)
        await socket.wait_closed()

    async with peer(answer) as service, line_to(service.url, "v3") as line:
        await line.prepare()
        with pytest.raises(VoiceError, match=f"code 45000000, 'no', logid {LOGID}") as failed:
            await spoken(line.say(HELLO))
    assert failed.value.kind == "fatal"


async def test_an_error_on_an_idle_connection_opens_a_new_one() -> None:
    async def idles_out(socket: ServerConnection, session: str) -> None:
        await says(socket, session)
        await socket.send(failure(55000000, b"client send timeout"))

    async with peer(sessions(idles_out), sessions(says)) as service:
        async with line_to(service.url, "v3") as line:
            assert await spoken(line.say("One.")) == b"abcd"
            assert await spoken(line.say("Two.")) == b"abcd"
    assert service.connections == 2


# --- settings -------------------------------------------------------------------------------------


def test_the_headers_hold_app_id_and_token_or_an_api_key() -> None:
    old = headers(settings("", "v3"))
    assert (old["X-Api-App-Key"], old["X-Api-Access-Key"]) == (APP, TOKEN)
    assert old["X-Api-Resource-Id"] == "seed-tts-1.0"
    new = headers(settings("", "v3", api_key="KEY", resource_id="seed-tts-2.0"))
    assert (new["X-Api-Key"], new["X-Api-Resource-Id"]) == ("KEY", "seed-tts-2.0")
    assert "X-Api-App-Key" not in new and "X-Api-Access-Key" not in new
    assert old["X-Api-Connect-Id"] != new["X-Api-Connect-Id"]


async def test_an_api_key_is_enough() -> None:
    only = {"app_id": "", "access_token": "", "api_key": TOKEN}
    async with volcengine() as stand_in, line_to(stand_in.url, "v3", **only) as line:
        assert await spoken(line.say(HELLO)) == tones(HELLO, 8000).pcm


async def test_only_the_given_settings_are_sent() -> None:
    async with peer(sessions(says)) as service, line_to(service.url, "v3", uid="me") as line:
        await spoken(line.say(HELLO))
    assert service.requests == [
        {
            "user": {"uid": "me"},
            "event": 100,
            "namespace": "BidirectionalTTS",
            "req_params": {
                "speaker": SPEAKER,
                "audio_params": {"format": "pcm", "sample_rate": 8000},
            },
        }
    ]
    sound = {"emotion": "happy", "emotion_scale": 4, "speech_rate": -50, "loudness_rate": 0}
    params = {"model": "seed-tts-1.1", "additions": '{"explicit_language":"en"}'}
    async with peer(sessions(says)) as service:
        changes: dict[str, Any] = sound | params | {"rate": 16000}
        async with line_to(service.url, "v3", **changes) as line:
            await spoken(line.say(HELLO), hz=16000)
    rest = {"format": "pcm", "sample_rate": 16000}
    sent = service.requests[0]["req_params"]
    assert sent == {"speaker": SPEAKER, "audio_params": rest | sound} | params
