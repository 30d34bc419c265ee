"""Processes for tools that compute: spawned at the first such tool, kept, and killed when late.

The other side of the socket is `process_worker`. Each message is a line of JSON.
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

    async def ask(self, tool: str, arguments: str) -> dict[str, str]:
        """Have it run a tool.

        Raises:
            ToolFault: the process ended.
        """
        line = b""
        with suppress(ConnectionError):
            request = json.dumps({"tool": tool, "arguments": arguments})
            self.writer.write(request.encode() + b"\n")
            await self.writer.drain()
            line = await self.reader.readline()
        if not line.endswith(b"\n"):
            status = await self.ended()
            raise ToolFault(f"the process of the tool {tool} ended with status {status}\n")
        answer: dict[str, str] = json.loads(line)
        return answer

    def kill(self) -> None:
        """Kill the process and those that it started. Then await `ended`."""
        self.writer.close()
        if self.process.poll() is None:
            with suppress(ProcessLookupError):
                self.process.kill()
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)  # it leads a group once it has begun

    async def ended(self) -> int | None:
        """Wait until it has ended, for a moment. Returns its status; None: it still runs."""
        for _ in range(round(_END_S / _LOOK_EVERY_S)):
            if self.process.poll() is not None:
                break
            await asyncio.sleep(_LOOK_EVERY_S)
        return self.process.returncode


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
            worker = self._idle_worker() or await self._started()
            answer = None
            try:
                answer = await worker.ask(tool, arguments)
            finally:
                if answer is None:
                    self._kill(worker)
                else:
                    self._idle.append(worker)
        finally:
            self._turns.give_back(call_sid)
        if "fault" in answer:
            raise ToolFault(answer["fault"])
        if "error" in answer:
            raise ToolError(answer["error"])
        return answer["result"]

    async def aclose(self) -> None:
        """End all processes."""
        await asyncio.gather(*self._starting, return_exceptions=True)
        for worker in list(self._alive):
            self._kill(worker)
        self._idle.clear()
        await asyncio.gather(*self._ending)

    # --- a process --------------------------------------------------------------------------------

    def _idle_worker(self) -> _Worker | None:
        while self._idle:
            worker = self._idle.pop()
            if worker.process.poll() is None:
                return worker
            self._kill(worker)
        return None

    async def _started(self) -> _Worker:
        start = asyncio.create_task(self._start())
        self._starting.add(start)
        start.add_done_callback(self._starting.discard)
        try:
            return await asyncio.shield(start)
        except asyncio.CancelledError:
            start.add_done_callback(self._keep)  # for the next tool
            raise

    def _keep(self, start: "asyncio.Task[_Worker]") -> None:
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
        return worker

    def _spawn(self, channel: socket.socket) -> "subprocess.Popen[bytes]":
        path = json.dumps([each or os.getcwd() for each in sys.path])
        command = [sys.executable, "-P", "-c", _PROGRAM, path, str(self._tools_file)]
        return subprocess.Popen(command, stdin=channel.fileno(), stdout=channel.fileno())

    def _kill(self, worker: _Worker) -> None:
        self._alive.discard(worker)
        worker.kill()
        end = asyncio.create_task(worker.ended())
        self._ending.add(end)
        end.add_done_callback(self._ending.discard)
