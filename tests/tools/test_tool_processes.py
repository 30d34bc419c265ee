"""Tools in processes of their own: results, errors, deadlines, and no process left behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.errors import ConfigError, ToolFault
from app.tools import CallContext, ToolError, ToolRegistry, processes, tool
from app.tools.loading import load_tools

# A process starts at a low priority: on a busy machine that takes its time.
pytestmark = pytest.mark.timeout(60)

ROOT = Path(__file__).parent.parent.parent
TOOLS = """
import os
import signal
import subprocess
import sys
from pathlib import Path

from app.tools import ToolError, tool


@tool(process=True)
def double(size: int) -> dict[str, int]:
    print("not an answer")
    return {"size": size * 2, "pid": os.getpid(), "nice": os.getpriority(os.PRIO_PROCESS, 0)}


@tool(process=True)
async def full() -> str:
    raise ToolError("All tables are taken.")


@tool(process=True)
def leave() -> str:
    sys.exit("gone")


@tool(process=True)
def crash() -> str:
    os.kill(os.getpid(), signal.SIGKILL)


@tool(process=True)
def leave_a_child(file: str, status: int) -> str:
    child = subprocess.Popen(["sleep", "100"])
    Path(file).write_text(f"{os.getpid()} {child.pid}\\n")
    if status:
        os._exit(status)
    return "left"


@tool(process=True)
def interrupted() -> str:
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
    return "still here"


@tool(process=True)
def compute(file: str) -> str:
    child = subprocess.Popen(["sleep", "100"])
    Path(file).write_text(f"{os.getpid()} {child.pid}\\n")
    while True:
        pass
"""


@asynccontextmanager
async def loaded(folder: Path, text: str = TOOLS) -> AsyncIterator[ToolRegistry]:
    path = folder / "process_tools.py"
    path.write_text(text)
    (folder / "service").write_text(str(os.getpid()))
    registry = load_tools(path)
    try:
        yield registry
    finally:
        await registry.aclose()
        sys.modules.pop("agent_tools_process_tools")


def service_that_computes(folder: Path) -> "subprocess.Popen[bytes]":
    """A process that runs `compute` in a process of its own; see `pids` in the folder."""
    program = """
import asyncio, sys
from pathlib import Path
from app.tools.loading import load_tools

asyncio.run(load_tools(Path(sys.argv[1])).run("compute", '{"file": "%s"}' % sys.argv[2]))
"""
    tools, pids = folder / "process_tools.py", folder / "pids"
    tools.write_text(TOOLS)
    command = [sys.executable, "-c", program, str(tools), str(pids)]
    return subprocess.Popen(command, cwd=ROOT)


def pids_in(file: Path) -> list[int]:
    """The processes that a tool writes into a file: its own, and one that it started."""
    while not (file.exists() and file.read_text().endswith("\n")):
        time.sleep(0.02)
    return [int(pid) for pid in file.read_text().split()]


def is_gone(pid: int) -> bool:
    """Whether a process has ended, within a while."""
    for _ in range(500):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True  # a zombie that its new parent has not reaped
        except OSError:
            pass
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


async def test_a_tool_runs_in_a_process_that_is_kept(tmp_path: Path) -> None:
    async with loaded(tmp_path) as tools:
        first, second = [json.loads(await tools.run("double", '{"size": 4}')) for _ in range(2)]
        assert first == second and first["size"] == 8
        assert first["pid"] != os.getpid() and first["nice"] >= 10
        assert await tools.run("interrupted", "{}") == "still here"
        with pytest.raises(ToolError, match=r"^All tables are taken\.$"):
            await tools.run("full", "{}")
        with pytest.raises(ToolError, match="double: wrong arguments: size: Field required"):
            await tools.run("double", "{}")
        with pytest.raises(ToolFault) as fault:
            await tools.run("leave", "{}")
        assert fault.value.trace.endswith("SystemExit: gone\n")
        with pytest.raises(ToolFault) as fault:
            await tools.run("crash", "{}")
        assert "the process of the tool crash ended with status -9" in fault.value.trace
        again = json.loads(await tools.run("double", '{"size": 4}'))
        assert again["size"] == 8 and again["pid"] != first["pid"]
    assert is_gone(again["pid"])


async def test_a_process_is_killed_when_its_run_is_cancelled(tmp_path: Path) -> None:
    async with loaded(tmp_path) as tools:
        arguments = json.dumps({"file": str(tmp_path / "pids")})
        running = asyncio.create_task(tools.run("compute", arguments, CallContext("CA1")))
        pids = await asyncio.to_thread(pids_in, tmp_path / "pids")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert all(map(is_gone, pids))


async def test_what_a_tool_started_ends_with_a_process_that_ends_by_itself(tmp_path: Path) -> None:
    async with loaded(tmp_path) as tools:
        arguments = json.dumps({"file": str(tmp_path / "pids"), "status": 3})
        with pytest.raises(ToolFault) as fault:
            await tools.run("leave_a_child", arguments)
        assert "ended with status 3" in fault.value.trace
        assert all(map(is_gone, pids_in(tmp_path / "pids")))


@pytest.mark.parametrize("seen", [True, False])
async def test_what_a_tool_started_ends_with_an_idle_process_that_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: bool
) -> None:
    if not seen:  # it ends just when the next tool takes it
        monkeypatch.setattr("app.tools.processes._Worker.has_ended", lambda _: False)
    async with loaded(tmp_path) as tools:
        arguments = json.dumps({"file": str(tmp_path / "pids"), "status": 0})
        assert await tools.run("leave_a_child", arguments) == "left"
        pid, child = pids_in(tmp_path / "pids")
        os.kill(pid, signal.SIGKILL)
        assert is_gone(pid)
        again = json.loads(await tools.run("double", '{"size": 4}'))
        assert again["size"] == 8 and again["pid"] != pid
        assert is_gone(child)


SLOW = """
import os
import time
from pathlib import Path

