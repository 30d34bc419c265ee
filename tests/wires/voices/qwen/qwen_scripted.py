"""A scripted Qwen server, and a line to it."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from app.errors import VoiceError
from app.wires.voices.qwen.voice import QwenLine, QwenSettings, QwenVoice

KEY = "sk-not-to-be-told"
HELLO = "Hello there."
SOUND = b"\1\0\2\0\3\0\4\0"

Script = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def scripted(*scripts: Script) -> AsyncIterator[str]:
    """A server that runs `scripts` on its connections in order, and repeats the last one. Yields
    its url. The connection is closed at the end of its script."""
    served = 0

    async def handle(socket: ServerConnection) -> None:
        nonlocal served
        script = scripts[min(served, len(scripts) - 1)]
        served += 1
        with suppress(ConnectionClosed):
            await script(socket)

    async with serve(handle, "127.0.0.1", 0, close_timeout=1) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}/api-ws/v1/realtime"


async def send(socket: ServerConnection, type_: str, **fields: Any) -> None:
    await socket.send(json.dumps({"event_id": "event_x", "type": type_, **fields}))


async def receive(socket: ServerConnection, type_: str) -> dict[str, Any]:
    """The next event of this type; others are skipped."""
    while True:
        event: dict[str, Any] = json.loads(await socket.recv())
        if event["type"] == type_:
            return event


async def settle(socket: ServerConnection, **changes: Any) -> dict[str, Any]:
    """Open the session. `changes`: settings in session.updated that differ from those requested.
    Returns the requested ones."""
    await send(socket, "session.created", session={"id": "sess_1"})
    requested: dict[str, Any] = (await receive(socket, "session.update"))["session"]
    await send(socket, "session.updated", session={"id": "sess_1", **requested, **changes})
    return requested


async def take_text(socket: ServerConnection) -> str:
    """Receive a text and its commit."""
    text: str = (await receive(socket, "input_text_buffer.append"))["text"]
    await receive(socket, "input_text_buffer.commit")
    return text


async def begin(socket: ServerConnection, response_id: str = "resp_1") -> None:
    await send(socket, "response.created", response={"id": response_id, "status": "in_progress"})


async def delta(socket: ServerConnection, pcm: bytes, response_id: str = "resp_1") -> None:
    sound = b64encode(pcm).decode()
    await send(socket, "response.audio.delta", response_id=response_id, delta=sound)


async def done(
    socket: ServerConnection, response_id: str = "resp_1", status: str = "completed"
) -> None:
    await send(socket, "response.done", response={"id": response_id, "status": status})


async def fail(socket: ServerConnection, code: str | None, message: str) -> None:
    await send(socket, "error", error={"code": code, "message": message})


async def say_it(socket: ServerConnection) -> None:
    """Behave as a server in commit mode does."""
    await settle(socket)
    while True:
        await take_text(socket)
        await begin(socket)
        await delta(socket, SOUND)
        await done(socket)


# --- client ---------------------------------------------------------------------------------------


@asynccontextmanager
async def line_to(url: str, **more: Any) -> AsyncIterator[QwenLine]:
    voice = QwenVoice(QwenSettings(**{"api_key": KEY, "url": url, **more}))
    yield voice.line()
    await voice.aclose()


async def heard(line: QwenLine, text: str = HELLO) -> tuple[bytes, int]:
    async with aclosing(line.say(text)) as sounds:
        pieces = [sound async for sound in sounds]
    return b"".join(sound.pcm for sound in pieces), pieces[0].hz if pieces else 0


async def failure(line: QwenLine, text: str = HELLO) -> VoiceError:
    with pytest.raises(VoiceError) as raised:
        await heard(line, text)
    assert KEY not in str(raised.value) and text not in str(raised.value)
    return raised.value
