"""`/stream-audio` over a socket, called by a client that knows only the standard."""

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import aiohttp
import numpy as np
import pytest
from fastapi import FastAPI

from app.errors import VoiceError
from app.simulator.voices.http import HttpStandIn
from app.simulator.voices.mouth import Plan, tones
from app.web import problems
from app.web.api import stream_audio
from app.web.server import Server, bind
from app.web.stream_voices import StreamAudio
from app.wires.voices.http.settings import HttpSettings
from app.wires.voices.http.voice import HttpVoice
from app.wires.voices.resampler import Resampler
from app.wires.voices.voice import LONGEST_TEXT, Sound, Sounds, Voice, with_deadlines
from tests.web.stand_in_state import install_state

TOKEN = "the voices' token"
TEXT = "One moment please, I will look that up for you."
WIDE = 24000


# --- a client, written from the standard ----------------------------------------------------------


def body(**changes: Any) -> dict[str, Any]:
    """A request as in the standard, with changes; None removes a field."""
    extended = {"InstanceId": "inst-0001", "ChannelId": "chan-0001", "SentenceId": 3}
    whole = {
        "Text": TEXT,
        "SampleRate": 8000,
        "Token": TOKEN,
        "ExtendData": json.dumps(extended),
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


async def speech(url: str, **changes: Any) -> tuple[str, bytes]:
    """The Content-Type and the PCM of a text, read as the standard's clients do."""
    async with aiohttp.ClientSession() as http:
        async with http.post(url, json=body(**changes)) as answer:
            assert answer.status == 200, await answer.text()
            return answer.headers["Content-Type"], await answer.read()


async def refusal(url: str, **request: Any) -> tuple[int, str]:
    """The status and the detail of a problem."""
    async with aiohttp.ClientSession() as http, http.post(url, **request) as answer:
        assert answer.headers["Content-Type"] == "application/problem+json"
        told = await answer.json(content_type=None)
        assert told["status"] == answer.status
        return answer.status, told["detail"]


# --- voices, and a service that has them ----------------------------------------------------------


@dataclass
class FakeVoice:
    """A voice that makes the sounds of `speak`."""

    label: str
    speak: Callable[[str], Sounds]
    #: The texts that it was given.
    said: list[str] = field(default_factory=list)
    #: Lines that were not closed yet.
    open_lines: int = 0
    #: Set when a text was cancelled before its end.
    dropped: asyncio.Event = field(default_factory=asyncio.Event)

    def line(self) -> "FakeLine":
        self.open_lines += 1
        return FakeLine(self)

    async def aclose(self) -> None: ...


@dataclass
class FakeLine:
    fake_voice: FakeVoice

    async def prepare(self) -> None: ...

    async def say(self, text: str, *, answer: int = 0) -> Sounds:
        self.fake_voice.said.append(text)
        try:
            async for sound in self.fake_voice.speak(text):
                yield sound
        except (asyncio.CancelledError, GeneratorExit):
            self.fake_voice.dropped.set()
            raise

    async def aclose(self) -> None:
        for _ in range(5):  # other tasks run while a line closes
            await asyncio.sleep(0)
        self.fake_voice.open_lines -= 1


def says(*pieces: bytes, hz: int = 8000) -> Callable[[str], Sounds]:
    async def speak(_: str) -> Sounds:
        for pcm in pieces:
            yield Sound(pcm, hz)

    return speak


Kind = Literal["passing", "text", "fatal"]


def fails(*pieces: bytes, late: bool = False, kind: Kind = "passing") -> Callable[[str], Sounds]:
    """A voice that fails after some sound."""

    async def speak(_: str) -> Sounds:
        for pcm in pieces:
            yield Sound(pcm, 8000)
        try:
            raise TimeoutError if late else ValueError
        except (TimeoutError, ValueError):
            raise VoiceError("qwen at a.secret.host: it broke", kind=kind) from None

    return speak


def waits(*pieces: bytes) -> Callable[[str], Sounds]:
    """A voice that hangs after some sound."""

    async def speak(_: str) -> Sounds:
        for pcm in pieces:
            yield Sound(pcm, 8000)
        await asyncio.Event().wait()

    return speak


def fake_voice(label: str = "qwen/Cherry", *pieces: bytes) -> FakeVoice:
    return FakeVoice(label, says(*pieces or (b"\1\0" * 800,)))


@asynccontextmanager
async def serving_voices(
    *voices: Voice, token: str = TOKEN, **values: Any
) -> AsyncIterator[tuple[str, StreamAudio]]:
    """Serve the route with the production server; gives its URL."""
    app = FastAPI(openapi_url=None)
    problems.install(app)
    app.include_router(stream_audio.router)
    speaker = StreamAudio(voices, token=token, **values)
    install_state(app, stream_audio=speaker, switchboard=None)
    listener = bind("127.0.0.1", 0)
    server = Server(app, drain_s=0)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/stream-audio", speaker
    finally:
        server.should_exit = True
        await serving
    assert all(each.open_lines == 0 for each in voices if isinstance(each, FakeVoice))
    assert speaker.busy == 0


async def test_the_standards_client_hears_a_voice() -> None:
    pieces = [random.Random(n).randbytes(2 * n) for n in (1, 333, 4096, 20000)]
    voice = fake_voice("qwen/Cherry", *pieces)
    async with serving_voices(voice) as (url, _):
        kind, pcm = await speech(url)

    assert (kind, pcm) == ("audio/mpeg", b"".join(pieces))
    assert voice.said == [TEXT]


async def test_the_content_type_can_be_chosen() -> None:
    async with serving_voices(fake_voice(), content_type="audio/pcm") as (url, _):
        assert (await speech(url))[0] == "audio/pcm"


@pytest.mark.parametrize("form", ["urlencoded", "multipart"])
async def test_forms_are_read_as_well_as_json(form: str) -> None:
    text = "Grüß Gott & 你好, 50 % + x"
    voice = fake_voice()
    data = aiohttp.FormData(default_to_multipart=form == "multipart")
    for name, value in body(Text=text).items():
        data.add_field(name, str(value))
    async with serving_voices(voice) as (url, _), aiohttp.ClientSession() as http:
        async with http.post(url, data=data) as answer:
            assert answer.status == 200
            assert await answer.read() == b"\1\0" * 800
    assert voice.said == [text]


async def test_audio_streams_as_it_is_made_and_the_status_waits_for_it() -> None:
    begun, first, more = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def speak(_: str) -> Sounds:
        begun.set()
        await first.wait()
        yield Sound(b"\1\0" * 160, 8000)
        await more.wait()
        yield Sound(b"\2\0" * 160, 8000)

    voices = FakeVoice("a/b", speak), fake_voice("c/d")
    async with serving_voices(*voices) as (url, _), aiohttp.ClientSession() as http:
        asking = asyncio.create_task(http.post(url, json=body()))
        await begun.wait()
        await speech(url, VoiceId="c")  # headers would have come in that time
        assert not asking.done()
        first.set()
        answer = await asking
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert "Content-Length" not in answer.headers
        assert await answer.content.readexactly(320) == b"\1\0" * 160
        more.set()
        assert await answer.read() == b"\2\0" * 160


# --- rates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("hz", [8000, 16000, 24000, 48000])
@pytest.mark.parametrize("given", [int, str])
async def test_audio_is_resampled_to_the_requested_rate(hz: int, given: type) -> None:
    said = tones("Hello there, it is me.", WIDE).pcm
    cuts = [0, 2, 1000, 1002, 30000, len(said)]
    pieces = [said[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]
    async with serving_voices(FakeVoice("qwen/Cherry", says(*pieces, hz=WIDE))) as (url, _):
        _, heard = await speech(url, SampleRate=given(hz))

    resampler = Resampler(WIDE, hz)
    assert heard == resampler.feed(said) + resampler.finish()
    assert abs(len(heard) / hz - len(said) / WIDE) <= 2 / 8000


async def test_a_long_text_is_said_in_pieces_without_a_seam() -> None:
    """Each piece is a part of one sine: a second resampler would be audible at the seam."""
    turn = 2 * np.pi * 440 / WIDE
    sine = np.rint(9000 * np.sin(turn * np.arange(WIDE))).astype("<i2").tobytes()
    text = "This is a sentence of some length. " * 25
    at = 0

    async def speak(_: str) -> Sounds:
        nonlocal at
        yield Sound(sine[at : at + 9002], WIDE)
        at += 9002

    voice = FakeVoice("qwen/Cherry", speak)
    async with serving_voices(voice) as (url, _):
        _, heard = await speech(url, Text=text)

    assert len(voice.said) == 4 and all(len(each) <= LONGEST_TEXT for each in voice.said)
    assert all(each.endswith("length.") for each in voice.said)
    assert " ".join(voice.said) == text.strip()
    resampler = Resampler(WIDE, 8000)
    assert heard == resampler.feed(sine[: 4 * 9002]) + resampler.finish()


@pytest.mark.parametrize(
    "text",
    [
        "word " * 200,
        "x" * 700,
        "是" * 400 + "。" + "的" * 400,
        "你好。" * 200,
        ("No end " * 50 + ". ") * 3,
        "A. " * 300,
    ],
)
async def test_nothing_of_a_long_text_is_lost_and_no_piece_is_too_long(text: str) -> None:
    voice = fake_voice()
    async with serving_voices(voice) as (url, _):
        await speech(url, Text=text)

    assert len(voice.said) > 1
    assert max(map(len, voice.said)) <= LONGEST_TEXT
    assert "".join(voice.said).replace(" ", "") == text.replace(" ", "")
    if " " in text:
        assert " ".join(voice.said).split() == text.split()


async def test_long_texts_are_split_by_the_given_function() -> None:
    voice = fake_voice()
    cut = ["a" * 200, " -- ", "b" * 400]
    async with serving_voices(voice, cut=lambda _: cut) as (url, _):
        await speech(url, Text="a" * 200 + " -- " + "b" * 400)
        await speech(url, Text="short")

    assert voice.said == ["a" * 200, "b" * LONGEST_TEXT, "b" * 100, "short"]


# --- which voice ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("voice_id", "label"),
    [
        (None, "qwen/Cherry"),
        ("", "qwen/Cherry"),
        ("qwen", "qwen/Cherry"),
        ("Ethan", "qwen/Ethan"),
        ("qwen/Ethan", "qwen/Ethan"),
        ("http", "http/tts.example.com"),
        ("tts.example.com", "http/tts.example.com"),
    ],
)
async def test_a_voice_is_chosen_by_its_label_or_a_part_of_it(voice_id: str, label: str) -> None:
    voices = [fake_voice(each) for each in ("qwen/Cherry", "qwen/Ethan", "http/tts.example.com")]
    async with serving_voices(*voices) as (url, _):
        await speech(url, VoiceId=voice_id)
    assert [each.label for each in voices if each.said] == [label]


async def test_an_unknown_voice_is_refused_with_the_known_ones() -> None:
    async with serving_voices(fake_voice(), fake_voice("http/a")) as (url, _):
        status, detail = await refusal(url, json=body(VoiceId="Bob"))
    assert (status, detail) == (400, "VoiceId: expected one of qwen/Cherry, http/a, or none")


async def test_without_any_voice_the_answer_says_what_to_configure() -> None:
    async with serving_voices() as (url, _):
        status, detail = await refusal(url, json=body())
        assert (status, "[voice]" in detail) == (404, True)
        assert (await refusal(url, json=body(Token="x")))[0] == 401


# --- the token ------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [None, "", "wrong", 5, TOKEN.upper(), "é\ud800"])
async def test_a_request_without_the_token_is_refused(token: object) -> None:
    voice = fake_voice()
    async with serving_voices(voice) as (url, _):
        status, detail = await refusal(url, json=body(Token=token))
        assert (status, "Token" in detail) == (401, True)
    assert voice.said == []


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"Text=Hello&SampleRate=8000"])
@pytest.mark.parametrize(
    "kind", ["application/json", "application/x-www-form-urlencoded", "multipart/form-data", "x"]
)
async def test_the_token_is_checked_before_anything_else(data: bytes, kind: str) -> None:
    async with serving_voices(fake_voice()) as (url, _):
        status, _ = await refusal(url, data=data, headers={"Content-Type": kind})
    assert status == 401


