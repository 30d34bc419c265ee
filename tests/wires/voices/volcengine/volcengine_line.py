"""A line to a Volcengine voice at a server on loopback, and helpers for tests."""

import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, Literal

import pytest

from app.simulator.voices.mouth import Plan
from app.simulator.voices.volcengine import VolcengineStandIn
from app.wires.voices.voice import Sounds, VoiceLine
from app.wires.voices.volcengine.voice import VolcengineLine, VolcengineSettings, VolcengineVoice

APP, TOKEN, SPEAKER = "APPID_PLACEHOLDER", "TOKEN_PLACEHOLDER", "VOICE_PLACEHOLDER"
HELLO = "Hello there, caller."
SLOW = Plan(speed=0.01)

Transport = Literal["v1", "v3"]
BOTH = pytest.mark.parametrize("transport", ["v1", "v3"])


def settings(url: str, transport: Transport = "v1", **changes: Any) -> VolcengineSettings:
    given = {"app_id": APP, "access_token": TOKEN, "voice_type": SPEAKER} | changes
    return VolcengineSettings(transport=transport, url=url, **given)


def volcengine(**changes: Any) -> VolcengineStandIn:
    return VolcengineStandIn(**{"token": TOKEN, "app_id": APP} | changes)


@asynccontextmanager
async def line_to(
    url: str, transport: Transport = "v1", **changes: Any
) -> AsyncIterator[VolcengineLine]:
    """A line. At the end, checks that the voice has left no task running."""
    voice = VolcengineVoice(settings(url, transport, **changes))
    line: VoiceLine = voice.line()
    assert isinstance(line, VolcengineLine)
    yield line
    await line.aclose()
    await voice.aclose()
    assert not background()


def background() -> set[asyncio.Task[Any]]:
    """The running tasks of all voices."""
    return {
        task
        for task in asyncio.all_tasks()
        if inspect.iscoroutine(coroutine := task.get_coro())
        and "/app/wires/voices/" in coroutine.cr_code.co_filename
    }


async def spoken(sounds: Sounds, *, hz: int = 8000) -> bytes:
    pcm = b""
    async with aclosing(sounds):
        async for sound in sounds:
            assert sound.hz == hz
            assert sound.pcm and len(sound.pcm) % 2 == 0
            pcm += sound.pcm
    return pcm


def at_once(sounds: Sounds) -> None:
    """Close a generator, which must not wait."""
    with pytest.raises(StopIteration):
        sounds.aclose().send(None)
