"""The wheel, installed outside the checkout: it has all that it needs to answer a call."""

import asyncio
import os
import subprocess
import sys
import wave
from collections.abc import Mapping
from pathlib import Path
from signal import SIGTERM

import pytest

from app.audio import silence, ulaw_decode
from app.config.settings import Settings
from app.simulator.realtime import RealtimeServer, Reply, Script
from app.simulator.speech import speak
from app.simulator.twilio import PhoneLine
from scripts.release import build_wheel
from tests.ports import free_port
from tests.service.process import Process
from tests.service.world import noise

INF = float("inf")
IMPORTS = "import app; from phone_agent import CallContext, ToolError, tool; print(app.__file__)"


def install(folder: Path) -> Path:
    """The wheel in a folder of its own, beside the dependencies of this Python."""
    wheel = build_wheel(folder / "dist")
    site = folder / "site"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    options = ["--no-index", "--no-deps", "--no-compile", "--target", str(site)]
    subprocess.run([*pip, *options, str(wheel)], check=True)
    return site


def environment(site: Path, **variables: str) -> Mapping[str, str]:
    """No settings but these, and nothing of the checkout on the path."""
    known = {name.upper() for name in Settings.model_fields}
    kept = {name: value for name, value in os.environ.items() if name not in known}
    return {**kept, "PYTHONPATH": str(site), **variables}


async def output(site: Path, *command: str) -> str:
    """What a command prints that succeeds."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=site.parent, env=environment(site),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()
    return printed.decode()


async def demo(site: Path) -> None:
    """A short one: the caller says one thing."""
    said = site.parent / "caller.wav"
    with wave.open(str(said), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(ulaw_decode(silence(100) + speak("Thank you very much.")))
    printed = await output(site, str(site / "bin" / "phone-agent"), "demo", "--wav", str(said))
    assert "Kept: demo-call/" in printed


async def answer_a_call(site: Path) -> None:
    """The caller is greeted, says something, and is answered; then the service is stopped."""
    port = free_port()
    hello, answer = noise(100, "hello"), noise(100, "answer")
    script = Script(Reply("Hello.", audio=hello, speed=INF), Reply("Yes.", audio=answer, speed=INF))
    async with RealtimeServer(script) as model:
        variables = {"OPENAI_API_KEY": "a key", "OPENAI_BASE_URL": model.base_url}
        process = Process(
            await asyncio.create_subprocess_exec(
                str(site / "bin" / "phone-agent"),
                "serve",
                "--port",
                str(port),
                cwd=site.parent,
                env=environment(site, API_TOKEN="a token", **variables),
                stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
        )
        try:
            await process.says("A call comes in")
            url = f"http://127.0.0.1:{port}/incoming-call"
            async with PhoneLine(url, api_token="a token") as line:
                call = await line.call()
                await call.wait_connected()
                await call.wait_quiet()
                assert call.heard == hello
                call.say(speak("What time is it, please?"))
                await call.wait_heard(len(hello) + len(answer))
                assert call.heard == hello + answer
            process.signal(SIGTERM)
            assert await process.exit_status() == 0
        finally:
            await process.end()


@pytest.mark.timeout(180)  # it builds, installs and starts programs: long on a busy machine
async def test_the_wheel_holds_the_demo_and_answers_a_call(tmp_path: Path) -> None:
    site = await asyncio.to_thread(install, tmp_path)
    command = str(site / "bin" / "phone-agent")

    tops = {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")}
    assert tops - {"__pycache__"} == {"app", "bin", "phone_agent"}
    for package in ("app", "phone_agent"):
        assert (site / package / "py.typed").is_file()

    file, usage, *_ = await asyncio.gather(
        output(site, sys.executable, "-W", "error", "-c", IMPORTS),
        output(site, command, "--help"),
        demo(site),
        answer_a_call(site),
    )

    assert Path(file.strip()) == site / "app" / "__init__.py"
    assert "Usage: phone-agent [OPTIONS] COMMAND" in usage
