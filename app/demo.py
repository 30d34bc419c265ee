"""A whole call on this machine, with no account at all.

A spoken caller, a simulated line and the embedded model; the bridge in the middle is the real one,
with real sockets to both sides. The caller asks, interrupts the answer, orders, and says goodbye.
What is left of it are a recording, a transcript and a picture.
"""

import asyncio
import audioop
import secrets
import wave
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import SecretStr
from rich.console import Console

from app.agent_file import load_agent
from app.agent_forms import Recording
from app.audio import ULAW_BYTES_PER_MS, ULAW_HZ, resample_pcm16, ulaw_encode
from app.demo_screen import Screen
from app.embedded import embedded_model
from app.errors import BridgeError, ConfigError
from app.main import create_app
from app.recording import check_folder
from app.report.files import keep_call, record_of
from app.report.picture import PictureUnavailable
from app.report.report import CallReport, read_call
from app.server import Server, bind
from app.services import Services
from app.settings import Settings
from app.simulator.speech import speak
from app.simulator.twilio import Call, Caller, Network, PhoneLine
from app.store import Store

AGENT_FILE = Path(__file__).parents[1] / "examples" / "pizzeria.toml"
ACCOUNT_SID = "AC" + "0" * 32
NETWORK = Network(delay_ms=40, jitter_ms=5, seed=1)  # a usual way to Twilio's edge and back
CALLER_VOICE = "en-gb-x-rp"

QUESTION = "Hello! What pizzas do you have?"
INTERRUPTION = "One large margherita please, for Ada."
GOODBYE = "Thank you, that is all. Goodbye!"
INTERRUPT_AFTER_MS = 5000.0
QUIET_MS = 1500.0  # nobody goes on after such a pause
LONGEST_RECORDING_S = 600


async def the_caller(call: Call) -> None:
    """Ask, interrupt, order, say goodbye. The agent hangs up."""
    await call.wait_connected()
    await call.wait_quiet(600)
    call.say(speak(QUESTION, voice=CALLER_VOICE))
    await call.wait_spoken()
    heard_before = len(call.heard)
    await call.wait_heard(heard_before + int(INTERRUPT_AFTER_MS * ULAW_BYTES_PER_MS))
    call.say(speak(INTERRUPTION, voice=CALLER_VOICE))
    await call.wait_spoken()
    await call.wait_heard(len(call.heard) + 1)
    await call.wait_quiet(2 * QUIET_MS)  # longer than the agent takes to place the order
    call.say(speak(GOODBYE, voice=CALLER_VOICE))


def caller_from(wav: Path) -> Caller:
    """A caller who says what was recorded, after the greeting, and hangs up when all is answered.

    Raises:
        ConfigError: the file is no WAV that we can read.
    """
    said = _telephone_audio(wav)

    async def caller(call: Call) -> None:
        await call.wait_connected()
        await call.wait_quiet(600)
        call.say(said)
        await call.wait_spoken()
        await call.wait_heard(len(call.heard) + 1)
        await call.wait_quiet(2 * QUIET_MS)
        call.hang_up()

    return caller