async def test_an_empty_token_admits_no_request() -> None:
    async with serving_voices(fake_voice(), token="") as (url, _):
        for token in (None, "", "x"):
            assert (await refusal(url, json=body(Token=token)))[0] == 401
        headers = {"Authorization": "Bearer "}
        assert (await refusal(url, json=body(Token=None), headers=headers))[0] == 401


async def test_the_token_may_come_in_the_header() -> None:
    voice = fake_voice()
    async with serving_voices(voice) as (url, _), aiohttp.ClientSession() as http:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with http.post(url, json=body(Token=None), headers=headers) as answer:
            assert answer.status == 200
        wrong = {"Authorization": f"Basic {TOKEN}"}
        assert (await refusal(url, json=body(Token=None), headers=wrong))[0] == 401
    assert voice.said == [TEXT]


# --- wrong requests -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"Text": None}, "Text: expected"),
        ({"Text": ""}, "Text: expected"),
        ({"Text": " \n"}, "Text: expected"),
        ({"Text": "..."}, "no letter and no digit"),
        ({"Text": ["Hello"]}, "Text: expected"),
        ({"Text": "x" * 2001}, "at most 2000 characters"),
        ({"Text": "Hello \ud83d"}, "half of one"),
        ({"Text": None, "Teks": "Halo"}, "Text: expected"),
        ({"SampleRate": None}, "SampleRate: expected one of 8000, 16000, 24000, 48000"),
        ({"SampleRate": 11025}, "SampleRate"),
        ({"SampleRate": "44100"}, "SampleRate"),
        ({"SampleRate": 8000.0}, "SampleRate"),
        ({"SampleRate": True}, "SampleRate"),
        ({"SampleRate": "8 kHz"}, "SampleRate"),
        ({"VoiceId": 5}, "VoiceId"),
    ],
)
async def test_a_wrong_field_is_named(changes: dict[str, Any], told: str) -> None:
    voice = fake_voice()
    async with serving_voices(voice) as (url, _):
        status, detail = await refusal(url, json=body(**changes))
    assert (status, told in detail) == (400, True)
    assert voice.said == []


