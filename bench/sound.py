"""The recording of a call, compared with its timeline and with what the line heard and played.

The service runs in this process, so that there is one clock. Caller and agent make short tones.
Where each begins and ends in the WAV is compared with the times in the call's timeline and with
those of the simulated line.
"""

import asyncio
import random
import tempfile
import wave
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median

from pydantic import SecretStr

from app.audio import tone
from app.bridge.services import Services
from app.call import commands as do
from app.call import events as ev
from app.config.agent.file import load_agent
from app.config.agent.forms import RecordingRules
from app.config.settings import Settings
from app.main import create_app
from app.records.watching import Watched
from app.simulator.realtime import RealtimeServer, Reply, Turn
from app.simulator.twilio import Call, Network, PhoneLine, now_ms
from app.web.server import Server, bind
from app.wires.twilio.call import CallInfo
from bench.line import ACCOUNT_SID, AUTH_TOKEN

LIMIT_MS = 20.0
NETWORK = Network(delay_ms=40, jitter_ms=5, seed=9)
AGENT = """
name = "Tones"
instructions = "Make tones."
[turns]
silence_ms = 200
[limits]
idle_seconds = 0
longest_call_seconds = 0
"""
ANSWER_MS, CALLER_MS = 700, 240
INTERRUPTING_MS = 680  # enough voice for an interruption
LOUD = 300  # amplitude of a sample: tones are far above, silence is below
PAUSE_SAMPLES = 400
HEADINGS = ("place in the recording", "compared", "median off ms", "worst ms", "")


@dataclass(slots=True)
class Observed:
    """When things happened, in ms of the call's timeline unless a field says otherwise."""

    #: The begin of the timeline, on the line's clock.
    zero_ms: float = 0.0
    #: When each answer of the agent began to play.
    played_ms: list[float] = field(default_factory=list)
    cleared_ms: list[float] = field(default_factory=list)
    #: When each of the caller's tones ended, by turn detection.
    stopped_ms: list[float] = field(default_factory=list)
    stream_ms: float = 0.0
    #: When each of the caller's tones was sent, on the line's clock.
    said_until_ms: list[float] = field(default_factory=list)
    _busy_until_ms: float = 0.0

    def watch(self, _call: CallInfo, message: Watched, at_ms: float) -> None:
        match message:
            case ev.LegOpened():
                self.zero_ms = now_ms() - at_ms
            case ev.StreamStarted():
                self.stream_ms = at_ms
            case ev.SpeechStopped(_, audio_end_ms):
                self.stopped_ms.append(self.stream_ms + audio_end_ms)
            case do.PlayAudio(_, _, size_bytes):
                if at_ms > self._busy_until_ms:
                    self.played_ms.append(at_ms)
                self._busy_until_ms = max(at_ms, self._busy_until_ms) + size_bytes / 8
            case do.ClearAudio():
                self.cleared_ms.append(at_ms)
                self._busy_until_ms = at_ms


@dataclass(frozen=True, slots=True)
class Alignment:
    """The result."""

    seconds: float
    #: By comparison: the error of each place.
    offs_ms: dict[str, list[float]]

    @property
    def kept(self) -> bool:
        return all(offs and max(map(abs, offs)) <= LIMIT_MS for offs in self.offs_ms.values())


async def measure(seconds: float, folder: Path) -> Alignment:
    """Make one call of `seconds`, and compare."""
    observed = Observed()
    agent_file = folder / "agent.toml"
    agent_file.write_text(AGENT)
    agent = replace(load_agent(agent_file), recording=RecordingRules(enabled=True, announcement=""))
    listener = bind("127.0.0.1", 0)
    webhook_url = f"http://127.0.0.1:{listener.getsockname()[1]}/incoming-call"
    async with (
        RealtimeServer(_answer) as model,
        PhoneLine(
            webhook_url, account_sid=ACCOUNT_SID, auth_token=AUTH_TOKEN, network=NETWORK
        ) as line,
    ):
        settings = Settings(
            _env_file=None,  # type: ignore[call-arg] # pydantic-settings' own
            openai_api_key=SecretStr("bench"),
            openai_base_url=model.base_url,
            twilio_account_sid=ACCOUNT_SID,
            twilio_auth_token=SecretStr(AUTH_TOKEN),
            twilio_api_base_url=line.rest_url,
            database_url=SecretStr(f"sqlite:///{folder}/sound.db"),
            recordings_dir=folder,
        )
        services = await Services.open(settings, agent)
        services.watchers.append(observed.watch)
        server = Server(create_app(settings, services), drain_s=5)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            call = await line.call()
            await call.wait_connected()
            await _talk(call, observed, seconds)
            call.hang_up()
            await call.wait_ended()
        finally:
            server.should_exit = True
            await running
    return Alignment(seconds, _compare(folder / f"{call.call_sid}.wav", call, observed))