from app.tools import tool

if os.getpid() != int(Path(__file__).with_name("service").read_text()):
    with Path(__file__).with_name("pids").open("a") as pids:
        pids.write(f"{os.getpid()}\\n")
    while not Path(__file__).with_name("go").exists():
        time.sleep(0.01)


@tool(process=True)
def slow() -> str:
    return "loaded"
"""


async def test_a_process_that_loads_beyond_the_tools_deadline_is_kept_for_the_next_call(
    tmp_path: Path,
) -> None:
    async with loaded(tmp_path, SLOW) as tools:
        for _ in range(2):
            running = asyncio.create_task(tools.run("slow", "{}"))
            (pid,) = await asyncio.to_thread(pids_in, tmp_path / "pids")
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        (tmp_path / "go").touch()
        assert await tools.run("slow", "{}") == "loaded"
        assert pids_in(tmp_path / "pids") == [pid]


async def test_a_process_that_loads_ends_with_the_service(tmp_path: Path) -> None:
    async with loaded(tmp_path, SLOW) as tools:
        running = asyncio.create_task(tools.run("slow", "{}"))
        (pid,) = await asyncio.to_thread(pids_in, tmp_path / "pids")
        await tools.aclose()
        with pytest.raises(ToolFault, match="The tool failed"):
            await running
        assert is_gone(pid)


async def test_a_process_that_does_not_load_in_time_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "LOAD_S", 0.05)
    async with loaded(tmp_path, SLOW) as tools:
        with pytest.raises(ToolFault) as fault:
            await tools.run("slow", "{}")
    assert "was not loaded in a process within 0.05 s" in fault.value.trace


@pytest.mark.skipif(sys.platform != "linux", reason="the guard of a process")
def test_what_a_tool_started_ends_with_a_process_while_the_service_does_nothing(
    tmp_path: Path,
) -> None:
    """As when the service is dead and the kernel ends the process by SIGALRM."""
    service = service_that_computes(tmp_path)
    try:
        pid, child = pids_in(tmp_path / "pids")
        service.send_signal(signal.SIGSTOP)
        os.kill(pid, signal.SIGALRM)
        assert is_gone(child)
    finally:
        service.kill()
        service.wait()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_process_ends_with_a_service_that_is_killed(tmp_path: Path) -> None:
    service = service_that_computes(tmp_path)
    pids = pids_in(tmp_path / "pids")
    service.send_signal(signal.SIGKILL)
    service.wait()
    assert all(map(is_gone, pids))


# --- at load ------------------------------------------------------------------------------------


def test_a_tool_that_wants_the_call_cannot_run_in_a_process(tmp_path: Path) -> None:
    path = tmp_path / "wrong_tools.py"
    path.write_text(
        "from app.tools import CallContext, tool\n\n\n"
        "@tool(process=True)\n"
        "def who(call: CallContext) -> str: ...\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_tools(path)
    assert str(caught.value) == (
        f"{path}:5: who: parameter 'call' is a CallContext, and a tool with process=True runs "
        "without the call; remove the parameter or process=True"
    )


def test_a_tool_without_a_file_cannot_run_in_a_process() -> None:
    @tool(process=True)
    def compute() -> None: ...

    with pytest.raises(ConfigError, match="process=True needs a tools file"):
        ToolRegistry([compute])
