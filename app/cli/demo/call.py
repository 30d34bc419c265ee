"""The demo's call: its caller, its simulated outside, and the report that is kept.

The caller's voice, the phone line and the model are simulated; the bridge between them is the real
one, with real sockets to both sides. The caller asks, coughs and then interrupts during the answer,
orders, and asks for a human: the first transfer is not answered, the second one is. The demo keeps
a recording, a transcript, the record and a page that shows the call.
"""

import asyncio
import audioop
import wave
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from app.audio import ULAW_BYTES_PER_MS, ULAW_HZ, resample_pcm16, ulaw_encode
from app.call.destinations import Destination
from app.cli.demo.screen import Screen
from app.cli.demo.service import demo_service
from app.cli.demo.voices import DemoVoice
from app.config.agent.example import EXAMPLE_AGENT
from app.config.settings import load_settings
from app.errors import BridgeError, ConfigError
from app.records.recording import check_folder
from app.records.report.call_report import read_call
from app.records.report.files import KEPT_SOUND, keep_call
from app.records.report.whole_call import WholeCall, whole_call
from app.records.store import Store
from app.simulator.speech import speak
from app.simulator.twilio import (
    Call,
    Callee,
    CallEnded,
    Caller,
    Dialed,
    PhoneLine,
    now_ms,
)
from app.web.console.call_page import call_page

CALLER_VOICE = "en-gb-x-rp"

QUESTION = "Hello! What pizzas do you have?"
COUGH = "Ahem!"
INTERRUPTION = "One large margherita please, for Ada."
ASK_FOR_HUMAN = "Can I speak to a person, please?"
ASK_AGAIN = "Please try the manager again."
COUGH_AFTER_MS, INTERRUPT_AFTER_MS = 2000.0, 5000.0  # of the answer, as heard
COUGH_S = 4.0  # the agent has gone on by then
QUIET_MS = 1500.0  # after such a pause the agent has finished
LONGEST_RECORDING_S = 600

NO_ANSWER = Callee(goes="no-answer")
ACCEPTS = Callee(answers_after_ms=900, presses="1", presses_after_ms=400, talks_ms=3000)


def built_in_caller(line: PhoneLine, human: str) -> Caller:
    """A caller who asks, coughs, interrupts, orders, and asks twice for a human.

    `human`: the number of the transfer's destination, which answers the second time.
    """

    async def caller(call: Call) -> None:
        await call.wait_connected()
        await call.wait_quiet(600)
        call.say(speak(QUESTION, voice=CALLER_VOICE))
        await call.wait_spoken()
        heard_before = len(call.heard)
        await call.wait_heard(heard_before + int(COUGH_AFTER_MS * ULAW_BYTES_PER_MS))
        await _cough(call)
        await call.wait_heard(heard_before + int(INTERRUPT_AFTER_MS * ULAW_BYTES_PER_MS))
        call.say(speak(INTERRUPTION, voice=CALLER_VOICE))
        await _answered(call)  # longer than the agent takes to place the order
        call.say(speak(ASK_FOR_HUMAN, voice=CALLER_VOICE))
        await call.wait_connected(streams=2)
        line.callees[human] = ACCEPTS
        await call.wait_heard(len(call.heard) + 1)
        await call.wait_quiet(600)
        call.say(speak(ASK_AGAIN, voice=CALLER_VOICE))

    return caller


async def _cough(call: Call) -> None:
    """Cough, and wait until the agent has fallen silent and gone on, or for `COUGH_S`."""
    cleared = len(call.playback.clears)

    def gone_on() -> bool:
        clears = call.playback.clears[cleared:]
        return bool(clears) and call.playback.media[-1].arrived_ms > clears[0].at_ms

    call.say(speak(COUGH, voice=CALLER_VOICE))
    with suppress(TimeoutError):
        async with asyncio.timeout(COUGH_S):
            await call.wait_for(gone_on)


async def _answered(call: Call) -> None:
    """Wait until the agent has answered, the line is quiet, and no transfer is under way."""
    await call.wait_spoken()
    await call.wait_heard(len(call.heard) + 1)
    await call.wait_quiet(2 * QUIET_MS)
    while call.dialed and not call.dialed[-1].status:
        await call.wait_for(lambda: bool(call.dialed[-1].status))
        await call.wait_heard(len(call.heard) + 1)
        await call.wait_quiet(2 * QUIET_MS)


def caller_from(wav: Path) -> Caller:
    """A caller who plays a recording after the greeting, and hangs up after the answer.

    Raises:
        ConfigError: the file is not a readable WAV.
    """
    recorded = _telephone_audio(wav)

    async def caller(call: Call) -> None:
        await call.wait_connected()
        await call.wait_quiet(600)
        call.say(recorded)
        await _answered(call)
        call.hang_up()

    return caller


