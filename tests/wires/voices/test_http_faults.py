"""Failures of a custom HTTP voice: their kinds, deadlines, and that no secret is revealed."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from app.errors import ConfigError, VoiceError
from app.simulator.voices.http import HttpStandIn
from app.simulator.voices.mouth import Plan, tones
from app.wires.voices import connect
from app.wires.voices.http.settings import HttpSettings
from app.wires.voices.http.voice import HttpVoice
from tests.wires.voices.test_http import PCM, TEXT, Answer, heard, says, server_that, voice_at


async def fault_of(url: str, **settings: Any) -> VoiceError:
    """The VoiceError of a text at this url."""
    async with voice_at(url, **settings) as voice:
        with pytest.raises(VoiceError) as caught:
            await heard(voice.line())
    return caught.value


def with_status(status: int) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=f"no: {TEXT}", headers={"Location": "/other"})

    return answer


@pytest.mark.parametrize(
    ("status", "kind", "hint"),
    [
        (400, "text", "HTTP 400"),
        (413, "text", "HTTP 413"),
        (422, "text", "check body"),
        (401, "fatal", "the token was rejected"),
        (403, "fatal", "the token was rejected"),
        (404, "fatal", "check the path"),
        (405, "fatal", "POST is not allowed"),
        (410, "fatal", "HTTP 410"),
        (415, "fatal", "check body"),
        (302, "fatal", "set url to its target"),
        (308, "fatal", "set url to its target"),
        (204, "fatal", "HTTP 204"),
        (408, "passing", "HTTP 408"),
        (429, "passing", "too many requests"),
        (500, "passing", "HTTP 500"),
        (502, "passing", "HTTP 502"),
        (503, "passing", "HTTP 503"),
        (504, "passing", "HTTP 504"),
    ],
)
async def test_every_http_status_has_a_kind(status: int, kind: str, hint: str) -> None:
    async with server_that(with_status(status)) as url:
        fault = await fault_of(url)

    assert fault.kind == kind
    assert hint in str(fault) and f"HTTP {status}" in str(fault)


async def test_the_token_is_not_sent_to_a_redirects_target() -> None:
    async with HttpStandIn(token="t") as elsewhere:

        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(status=307, headers={"Location": elsewhere.url})

        async with server_that(answer) as url:
            assert (await fault_of(url, token="t")).kind == "fatal"
    assert elsewhere.heard.connections == 0


@pytest.mark.parametrize("magic", [b"RIFF", b"ID3", b"OggS", b"fLaC"])
@pytest.mark.parametrize("rest", [b"", b"\x04\0\0\0" * 50])
async def test_an_audio_file_is_rejected(magic: bytes, rest: bytes) -> None:
    async with server_that(says(magic + rest)) as url:
        fault = await fault_of(url)

    assert (fault.kind, "in place of raw PCM" in str(fault)) == ("fatal", True)


@pytest.mark.parametrize("content_type", ["text/html", "application/json"])
async def test_a_text_response_is_rejected(content_type: str) -> None:
    async def page(_: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>Welcome!</html>" * 50, content_type=content_type)

    async with server_that(page) as url:
        fault = await fault_of(url)

    assert (fault.kind, content_type in str(fault)) == ("fatal", True)


async def test_an_audio_file_is_rejected_byte_by_byte() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for byte in b"RIFF\0\0\0\0WAVE":
            await response.write(bytes([byte]))
            for _ in range(5):
                await asyncio.sleep(0)
        return response

    async with server_that(answer) as url:
        assert (await fault_of(url)).kind == "fatal"


@pytest.mark.parametrize("body", [b"", b"\1"])
async def test_an_empty_response_fails(body: bytes) -> None:
    async with server_that(says(body)) as url:
        fault = await fault_of(url)

    assert (fault.kind, "no sound in it" in str(fault)) == ("passing", True)


async def test_an_endless_response_is_ended() -> None:
    left = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(bytes(32768))
        finally:
            left.set()

    async with server_that(answer) as url, voice_at(url) as voice:
        size_bytes = 0
        with pytest.raises(VoiceError, match="more than 120 s of sound") as caught:
            async for sound in voice.line().say(TEXT):
                size_bytes += len(sound.pcm)
        await left.wait()
    assert caught.value.kind == "text"
    assert 0 < size_bytes <= 120 * 16000


@pytest.mark.parametrize("after_bytes", [0, 1, 4096, 9999])
@pytest.mark.parametrize("fault", ["drop", "error"])
async def test_an_incomplete_body_fails(fault: Any, after_bytes: int) -> None:
    plan = Plan(fault=fault, fault_after_bytes=after_bytes)
    pieces = []
    async with HttpStandIn(plan=lambda _: plan) as server, voice_at(server.url) as voice:
        with pytest.raises(VoiceError) as caught:
            async for sound in voice.line().say(TEXT):
                pieces.append(sound.pcm)  # noqa: PERF401 - what came before the failure counts

    assert caught.value.kind == "passing"
    assert PCM.startswith(b"".join(pieces))
    assert len(b"".join(pieces)) <= after_bytes


async def test_after_a_passing_error_the_line_can_retry() -> None:
    faults = iter([Plan(fault="refuse"), Plan(fault="error"), Plan()])
    async with HttpStandIn(plan=lambda _: next(faults)) as server, voice_at(server.url) as voice:
        line = voice.line()
        for status in (503, 500):
            with pytest.raises(VoiceError, match=f"HTTP {status}") as caught:
                await heard(line)
            assert caught.value.kind == "passing"
        assert await heard(line) == tones(TEXT, 8000).pcm


@pytest.mark.parametrize("after_bytes", [0, 3200])
async def test_a_stalled_server_is_a_timeout(
    monkeypatch: pytest.MonkeyPatch, after_bytes: int
) -> None:
    monkeypatch.setattr(connect, "SILENCE_S", 0.05)
    plan = Plan(fault="stall", fault_after_bytes=after_bytes)
    async with HttpStandIn(plan=lambda _: plan) as server:
        fault = await fault_of(server.url)
        await server.wait_silent()

    assert (fault.kind, "nothing came for" in str(fault)) == ("passing", True)
    assert isinstance(fault.__context__, TimeoutError)
    assert f"{after_bytes} bytes of sound" in str(fault)


async def test_a_connection_that_is_never_accepted_is_a_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connect, "CONNECT_S", 0.05)
    async with full_backlog() as url:
        async with voice_at(url) as voice:
            await voice.line().prepare()
        fault = await fault_of(url)

    assert (fault.kind, "no connection within" in str(fault)) == ("passing", True)


async def test_a_server_without_http_fails() -> None:
    async def gibberish(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(gibberish, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        fault = await fault_of(f"http://127.0.0.1:{port}/")
        tls = await fault_of(f"https://127.0.0.1:{port}/")

    assert fault.kind == tls.kind == "passing"
    assert "TLS failed" in str(tls) or "connection failed" in str(tls)


@asynccontextmanager
async def full_backlog() -> AsyncIterator[str]:
    """The url of a listener with a full backlog, which accepts no connection."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        try:
            for _ in range(4):
                one = socket.socket()
                one.setblocking(False)
                one.connect_ex(listener.getsockname())
                waiting.append(one)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            for one in waiting:
                one.close()