async def test_a_malformed_body_with_the_token_in_the_header_is_a_400() -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    async with serving_voices(fake_voice()) as (url, _):
        for data in (b'{"Text": "Hello",', b"[" * 30000, b"\xff", b"[]", b"5"):
            status, detail = await refusal(url, data=data, headers=headers)
            assert (status, "JSON" in detail) == (400, True)


async def test_a_text_of_2000_characters_is_said_and_a_body_over_64_kib_is_not() -> None:
    voice = fake_voice()
    async with serving_voices(voice) as (url, _):
        await speech(url, Text="a " * 999 + "ab")
        status, _ = await refusal(url, json=body(Padding="x" * (64 << 10)))
        assert status == 413
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            assert answer.status == 405
    assert " ".join(voice.said) == "a " * 999 + "ab"


@pytest.mark.parametrize(
    "extended",
    [
        None,
        "",
        "{}",
        {"InstanceId": "i", "SentenceId": "3"},
        # As printed in the standard:
        "{'InstanceId':'68e00b6640e','ChannelId':'123','SentenceId':'3',UserData':'{\"a\":\"b\"}'}",
        "[" * 20000,
        [1],
        7,
    ],
)
async def test_any_extend_data_is_accepted(extended: object) -> None:
    async with serving_voices(fake_voice()) as (url, _):
        assert (await speech(url, ExtendData=extended))[1] == b"\1\0" * 800


