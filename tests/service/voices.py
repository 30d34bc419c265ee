"""The service with external voices, each provider played by its local stand-in."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol

from app.simulator.realtime import Script
from app.simulator.voices.http import HttpStandIn
from app.simulator.voices.mouth import Heard, Mouth, PlanFor, always, tones
from app.simulator.voices.qwen import QwenStandIn
from app.simulator.voices.volcengine import VolcengineStandIn
from tests.service.world import AGENT, World, world

WAYS = ("qwen", "qwen server_commit", "volcengine", "volcengine query", "volcengine v3", "http")
"""All combinations of provider, mode, operation and transport."""

_PROVIDER = {
    "qwen": 'provider = "qwen"',
    "qwen server_commit": 'provider = "qwen"\nmode = "server_commit"',
    "volcengine": 'provider = "volcengine"\nname = "her"',
    "volcengine query": 'provider = "volcengine"\nname = "her"\noperation = "query"',
    "volcengine v3": 'provider = "volcengine"\nname = "her"\ntransport = "v3"',
    "http": 'provider = "http"',
}
SECRETS = {
    "dashscope_api_key": "the key of Qwen",
    "volcengine_app_id": "the application",
    "volcengine_access_token": "the access token",
    "http_voice_token": "the token of the speech server",
}


class StandIn(Protocol):
    """The server of a provider."""

    heard: Heard

    @property
    def url(self) -> str: ...


def stand_in(way: str, mouth: Mouth = tones, plan: PlanFor = always) -> Any:
    """The server for this way, an async context manager. It checks credentials."""
    if way.startswith("qwen"):
        return QwenStandIn(mouth, plan, api_key=SECRETS["dashscope_api_key"])
    if way.startswith("volcengine"):
        return VolcengineStandIn(
            mouth,
            plan,
            token=SECRETS["volcengine_access_token"],
            app_id=SECRETS["volcengine_app_id"],
        )
    return HttpStandIn(mouth, plan, token=SECRETS["http_voice_token"])


def table(way: str, server: StandIn) -> str:
    """The keys of a [voice] or [[voice.fallback]] table for this way."""
    return f'{_PROVIDER[way]}\nurl = "{server.url}"\n'


@asynccontextmanager
async def speaking(
    script: Script, *servers: tuple[str, StandIn], agent: str = AGENT, **more: Any
) -> AsyncIterator[World]:
    """The service whose agent has the first of these voices; the others are its fallbacks."""
    (way, first), *rest = servers
    text = agent + "\n[voice]\n" + table(way, first)
    text += "".join("[[voice.fallback]]\n" + table(each, server) for each, server in rest)
    async with world(script, agent=text, **{**SECRETS, **more}) as here:
        yield here


@asynccontextmanager
async def speaking_with(
    way: str, script: Script, mouth: Mouth = tones, plan: PlanFor = always, **more: Any
) -> AsyncIterator[tuple[World, StandIn]]:
    """The service and its one provider."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(stand_in(way, mouth, plan))
        here = await stack.enter_async_context(speaking(script, (way, server), **more))
        yield here, server