def _telephone_audio(path: Path) -> bytes:
    """A WAV of any rate, width and number of channels as µ-law."""
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate_hz = file.getnchannels(), file.getsampwidth(), file.getframerate()
            pcm = file.readframes(LONGEST_RECORDING_S * rate_hz)
        pcm = pcm[: len(pcm) // (width * channels) * width * channels]
        if width == 1:
            pcm = audioop.bias(pcm, 1, -128)  # unsigned there, signed everywhere else
        pcm = audioop.lin2lin(pcm, width, 2)
        if channels == 2:
            pcm = audioop.tomono(pcm, 2, 0.5, 0.5)
        elif channels > 2:
            pcm = memoryview(pcm).cast("h")[::channels].tobytes()
        ulaw = ulaw_encode(resample_pcm16(pcm, rate_hz, ULAW_HZ))
    except (OSError, EOFError, wave.Error, audioop.error) as error:
        raise ConfigError(
            f"--wav: cannot read {path}: {str(error) or 'it ends too early'}; convert it with: "
            f"ffmpeg -i {path} -c:a pcm_s16le caller.wav"
        ) from None
    if not ulaw:
        raise ConfigError(f"--wav: {path} holds no sound")
    return ulaw


async def run_demo(console: Console, keep: Path, wav: Path | None = None) -> bool:
    """Hold the call and keep what is left of it in the folder `keep`. Returns whether it went as it
    should. `wav`: a recording that speaks in place of the caller.

    Raises:
        ConfigError: `wav` or `keep` cannot be used, or the extra `demo` is not installed.
    """
    caller = the_caller if wav is None else caller_from(wav)
    await _check_keep(keep)
    screen = Screen(console)
    with TemporaryDirectory() as folder:
        report, record = await _hold_call(caller, screen, Path(folder))
        screen.summary(replace(report, wav=None))
        try:
            for path in keep_call(report, record, keep):
                console.print(f"Kept: {path}", highlight=False, soft_wrap=True)
        except PictureUnavailable as error:
            console.print(f"timeline.png is missing, the rest is there; {error}", style="red")
        except OSError as error:
            raise ConfigError(f"--keep: cannot write to {keep}: {error.strerror}") from None
    ended_well = report.call.status == "completed" and report.call.ended_by != "shutdown"
    talked = ended_well and bool(report.answers)
    return talked and (wav is not None or bool(report.interruptions))


async def _check_keep(keep: Path) -> None:
    try:
        await asyncio.to_thread(check_folder, keep)
    except FileExistsError:
        raise ConfigError(f"--keep: {keep} is not a folder") from None
    except OSError as error:
        raise ConfigError(f"--keep: cannot write to {keep}: {error.strerror}") from None


async def _hold_call(
    caller: Caller, screen: Screen, folder: Path
) -> tuple[CallReport, dict[str, Any]]:
    agent = replace(load_agent(AGENT_FILE), recording=Recording(enabled=True))
    embedded = embedded_model(agent)
    screen.say("A spoken caller rings the pizzeria of examples/pizzeria.toml …\n")
    auth_token, api_token = secrets.token_hex(16), secrets.token_hex(16)
    listener = bind("127.0.0.1", 0)
    webhook_url = f"http://127.0.0.1:{listener.getsockname()[1]}/incoming-call"
    async with (
        embedded as model,
        PhoneLine(
            webhook_url,
            account_sid=ACCOUNT_SID,
            auth_token=auth_token,
            network=NETWORK,
            status_callback_url="/call-status",
        ) as line,
    ):
        settings = Settings(
            openai_api_key=SecretStr("demo"),
            openai_base_url=model.base_url,
            twilio_account_sid=ACCOUNT_SID,
            twilio_auth_token=SecretStr(auth_token),
            twilio_api_key=None,
            twilio_api_secret=None,
            twilio_api_base_url=line.rest_url,
            public_url=None,
            api_token=SecretStr(api_token),
            database_url=SecretStr(f"sqlite:///{folder}/demo.db"),
            recordings_dir=folder,
            max_calls=0,
        )
        services = await Services.open(settings, agent)
        services.watchers.append(screen.watch)
        bridge = Server(create_app(settings, services), drain_s=5)
        running = asyncio.create_task(bridge.serve(sockets=[listener]))
        try:
            call = await line.call(caller=caller)
            await call.wait_ended()
            report, record = await _read_back(services.store, call.call_sid)
        finally:
            bridge.should_exit = True
            await running
        return report, record


async def _read_back(store: Store, call_sid: str) -> tuple[CallReport, dict[str, Any]]:
    await store.flush()
    report = await read_call(store, call_sid)
    if report is None:
        raise BridgeError(f"the call {call_sid} left no record; its log is above")
    return report, await record_of(store, report)
