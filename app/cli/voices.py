"""`python -m app voices`: list the agent's voices, or record what they sound like."""

import asyncio
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
from app.cli.model_voice import ModelVoice
from app.cli.terminal import WRONG_SETTINGS, console, fail
from app.cli.voice_sample import Sample, record, sentences_of
from app.config.agent.file import LoadedAgent, load_agent
from app.config.settings import EMBEDDED, Settings, load_settings
from app.errors import BridgeError, ConfigError, VoiceError
from app.records.visible import one_line
from app.wires.realtime.endpoint import Endpoint
from app.wires.voices.provider import Credentials, VoiceSettings
from app.wires.voices.providers import missing_credentials, open_voices
from app.wires.voices.voice import Voice

VOICE_FAILED = 1
DEFAULT_TEXT = (
    "Hello! This is how I sound on the telephone. Is there anything that I can do for you?"
)
_KEYLESS = "OPENAI_API_KEY is missing: the embedded model speaks"


def voices(
    agent: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The agent file. Default: AGENT_FILE.")
    ] = None,
    say: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="The text to say. Default: the agent's greeting."),
    ] = None,
    voice: Annotated[
        str | None,
        typer.Option(
            metavar="VOICE", help="The voice to use: a provider, or a label from the list."
        ),
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Let every voice say it, and compare them.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The WAV file to write. Default: voice-LABEL.wav."),
    ] = None,
    phone: Annotated[
        bool,
        typer.Option("--phone", help="Write what a caller would hear: 8000 Hz, by way of µ-law."),
    ] = False,
) -> None:
    """List the agent's voices, or record them into WAV files.

    Without an option: list the voices in the order in which they take over, and whether their
    credentials are set. With --say, --voice, --all, --out or --phone: say a text, and measure how
    fast it comes.

    \b
    python -m app voices
    python -m app voices --say "Your table is ready."
    python -m app voices --voice qwen --phone --out greeting.wav
    python -m app voices --all --say "Your table is ready."

    Exit status 1: a voice failed; 2: a setting, an option or the agent file is wrong.
    """
    terminal = console()
    try:
        setup = _Setup.load(agent)
        if say is None and voice is None and out is None and not all_ and not phone:
            terminal.print(setup.listing())
            return
        job = _Job.of(setup, say, voice, out, every_voice=all_, phone=phone)
        samples, faults = asyncio.run(_speak(setup, job, terminal))
    except BridgeError as error:
        _fail_with([error])
    if samples:
        terminal.print(_comparison(samples))
        for sample, path in samples:
            kept = f"Kept: {path} ({sample.hz} Hz, 16 bits, mono)"
            terminal.print(kept, highlight=False, markup=False, soft_wrap=True)
    if faults:
        _fail_with(faults)


def _fail_with(faults: Sequence[BridgeError]) -> NoReturn:
    failed = any(isinstance(each, VoiceError) for each in faults)
    fail("\n".join(map(str, faults)), VOICE_FAILED if failed else WRONG_SETTINGS)


# --- the configured voices ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Choice:
    """One of the agent's voices."""

    #: `provider/name`, as in the agent file and the list.
    label: str
    #: None for the model's own voice.
    settings: VoiceSettings | None = None

    @property
    def provider(self) -> str:
        return self.label.partition("/")[0]


