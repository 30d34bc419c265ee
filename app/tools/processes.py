"""Processes for tools that compute: spawned at the first such tool, kept, and killed when late.

The other side of the socket is `process_worker`. Each message is a line of JSON. The first one says
that the process has loaded the tools file. Each request has two answers: the tool begins, and its
outcome. A process that ends before the first has run nothing, so another one may.
"""

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.errors import ToolError, ToolFault
from app.tools.outcome import busy
from app.tools.turns import TooMany, Turns

logger = logging.getLogger(__name__)

#: The longest line from a process: a result has 32 KiB at most, and JSON may write a byte as six.
_LINE_BYTES = 1 << 20
#: Most runs of tools that wait for a process.
MOST_WAITING = 64
#: Seconds for a process to load the tools file, whatever the deadline of the tool that waits.
LOAD_S = 60.0
_END_S = 0.5  # for killed processes to end
_LOOK_EVERY_S = 0.01

# The priority is lowered before the slow imports. The parent's import path comes as an argument.
_PROGRAM = """\
import json, os, sys
getattr(os, "nice", int)(10)
sys.path[:] = json.loads(sys.argv[1])
from app.tools.process_worker import main
main(sys.argv[2])
"""


def most_processes() -> int:
    """How many tools run in processes at once: two for each processor, 2 to 16."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(max(2 * (usable or 1), 2), 16)


@dataclass(slots=True, eq=False)
class _Worker:
    """A process, and the socket to it."""

    process: "subprocess.Popen[bytes]"
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, tool: str, arguments: str) -> dict[str, str] | None:
        """Have it run a tool. Returns the outcome; None: the process ended before the tool began.

        Raises:
            ToolFault: the process ended while the tool ran.
        """
        begun = line = b""
        with suppress(ConnectionError):
            request = json.dumps({"tool": tool, "arguments": arguments})
            self.writer.write(request.encode() + b"\n")
            await self.writer.drain()
            begun = await self.reader.readline()
            line = await self.reader.readline()
        if line.endswith(b"\n"):
            answer: dict[str, str] = json.loads(line)
            return answer
        self.kill()
        status = await self.ended()
        if begun:
            raise ToolFault(f"the process of the tool {tool} ended with status {status}\n")
        return None

    async def loaded(self) -> None:
        """Wait until it has loaded the tools file.

        Raises:
            ToolFault: it ended, or took longer than `LOAD_S`.
        """
        line = b""
        try:
            async with asyncio.timeout(LOAD_S):
                line = await self.reader.readline()
        except ConnectionError:
            pass
        except TimeoutError:
            raise ToolFault(
                f"the tools file was not loaded in a process within {LOAD_S:g} s; do less when it "
                "is imported\n"
            ) from None
        if not line:
            self.kill()
            status = await self.ended()
            raise ToolFault(f"a process for tools ended with status {status} while it began\n")

    def has_ended(self) -> bool:
        """Whether it has ended by itself. It is not reaped, so that its group keeps its number."""
        if self.reader.at_eof():
            return True
        if self.process.returncode is None and sys.platform == "linux":
            how = os.WEXITED | os.WNOHANG | os.WNOWAIT
            with suppress(ChildProcessError):
                return os.waitid(os.P_PID, self.process.pid, how) is not None
        return self.process.poll() is not None

    def kill(self) -> None:
        """Kill the process and those that it started, also if it has ended already. Then await
        `ended`."""
        self.writer.close()
        # It leads a group once it has begun. Nothing else can have the group's number, until the
        # process is reaped.
        if self.process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        if self.process.poll() is None:
            with suppress(ProcessLookupError):
                self.process.kill()

    async def ended(self) -> int | None:
        """Wait until it has ended, for a moment. Returns its status; None: it still runs."""
        for _ in range(round(_END_S / _LOOK_EVERY_S)):
            if self.process.poll() is not None and self._orphans_are_reaped():
                break
            await asyncio.sleep(_LOOK_EVERY_S)
        return self.process.returncode

    def _orphans_are_reaped(self) -> bool:
        """Reap what the ended process leaves to this one, if this is the init of a container.
        Returns whether nothing of it is left to reap."""
        try:
            while os.waitpid(-self.process.pid, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return True
        return False


class ToolProcesses:
    """Runs the tools of one file in a bounded number of processes. `aclose` ends them; they also
    end when this process does, in any way. It can be used again after `aclose`."""

    def __init__(self, tools_file: Path, most: int = 0) -> None:
        """
        Args:
            tools_file: Executed in each process, see `load_tools`.
            most: Most processes, at least 2; 0: `most_processes()`. One call gets half of them.
        """
        self._tools_file = tools_file
        most = most or most_processes()
        self._turns = Turns(most, most // 2, MOST_WAITING)
        self._idle: list[_Worker] = []
        self._alive: set[_Worker] = set()
        self._starting: set[asyncio.Task[_Worker]] = set()
        #: Starts that no run waits for any more: the next one does.
        self._left: list[asyncio.Task[_Worker]] = []
        self._ending: set[asyncio.Task[int | None]] = set()

    async def run(self, tool: str, arguments: str, call_sid: str) -> str:
        """Run a tool, and return its result as text for the model. When too many run, it waits for
        its turn. When this is cancelled, the process is killed.

        Args:
            tool: The tool's name.
            arguments: JSON text from the model.
            call_sid: The call. That with the fewest running tools is next.

        Raises:
            ToolError: the tool raised it, its arguments are invalid, or too many tools wait.
            ToolFault: the tool raised another exception, or its process ended.
        """
        try:
            await self._turns.take(call_sid)
        except TooMany:
            extra = {"call_sid": call_sid, "tool": tool, "waiting": MOST_WAITING}
            logger.warning("no process is free for a tool", extra=extra)
            raise ToolError(busy(tool)) from None
        try:
            answer = None
            while idle := self._idle_worker():
                if answer := await self._ask(idle, tool, arguments):
                    break
            answer = answer or await self._ask(await self._started(), tool, arguments)
        finally:
            self._turns.give_back(call_sid)
        if answer is None:
            raise ToolFault(f"a new process ended before the tool {tool} began\n")
        if "fault" in answer:
            raise ToolFault(answer["fault"])
        if "error" in answer:
            raise ToolError(answer["error"])
        return answer["result"]

    async def aclose(self) -> None:
        """End all processes."""
        while self._alive or self._starting:
            for worker in list(self._alive):  # those that load the tools file too
                self._kill(worker)
            if self._starting:
                await asyncio.wait(self._starting, timeout=_LOOK_EVERY_S)
        self._idle.clear()
        await asyncio.gather(*self._ending)

    # --- a process --------------------------------------------------------------------------------

    async def _ask(self, worker: _Worker, tool: str, arguments: str) -> dict[str, str] | None:
        answer = None
        try:
            answer = await worker.ask(tool, arguments)
        finally:
            if answer is None:
                self._kill(worker)
            else:
                self._idle.append(worker)
        return answer

    def _idle_worker(self) -> _Worker | None:
        while self._idle:
            worker = self._idle.pop()
            if not worker.has_ended():
                return worker
            self._kill(worker)
        return None

    async def _started(self) -> _Worker:
        """Start a process, and wait until it has loaded the tools file. When this is cancelled, the
        process goes on loading, for the next run."""
        if self._left:
            start = self._left.pop()
        else:
            start = asyncio.create_task(self._start())
            self._starting.add(start)
            start.add_done_callback(self._starting.discard)
        try:
            return await asyncio.shield(start)
        except asyncio.CancelledError:
            self._left.append(start)
            start.add_done_callback(self._keep)
            raise

    def _keep(self, start: "asyncio.Task[_Worker]") -> None:
        if start in self._left:  # no run took it meanwhile
            self._left.remove(start)
            if not start.cancelled() and start.exception() is None:
                self._idle.append(start.result())

    async def _start(self) -> _Worker:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                # In a thread: uvloop forks, and holds up the event loop until the child runs.
                process = await asyncio.to_thread(self._spawn, theirs)
            reader, writer = await asyncio.open_unix_connection(sock=ours, limit=_LINE_BYTES)
        except BaseException:
            ours.close()  # a process that runs ends then
            raise
        worker = _Worker(process, reader, writer)
        self._alive.add(worker)
        try:
            await worker.loaded()
        except BaseException:
            self._kill(worker)
            raise
        return worker

    def _spawn(self, channel: socket.socket) -> "subprocess.Popen[bytes]":
        path = json.dumps([each or os.getcwd() for each in sys.path])
        command = [sys.executable, "-P", "-c", _PROGRAM, path, str(self._tools_file)]
        return subprocess.Popen(command, stdin=channel.fileno(), stdout=channel.fileno())

    def _kill(self, worker: _Worker) -> None:
        if worker not in self._alive:
            return
        self._alive.remove(worker)
        worker.kill()
        end = asyncio.create_task(worker.ended())
        self._ending.add(end)
        end.add_done_callback(self._ending.discard)
