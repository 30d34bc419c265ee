"""A custom HTTP voice: its requests, its sound, its connections, dropped texts."""

import asyncio
import json
import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
import uvloop
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.errors import VoiceError
from app.simulator.voices.http import HttpStandIn
from app.simulator.voices.mouth import Plan, tones
from app.wires.voices import connect
from app.wires.voices.http.settings import HttpSettings
from app.wires.voices.http.voice import HttpVoice
from app.wires.voices.voice import Sounds, VoiceLine, with_deadlines
from tests.wires.voices.bare_http_server import bare_server
from tests.wires.voices.threaded_http_server import threaded_server

TEXT = "One moment please, I will look that up for you."
PCM = tones(TEXT, 8000).pcm


@asynccontextmanager
async def voice_at(url: str, **settings: Any) -> AsyncIterator[HttpVoice]:
    voice = HttpVoice(HttpSettings(url, **settings))
    try:
        yield voice
    finally:
        await voice.aclose()


async def heard(line: VoiceLine, text: str = TEXT) -> bytes:
    return b"".join([sound.pcm async for sound in with_deadlines(line.say(text))])


# --- requests -------------------------------------------------------------------------------------


async def test_the_request_is_as_the_standard_defines_it() -> None:
    bodies: list[tuple[str, str]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        bodies.append((request.headers["Content-Type"], await request.text()))
        return web.Response(body=b"\0\0\0\0")

    everything = {
        "token": "TOKEN_PLACEHOLDER",
        "voice_id": "VOICE_PLACEHOLDER",
        "emotion": "happy",
        "user_data": '{"k":"v"}',
    }
    async with server_that(answer) as url, voice_at(url, **everything) as voice:
        await heard(voice.line(), "One moment please.")

    ((kind, text),) = bodies
    assert kind == "application/json"
    sent = json.loads(text)
    extended = json.loads(sent["ExtendData"])
    assert list(sent) == ["Text", "VoiceId", "SampleRate", "Token", "ExtendData"]
    assert extended.pop("InstanceId") and extended.pop("ChannelId")
    assert extended == {"SentenceId": 0, "Emotion": "happy", "UserData": '{"k":"v"}'}
    assert {**sent, "ExtendData": ""} == {
        "Text": "One moment please.",
        "VoiceId": "VOICE_PLACEHOLDER",
        "SampleRate": 8000,
        "Token": "TOKEN_PLACEHOLDER",
        "ExtendData": "",
    }


async def test_only_the_given_settings_are_sent() -> None:
    async with HttpStandIn() as server, voice_at(server.url) as voice:
        await heard(voice.line())

    (request,) = server.requests  # the stand-in takes no field that the standard has not
    assert request.keys() == {"Text", "SampleRate", "ExtendData"}
    assert request["ExtendData"].keys() == {"InstanceId", "ChannelId", "SentenceId"}


@pytest.mark.parametrize("encoding", ["json", "form"])
async def test_a_text_is_posted_in_the_encoding_that_the_server_reads(encoding: str) -> None:
    kinds: list[str] = []

    class Server(HttpStandIn):
        async def _stream_audio(self, request: web.Request) -> web.StreamResponse:
            kinds.append(request.content_type)
            return await super()._stream_audio(request)

    text = "Ja & nein = 50 % 你好 👍"
    async with Server(lambda _, hz: tones("a", hz), token="t & 1") as server:
        more = {"token": "t & 1", "voice_id": "Ann", "emotion": "sad", "user_data": '{"k":"é&"}'}
        async with voice_at(server.url, body=encoding, **more) as voice:
            assert await heard(voice.line(), text) == tones("a", 8000).pcm

    (request,) = server.requests
    extended = request.pop("ExtendData")
    assert request == {"Text": text, "VoiceId": "Ann", "SampleRate": 8000, "Token": "t & 1"}
    assert (extended["Emotion"], extended["UserData"]) == ("sad", '{"k":"é&"}')
    assert kinds == [f"application/{'json' if encoding == 'json' else 'x-www-form-urlencoded'}"]


async def test_half_a_character_is_left_out_of_a_form() -> None:
    async with HttpStandIn(lambda _, hz: tones("a", hz)) as server:
        async with voice_at(server.url, body="form") as voice:
            await heard(voice.line(), "One\ud83d moment")
    assert server.requests[0]["Text"] == "One moment"


async def test_each_line_has_its_own_ids_and_an_answer_one_sentence_id() -> None:
    async with HttpStandIn() as server, voice_at(server.url) as voice:
        ann, ben = voice.line(), voice.line()
        for line, answer in ((ann, 1), (ben, 1), (ann, 1), (ann, 2)):
            async for _ in line.say("One moment please.", answer=answer):
                pass

    first, other, second, third = (request["ExtendData"] for request in server.requests)
    assert (first["SentenceId"], other["SentenceId"]) == (1, 1)
    assert (second["SentenceId"], third["SentenceId"]) == (1, 2)
    assert first["InstanceId"] == second["InstanceId"] != other["InstanceId"]
    assert first["ChannelId"] == second["ChannelId"] != other["ChannelId"]


async def test_a_gateways_headers_are_sent() -> None:
    seen: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.extend([request.headers["X-Api-Key"], request.headers["Accept"]])
        return web.Response(body=b"\0\0\0\0")

    async with (
        server_that(answer) as url,
        voice_at(url, headers=(("X-Api-Key", "key"),)) as voice,
    ):
        await heard(voice.line())
    assert seen == ["key", "*/*"]


@pytest.mark.parametrize("text", ['Say "yes" \\ no.\n', "你好,请稍等。", "naïve 👍", "\x00\x1f"])
async def test_a_text_of_any_script_is_sent_unchanged(text: str) -> None:
    async with HttpStandIn(lambda _, hz: tones("a", hz)) as server, voice_at(server.url) as voice:
        await heard(voice.line(), text)
    assert server.requests[0]["Text"] == text


async def test_the_label_is_the_voice_id_or_the_host() -> None:
    named = HttpVoice(HttpSettings("https://tts.example.com/say?key=1", voice_id="Ann"))
    unnamed = HttpVoice(HttpSettings("https://tts.example.com/say?key=1"))

    assert (named.label, unnamed.label) == ("http/Ann", "http/tts.example.com")


# --- sound ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("hz", [8000, 16000, 24000, 48000])
async def test_the_sound_has_the_requested_rate(hz: int) -> None:
    async with HttpStandIn(token="t") as server:
        async with voice_at(server.url, sample_rate=hz, token="t") as voice:
            sounds = [sound async for sound in voice.line().say(TEXT)]

    assert {sound.hz for sound in sounds} == {hz}
    assert all(sound.pcm and len(sound.pcm) % 2 == 0 for sound in sounds)
    assert b"".join(sound.pcm for sound in sounds) == tones(TEXT, hz).pcm


@pytest.mark.parametrize("size", [1, 3, 333, 4096])
async def test_chunks_that_end_within_a_sample_are_reassembled(size: int) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "audio/x-wav"})
        await response.prepare(request)
        for start in range(0, 9000, size):
            await response.write(PCM[start : min(start + size, 9000)])
            if start % 7 == 0:
                await asyncio.sleep(0)  # so that many chunks are received one by one
        return response

    async with server_that(answer) as url, voice_at(url) as voice:
        sounds = [sound.pcm async for sound in voice.line().say(TEXT)]

    assert b"".join(sounds) == PCM[:9000]
    assert all(len(pcm) % 2 == 0 for pcm in sounds)