# --- voices that fail -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "late", "expected", "told"),
    [
        ("passing", False, 502, "try again"),
        ("passing", True, 504, "in time"),
        ("text", False, 502, "cannot say this text"),
        ("fatal", False, 502, "the log of this service"),
    ],
)
async def test_a_voice_that_fails_before_any_audio_is_an_error_status(
    kind: Kind, late: bool, expected: int, told: str
) -> None:
    async with serving_voices(FakeVoice("qwen/a", fails(late=late, kind=kind))) as (url, _):
        status, detail = await refusal(url, json=body())
    assert (status, told in detail, "secret" in detail) == (expected, True, False)


async def test_a_voice_without_any_audio_has_failed() -> None:
    async with serving_voices(FakeVoice("qwen/a", says())) as (url, _):
        assert (await refusal(url, json=body()))[0] == 502


async def test_a_voice_that_hangs_before_any_audio_is_a_504(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_audio, "with_deadlines", partial(with_deadlines, first_s=0.02))
    voice = FakeVoice("qwen/a", waits())
    async with serving_voices(voice) as (url, _):
        assert (await refusal(url, json=body()))[0] == 504
    assert voice.dropped.is_set()


async def test_the_next_voice_takes_over_if_the_request_names_none() -> None:
    first, second = FakeVoice("qwen/a", fails()), fake_voice("http/b")
    async with serving_voices(first, second) as (url, _):
        assert (await speech(url))[1] == b"\1\0" * 800
        assert (await refusal(url, json=body(VoiceId="qwen")))[0] == 502
    assert (len(first.said), len(second.said)) == (2, 1)


