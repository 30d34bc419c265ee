"""`python -m app call`, a process of its own, beside a running service: an outbound call."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from app.config.settings import Settings
from app.simulator.realtime import RealtimeServer
from app.simulator.twilio import Callee
from tests.ports import free_port
from tests.service.api import ANN, OURS
from tests.service.process import ROOT
from tests.service.transfer_world import HELLO, Agent
from tests.service.world import API_TOKEN, World, world

NUMBER = "+1 (415) 555-0123"


class Command:
    """A running `call`. `lines`: what it has shown so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.lines: list[str] = []
        self._process = process

    async def shows(self, text: str) -> None:
        """Wait for a line with this text in it."""
        assert self._process.stdout is not None
        while not any(text in line for line in self.lines):
            line = await self._process.stdout.readline()
            assert line, f"it ended and never showed {text!r}: {self.lines}"
            self.lines.append(" ".join(line.decode().split()))

    def interrupt(self) -> None:
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    async def ends(self) -> tuple[int, str]:
        """Wait for its end: its status, and what it complained about."""
        output, complaints = await self._process.communicate()
        self.lines += [" ".join(line.split()) for line in output.decode().splitlines()]
        assert b"Traceback" not in complaints and API_TOKEN not in str(self.lines)
        return await self._process.wait(), complaints.decode()


@asynccontextmanager
async def calling(folder: Path, *arguments: str, **variables: str) -> AsyncIterator[Command]:
    """`python -m app call` in `folder`, with no settings but these."""
    known = {name.upper() for name in Settings.model_fields}
    environment = {name: value for name, value in os.environ.items() if name not in known}
    environment |= {"PYTHONPATH": str(ROOT), "API_TOKEN": API_TOKEN, **variables}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", "call", *arguments,
        cwd=folder, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield Command(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


def a_service(**more: Any) -> Any:
    return world(RealtimeServer(Agent().brain), twilio_phone_number=OURS, **more)


def port_of(w: World) -> str:
    return w.url.rpartition(":")[2]


async def test_a_call_is_placed_and_watched_to_its_end(tmp_path: Path) -> None:
    async with a_service() as w:
        w.line.callees[ANN] = Callee(answers_after_ms=20)
        order = [NUMBER, "--context", "Her table is ready."]
        async with calling(tmp_path, *order, PORT=port_of(w)) as command:
            await command.shows("in-progress")
            call = await w.line.outbound()
            await call.wait_quiet()
            session = await w.model.session()
            assert "Her table is ready." in session.config["instructions"]
            await command.shows("answered by human")
            call.hang_up()
            assert await command.ends() == (0, "")

    assert command.lines[0] == f"{call.call_sid} to {ANN}"
    assert any(line.endswith(f"agent {HELLO.text}") for line in command.lines)
    assert command.lines[-1].startswith("completed after 0:0")
    assert command.lines[-1].endswith("ended by the callee")


async def test_a_call_that_is_not_answered(tmp_path: Path) -> None:
    async with a_service() as w:
        w.line.callees[ANN] = Callee("busy")
        async with calling(tmp_path, NUMBER, PORT=port_of(w)) as command:
            assert await command.ends() == (1, "")
    assert command.lines[-1] == "busy"


async def refusal(folder: Path, *arguments: str, **variables: str) -> tuple[int, str]:
    """The status and the one line that it ends with, before anybody was called."""
    async with calling(folder, *arguments, **variables) as command:
        status, complaint = await command.ends()
        assert command.lines == [] and len(complaint.splitlines()) == 1
        return status, complaint


async def test_what_is_refused_is_said_in_a_line(tmp_path: Path) -> None:
    elsewhere = str(free_port())
    async with a_service() as w:
        port = port_of(w)
        prefix, token, no_service = await asyncio.gather(
            refusal(tmp_path, "+49 30 12345678", PORT=port),
            refusal(tmp_path, NUMBER, "--url", w.url, API_TOKEN="another"),
            refusal(tmp_path, NUMBER, PORT=elsewhere),
        )
        assert not w.line.rest_requests
        assert len(w.log.of("outbound call refused")) == 1
        assert len(w.log.of("request without the API's token refused")) == 1
    assert prefix[0] == 1 and "OUTBOUND_PREFIXES" in prefix[1]
    assert token[0] == 2 and "another API_TOKEN" in token[1]
    assert no_service[0] == 2 and no_service[1].endswith("start it with: python -m app serve\n")


async def test_ctrl_c_stops_watching_and_not_the_call(tmp_path: Path) -> None:
    async with a_service() as w:
        w.line.callees[ANN] = Callee(answers_after_ms=20)
        async with calling(tmp_path, NUMBER, PORT=port_of(w)) as command:
            await command.shows("in-progress")
            command.interrupt()
            assert await command.ends() == (130, "")
        call = await w.line.outbound()
        assert call.is_live
    assert f"{w.url}/calls/{call.call_sid}/hangup" in command.lines[-1]
    assert any("the call goes on" in line for line in command.lines)
