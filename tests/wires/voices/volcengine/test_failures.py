"""Failures of a Volcengine voice: their kinds, deadlines, and that no secret is revealed."""

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
async def test_each_failure_has_a_kind(
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
async def test_a_silent_service_is_a_timeout(transport: Transport) -> None:
    plan = Plan(fault="stall", fault_after_bytes=3000)
    async with (
        volcengine(plan=lambda _: plan) as stand_in,
        line_to(stand_in.url, transport) as line,
    ):
        with pytest.raises(VoiceError, match="more sound came within"):
            await spoken(with_deadlines(line.say(HELLO), gap_s=0.05))
        await stand_in.until(lambda heard: heard.said[0].dropped)


async def test_an_unknown_voice_is_reported_with_the_ids_for_support() -> None:
    async with volcengine(voices=["another"]) as stand_in, line_to(stand_in.url) as line:
        with pytest.raises(VoiceError, match="check name.*logid .*reqid ") as failed:
            await spoken(line.say(HELLO))
    assert failed.value.kind == "fatal"


async def test_an_app_id_of_another_token_is_fatal() -> None:
    async with volcengine(app_id="another") as stand_in, line_to(stand_in.url) as line:
        with pytest.raises(VoiceError, match="check VOLCENGINE_APP_ID") as failed:
            await spoken(line.say(HELLO))
    assert failed.value.kind == "fatal"
    assert APP not in str(failed.value)


async def test_a_refused_connection_is_passing_and_an_invalid_url_is_fatal() -> None:
    async with peer(sends()) as service:
        url = service.url
    for where, kind in ((url, "passing"), ("https://nowhere.example", "fatal")):
        async with line_to(where) as line:
            with pytest.raises(VoiceError, match="check url") as failed:
                await spoken(line.say(HELLO))
            assert failed.value.kind == kind


@BOTH
async def test_credentials_are_not_sent_to_a_redirects_target(transport: Transport) -> None:
    async with volcengine() as stand_in:

        def elsewhere(socket: ServerConnection, _request: Request) -> Response:
            response = socket.respond(HTTPStatus.FOUND, "")
            response.headers["Location"] = stand_in.url
            return response

        async def unused(_socket: ServerConnection) -> None:
            return

        async with serve(unused, "127.0.0.1", 0, process_request=elsewhere) as at:
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