async def test_audio_buffered_from_a_failed_voice_is_not_sent() -> None:
    """The resampler had buffered it, and sent nothing yet."""
    first = FakeVoice("qwen/a", fails(b"\x55\x55" * 40))
    async with serving_voices(first, fake_voice("http/b")) as (url, _):
        _, heard = await speech(url, SampleRate=24000)
    resampler = Resampler(8000, 24000)
    assert heard == resampler.feed(b"\1\0" * 800) + resampler.finish()


async def test_a_failure_after_some_audio_is_a_truncated_body(
    caplog: pytest.LogCaptureFixture,
) -> None:
    second = fake_voice("http/b")
    async with serving_voices(FakeVoice("qwen/a", fails(b"\7\0" * 800)), second) as (url, _):
        async with aiohttp.ClientSession() as http, http.post(url, json=body()) as answer:
            assert answer.status == 200
            heard = b""
            with pytest.raises(aiohttp.ClientPayloadError):
                async for chunk in answer.content.iter_any():
                    heard += chunk
            assert heard == b"\7\0" * 800
        assert second.said == []
        with pytest.raises(aiohttp.ClientPayloadError):
            await speech(url)
    assert not [record for record in caplog.records if record.exc_info]


async def test_past_the_limit_of_texts_the_answer_is_503_with_retry_after() -> None:
    voice = FakeVoice("qwen/a", waits(b"\1\0" * 160))
    async with serving_voices(voice, most_at_once=2) as (url, _), aiohttp.ClientSession() as http:
        talking = [await http.post(url, json=body()) for _ in range(2)]
        async with http.post(url, json=body()) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert len(voice.said) == 2
        talking[0].close()
        await voice.dropped.wait()
        while (answer := await http.post(url, json=body())).status == 503:
            answer.close()  # its place is free a few turns of the loop later
        assert answer.status == 200
        talking.append(answer)
        for each in talking:
            each.close()


