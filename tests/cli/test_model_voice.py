"""The model's own voice in sessions that only say texts, against the scripted server."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from app.call.agent import Voice as OwnVoice
from app.cli.model_voice import HZ, ModelVoice
from app.errors import VoiceError
from app.simulator.realtime import Fault, Options, RealtimeServer, Reply, Script
from app.wires.realtime.endpoint import Endpoint
from app.wires.voices.voice import VoiceLine
from tests.ports import free_port
from tests.service.wire_types import check_client_event

KEY = "the model's key"


def voice_at(base_url: str, key: str = KEY, speed: float = 1.0) -> ModelVoice:
    url = base_url.replace("http", "ws", 1) + "/realtime"
    return ModelVoice(Endpoint(url, "gpt-realtime", key), OwnVoice("marin", speed))


@asynccontextmanager
async def model(*replies: Reply | str, fault: Fault | None = None) -> AsyncIterator[RealtimeServer]:
    server = RealtimeServer(Script(*replies), options=Options(api_key=KEY, speed=float("inf")))
    server.fault = fault or Fault()
    async with server:
        yield server


async def said(line: VoiceLine, text: str) -> bytes:
    async with aclosing(line.say(text)) as sounds:
        return b"".join([sound.pcm async for sound in sounds if sound.hz == HZ])


def characters(pcm: bytes) -> int:
    """The length of the text that the server made this audio for: 60 ms per character."""
    return round(len(pcm) / 2 / HZ * 1000 / 60)


async def refusal(server: RealtimeServer, key: str = KEY) -> VoiceError:
    """The error of a text that fails."""
    voice = voice_at(server.base_url, key)
    with pytest.raises(VoiceError) as failed:
        await said(voice.line(), "Hello.")
    await voice.aclose()
    return failed.value


async def test_texts_are_said_one_after_the_other_in_one_session() -> None:
    async with model("Hello, Ada.", "Until tomorrow.") as server:
        voice = voice_at(server.base_url, speed=1.25)
        line = voice.line()
        first, second = await said(line, "Hello, Ada."), await said(line, "Until tomorrow.")
        await voice.aclose()
        (session,) = server.sessions
        await session.closed.wait()
    assert (characters(first), characters(second)) == (11, 15)
    assert voice.label == "openai/marin"
    for event in session.client_events:
        check_client_event(event)
    update, *creates = session.client_events
    assert update["session"]["audio"]["output"] == {
        "format": {"type": "audio/pcm", "rate": HZ}, "voice": "marin", "speed": 1.25,
    }  # fmt: skip
    asked = [create["response"]["instructions"] for create in creates]
    assert asked == [
        "Say exactly this, and nothing else: Hello, Ada.",
        "Say exactly this, and nothing else: Until tomorrow.",
    ]


async def test_a_prepared_line_has_a_session_without_a_response() -> None:
    async with model("Hello.") as server:
        voice = voice_at(server.base_url)
        line = voice.line()
        await line.prepare()
        (session,) = server.open_sessions
        assert [event["type"] for event in session.client_events] == ["session.update"]
        assert await said(line, "Hello.")
        assert len(server.sessions) == 1
        await voice.aclose()


async def test_a_stopped_text_ends_its_session_and_the_next_opens_another() -> None:
    async with model(Reply("A long story. " * 20, speed=1.0), "Hello.") as server:
        voice = voice_at(server.base_url)
        line = voice.line()
        async with aclosing(line.say("A long story.")) as sounds:
            await anext(sounds)
        await server.sessions[0].closed.wait()
        assert characters(await said(line, "Hello.")) == 6
        assert len(server.sessions) == 2
        await voice.aclose()


async def test_a_session_lost_between_two_texts_is_replaced() -> None:
    async with model("Hello.", "Goodbye.") as server:
        voice = voice_at(server.base_url)
        line = voice.line()
        await said(line, "Hello.")
        server.sessions[0].close(1001, "the server goes away")
        await server.sessions[0].closed.wait()
        assert await said(line, "Goodbye.")
        await voice.aclose()


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (Reply("Hel", status="failed", error_code="rate_limit_exceeded"), "rate_limit_exceeded"),
        (Reply("Hel", status="incomplete"), "incomplete"),
    ],
)
async def test_a_response_that_is_not_completed_is_an_error(reply: Reply, told: str) -> None:
    async with model(reply) as server:
        assert told in str(await refusal(server))


async def test_a_rejected_key_is_fatal_and_not_shown() -> None:
    async with model() as server:
        error = await refusal(server, key="another key")
    assert error.kind == "fatal"
    assert "OPENAI_API_KEY" in str(error) and "another key" not in str(error)


async def test_a_busy_server_is_a_passing_error() -> None:
    async with model(fault=Fault(refuse_status=503)) as server:
        assert (await refusal(server)).kind == "passing"


async def test_a_connection_lost_amid_a_text_is_an_error() -> None:
    async with model(Reply("A long story. " * 20, speed=1.0)) as server:
        voice = voice_at(server.base_url)
        with pytest.raises(VoiceError, match="connection ended"):
            async with aclosing(voice.line().say("A long story.")) as sounds:
                async for _ in sounds:
                    server.sessions[0].drop()
        await voice.aclose()


async def test_an_unreachable_model_fails_when_it_should_speak_and_not_in_prepare() -> None:
    voice = voice_at(f"http://127.0.0.1:{free_port()}/v1")
    line = voice.line()
    await line.prepare()
    with pytest.raises(VoiceError, match="cannot be reached"):
        await said(line, "Hello.")
    await voice.aclose()
