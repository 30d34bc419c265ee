"""The ways in which an agent can speak: what its file says, and the stand-in that answers it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Protocol

from app.simulator.voices.http import HttpStandIn
from app.simulator.voices.mouth import Heard, Mouth, PlanFor
from app.simulator.voices.qwen import QwenStandIn
from app.simulator.voices.volcengine import VolcengineStandIn
from bench.process import AGENT_FILE, SERVICE, Subject

SECRET = "bench"  # what every stand-in demands, under each name that a provider has for it
AGENT = """\
name = "Teller"
instructions = "Tell the caller how things are."
greeting = "Hello."
[limits]
idle_seconds = 0
longest_call_seconds = 0
[voice]
"""
SETTINGS = {
    "DASHSCOPE_API_KEY": SECRET,
    "VOLCENGINE_APP_ID": SECRET,
    "VOLCENGINE_ACCESS_TOKEN": SECRET,
    "HTTP_VOICE_TOKEN": SECRET,
}


def speaking(name: str, voice: str) -> Subject:
    """The service with an agent that speaks so. `voice`: the keys under [voice]."""
    return replace(SERVICE, name=name, files={AGENT_FILE: AGENT + voice}, settings=SETTINGS)


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
        return speaking(self.name, keys)


def _qwen(mouth: Mouth, plan: PlanFor) -> AbstractAsyncContextManager[StandIn]:
    return QwenStandIn(mouth, plan, api_key=SECRET)


def _volcengine(mouth: Mouth, plan: PlanFor) -> AbstractAsyncContextManager[StandIn]:
    return VolcengineStandIn(mouth, plan, token=SECRET, app_id=SECRET)


def _http(mouth: Mouth, plan: PlanFor) -> AbstractAsyncContextManager[StandIn]:
    return HttpStandIn(mouth, plan, token=SECRET)


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
NATIVE = speaking("native", 'provider = "openai"\n')