# --- clients that disconnect ----------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before any sound", "amid the sound", "while it pours"])
async def test_a_client_that_disconnects_ends_the_synthesis(when: str) -> None:
    begun = asyncio.Event()

    async def speak(_: str) -> Sounds:
        begun.set()
        if when == "amid the sound":
            yield Sound(b"\1\0" * 160, 8000)
        while when == "while it pours":
            yield Sound(b"\1\0" * 16000, 8000)  # the client reads none of it
        await asyncio.Event().wait()

    voice = FakeVoice("qwen/a", speak)
    async with serving_voices(voice) as (url, _), aiohttp.ClientSession() as http:
        asking = asyncio.create_task(http.post(url, json=body()))
        await begun.wait()
        if when == "before any sound":
            asking.cancel()
        else:
            answer = await asking
            if when == "amid the sound":
                await answer.content.readexactly(320)
            answer.close()
        await voice.dropped.wait()


async def test_a_client_that_reads_nothing_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_audio, "STUCK_S", 0.05)

    async def pours(_: str) -> Sounds:
        while True:
            yield Sound(b"\1\0" * 16000, 8000)

    voice = FakeVoice("qwen/a", pours)
    async with serving_voices(voice) as (url, _), aiohttp.ClientSession() as http:
        async with http.post(url, json=body()):
            await voice.dropped.wait()


async def test_a_client_that_disconnects_ends_the_request_at_the_provider() -> None:
    """The provider's connection is closed as well."""
    stalled = Plan(fault="stall", fault_after_bytes=3200)
    async with HttpStandIn(plan=lambda _: stalled) as provider:
        voice = HttpVoice(HttpSettings(provider.url))
        async with serving_voices(voice) as (url, _), aiohttp.ClientSession() as http:
            answer = await http.post(url, json=body())
            await answer.content.readexactly(3200)
            answer.close()
            await provider.wait_silent()
            assert provider.heard.said[0].dropped
        await voice.aclose()


# --- the log --------------------------------------------------------------------------------------


async def test_neither_text_nor_token_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    extended = '{"InstanceId":"inst-1","SentenceId":3,"UserData":"s3cret"}'
    async with serving_voices(
        FakeVoice("qwen/a", fails()), fake_voice("http/b"), token="s3cret"
    ) as (url, _):
        request = {"Token": "s3cret", "Text": "s3cret", "ExtendData": extended}
        await speech(url, **request)
        await refusal(url, json=body(**{**request, "VoiceId": "s3cret"}))
        await refusal(url, json=body(**{**request, "SampleRate": "s3cret"}))
        await refusal(url, json=body(Token="s3cret2"))
        await speech(url, **{**request, "ExtendData": "s3cret"})

    told = [str(record.__dict__) for record in caplog.records]
    assert not [each for each in told if "s3cret" in each]
    sent = [each.__dict__ for each in caplog.records if each.getMessage() == "speech sent"]
    assert len(sent) == 2
    assert (sent[0]["instance_id"], sent[0]["sentence_id"]) == ("inst-1", "3")
    assert (sent[0]["voice"], sent[0]["sent_bytes"], sent[0]["hz"]) == ("http/b", 1600, 8000)
    assert sent[0]["request_id"] != sent[1]["request_id"]


# --- end to end -----------------------------------------------------------------------------------


async def test_this_services_own_client_gets_the_voice_unchanged() -> None:
    async with HttpStandIn() as provider:
        voice = HttpVoice(HttpSettings(provider.url, sample_rate=16000))
        async with serving_voices(voice) as (url, _):
            ours = HttpVoice(HttpSettings(url, token=TOKEN, sample_rate=16000, emotion="sad"))
            line = ours.line()
            await line.prepare()
            for _ in range(2):
                heard = b"".join([sound.pcm async for sound in line.say(TEXT)])
                assert heard == tones(TEXT, 16000).pcm
            await ours.aclose()
        await voice.aclose()
