"""Who speaks for the agent in the demo: the model, a provider's stand-in, or the file's voices."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from app.config.agent.file import LoadedAgent, load_agent
from app.config.agent.voice_providers import (
    ExternalForm,
    HttpForm,
    QwenForm,
    VolcengineV1Form,
    VolcengineV3Form,
)
from app.errors import ConfigError
from app.simulator.voices.http import HttpStandIn
from app.simulator.voices.mouth import Mouth, Plan, espeak
from app.simulator.voices.qwen import QwenStandIn
from app.simulator.voices.volcengine import VolcengineStandIn
from app.wires.voices.providers import VoiceSecrets, VoiceSettings, label

_OTHER_MOUTH = "+m3"  # an espeak-ng variant: neither the embedded model nor our caller has it


class DemoVoice(StrEnum):
    """Who is to speak. `OWN`: the voices of the agent file, as they are."""

    QWEN = "qwen"
    VOLCENGINE = "volcengine"
    VOLCENGINE_V3 = "volcengine-v3"
    HTTP = "http"
    OWN = "own"


@dataclass(frozen=True, slots=True)
class Speaker:
    """`agent`: with the voices that are to speak. `secrets`: settings of the service that they
    need. `told`: what is to be said about them beforehand."""

    agent: LoadedAgent
    secrets: dict[str, SecretStr]
    told: str


@asynccontextmanager
async def speaker(agent: LoadedAgent, voice: DemoVoice | None) -> AsyncIterator[Speaker]:
    """The agent as it is to speak; a stand-in listens on the loopback meanwhile. `voice`: None for
    the embedded model's own.

    Raises:
        ConfigError: the agent file is to say who speaks, and says nothing.
    """
    names = ", ".join(agent.agent.voices)
    if voice is None:
        told = f"(The voices of {agent.path.name} are not used here; --voice own is for them.)"
        yield Speaker(_speaking(agent), {}, told if names else "")
    elif voice is DemoVoice.OWN:
        if not names:
            raise ConfigError(
                f"--voice own: {agent.path} names no voice of another provider; put one into its "
                "[voice], or take --voice qwen"
            )
        yield Speaker(agent, {}, f"It speaks with the voices of {agent.path.name}: {names}.")
    else:
        mouth = partial(espeak, voice=agent.demo.voice.partition("+")[0] + _OTHER_MOUTH)
        async with _stand_in(voice, mouth) as provider:
            settings = _form(voice, provider.url).settings(agent.agent.language)
            told = (
                f"It speaks as {label(settings)}. That is a local stand-in, and no voice of the "
                f"provider's: it speaks {_WIRES[voice]} at {provider.url} and sounds like "
                "espeak-ng."
            )
            yield Speaker(_speaking(agent, settings), _PLACEHOLDERS, told)


def with_voices_of(agent: LoadedAgent, path: Path) -> LoadedAgent:
    """The agent with the external voices of another agent's file.

    Raises:
        ConfigError: that file is wrong, or names none.
    """
    other = load_agent(path)
    if not other.voices:
        raise ConfigError(
            f"--voice own: {path} names no voice of another provider; put one into its [voice], "
            "or take --voice qwen"
        )
    return _speaking(agent, *other.voices)


def _speaking(agent: LoadedAgent, *voices: VoiceSettings) -> LoadedAgent:
    """The agent with these external voices and no others."""
    labels = tuple(map(label, voices))
    return replace(agent, voices=voices, agent=replace(agent.agent, voices=labels))


# --- stand-ins ------------------------------------------------------------------------------------


class _StandIn(Protocol):
    @property
    def url(self) -> str: ...


_WIRES = {
    DemoVoice.QWEN: "Qwen's realtime protocol",
    DemoVoice.VOLCENGINE: "Volcengine's v1 protocol",
    DemoVoice.VOLCENGINE_V3: "Volcengine's v3 protocol",
    DemoVoice.HTTP: "the HTTP speech standard",
}
# No real credential goes to a stand-in.
_PLACEHOLDERS = {
    each.name: SecretStr("" if each.name == "http_voice_headers" else "demo")
    for each in fields(VoiceSecrets)
}


def _as_a_provider_would(_text: str) -> Plan:
    """A moment until the first sound, then several times faster than it plays."""
    return Plan(delay_ms=150, speed=5)


def _stand_in(voice: DemoVoice, mouth: Mouth) -> AbstractAsyncContextManager[_StandIn]:
    if voice is DemoVoice.QWEN:
        return QwenStandIn(mouth, _as_a_provider_would)
    if voice is DemoVoice.HTTP:
        return HttpStandIn(mouth, _as_a_provider_would)
    return VolcengineStandIn(mouth, _as_a_provider_would)


def _form(voice: DemoVoice, url: str) -> ExternalForm:
    """What would stand in the agent file's [voice]."""
    if voice is DemoVoice.QWEN:
        return QwenForm(url=url, sample_rate=24000)
    if voice is DemoVoice.HTTP:
        return HttpForm(url=url, name="demo", sample_rate=16000)
    if voice is DemoVoice.VOLCENGINE_V3:
        return VolcengineV3Form(transport="v3", url=url, name="demo", sample_rate=24000)
    return VolcengineV1Form(url=url, name="demo", sample_rate=24000)
