"""`python -m app stand-in`: a service that the bridge talks to, played on this machine."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from app.cli.embedded_model import lines_model
from app.cli.serve import run_on_fast_loop
from app.cli.terminal import WRONG_SETTINGS, fail
from app.config.agent.example import EXAMPLE_AGENT
from app.config.agent.file import load_agent
from app.errors import BridgeError, ConfigError
from app.simulator.receptionist.ears import HearingUnavailable
from app.simulator.receptionist.lines import GENERIC_LINES
from app.simulator.speech import SpeechUnavailable, speak
from app.simulator.twilio.stand_in import ACCOUNT_SID, AUTH_TOKEN, AccountStandIn
from app.simulator.voices.http import HttpStandIn
from app.simulator.voices.mouth import Mouth, Plan, PlanFor, Said, Spoken, espeak
from app.simulator.voices.qwen import QwenStandIn
from app.simulator.voices.volcengine import VolcengineStandIn
from app.web.server.signals import cancel_on_signal

_KEPT_TEXTS = 100


class StandIn(StrEnum):
    """The services that can be played."""

    REALTIME = "realtime"
    QWEN = "qwen"
    VOLCENGINE = "volcengine"
    HTTP = "http"
    TWILIO = "twilio"


def stand_in(
    name: Annotated[StandIn, typer.Argument(show_default=False, help="Which service.")],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 0,
    agent: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="For realtime: understand the demo lines of this agent file. Default: those of "
            "the example pizzeria, and a few for greetings and the time.",
        ),
    ] = None,
) -> None:
    """Play a service that the bridge talks to, on this machine, until Ctrl-C.

    \b
    realtime    an OpenAI Realtime server: it hears, speaks and calls tools
    qwen        Qwen's realtime voices (DashScope)
    volcengine  Volcengine's voices, v1 and v3
    http        a server of the custom HTTP text-to-speech standard
    twilio      Twilio's REST API of one account, for setup and doctor; no calls

    The first line is the address for clients. Every key is accepted, except by twilio, which prints
    its credentials. It listens on the loopback alone, and its voices are those of espeak-ng.

    \b
    python -m app stand-in realtime --port 8765
    OPENAI_BASE_URL=http://127.0.0.1:8765/v1 python your_client.py

    docs/stand-ins.md has a client for each. Exit status 0: it was stopped; 2: the port is in use,
    an option or the agent file is wrong, or the extra `demo` is not installed.
    """
    try:
        if agent is not None and name is not StandIn.REALTIME:
            raise ConfigError(f"--agent is for realtime, not for {name}; leave it out")
        run_on_fast_loop(_play(_open(name, port, agent), port))
    except (BridgeError, HearingUnavailable, SpeechUnavailable) as error:
        fail(error, WRONG_SETTINGS)


# Lines of stdout: the address for clients, then what else there is.
_Addresses = list[str]


async def _play(stand_in: AbstractAsyncContextManager[_Addresses], port: int) -> None:
    """Play until a signal. Raises ConfigError if the port cannot be listened on."""
    with cancel_on_signal():
        try:
            async with stand_in as addresses:
                typer.echo("\n".join(addresses))  # flushes
                await asyncio.get_running_loop().create_future()
        except OSError as error:
            why = os.strerror(error.errno or 0)
            raise ConfigError(
                f"--port: 127.0.0.1:{port} cannot be listened on ({why}); "
                "end the program that holds it, or choose another port, or 0 for a free one"
            ) from None


def _open(name: StandIn, port: int, agent: Path | None) -> AbstractAsyncContextManager[_Addresses]:
    """The stand-in: it listens inside `async with`.

    Raises BridgeError, HearingUnavailable and SpeechUnavailable.
    """
    if name is StandIn.REALTIME:
        return _realtime(port, agent)
    if name is StandIn.TWILIO:
        return _twilio(port)
    speak("")  # fails now if espeak-ng is missing, instead of at the first text
    return _voice(_VOICES[name], port)


@asynccontextmanager
async def _realtime(port: int, agent: Path | None) -> AsyncIterator[_Addresses]:
    loaded = load_agent(agent or EXAMPLE_AGENT)
    model = lines_model(loaded, more=() if agent else GENERIC_LINES, remembers=False)
    await model.start(port)
    try:
        yield [model.base_url]
    finally:
        await model.close()


@asynccontextmanager
async def _twilio(port: int) -> AsyncIterator[_Addresses]:
    async with AccountStandIn(port=port) as playing:
        yield [
            playing.url,
            f"TWILIO_API_BASE_URL={playing.url}",
            f"TWILIO_ACCOUNT_SID={ACCOUNT_SID}",
            f"TWILIO_AUTH_TOKEN={AUTH_TOKEN}",
            *(f"TWILIO_PHONE_NUMBER={each.number}" for each in playing.account.numbers),
        ]


@asynccontextmanager
async def _voice(make: "_Make", port: int) -> AsyncIterator[_Addresses]:
    async with make(_mouth, _as_a_provider_would, port) as playing:
        playing.heard.said = _LastTexts()
        more = playing.urls if isinstance(playing, VolcengineStandIn) else ()
        yield [playing.url, *more]


_Voice = QwenStandIn | VolcengineStandIn | HttpStandIn
_Make = Callable[[Mouth, PlanFor, int], _Voice]

_VOICES: dict[StandIn, _Make] = {
    StandIn.QWEN: lambda mouth, plan, port: QwenStandIn(mouth, plan, port=port),
    StandIn.VOLCENGINE: lambda mouth, plan, port: VolcengineStandIn(mouth, plan, port=port),
    StandIn.HTTP: lambda mouth, plan, port: HttpStandIn(mouth, plan, port=port, strict=False),
}


class _LastTexts(list[Said]):
    """The record of a stand-in that runs for days: it keeps the last texts only."""

    def append(self, said: Said) -> None:
        super().append(said)
        del self[:-_KEPT_TEXTS]


def _mouth(text: str, hz: int) -> Spoken:
    """espeak-ng, in Mandarin for a text with Chinese characters."""
    chinese = any("\u4e00" <= character <= "\u9fff" for character in text)
    return espeak(text, hz, voice="cmn" if chinese else "en-us")


def _as_a_provider_would(_text: str) -> Plan:
    """First audio after 150 ms, then five times faster than it plays."""
    return Plan(delay_ms=150, speed=5)
