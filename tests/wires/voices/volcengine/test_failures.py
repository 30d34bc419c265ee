"""How a Volcengine voice fails: of what kind, and without telling secrets."""

import logging
from http import HTTPStatus
from typing import Literal

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from app.errors import VoiceError
from app.simulator.voices.mouth import Plan, tones
from app.wires.voices.voice import with_deadlines
from tests.wires.voices.volcengine.volcengine_line import (
    APP,
    BOTH,
    HELLO,
    TOKEN,
    Transport,
    line_to,
    spoken,
    volcengine,
)
from tests.wires.voices.volcengine.volcengine_peer import peer, sends


@BOTH
@pytest.mark.parametrize("fault", ["refuse", "error", "drop"])
@pytest.mark.parametrize("after", [0, 3000])
async def test_what_passes_is_told_from_what_stays(
    transport: Transport, fault: Literal["refuse", "error", "drop"], after: int
) -> None:
    plan = Plan(fault=fault, fault_after_bytes=after)
    async with (
        volcengine(plan=lambda _: plan) as stand_in,
        line_to(stand_in.url, transport) as line,
    ):
        heard = b""
        with pytest.raises(VoiceError) as failed:
            async for sound in line.say(HELLO):
                heard += sound.pcm
        assert failed.value.kind == "passing"
        assert heard == tones(HELLO, 8000).pcm[: 0 if fault == "refuse" else after]


@BOTH
async def test_a_service_that_falls_silent_fails_in_time(transport: Transport) -> None:
    plan = Plan(fault="stall", fault_after_bytes=3000)
    async with (
        volcengine(plan=lambda _: plan) as stand_in,
        line_to(stand_in.url, transport) as line,
    ):
        with pytest.raises(VoiceError, match="more sound came within"):
            await spoken(with_deadlines(line.say(HELLO), gap_s=0.05))
        await stand_in.until(lambda heard: heard.said[0].dropped)


async def test_a_voice_that_does_not_exist_is_told_with_what_support_asks_for() -> None:
    async with volcengine(voices=["another"]) as stand_in, line_to(stand_in.url) as line:
        with pytest.raises(VoiceError, match="check voice_type.*logid .*reqid ") as failed:
            await spoken(line.say(HELLO))
    assert failed.value.kind == "fatal"


async def test_an_application_that_is_not_the_tokens_is_fatal() -> None:
    async with volcengine(app_id="another") as stand_in, line_to(stand_in.url) as line:
        with pytest.raises(VoiceError, match="check both") as failed:
            await spoken(line.say(HELLO))
    assert failed.value.kind == "fatal"
    assert APP not in str(failed.value)


async def test_nobody_at_the_address_passes_and_an_address_that_is_none_does_not() -> None:
    async with peer(sends()) as service:
        url = service.url
    for where, kind in ((url, "passing"), ("https://nowhere.example", "fatal")):
        async with line_to(where) as line:
            with pytest.raises(VoiceError, match="check url") as failed:
                await spoken(line.say(HELLO))
            assert failed.value.kind == kind


@BOTH
async def test_credentials_do_not_follow_a_redirect(transport: Transport) -> None:
    async with volcengine() as stand_in:

        def elsewhere(socket: ServerConnection, _request: Request) -> Response:
            response = socket.respond(HTTPStatus.FOUND, "")
            response.headers["Location"] = stand_in.url
            return response

        async def nobody(_socket: ServerConnection) -> None:
            return

        async with serve(nobody, "127.0.0.1", 0, process_request=elsewhere) as at:
            port = at.sockets[0].getsockname()[1]
            async with line_to(f"ws://127.0.0.1:{port}", transport) as line:
                with pytest.raises(VoiceError, match="HTTP 302"):
                    await spoken(line.say(HELLO))
    assert stand_in.heard.connections == 0


@BOTH
async def test_neither_secrets_nor_texts_are_logged(
    transport: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    plans = {HELLO: Plan(), "Bad luck": Plan(fault="error")}
    async with (
        volcengine(plan=plans.__getitem__) as stand_in,
        line_to(stand_in.url, transport) as line,
    ):
        await spoken(line.say(HELLO))
        with pytest.raises(VoiceError) as failed:
            await spoken(line.say("Bad luck"))
    logged = str([vars(record) for record in caplog.records]) + str(failed.value)
    assert "voice connected" in logged
    for private in (TOKEN, APP, "Hello", "Bad luck", "Bearer"):
        assert private not in logged