def _telephone_audio(path: Path) -> bytes:
    """A WAV of any sample rate, width and number of channels, as µ-law at 8000 Hz."""
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate_hz = file.getnchannels(), file.getsampwidth(), file.getframerate()
            pcm = file.readframes(LONGEST_RECORDING_S * rate_hz)
        pcm = pcm[: len(pcm) // (width * channels) * width * channels]
        if width == 1:
            pcm = audioop.bias(pcm, 1, -128)  # in a WAV only 8-bit samples are unsigned
        pcm = audioop.lin2lin(pcm, width, 2)
        if channels == 2:
            pcm = audioop.tomono(pcm, 2, 0.5, 0.5)
        elif channels > 2:
            pcm = memoryview(pcm).cast("h")[::channels].tobytes()
        ulaw = ulaw_encode(resample_pcm16(pcm, rate_hz, ULAW_HZ))
    except FileNotFoundError:
        raise ConfigError(f"--wav: there is no file {path}") from None
    except (OSError, EOFError, wave.Error, audioop.error) as error:
        raise ConfigError(
            f"--wav: cannot read {path}: {str(error) or 'it ends too early'}; convert it with: "
            f"ffmpeg -i {path} -c:a pcm_s16le caller.wav"
        ) from None
    if not ulaw:
        raise ConfigError(f"--wav: {path} holds no sound")
    return ulaw


async def run_demo(
    console: Console,
    keep: Path,
    wav: Path | None = None,
    agent_file: Path | None = None,
    voice: DemoVoice | None = None,
) -> bool:
    """Run the call, and write its files into `keep`. Returns whether it went as expected.

    `wav`: a recording in place of the built-in caller. `agent_file`: another agent; needs `wav`, or
    `DemoVoice.OWN`. `voice`: the agent's voice, None for the model's.

    Raises:
        ConfigError: a file or `keep` cannot be used, or the extra `demo` is not installed.
    """
    voices_of = None
    if voice is DemoVoice.OWN:
        voices_of = agent_file or load_settings().agent_file
    if wav is None and voices_of is None and agent_file is not None:
        raise ConfigError(
            "--agent: the built-in caller only knows the pizzeria; pass the recording of another "
            "caller with --wav (python -m app voices --say TEXT --phone --out FILE makes one), or "
            "try that agent's voices with --voice own"
        )
    caller = None if wav is None else caller_from(wav)
    await _check_keep(keep)
    screen = Screen(console)
    with TemporaryDirectory() as folder:
        call = await hold_call(
            caller,
            screen,
            Path(folder),
            agent_file if agent_file and wav else EXAMPLE_AGENT,
            voice,
            voices_of,
        )
        report = call.report
        screen.summary(replace(report, wav=None))
        try:
            for path in keep_call(call, keep, call_page):
                console.print(f"Kept: {path}", highlight=False, markup=False, soft_wrap=True)
            page = (keep / "call.html").resolve().as_uri()
            console.print(f"Open it: {page}", highlight=False, markup=False, soft_wrap=True)
        except OSError as error:
            raise ConfigError(f"--keep: cannot write to {keep}: {error.strerror}") from None
    ended_well = report.call.status == "completed" and report.call.ended_by != "shutdown"
    talked = ended_well and bool(report.answers)
    outcomes = [transfer["outcome"] for transfer in report.call.transfers]
    paused = bool(report.interruptions) and bool(report.false_interruptions)
    as_scripted = paused and outcomes == ["no-answer", "completed"]
    return talked and (wav is not None or as_scripted)


async def _check_keep(keep: Path) -> None:
    try:
        await asyncio.to_thread(check_folder, keep)
    except FileExistsError:
        raise ConfigError(f"--keep: {keep} is not a folder") from None
    except OSError as error:
        raise ConfigError(f"--keep: cannot write to {keep}: {error.strerror}") from None


async def hold_call(
    caller: Caller | None,
    screen: Screen,
    folder: Path,
    agent_file: Path,
    voice: DemoVoice | None = None,
    voices_of: Path | None = None,
) -> WholeCall:
    """Run a call to its end, and return all that is known of it.

    `caller`: None for the built-in one. `folder`: for the database and the recording. `voices_of`:
    another agent file, whose voices replace the agent's own.

    Raises:
        ConfigError: the agent file or its voices cannot be used, or the extra `demo` is missing.
    """
    async with demo_service(agent_file, folder, voice, voices_of) as demo:
        demo.services.watchers.append(screen.watch)
        screen.begin(demo.agent_name, agent_file.name, demo.services.voices, demo.note)
        line, human = demo.line, demo.human
        line.callee = ACCEPTS
        line.callees[human.address] = ACCEPTS if caller else NO_ANSWER
        call = await line.call(caller=caller or built_in_caller(line, human.address))
        await show_humans(call, human, screen)
        await call.wait_ended()
        return await read_back(demo.services.store, call.call_sid)


async def show_humans(call: Call, human: Destination, screen: Screen) -> None:
    """Show what happens on the line beside the bridge, until the call is over."""
    shown: list[tuple[str, str]] = []

    def news() -> list[tuple[str, str]]:
        steps = [step for dialed in call.dialed for step in _steps(dialed, human.name)]
        return steps[len(shown) :]

    with suppress(CallEnded):
        while True:
            await call.wait_for(lambda: bool(news()))
            for step in news():
                screen.line_says(now_ms() - call.created_ms, *step)
                shown.append(step)
    screen.line_says(now_ms() - call.created_ms, "line", "the call is over")


def _steps(dialed: Dialed, name: str) -> Iterator[tuple[str, str]]:
    """What happened to a dialed number so far, as (actor, action)."""
    yield "line", f"{dialed.target} rings, {name}"
    if dialed.answered_ms is not None:
        yield "human", "picks up, and hears:"
    for said in dialed.heard:
        yield "human", f"“{said.text}”"
    for key in dialed.pressed:
        yield "human", f"presses {key}"
    if dialed.bridged_ms is not None:
        yield "line", f"the caller and the {name} talk"
    if dialed.status:
        ended = f"the {name} hangs up" if dialed.bridged_ms is not None else "not accepted"
        yield "line", f"{ended} ({dialed.status})"


async def read_back(store: Store, call_sid: str) -> WholeCall:
    """All that is known of a call that has ended."""
    await store.flush()
    report = await read_call(store, call_sid)
    if report is None:
        raise BridgeError(f"the call {call_sid} has no record; see the log above")
    kept = replace(report.call, recording=KEPT_SOUND)
    return await whole_call(store, replace(report, call=kept))
