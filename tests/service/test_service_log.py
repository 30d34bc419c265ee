"""The log of `python -m app serve`, when stderr is a pipe that is not read, a full disk, or closed:
calls do not notice it, and the service ends as it should."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from app.config.settings import Settings
from app.simulator.realtime import Reply
from tests.ports import free_port
from tests.service.process import ROOT, serve
from tests.service.test_service_process import HELLO, office
from tests.service.world import AGENT, noise

KEY = {"OPENAI_API_KEY": "a key of the owner", "API_TOKEN": "operator"}
PIPE_BYTES = 4096
LOOKS_EVERY_S = 0.05  # looks without a pause would take the time of a service that starts


@asynccontextmanager
async def service(
    folder: Path, stderr: int | None, *, shell: str = "exec {}"
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A running service and its address. `shell`: how the command is started."""
    port = str(free_port())
    known = {name.upper() for name in Settings.model_fields}
    environment = {name: value for name, value in os.environ.items() if name not in known}
    environment |= {"PYTHONPATH": str(ROOT), "DATABASE_URL": "sqlite:///calls.db", **KEY}
    command = shell.format(f"{sys.executable} -m app serve --port {port}")
    process = await asyncio.create_subprocess_shell(
        command, cwd=folder, env=environment, stderr=stderr
    )
    url = f"http://127.0.0.1:{port}"
    try:
        while await status_of(f"{url}/healthz") != 200:
            assert process.returncode is None
            await asyncio.sleep(LOOKS_EVERY_S)
        yield process, url
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def status_of(url: str, **headers: str) -> int:
    try:
        async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as answer:
            return answer.status
    except aiohttp.ClientConnectorError:
        return 0


async def provoke(url: str) -> None:
    """Refusals of so many kinds that their lines fill a pipe."""
    for number in range(20):
        assert await status_of(f"{url}/nowhere/{'x' * 200}/{number}") == 404
        assert await status_of(f"{url}/calls") == 401
        assert await status_of(f"{url}/incoming-call") == 403
        assert await status_of(f"{url}/media-stream/ticket") in (403, 426)


@pytest.mark.skipif(sys.platform != "linux", reason="sizes of pipes")
async def test_a_log_that_is_not_read_holds_up_no_answer_and_no_stop(tmp_path: Path) -> None:
    import fcntl  # not to be had on Windows

    reading, writing = os.pipe()
    try:
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        async with service(tmp_path, writing) as (process, url):
            await provoke(url)
            assert await status_of(f"{url}/calls", Authorization="Bearer operator") == 200
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
        os.set_blocking(reading, False)
        assert len(os.read(reading, 1 << 20)) >= PIPE_BYTES - 1000  # it was full
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is full")
async def test_a_full_disk_costs_the_log_and_nothing_else(tmp_path: Path) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        async with service(tmp_path, full) as (process, url):
            await provoke(url)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        os.close(full)


async def test_a_service_without_stderr_writes_its_log_into_no_other_file(tmp_path: Path) -> None:
    async with service(tmp_path, None, shell="exec {} 0<&- 1>&- 2>&-") as (process, url):
        await provoke(url)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    files = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    assert files["calls.db"].startswith(b"SQLite format 3\0")
    assert not any(b"does not exist" in content for content in files.values())


async def test_the_last_lines_of_a_stop_come_out_and_what_was_repeated_is_summed_up(
    tmp_path: Path,
) -> None:
    port = str(free_port())
    async with serve(tmp_path, "--port", port, LOG_FORMAT="json", **KEY) as process:
        await process.says("A call comes in")
        url = f"http://127.0.0.1:{port}"
        for _ in range(100):
            assert await status_of(f"{url}/incoming-call") == 403
        process.signal(signal.SIGTERM)
        assert await process.exit_status() == 0
    told = [json.loads(line) for line in process.lines if line.startswith("{")]
    refused = [each for each in told if "without a valid signature" in each["message"]]
    assert len(refused) < 20
    assert sum(each.get("repeated", 1) for each in refused) == 100
    assert told[0]["message"] == "draining" or "draining" in {each["message"] for each in told}
    assert not any("Traceback" in line for line in process.lines)


PRIVATE = "Ann at (0171) 234-5678 or ann@example.com has sk-proj-0123456789 and Bearer abcdef-12"
TOOLS = f'''
from app.tools import tool


@tool
def find_customer() -> str:
    """Looks a customer up."""
    raise LookupError("no {PRIVATE}")
'''


async def test_what_a_model_and_a_tool_complain_of_is_logged_without_what_is_private(
    tmp_path: Path,
) -> None:
    (tmp_path / "agent.toml").write_text(f'tools = "tools.py"\n{AGENT}')
    (tmp_path / "tools.py").write_text(TOOLS)
    sorry = Reply("I am sorry.", audio=noise(60, "sorry"), speed=float("inf"))
    looks = Reply(tool_calls=[("find_customer", {})])
    async with office(tmp_path, HELLO, looks, sorry, AGENT_FILE="agent.toml") as o:
        call = await o.call()
        session = await o.model.session()
        session.send_error("invalid_value", f"Wrong: {PRIVATE}")
        told = await o.process.says("model reported an error")
        assert "…78 or …@… has sk… and Bearer …" in told and call.call_sid in told
        session.start_speech()
        session.stop_speech("Who am I?")
        await call.wait_heard(len(HELLO.audio or b"") + len(sorry.audio or b""))
        (output,) = session.events_of("conversation.item.create")
        assert output["item"]["output"] == "The tool failed."
        await o.process.says("LookupError: no Ann at …78 or …@…")
        lines = "\n".join(o.process.lines)
        assert "tool failed" in lines and "in find_customer" in lines
        for hidden in ("(0171)", "234-5678", "ann@", "0123456789", "abcdef-12"):
            assert hidden not in lines
        o.process.lines.clear()  # a traceback is what was asked for
        call.hang_up()
        await call.wait_ended()
