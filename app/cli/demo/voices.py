"""The agent's voice in the demo: the model's, a provider's stand-in, or those of an agent file."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

from pydantic import SecretStr

from app.config.agent.file import LoadedAgent, load_agent
from app.config.agent.voice import VoiceForm
from app.errors import ConfigError
from app.simulator.voices.http import HttpStandIn
from app.simulator.voices.mouth import Mouth, Plan, PlanFor, espeak
from app.simulator.voices.qwen import QwenStandIn
from app.simulator.voices.volcengine import VolcengineStandIn
from app.wires.voices.provider import Credentials, VoiceSettings
from app.wires.voices.providers import CREDENTIALS

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
        wire, stand_in, keys = _STAND_INS[voice]
        async with stand_in(mouth, _as_a_provider_would) as provider:
            form = VoiceForm.model_validate({**keys, "url": provider.url})
            (settings,) = form.external(agent.agent.language)
            note = (
                f"It speaks as {settings.label}. That is a local stand-in, not the provider's "
                f"voice: it serves {wire} at {provider.url}, and sounds like espeak-ng."
            )
            yield Speaker(_speaking(agent, settings), _placeholders(settings), note)


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
    labels = tuple(each.label for each in voices)
    return replace(agent, voices=voices, agent=replace(agent.agent, voices=labels))


# --- stand-ins ------------------------------------------------------------------------------------


class _StandIn(Protocol):
    @property
    def url(self) -> str: ...


class _Played(NamedTuple):
    """How a provider is played."""

    #: The protocol that the stand-in serves, for the note.
    wire: str
    #: Opens the stand-in: use it in `async with`.
    stand_in: Callable[[Mouth, PlanFor], AbstractAsyncContextManager[_StandIn]]
    #: The agent file's [voice] for it, but for the url.
    keys: dict[str, object]


_STAND_INS = {
    DemoVoice.QWEN: _Played(
        "Qwen's realtime protocol", QwenStandIn, {"provider": "qwen", "sample_rate": 24000}
    ),
    DemoVoice.VOLCENGINE: _Played(
        "Volcengine's v1 protocol",
        VolcengineStandIn,
        {"provider": "volcengine", "name": "demo", "sample_rate": 24000},
    ),
    DemoVoice.VOLCENGINE_V3: _Played(
        "Volcengine's v3 protocol",
        VolcengineStandIn,
        {"provider": "volcengine", "transport": "v3", "name": "demo", "sample_rate": 24000},
    ),
    DemoVoice.HTTP: _Played(
        "the HTTP speech standard",
        HttpStandIn,
        {"provider": "http", "name": "demo", "sample_rate": 16000},
    ),
}


def _placeholders(settings: VoiceSettings) -> dict[str, SecretStr]:
    """Credentials for a stand-in, by the name in `Settings`: no real one is sent there."""
    used = (*settings.needs(Credentials({})), *settings.suggested)
    return {name.lower(): SecretStr("demo" if name in used else "") for name in CREDENTIALS}


def _as_a_provider_would(_text: str) -> Plan:
    """First audio after 150 ms, then five times faster than it plays."""
    return Plan(delay_ms=150, speed=5)