# --- error messages -------------------------------------------------------------------------------

SECRETS = {
    "token": "s3cret-token",
    "headers": (("X-Api-Key", "s3cret-header"),),
    "user_data": "s3cret-data",
}


async def test_no_error_quotes_a_secret(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither does it quote the text."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(connect, "SILENCE_S", 0.05)
    told = [repr(HttpSettings("https://example.com/?key=s3cret-query", **SECRETS))]  # type: ignore[arg-type]
    plans = [Plan(fault="refuse"), Plan(fault="error"), Plan(fault="stall")]
    plans += [Plan(fault="drop", fault_after_bytes=999), Plan()]
    following = iter(plans)
    text = "a s3cret-text"
    async with HttpStandIn(plan=lambda _: next(following)) as server:
        url = f"{server.url}?key=s3cret-query"
        voice = HttpVoice(HttpSettings(url, **SECRETS))  # type: ignore[arg-type]
        line = voice.line()
        await line.prepare()
        for plan in plans:
            if plan.fault:
                with pytest.raises(VoiceError) as caught:
                    await heard(line, text)
                told.append(str(caught.value))
        assert await heard(line, text)
    with pytest.raises(VoiceError) as caught:  # the server is stopped
        await heard(line, text)
    told.append(str(caught.value))
    await line.prepare()
    await voice.aclose()

    assert len(told) == 6
    assert all("127.0.0.1" in each for each in told[1:])
    assert "s3cret" not in "\n".join(told) + caplog.text + repr(caplog.records)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"url": "http://tts.example.com/"}, "url: expected https"),
        ({"url": "http://10.0.0.1/"}, "url: expected https"),
        ({"url": "tts.example.com"}, "url: expected an address"),
        ({"url": "ftp://tts.example.com"}, "url: expected an address"),
        ({"url": "https://"}, "url: expected an address"),
        ({"url": "https://tts.example.com:x/"}, "url: expected an address"),
        ({"url": "https://tts.example.com/a b"}, "url: expected an address"),
        ({"url": "https://tts.example.com/\r\nHost: x"}, "url: expected an address"),
        ({"url": "https://ann:s3cret@example.com/"}, "url: expected no user"),
        ({"sample_rate": 11025}, "sample_rate: expected one of"),
        ({"emotion": "angry"}, "emotion: expected neutral, happy or sad"),
        ({"body": "xml"}, "body: expected json or form"),
        ({"headers": (("X Key", "s3cret"),)}, "headers: expected names"),
        ({"headers": (("X-Key", "s3cret\r\nHost: x"),)}, "headers: expected names"),
    ],
)
def test_an_invalid_setting_is_named(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        HttpSettings(**{"url": "https://tts.example.com/stream-audio", **settings})

    (problem,) = caught.value.problems
    assert problem.startswith(told)
    assert "s3cret" not in problem


def test_all_faults_of_the_settings_are_reported_together() -> None:
    with pytest.raises(ConfigError) as caught:
        HttpSettings("http://example.com", sample_rate=1, emotion="cross", headers=(("", ""),))
    assert [each.partition(":")[0] for each in caught.value.problems] == [
        "url",
        "sample_rate",
        "emotion",
        "headers",
    ]


@pytest.mark.parametrize(
    ("url", "allow_http"),
    [
        ("https://tts.example.com/stream-audio?key=1", False),
        ("http://localhost:8080/", False),
        ("http://127.0.0.1:8080/", False),
        ("http://[::1]:8080/", False),
        ("http://10.0.0.1/", True),
    ],
)
def test_plain_http_needs_loopback_or_allow_http(url: str, allow_http: bool) -> None:
    assert HttpSettings(url, allow_http=allow_http).url == url
