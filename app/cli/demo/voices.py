"""The agent's voice in the demo: the model's, a provider's stand-in, or those of an agent file."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from app.config.agent.file import LoadedAgent, load_agent
from app.config.agent.voice import ProviderForm
from app.errors import ConfigError
from app.simulator.voices.http import HttpStandIn
from app.simulator.voices.mouth import Mouth, Plan, espeak
from app.simulator.voices.qwen import QwenStandIn
from app.simulator.voices.volcengine import VolcengineStandIn
from app.wires.voices.providers import VoiceSecrets, VoiceSettings, label

_VARIANT = "+m3"  # of espeak-ng: neither the embedded model nor the caller sounds like it


class DemoVoice(StrEnum):
    """`demo --voice`: a provider's protocol, or `own` for the real voices of an agent file."""

    QWEN = "qwen"
    VOLCENGINE = "volcengine"
    VOLCENGINE_V3 = "volcengine-v3"
    HTTP = "http"
    OWN = "own"


@dataclass(frozen=True, slots=True)
class Speaker:
    """An agent with its voices for the demo."""

    agent: LoadedAgent
    #: Settings that the voices need, by name; see `Settings`.
    secrets: dict[str, SecretStr]
    #: A sentence about the voices for the terminal; empty if there is nothing to say.
    note: str


@asynccontextmanager
async def speaker(agent: LoadedAgent, voice: DemoVoice | None) -> AsyncIterator[Speaker]:
    """Give the agent its voice. A stand-in of a provider runs on the loopback inside the block.

    `voice`: None for the embedded model's own.

    Raises:
        ConfigError: `DemoVoice.OWN`, and the agent file names no external voice.
    """
    names = ", ".join(agent.agent.voices)
    if voice is None:
        note = f"(The voices of {agent.path.name} are not used; --voice own uses them.)"
        yield Speaker(_speaking(agent), {}, note if names else "")
    elif voice is DemoVoice.OWN:
        if not names:
            raise ConfigError(
                f"--voice own: {agent.path} names no voice of another provider; put one into its "
                "[voice], or try --voice qwen"
            )
        yield Speaker(agent, {}, f"It speaks with the voices of {agent.path.name}: {names}.")
    else:
        mouth = partial(espeak, voice=agent.demo.voice.partition("+")[0] + _VARIANT)
        async with _stand_in(voice, mouth) as provider:
            settings = _form(voice, provider.url).settings(agent.agent.language)
            note = (
                f"It speaks as {label(settings)}. That is a local stand-in, not the provider's "
                f"voice: it serves {_WIRES[voice]} at {provider.url}, and sounds like espeak-ng."
            )
            yield Speaker(_speaking(agent, settings), _PLACEHOLDERS, note)


def with_voices_of(agent: LoadedAgent, path: Path) -> LoadedAgent:
    """The agent with the external voices of another agent file.

    Raises:
        ConfigError: that file is wrong, or names no external voice.
    """
    other = load_agent(path)
    if not other.voices:
        raise ConfigError(
            f"--voice own: {path} names no voice of another provider; put one into its [voice], "
            "or try --voice qwen"
        )
    return _speaking(agent, *other.voices)


def _speaking(agent: LoadedAgent, *voices: VoiceSettings) -> LoadedAgent:
    """The agent with exactly these external voices."""
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
    """First audio after 150 ms, then five times faster than it plays."""
    return Plan(delay_ms=150, speed=5)


def _stand_in(voice: DemoVoice, mouth: Mouth) -> AbstractAsyncContextManager[_StandIn]:
    if voice is DemoVoice.QWEN:
        return QwenStandIn(mouth, _as_a_provider_would)
    if voice is DemoVoice.HTTP:
        return HttpStandIn(mouth, _as_a_provider_would)
    return VolcengineStandIn(mouth, _as_a_provider_would)


def _form(voice: DemoVoice, url: str) -> ProviderForm:
    """The [voice] of an agent file for this stand-in."""
    if voice is DemoVoice.QWEN:
        return ProviderForm(provider="qwen", url=url, sample_rate=24000)
    if voice is DemoVoice.HTTP:
        return ProviderForm(provider="http", url=url, name="demo", sample_rate=16000)
    return ProviderForm(
        provider="volcengine",
        transport="v3" if voice is DemoVoice.VOLCENGINE_V3 else "v1",
        url=url,
        name="demo",
        sample_rate=24000,
    )
