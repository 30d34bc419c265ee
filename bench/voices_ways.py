"""The ways in which an agent can speak: what its file says, and the stand-in that answers it."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

import aiohttp

from app.simulator.mouth import Heard, Mouth, PlanFor
from app.simulator.voice_http import HttpStandIn
from app.simulator.voice_qwen import QwenStandIn
from app.simulator.voice_volcengine import VolcengineStandIn
from bench.process import Process, Subject
from bench.voices_service import SECRET

STARTED_WITHIN_S = 30.0


class StandIn(Protocol):
    """A provider, as its server behaves, on the loopback."""

    @property
    def heard(self) -> Heard: ...

    @property
    def url(self) -> str: ...


Provider = Callable[[Mouth, PlanFor], AbstractAsyncContextManager[StandIn]]


@dataclass(frozen=True, slots=True)
class Way:
    """`voice`: the keys under [voice], but for the address. `hz`: what the provider sends."""

    name: str
    voice: str
    hz: int
    provider: Provider

    def subject(self, url: str) -> Subject:
        """The service that speaks in this way, with a provider at `url`."""
        keys = f'{self.voice}\nsample_rate = {self.hz}\nurl = "{url}"\n'
        return Subject(self.name, (*_SERVICE, keys), webhook=True)


def _qwen(mouth: Mouth, plan: PlanFor) -> AbstractAsyncContextManager[StandIn]:
    return QwenStandIn(mouth, plan, api_key=SECRET)


def _volcengine(mouth: Mouth, plan: PlanFor) -> AbstractAsyncContextManager[StandIn]:
    return VolcengineStandIn(mouth, plan, token=SECRET, app_id=SECRET)


def _http(mouth: Mouth, plan: PlanFor) -> AbstractAsyncContextManager[StandIn]:
    return HttpStandIn(mouth, plan, token=SECRET)


async def ready(service: Process) -> None:
    """Wait until it takes calls. Raises RuntimeError with its last words when it ends instead."""
    async with aiohttp.ClientSession() as http, asyncio.timeout(STARTED_WITHIN_S):
        while True:
            service.check()
            try:
                async with http.get(f"http://127.0.0.1:{service.port}/healthz"):
                    return
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)


_SERVICE = ("-m", "bench.voices_service")
_VOLCENGINE = 'provider = "volcengine"\nname = "her"'

# Both rates, so that the resampler has its share; 8000 Hz is what the service asks for by itself.
WAYS = (
    Way("qwen commit", 'provider = "qwen"', 24000, _qwen),
    Way("qwen server_commit", 'provider = "qwen"\nmode = "server_commit"', 8000, _qwen),
    Way("volcengine v1", _VOLCENGINE, 8000, _volcengine),
    Way("volcengine v3", f'{_VOLCENGINE}\ntransport = "v3"', 24000, _volcengine),
    Way("http", 'provider = "http"', 8000, _http),
)
HTTP_WIDE = Way("http", 'provider = "http"', 24000, _http)
NATIVE = Subject("native", (*_SERVICE, 'provider = "openai"\n'), webhook=True)