async def test_half_a_sample_at_the_end_is_dropped_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with server_that(says(b"\1\2\3\4\5")) as url, voice_at(url) as voice:
        assert await heard(voice.line()) == b"\1\2\3\4"
    assert "ended in mid-sample" in caplog.text


async def test_a_single_sample_is_sound() -> None:
    async with server_that(says(b"\1\2")) as url, voice_at(url) as voice:
        assert await heard(voice.line()) == b"\1\2"


async def test_an_mp3s_sync_word_is_a_valid_sample() -> None:
    async with server_that(says(b"\xff\xfb\x90\x00" * 10)) as url, voice_at(url) as voice:
        assert await heard(voice.line()) == b"\xff\xfb\x90\x00" * 10


# --- connections ----------------------------------------------------------------------------------


async def test_consecutive_texts_use_the_connection_that_was_opened_ahead() -> None:
    async with HttpStandIn() as server, voice_at(server.url) as voice:
        line = voice.line()
        assert server.heard.connections == 0
        await line.prepare()
        assert server.heard.connections == 1
        for _ in range(3):
            assert await heard(line) == PCM
        await line.prepare()
        await line.aclose()

    assert server.heard.connections == 1
    assert [said.whole for said in server.heard.said] == [True] * 3


async def test_no_connection_is_opened_before_prepare_or_say() -> None:
    async with HttpStandIn() as server, voice_at(server.url) as voice:
        line = voice.line()
        await line.aclose()
    assert server.heard.connections == 0


async def test_a_failed_prepare_raises_only_in_say() -> None:
    async with HttpStandIn() as server:
        url = server.url
    async with voice_at(url) as voice:
        line = voice.line()
        await line.prepare()
        with pytest.raises(VoiceError, match="cannot be reached") as caught:
            await heard(line)
    assert caught.value.kind == "passing"