@dataclass(frozen=True, slots=True)
class _Setup:
    """The configuration: the service's settings and its agent."""

    settings: Settings
    agent: LoadedAgent

    @classmethod
    def load(cls, agent_file: Path | None) -> "_Setup":
        settings = load_settings()
        path, model = agent_file or settings.agent_file, settings.endpoint.model_name
        agent = load_agent(path, settings.transfer_number, model=model)
        return cls(settings, agent)

    @property
    def choices(self) -> list[_Choice]:
        """Every voice in the order in which they take over; the model's own is the last."""
        own = _Choice(f"openai/{self.agent.agent.voice.name}")
        return [*(_Choice(each.label, each) for each in self.agent.voices), own]

    def choose(self, wanted: str) -> _Choice:
        """The voice with this label, else the first one of this provider; case does not matter.

        Raises:
            ConfigError: there is no such voice.
        """
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
    def secrets(self) -> Credentials:
        return voice_secrets(self.settings)

    @asynccontextmanager
    async def opened(self, choice: _Choice) -> AsyncIterator[Voice]:
        """Open a voice; closes it, and the embedded model if it speaks, at the end.

        Raises:
            ConfigError: a credential is missing, or the embedded model is not available.
        """
        async with AsyncExitStack() as stack:
            if choice.settings is not None:
                (voice,) = open_voices((choice.settings,), self.secrets)
            else:
                voice = ModelVoice(await self._endpoint(stack), self.agent.agent.voice)
            stack.push_async_callback(voice.aclose)
            yield voice

    async def _endpoint(self, stack: AsyncExitStack) -> Endpoint:
        """Where the model is; starts the embedded one if it speaks."""
        settings = self.settings
        if not settings.has_model_key:
            server = embedded_model(self.agent, remembers=False)
            await stack.enter_async_context(server)
            settings = settings.with_embedded_model(server.base_url)
        return settings.endpoint

    # --- the list ---

    def listing(self) -> Table:
        table = _table("", "voice", "model", ">Hz", "host", "credentials")
        for number, choice in enumerate(self.choices):
            if not number:
                role = "speaks"
            else:
                role = "fallback" if choice.settings else "last fallback"
            model, hz, host = self._facts(choice)
            cells = role, choice.label, model, str(hz), host, self._credentials(choice)
            table.add_row(*(Text(one_line(cell)) for cell in cells))
        return table

    def _facts(self, choice: _Choice) -> tuple[str, int, str]:
        """Its model and protocol, its sample rate in a call in Hz, and the host that serves it."""
        match choice.settings:
            case VoiceSettings() as settings:
                model, hz, url = settings.facts
                return model, hz, _host(url)
            case None:
                if not self.settings.has_model_key:
                    return EMBEDDED, ULAW_HZ, "this machine"
                host = _host(self.settings.openai_base_url)
                return self.settings.openai_realtime_model, ULAW_HZ, host

    def _credentials(self, choice: _Choice) -> str:
        if choice.settings is None:
            return "set" if self.settings.has_model_key else _KEYLESS
        if missing := missing_credentials(choice.settings, self.secrets):
            return f"missing: {', '.join(missing)}"
        unset = [name for name in choice.settings.suggested if not self.secrets[name]]
        return f"{', '.join(unset)} is not set" if unset else "set"


def _host(url: str) -> str:
    """Without the query, which may hold a credential."""
    return urlsplit(url).hostname or ""


def _table(*names: str) -> Table:
    """A table with these columns; `>` in front of a name aligns the column to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        justify = "right" if name.startswith(">") else "left"
        table.add_column(name.removeprefix(">"), justify=justify)  # type: ignore[arg-type]
    return table


# --- speaking -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Job:
    """A text to record: which voices say it, and into which files."""

    sentences: tuple[str, ...]
    choices: tuple[tuple[_Choice, Path], ...]
    #: Write what a caller would hear: 8000 Hz, by way of µ-law.
    phone: bool

    @classmethod
    def of(
        cls,
        setup: _Setup,
        say: str | None,
        voice: str | None,
        out: Path | None,
        *,
        every_voice: bool,
        phone: bool,
    ) -> "_Job":
        """The job that the command's options ask for; see `voices`.

        Raises:
            ConfigError: the options contradict each other, or one of them is wrong.
        """
        if every_voice and (voice or out):
            option = "--voice" if voice else "--out"
            raise ConfigError(
                f"{option}: --all has every voice speak into its own file; drop one of the two"
            )
        text = say if say is not None else setup.agent.agent.greeting or DEFAULT_TEXT
        sentences = sentences_of(text)
        if not sentences:
            raise ConfigError("--say: there is nothing in the text that a voice could say")
        chosen = (
            setup.choices if every_voice else [setup.choose(voice)] if voice else setup.choices[:1]
        )
        paths = [out] if out else [*_file_names(chosen)]
        for path in paths:
            if path.is_dir() or not path.absolute().parent.is_dir():
                raise ConfigError(f"--out: {path}: expected a file in a directory that exists")
        return cls(tuple(sentences), tuple(zip(chosen, paths, strict=True)), phone)


def _file_names(choices: Sequence[_Choice]) -> Iterator[Path]:
    """`voice-qwen-Cherry.wav`; further ones with the same label get a number."""
    taken: dict[str, int] = {}
    for choice in choices:
        name = re.sub(r"[^\w.-]+", "-", choice.label)
        taken[name] = taken.get(name, 0) + 1
        yield Path(f"voice-{name}{f'-{taken[name]}' if taken[name] > 1 else ''}.wav")


async def _speak(
    setup: _Setup, job: _Job, console: Console
) -> tuple[list[tuple[Sample, Path]], list[BridgeError]]:
    """Record one voice after the other. Returns the written files, and the errors of the rest."""
    samples: list[tuple[Sample, Path]] = []
    faults: list[BridgeError] = []
    for choice, path in job.choices:
        if choice.settings is None and not setup.settings.has_model_key:
            console.print(f"{_KEYLESS}.", style="yellow", markup=False)
        try:
            async with setup.opened(choice) as voice:
                sample = await _record(voice, job.sentences, console)
            sample = sample.on_the_phone() if job.phone else sample
            await asyncio.to_thread(sample.write_wav, path)
        except VoiceError as error:
            message = str(error)
            named = message if choice.label in message else f"{choice.label}: {message}"
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
