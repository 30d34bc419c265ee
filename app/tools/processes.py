"""Processes for tools that compute: spawned at the first such tool, kept, and killed when late.

The other side of the pipes is `process_worker`. Each message is a line of JSON.
"""

import asyncio
import json
import logging
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
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
        self._idle: list[Process] = []
        self._alive: set[Process] = set()

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
            worker = self._idle_worker() or await self._spawn()
            answer = None
            try:
                answer = await self._ask(worker, tool, arguments)
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
        ending = [self._kill(worker) for worker in list(self._alive)]
        self._idle.clear()
        if ending:
            await asyncio.wait(
                [asyncio.ensure_future(each.wait()) for each in ending], timeout=_END_S
            )

    # --- a process --------------------------------------------------------------------------------

    def _idle_worker(self) -> Process | None:
        while self._idle:
            worker = self._idle.pop()
            if worker.returncode is None:
                return worker
            self._alive.discard(worker)
        return None

    async def _spawn(self) -> Process:
        path = json.dumps([each or os.getcwd() for each in sys.path])
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-c", _PROGRAM, path, str(self._tools_file)),
            stdin=PIPE,
            stdout=PIPE,
            limit=_LINE_BYTES,
        )
        self._alive.add(worker)
        return worker

    async def _ask(self, worker: Process, tool: str, arguments: str) -> dict[str, str]:
        assert worker.stdin is not None and worker.stdout is not None
        line = b""
        with suppress(ConnectionError):
            worker.stdin.write(json.dumps({"tool": tool, "arguments": arguments}).encode() + b"\n")
            await worker.stdin.drain()
            line = await worker.stdout.readline()
        if not line.endswith(b"\n"):
            status = await worker.wait()
            raise ToolFault(f"the process of the tool {tool} ended with status {status}\n")
        answer: dict[str, str] = json.loads(line)
        return answer

    def _kill(self, worker: Process) -> Process:
        """Kill a process and those that it started."""
        self._alive.discard(worker)
        if worker.returncode is None:
            with suppress(ProcessLookupError):
                worker.kill()
            with suppress(ProcessLookupError, PermissionError, AttributeError):
                os.killpg(worker.pid, signal.SIGKILL)  # it leads a group once it has begun
        return worker