def test_calls_at_once_keep_a_server_that_sends_faster_than_they_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On the service's event loop, which reads much of a socket at once. A body may have ended on
    the wire while it is still read, and its connection then idles for longer than a server may be
    silent within a body."""
    monkeypatch.setattr(connect, "SILENCE_S", 0.5)
    sounds = {f"{name} {n}": bytes(520_000 + 16_000 * n) for name in "ABCDE" for n in range(10)}

    async def call(voice: HttpVoice, name: str) -> None:
        line = voice.line()
        for number in range(10):
            text = f"{name} {number}"
            assert await heard(line, text) == sounds[text]
            if number == 8:
                await asyncio.sleep(0.6)

    async def calls() -> None:
        async with voice_at(server.url, sample_rate=48000) as voice, asyncio.TaskGroup() as group:
            for name in "ABCDE":
                group.create_task(call(voice, name))

    with threaded_server(lambda text, _hz: sounds[text], speed=math.inf) as server:
        uvloop.run(calls())
    assert server.said == Counter(sounds.keys())


# --- dropped texts --------------------------------------------------------------------------------


async def test_the_next_text_is_said_after_a_dropped_one() -> None:
    interrupted = Plan(fault="stall", fault_after_bytes=3200)
    async with HttpStandIn(plan=lambda text: interrupted if text == TEXT else Plan()) as server:
        async with voice_at(server.url) as voice:
            line = voice.line()
            async with aclosing(line.say(TEXT)) as sounds:
                assert (await anext(sounds)).pcm
            await server.wait_silent()
            assert await heard(line, "Yes?") == tones("Yes?", 8000).pcm

    first, second = server.heard.said
    assert (first.dropped, first.whole) == (True, False)
    assert (second.dropped, second.whole) == (False, True)
    assert server.heard.connections == 2  # the dropped one is closed


@pytest.mark.parametrize("after", ["the headers", "some sound"])
async def test_a_text_can_be_dropped_while_the_line_waits_for_sound(after: str) -> None:
    said, left = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if after == "some sound":
            await response.prepare(request)
            await response.write(PCM[:320])
        said.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        return response

    async with server_that(answer) as url, voice_at(url) as voice:
        listening = asyncio.create_task(heard(voice.line()))
        await said.wait()
        listening.cancel()
        await left.wait()
        with pytest.raises(asyncio.CancelledError):
            await listening


async def test_a_line_that_is_closed_says_nothing_more() -> None:
    stalled = Plan(fault="stall", fault_after_bytes=3200)
    async with HttpStandIn(plan=lambda _: stalled) as server, voice_at(server.url) as voice:
        line = voice.line()
        async with aclosing(line.say(TEXT)) as sounds:
            await anext(sounds)
            await line.aclose()
            await server.wait_silent()
            with pytest.raises(VoiceError):
                while True:
                    await anext(sounds)
        with pytest.raises(VoiceError, match="closed"):
            await heard(line)


async def _all(sounds: Sounds, spoke: asyncio.Event) -> None:
    async for _ in sounds:
        spoke.set()


async def test_a_voice_that_is_closed_leaves_no_task_and_no_connection() -> None:
    stalled = Plan(fault="stall", fault_after_bytes=3200)
    async with HttpStandIn(plan=lambda _: stalled) as server:
        voice = HttpVoice(HttpSettings(server.url))
        line, reading, waiting = voice.line(), voice.line().say(TEXT), voice.line().say(TEXT)
        await anext(reading)
        spoke = asyncio.Event()
        while_waiting = asyncio.create_task(_all(waiting, spoke))
        await spoke.wait()
        await voice.aclose()
        await server.wait_silent()
        for sounds in (while_waiting, _all(reading, spoke)):
            with pytest.raises(VoiceError, match="the connection failed"):
                await sounds
        with pytest.raises(VoiceError, match="is closed") as caught:
            await heard(line)
        assert caught.value.kind == "fatal"
        await line.prepare()
        await voice.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}


# --- a server that shares no code with ours -------------------------------------------------------


async def test_a_server_written_to_the_standard_alone_speaks_to_us() -> None:
    async with bare_server(PCM) as server:
        more = {"token": "the token", "emotion": "sad", "user_data": "é"}
        async with voice_at(server.url, **more) as voice:
            line = voice.line()
            await line.prepare()
            for _ in range(2):
                assert await heard(line, "你好") == PCM

    assert server.connections == 1
    asked = [(each["Text"], each["Token"], each["SampleRate"]) for each in server.requests]
    assert asked == [("你好", "the token", 8000)] * 2
    for request in server.requests:
        extended = json.loads(request["ExtendData"])
        assert (extended["Emotion"], extended["UserData"]) == ("sad", "é")


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def says(body: bytes) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body)

    return answer


@asynccontextmanager
async def server_that(answer: Answer) -> AsyncIterator[str]:
    """Where a server answers every POST so."""
    app = web.Application()
    app.router.add_post("/say", answer)
    async with TestServer(app, handler_cancellation=True) as server:
        yield str(server.make_url("/say"))
