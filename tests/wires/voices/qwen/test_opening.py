"""Failures before a Qwen session is open: in the handshake, and in session.update."""

import asyncio
import json
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from app.simulator.voices.qwen import QwenStandIn
from app.wires.voices import connect
from app.wires.voices.qwen import session as qwen_session
from tests.wires.voices.qwen.qwen_scripted import (
    KEY,
    SOUND,
    Script,
    begin,
    delta,
    done,
    fail,
    failure,
    heard,
    line_to,
    receive,
    say_it,
    scripted,
    send,
    settle,
    take_text,
)

pytestmark = pytest.mark.usefixtures("no_task_outlives_its_test")


# --- the handshake --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "fatal"),
        (401, "fatal"),
        (403, "fatal"),
        (404, "fatal"),
        (408, "passing"),
        (429, "passing"),
        (500, "passing"),
        (503, "passing"),
    ],
)
async def test_a_rejected_connection_has_a_kind(status: int, kind: str) -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        return connection.respond(HTTPStatus(status), f"{KEY} is no good\n")

    async def unreached(_socket: ServerConnection) -> None:
        raise AssertionError("not reached")

    async with serve(unreached, "127.0.0.1", 0, process_request=refuse) as server:
        port = server.sockets[0].getsockname()[1]
        async with line_to(f"ws://127.0.0.1:{port}") as line:
            error = await failure(line)
    assert error.kind == kind and str(status) in str(error)


async def test_a_wrong_api_key_is_reported_but_not_quoted() -> None:
    async with QwenStandIn(api_key="sk-another") as qwen, line_to(qwen.url) as line:
        error = await failure(line)
        assert error.kind == "fatal" and "DASHSCOPE_API_KEY" in str(error)


async def test_the_api_key_is_not_sent_to_a_redirects_target() -> None:
    async with QwenStandIn() as elsewhere:

        def redirect(connection: ServerConnection, request: Request) -> Response:
            response = connection.respond(HTTPStatus.TEMPORARY_REDIRECT, "")
            response.headers["Location"] = elsewhere.url
            return response

        async with serve(say_it, "127.0.0.1", 0, process_request=redirect) as server:
            port = server.sockets[0].getsockname()[1]
            async with line_to(f"ws://127.0.0.1:{port}") as line:
                error = await failure(line)
        assert error.kind == "fatal" and "307" in str(error)
        assert elsewhere.heard.connections == 0 and elsewhere.refusals == []


async def test_a_refused_connection_is_passing() -> None:
    async with QwenStandIn() as qwen:
        url = qwen.url
    async with line_to(url) as line:
        assert (await failure(line)).kind == "passing"


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-something\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
async def test_a_server_without_websocket_fails(answer: bytes) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with line_to(f"ws://127.0.0.1:{port}") as line:
            await failure(line)


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "https://dashscope.aliyuncs.com/api-ws/v1/realtime"},
        {"url": "wss:///api-ws"},
        {"url": ""},
        {"url": "wss://[half"},
        {"url": "ws://127.0.0.1:99999999"},
        {"url": "ws://127.0.0.1:1", "api_key": f"{KEY}\r\nX-More: 1"},
        {"url": "ws://127.0.0.1:1", "api_key": f"{KEY}\u00e9"},
        {"url": "ws://127.0.0.1:1", "workspace": "\n"},
    ],
)
async def test_an_invalid_url_is_fatal(wrong: dict[str, str]) -> None:
    async with line_to(**wrong) as line:
        assert (await failure(line)).kind == "fatal"


async def test_a_server_that_never_answers_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "CONNECT_S", 0.05)
    gone = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the client disconnects
        writer.close()
        gone.set()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with line_to(f"ws://127.0.0.1:{port}") as line:
            assert "did not answer" in str(await failure(line))
        await gone.wait()


# --- session.update -------------------------------------------------------------------------------


async def test_rejected_settings_are_fatal_and_named() -> None:
    async with QwenStandIn() as qwen, line_to(qwen.url, volume=101) as line:
        error = await failure(line)
        assert error.kind == "fatal" and "volume cannot be 101" in str(error)
        await qwen.until(lambda: not qwen.open_sessions)


async def test_a_busy_server_before_the_settings_is_passing() -> None:
    async def busy(socket: ServerConnection) -> None:
        await fail(socket, "Throttling.RateQuota", "too many requests")
        await socket.wait_closed()

    async with scripted(busy, say_it) as url, line_to(url) as line:
        assert (await failure(line)).kind == "passing"
        assert await heard(line) == (SOUND, 8000)


@pytest.mark.parametrize("changes", [{"response_format": "mp3"}, {"sample_rate": 96000}])
async def test_another_audio_format_is_rejected_at_once(changes: dict[str, Any]) -> None:
    async def other(socket: ServerConnection) -> None:
        await settle(socket, **changes)
        await socket.wait_closed()

    async with scripted(other) as url, line_to(url) as line:
        assert (await failure(line)).kind == "fatal"


async def test_the_rate_that_the_server_reports_is_used() -> None:
    async def other(socket: ServerConnection) -> None:
        assert (await settle(socket, sample_rate=24000))["sample_rate"] == 8000
        await take_text(socket)
        await begin(socket)
        await delta(socket, SOUND)
        await done(socket)
        await socket.wait_closed()

    async with scripted(other) as url, line_to(url) as line:
        assert await heard(line) == (SOUND, 24000)


async def no_greeting(socket: ServerConnection) -> None:
    await socket.wait_closed()


async def no_answer(socket: ServerConnection) -> None:
    await send(socket, "session.created", session={"id": "sess_1"})
    await socket.wait_closed()


@pytest.mark.parametrize("silent", [no_greeting, no_answer])
async def test_settings_that_are_not_acknowledged_are_a_timeout(
    silent: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qwen_session, "UPDATED_S", 0.05)
    async with scripted(silent) as url, line_to(url) as line:
        error = await failure(line)
    assert error.kind == "passing" and "settings" in str(error)


async def test_no_text_is_sent_before_session_updated() -> None:
    came: list[str] = []

    async def slow(socket: ServerConnection) -> None:
        await send(socket, "session.created", session={"id": "sess_1"})
        asked = await receive(socket, "session.update")
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                came.append(json.loads(await socket.recv())["type"])
        await send(socket, "session.updated", session=asked["session"])
        came.append(json.loads(await socket.recv())["type"])

    async with scripted(slow) as url, line_to(url) as line:
        await failure(line)
    assert came == ["input_text_buffer.append"]


@pytest.mark.parametrize("frame", [b"\0", "no JSON", "{}", '{"type": "session.created"}'])
async def test_garbage_before_session_created_is_passing(frame: str | bytes) -> None:
    async def babble(socket: ServerConnection) -> None:
        await socket.send(frame)
        await socket.wait_closed()

    async with scripted(babble) as url, line_to(url) as line:
        assert (await failure(line)).kind == "passing"


async def test_a_connection_that_ends_before_session_updated_is_passing() -> None:
    async def leave(socket: ServerConnection) -> None:
        await send(socket, "session.created", session={"id": "sess_1"})

    async with scripted(leave) as url, line_to(url) as line:
        error = await failure(line)
    assert error.kind == "passing" and "closed the connection with code 1000" in str(error)
