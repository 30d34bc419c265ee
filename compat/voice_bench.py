"""voicebench on the simulated phone line: the service in a process of its own, with the embedded
model; response, barge-in stop and false barge-ins, measured from the audio.

    python -m compat.voice_bench [--sessions 3]
"""

import argparse
import asyncio
import os
import socket
import sys
import tempfile
import wave
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
from voicebench import audio
from voicebench.adapters import Adapter
from voicebench.adapters.base import AgentAudio, AgentClear
from voicebench.metrics import analyze, check_assertions, summarize
from voicebench.report import build_report, render_console
from voicebench.runner import run
from voicebench.scenario import Scenario, parse_scenario

from app.audio import ulaw_decode, ulaw_encode
from app.simulator.speech import speak
from app.simulator.twilio import Call, PhoneLine
from app.simulator.twilio.network import now_ms
from compat.sound import LINE_HZ

_ROOT = Path(__file__).parents[1]
_API_TOKEN = "compat"
_READY_WITHIN_S = 60
_STOP_WITHIN_S = 10
_RINGING_S = 5

#: A noise of this length and level is no speech: a cough, a door.
_COUGH = {"synth": "noise", "duration_ms": 180, "level_db": -25}


class LineAdapter(Adapter):  # type: ignore[misc]
    """A call to the service: what the caller says and hears on the line.

    Twilio's playback buffer and its `clear` are the line's; the benchmark plays what arrives
    at its own pace, as a phone does.
    """

    name: ClassVar[str] = "phone-line"

    def __init__(self, line: PhoneLine) -> None:
        super().__init__()
        self._line = line
        self._call: Call | None = None
        self._taken, self._cleared = 0, 0

    async def connect(self) -> None:
        async with asyncio.timeout(_RINGING_S):
            self._call = await self._line.call()
            await self._call.wait_connected()

    async def send_audio(self, pcm: Any) -> None:
        assert self._call is not None
        self._call.say(ulaw_encode(audio.to_pcm16(pcm)))

    def drain(self) -> Any:
        """What was heard since the last call, with the times of its arrival."""
        call = self._call
        assert call is not None
        ago_s = self.session.clock.now() - now_ms() / 1000
        playback = call.playback
        arrived: list[AgentAudio | AgentClear] = [
            AgentAudio(
                audio.from_pcm16(ulaw_decode(media.payload)), media.arrived_ms / 1000 + ago_s
            )
            for media in playback.media[self._taken :]
        ]
        arrived += [
            AgentClear(clear.at_ms / 1000 + ago_s) for clear in playback.clears[self._cleared :]
        ]
        self._taken, self._cleared = len(playback.media), len(playback.clears)
        for event in sorted(arrived, key=lambda event: event.time):
            self.emit(event)
        return super().drain()

    async def close(self) -> None:
        if self._call is not None:
            self._call.hang_up()
            await self._call.wait_ended()


def scenario(folder: Path) -> Scenario:
    """The conversation. `folder`: for the caller's speech."""

    def say(text: str) -> dict[str, str]:
        path = folder / f"{len(list(folder.iterdir()))}.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, LINE_HZ, 0, "NONE", "NONE"))
            file.writeframes(ulaw_decode(speak(text)))
        return {"file": str(path)}

    def turn(name: str, sound: Any, after: str, delay_ms: int, expect: str) -> dict[str, Any]:
        start = {"after": after, "delay_ms": delay_ms}
        return {"id": name, "audio": sound, "start": start, "expect": expect}

    begins, ends = "agent_speech_start", "agent_speech_end"
    return parse_scenario(
        {
            "name": "pizzeria",
            "sample_rate": LINE_HZ,
            # The pauses between the agent's sentences belong to its answer.
            "vad": {"agent": {"min_silence_ms": 700}},
            "turns": [
                turn("asks", say("What is on the menu?"), ends, 300, "respond"),
                turn("orders", say("One large margherita, please, for Ada."), begins, 3000, "stop"),
                turn("coughs", _COUGH, begins, 2500, "ignore"),
                turn("asks again", say("What are your opening hours?"), ends, 300, "respond"),
                turn("a door", {**_COUGH, "seed": 1}, begins, 1200, "ignore"),
                turn("once more", say("What is on the menu?"), ends, 300, "respond"),
                turn("thanks", say("Thank you very much."), begins, 3000, "stop"),
            ],
            "assert": {"max_missed_responses": 0, "min_barge_in_success_rate": 1.0},
        }
    )


@asynccontextmanager
async def service(folder: Path) -> AsyncIterator[str]:
    """The service in a process, with the embedded model. Yields its URL when it is ready."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],
        "API_TOKEN": _API_TOKEN,
        "PORT": str(port),
        "AGENT_FILE": str(_ROOT / "examples" / "pizzeria.toml"),
        "DATABASE_URL": f"sqlite:///{folder / 'calls.db'}",
        "LOG_LEVEL": "warning",
        "PYTHONPATH": str(_ROOT),
    }
    url = f"http://127.0.0.1:{port}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", "serve", cwd=folder, env=environment, stderr=DEVNULL
    )
    try:
        async with asyncio.timeout(_READY_WITHIN_S), aiohttp.ClientSession() as http:
            while not await _is_ready(http, url):
                if process.returncode is not None:
                    raise SystemExit("the service did not start; run: python -m app serve")
                await asyncio.sleep(0.1)
        yield url
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(_STOP_WITHIN_S):
            await process.wait()


async def _is_ready(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(f"{url}/readyz") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def measure(sessions: int) -> bool:
    """Run the sessions one after the other and print the report. Returns whether it passed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        speech = folder / "speech"
        speech.mkdir()
        played = scenario(speech)
        async with (
            service(folder) as url,
            PhoneLine(f"{url}/incoming-call", api_token=_API_TOKEN) as line,
        ):
            records = [await run(played, LineAdapter(line)) for _ in range(sessions)]
    metrics = [analyze(record) for record in records]
    summary = summarize(metrics)
    checked = check_assertions(summary, played.assertions)
    print(render_console(build_report(records, metrics, summary, checked), metrics))
    return all(each.passed for each in checked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=3)
    sys.exit(not asyncio.run(measure(parser.parse_args().sessions)))


if __name__ == "__main__":
    main()
