"""`python -m app voices`: which voices the agent has, and what they sound like."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from app.audio import ULAW_HZ
from app.bridge.services import voice_secrets
from app.cli.embedded_model import embedded_model
from app.cli.model_voice import ModelVoice, ModelVoiceSettings
from app.cli.voice_sample import Sample, record, sentences_of
from app.config.agent.file import LoadedAgent, load_agent
from app.config.settings import EMBEDDED, Settings, load_settings
from app.errors import BridgeError, ConfigError, VoiceError
from app.records.visible import one_line, visible
from app.wires.voices.http import HttpSettings
from app.wires.voices.providers import (
    VoiceSecrets,
    VoiceSettings,
    label,
    missing_credentials,
    open_voices,
)
from app.wires.voices.qwen.voice import QwenSettings
from app.wires.voices.voice import Voice
from app.wires.voices.volcengine.voice import VolcengineSettings

VOICE_FAILED, WRONG_SETTINGS = 1, 2
SOMETHING = "Hello! This is how I sound on the telephone. Is there anything that I can do for you?"
_KEYLESS = "OPENAI_API_KEY is missing: the embedded model speaks"


def voices(
    agent: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An agent file, in place of AGENT_FILE.")
    ] = None,
    say: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="What to say; the agent's greeting if you only choose."),
    ] = None,
    voice: Annotated[
        str | None,
        typer.Option(metavar="VOICE", help="Who says it: a provider or a label of the list."),
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Have every voice say it, and compare them.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The WAV file, in place of voice-….wav.")
    ] = None,
    phone: Annotated[
        bool, typer.Option("--phone", help="Write it as the caller hears it: 8000 Hz, µ-law.")
    ] = False,
) -> None:
    """List the agent's voices, or have them say something into WAV files.

    \b
    python -m app voices
    python -m app voices --say "Your table is ready."
    python -m app voices --voice qwen --phone --out greeting.wav
    python -m app voices --all --say "Your table is ready."

    Status 1: a voice failed; 2: a setting or the agent file is wrong.
    """
    console = _console()
    try:
        setup = _Setup.load(agent)
        if say is None and voice is None and out is None and not all_ and not phone:
            console.print(setup.listing())
            return
        order = _Job.of(setup, say, voice, out, everybody=all_, phone=phone)
        samples, faults = asyncio.run(_speak(setup, order, console))
    except BridgeError as error:
        _fail([error])
    if samples:
        console.print(_comparison(samples))
        for sample, path in samples:
            kept = f"Kept: {path} ({sample.hz} Hz, 16 bits, mono)"
            console.print(kept, highlight=False, markup=False, soft_wrap=True)
    if faults:
        _fail(faults)


def _fail(faults: Sequence[BridgeError]) -> NoReturn:
    for fault in faults:
        for line in str(fault).splitlines():
            typer.echo(visible(line), err=True)
    failed = any(isinstance(each, VoiceError) for each in faults)
    raise typer.Exit(VOICE_FAILED if failed else WRONG_SETTINGS) from None


def _console() -> Console:
    """The terminal; a pipe or a file gets long lines, not those of 80 columns."""
    console = Console()
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=160)


# --- which voices there are -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Choice:
    """A voice of the agent's. `settings`: None for the model's own."""

    label: str
    settings: VoiceSettings | None = None

    @property
    def provider(self) -> str:
        return self.label.partition("/")[0]


@dataclass(frozen=True, slots=True)
class _Setup:
    """What was set up: the service's settings and its agent."""

    settings: Settings
    agent: LoadedAgent

    @classmethod
    def load(cls, agent_file: Path | None) -> "_Setup":
        settings = load_settings()
        agent = load_agent(agent_file or settings.agent_file, settings.transfer_number)
        return cls(settings, agent)

    @property
    def choices(self) -> list[_Choice]:
        """Every voice in its order, the model's own one at the end."""
        own = _Choice(f"openai/{self.agent.agent.voice.name}")
        return [*(_Choice(label(each), each) for each in self.agent.voices), own]

    def choose(self, wanted: str) -> _Choice:
        """Raises ConfigError: there is no such voice."""
        choices = self.choices
        for known in ([each.label for each in choices], [each.provider for each in choices]):
            names = [each.lower() for each in known]
            if wanted.lower() in names:
                return choices[names.index(wanted.lower())]
        has = ", ".join(each.label for each in choices)
        raise ConfigError(
            f"--voice: {self.agent.path} names no voice {wanted!r}; it has {has}. "
            "Another one goes into its [voice]"
        )

    @property
    def secrets(self) -> VoiceSecrets:
        return voice_secrets(self.settings)

    @asynccontextmanager
    async def opened(self, choice: _Choice) -> AsyncIterator[Voice]:
        """The voice, while it is needed.

        Raises:
            ConfigError: a credential is missing, or the embedded model cannot be had.
        """
        async with AsyncExitStack() as stack:
            if choice.settings is not None:
                (voice,) = open_voices((choice.settings,), self.secrets)
            else:
                voice = ModelVoice(await self._own(stack))
            stack.push_async_callback(voice.aclose)
            yield voice

    async def _own(self, stack: AsyncExitStack) -> ModelVoiceSettings:
        own, secret = self.agent.agent.voice, self.settings.openai_api_key
        key = secret.get_secret_value() if secret else ""
        url, model = self.settings.realtime_url, self.settings.openai_realtime_model
        if not key:
            server = embedded_model(self.agent, remembers=False)
            await stack.enter_async_context(server)
            url, model, key = (
                re.sub("^http", "ws", server.base_url) + "/realtime",
                EMBEDDED,
                EMBEDDED,
            )
        return ModelVoiceSettings(url, model, key, own.name, own.speed)

    # --- the list ---

    def listing(self) -> Table:
        table = _table("", "voice", "model", ">Hz", "host", "credentials")
        for number, choice in enumerate(self.choices):
            if not number:
                role = "speaks"
            else:
                role = "stands in" if choice.settings else "speaks when all fail"
            model, hz, host = self._facts(choice)
            cells = role, choice.label, model, str(hz), host, self._credentials(choice)
            table.add_row(*(Text(one_line(cell)) for cell in cells))
        return table

    def _facts(self, choice: _Choice) -> tuple[str, int, str]:
        """Its model and its ways, its rate in a call in Hz, and the host where it is."""
        match choice.settings:
            case QwenSettings() as qwen:
                hz = int(qwen.session["sample_rate"])
                return f"{qwen.model}, {qwen.mode}", hz, _host(qwen.url)
            case VolcengineSettings() as volcengine:
                ways = (
                    f"v1, {volcengine.operation}, {volcengine.cluster}"
                    if volcengine.transport == "v1"
                    else f"v3, {volcengine.resource_id}"
                )
                model = ", ".join(filter(None, (volcengine.model, ways)))
                return model, volcengine.rate, _host(volcengine.address("/"))
            case HttpSettings() as http:
                return http.emotion, http.sample_rate, _host(http.url)
            case None:
                if self.settings.openai_api_key is None:
                    return EMBEDDED, ULAW_HZ, "this machine"
                host = _host(self.settings.openai_base_url)
                return self.settings.openai_realtime_model, ULAW_HZ, host

    def _credentials(self, choice: _Choice) -> str:
        if choice.settings is None:
            return "there" if self.settings.openai_api_key else _KEYLESS
        if isinstance(choice.settings, HttpSettings):
            return "there" if self.secrets.http_voice_token else "HTTP_VOICE_TOKEN is not set"
        missing = missing_credentials(choice.settings, self.secrets)
        return f"missing: {', '.join(missing)}" if missing else "there"


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _table(*names: str) -> Table:
    """`>` in front of a name: numbers, so to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        justify = "right" if name.startswith(">") else "left"
        table.add_column(name.removeprefix(">"), justify=justify)  # type: ignore[arg-type]
    return table


# --- speaking -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Job:
    """What is to be said by whom, and where it goes."""

    sentences: tuple[str, ...]
    choices: tuple[tuple[_Choice, Path], ...]
    phone: bool

    @classmethod
    def of(
        cls,
        setup: _Setup,
        say: str | None,
        voice: str | None,
        out: Path | None,
        *,
        everybody: bool,
        phone: bool,
    ) -> "_Job":
        """Raises ConfigError: it cannot be done."""
        if everybody and (voice or out):
            option = "--voice" if voice else "--out"
            raise ConfigError(f"{option}: --all has every voice speak into its own file; leave one")
        text = say if say is not None else setup.agent.agent.greeting or SOMETHING
        sentences = sentences_of(text)
        if not sentences:
            raise ConfigError("--say: there is nothing in the text that a voice could say")
        chosen = (
            setup.choices if everybody else [setup.choose(voice)] if voice else setup.choices[:1]
        )
        paths = [out] if out else [*_file_names(chosen)]
        for path in paths:
            if path.is_dir() or not path.absolute().parent.is_dir():
                raise ConfigError(f"--out: {path}: expected a file in a directory that exists")
        return cls(tuple(sentences), tuple(zip(chosen, paths, strict=True)), phone)


def _file_names(choices: Sequence[_Choice]) -> Iterator[Path]:
    """`voice-qwen-Cherry.wav`; a second one of that label gets a number."""
    taken: dict[str, int] = {}
    for choice in choices:
        name = re.sub(r"[^\w.-]+", "-", choice.label)
        taken[name] = taken.get(name, 0) + 1
        yield Path(f"voice-{name}{f'-{taken[name]}' if taken[name] > 1 else ''}.wav")


async def _speak(
    setup: _Setup, order: _Job, console: Console
) -> tuple[list[tuple[Sample, Path]], list[BridgeError]]:
    """Voice after voice. Returns what was written, and what went wrong."""
    samples: list[tuple[Sample, Path]] = []
    faults: list[BridgeError] = []
    for choice, path in order.choices:
        if choice.settings is None and setup.settings.openai_api_key is None:
            console.print(f"{_KEYLESS}.", style="yellow", markup=False)
        try:
            async with setup.opened(choice) as voice:
                sample = await _record(voice, order.sentences, console)
            sample = sample.on_the_phone() if order.phone else sample
            await asyncio.to_thread(sample.write_wav, path)
        except VoiceError as error:
            told = str(error)
            named = told if choice.label in told else f"{choice.label}: {told}"
            faults.append(VoiceError(named, kind=error.kind))
        except ConfigError as error:
            faults.append(error)
        except OSError as error:
            faults.append(ConfigError(f"--out: cannot write {path}: {error.strerror}"))
        else:
            samples.append((sample, path))
    return samples, faults


async def _record(voice: Voice, sentences: Sequence[str], console: Console) -> Sample:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed} of {task.total} sentences, {task.fields[sound_s]:.1f} s"),
    )
    quiet = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
        task = progress.add_task(voice.label, total=len(sentences), sound_s=0.0)

        def on_sound(whole: int, sound_ms: float) -> None:
            progress.update(task, completed=whole, sound_s=sound_ms / 1000)

        return await record(voice, sentences, on_sound)


def _comparison(samples: Sequence[tuple[Sample, Path]]) -> Table:
    table = _table(
        "voice", ">first sound ms", ">connect ms", ">sound s", ">real-time factor",
        ">peak dBFS", ">level dBFS",
    )  # fmt: skip
    for sample, _ in samples:
        table.add_row(
            Text(one_line(sample.label)),
            f"{sample.first_sound_ms:.0f}",
            f"{sample.connect_ms:.0f}",
            f"{sample.sound_ms / 1000:.2f}",
            f"{sample.real_time_factor:.3f}",
            f"{sample.peak_dbfs:.1f}",
            f"{sample.level_dbfs:.1f}",
        )
    return table