def _answer(_turn: Turn) -> Reply:
    return Reply("Tone.", audio=tone([440], note_ms=ANSWER_MS, level_dbfs=-12, fade_ms=1))


async def _talk(call: Call, observed: Observed, seconds: float) -> None:
    """Make tones on both sides; about every third answer is interrupted."""
    rng = random.Random(1)
    until_ms = now_ms() + 1000 * seconds
    while now_ms() < until_ms:
        await _say(call, observed)
        before = len(call.heard)
        await call.wait_heard(before + 1)
        if rng.random() < 1 / 3:
            await call.wait_heard(before + 8 * rng.randint(50, 300))
            cleared = len(observed.cleared_ms) + 1
            await _say(call, observed, INTERRUPTING_MS)
            await call.wait_for(partial(_was_cleared, call, cleared))
            await call.wait_heard(len(call.heard) + 1)
        await call.wait_quiet(rng.randint(300, 1500))


def _was_cleared(call: Call, times: int) -> bool:
    return len(call.playback.clears) >= times


async def _say(call: Call, observed: Observed, ms: int = CALLER_MS) -> None:
    call.say(tone([600], note_ms=ms, level_dbfs=-12, fade_ms=1))
    await call.wait_spoken()
    observed.said_until_ms.append(now_ms())


def _compare(path: Path, call: Call, observed: Observed) -> dict[str, list[float]]:
    caller, agent = (_sounds(side) for side in _sides(path))
    starts = [media.starts_ms for media in call.playback.media if media.kept_bytes]
    ends = [media.ends_ms for media in call.playback.media if media.kept_bytes]
    line_began = starts[:1] + [b for a, b in zip(ends, starts[1:], strict=False) if b - a > 50]
    return {
        "agent began, WAV against timeline": _offs([s[0] for s in agent], observed.played_ms),
        "agent interrupted, WAV against timeline": _nearest(
            observed.cleared_ms, [s[1] for s in agent]
        ),
        "agent began, WAV against line": _centred(
            _offs([s[0] for s in agent], [at - observed.zero_ms for at in line_began])
        ),
        "caller ended, WAV against timeline": _offs(
            [s[1] for s in caller], [at - 200 for at in observed.stopped_ms]
        ),
        "caller ended, WAV against line": _centred(
            _offs([s[1] for s in caller], [at - observed.zero_ms for at in observed.said_until_ms])
        ),
    }


def _sides(path: Path) -> tuple[memoryview, memoryview]:
    with wave.open(str(path)) as file:
        samples = memoryview(file.readframes(file.getnframes())).cast("h")
    return samples[0::2], samples[1::2]


def _sounds(samples: memoryview) -> list[tuple[float, float]]:
    """Begin and end of each sound, in ms."""
    found: list[list[int]] = []
    for n, sample in enumerate(samples.tolist()):
        if abs(sample) > LOUD:
            if found and n - found[-1][1] < PAUSE_SAMPLES:
                found[-1][1] = n
            else:
                found.append([n, n])
    return [(first / 8, last / 8) for first, last in found]


def _offs(found: Sequence[float], expected: Sequence[float]) -> list[float]:
    if len(found) != len(expected):
        raise RuntimeError(f"{len(found)} sounds in the WAV, {len(expected)} expected")
    return [a - b for a, b in zip(found, expected, strict=True)]


def _nearest(wanted: Sequence[float], found: Sequence[float]) -> list[float]:
    return [min((each - want for each in found), key=abs) for want in wanted]


def _centred(offs: Sequence[float]) -> list[float]:
    """Errors without the delay of the line, which all of them include."""
    return [off - median(offs) for off in offs]


def rows(alignment: Alignment) -> list[tuple[str, ...]]:
    """A line of the table for each comparison."""
    return [
        (
            name,
            str(len(offs)),
            f"{median(offs):.1f}",
            f"{max(map(abs, offs)):.1f} (≤ {LIMIT_MS:g})",
            "PASS" if max(map(abs, offs)) <= LIMIT_MS else "FAIL",
        )
        for name, offs in alignment.offs_ms.items()
    ]


async def run(seconds: float) -> Alignment:
    with tempfile.TemporaryDirectory() as folder:
        return await measure(seconds, Path(folder))
