"""The ways in which an agent can speak: the keys of its file, and the provider's stand-in."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Protocol

from app.simulator.voices.http import HttpStandIn
from app.simulator.voices.mouth import Heard, Mouth, PlanFor
from app.simulator.voices.qwen import QwenStandIn
from app.simulator.voices.volcengine import VolcengineStandIn
from bench.process import AGENT_FILE, SERVICE, Subject

SECRET = "bench"  # the credential of every stand-in, whatever its provider calls it
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
    """The service with an agent that has this voice. `voice`: the keys under [voice]."""
    return replace(SERVICE, name=name, files={AGENT_FILE: AGENT + voice}, settings=SETTINGS)


class StandIn(Protocol):
    """A provider's server on the loopback."""

    @property
    def heard(self) -> Heard: ...

    @property
    def url(self) -> str: ...


Provider = Callable[[Mouth, PlanFor], AbstractAsyncContextManager[StandIn]]


@dataclass(frozen=True, slots=True)
class Way:
    """One way of speaking."""

    name: str
    #: The keys under [voice], without sample_rate and url.
    voice: str
    #: The rate of the provider's sound.
    hz: int
    provider: Provider
    #: The voice sends the times of its words.
    timed: bool = False

    def subject(self, url: str) -> Subject:
        """The service with this voice, from a provider at `url`."""
        keys = f'{self.voice}\nsample_rate = {self.hz}\nurl = "{url}"\n'
        return speaking(self.name, keys)


def _qwen(mouth: Mouth, plan: PlanFor) -> AbstractAsyncContextManager[StandIn]:
    return QwenStandIn(mouth, plan, api_key=SECRET)


def _volcengine(mouth: Mouth, plan: PlanFor) -> AbstractAsyncContextManager[StandIn]:
    return VolcengineStandIn(mouth, plan, token=SECRET, app_id=SECRET)


def _http(mouth: Mouth, plan: PlanFor) -> AbstractAsyncContextManager[StandIn]:
    return HttpStandIn(mouth, plan, token=SECRET)


_VOLCENGINE = 'provider = "volcengine"\nname = "her"'

# Both rates, so that resampling is measured; 8000 Hz is the service's default.
WAYS = (
    Way("qwen commit", 'provider = "qwen"', 24000, _qwen),
    Way("qwen server_commit", 'provider = "qwen"\nmode = "server_commit"', 8000, _qwen),
    Way("volcengine v1", _VOLCENGINE, 8000, _volcengine, timed=True),
    Way("volcengine v3", f'{_VOLCENGINE}\ntransport = "v3"', 24000, _volcengine),
    Way("http", 'provider = "http"', 8000, _http),
)
HTTP_WIDE = Way("http", 'provider = "http"', 24000, _http)
NATIVE = speaking("native", 'provider = "openai"\n')
