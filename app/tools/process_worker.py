"""The process that runs tools with `process=True`: requests on stdin, outcomes on stdout.

It ends when the service does: the reader thread sees the socket close, and kills the process with
those that the tool started. However it ends, a guard kills what the tool started. It ignores SIGINT
and SIGTERM, which may be sent to all processes of the service while its calls go on.
"""

import ctypes
import json
import os
import select
import signal
import sys
import threading
from io import TextIOWrapper
from pathlib import Path
from queue import SimpleQueue
from typing import BinaryIO

from app.errors import ConfigError, ToolError, ToolFault
from app.tools.loading import load_tools
from app.tools.outcome import fault
from app.tools.registry import ToolRegistry

_PR_SET_PDEATHSIG = 1  # prctl(2)
_MOST_TRACE = 20_000  # characters


def main(tools_file: str) -> None:
    """Serve requests until stdin closes."""
    for order in (signal.SIGINT, signal.SIGTERM):
        # Not SIG_IGN, which the programs that a tool starts would inherit.
        signal.signal(order, lambda *_: None)
    os.setpgid(0, 0)  # not setsid: Linux would group the scheduling by session, without nice
    _guard_group()
    _end_with_parent()
    requests, answers = _channel()
    queue: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_read, args=(requests, queue), daemon=True).start()
    tools = _loaded(tools_file)
    _send(answers, {"ready": ""})
    while True:
        request = json.loads(queue.get())
        _send(answers, {"begun": ""})
        if isinstance(tools, ToolRegistry):
            answer = _answer(tools, request["tool"], request["arguments"])
        else:
            answer = {"fault": tools.trace}
        _send(answers, answer)


def _send(answers: BinaryIO, answer: dict[str, str]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


def _guard_group() -> None:
    """Start a process that kills this process's group when this process has ended, in any way: by
    itself, by the kernel when memory runs out, or by SIGALRM (see `_end_with_parent`).

    It is no child of this process, so a tool that waits for all of its children does not wait for
    it. Without pidfd_open(2), Linux 5.3, there is none; the service still kills the group.
    """
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return
    try:
        this = os.pidfd_open(os.getpid())
    except OSError:
        return
    if child := os.fork():
        os.waitpid(child, 0)
        os.close(this)
        return
    if os.fork():
        os._exit(0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for channel in (0, 1):  # the socket: the service shall see it close
        os.dup2(nothing, channel)
    select.select([this], [], [])  # readable when the process has ended
    os.killpg(0, signal.SIGKILL)


def _end_with_parent() -> None:
    """End this process a while after the service, should the tool keep the reader thread from
    running: a regular expression holds the interpreter until it is done.

    Linux sends SIGUSR2 when the service has ended. A handler in Python would not run either. The C
    function alarm() serves as the handler: it takes the signal's number, 12, as seconds, after
    which SIGALRM ends the process.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
        libc.signal(signal.SIGUSR2, ctypes.cast(libc.alarm, ctypes.c_void_p))
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGUSR2)


def _channel() -> tuple[BinaryIO, BinaryIO]:
    """The socket to the service. What tools print goes to stderr, and they read an empty stdin."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # it is never closed
    return requests, answers


def _read(requests: BinaryIO, queue: "SimpleQueue[bytes]") -> None:
    for line in requests:
        queue.put(line)
    # The service has ended, or has no use for this process.
    os.killpg(0, signal.SIGKILL)


def _loaded(tools_file: str) -> ToolRegistry | ToolFault:
    try:
        return load_tools(Path(tools_file))
    except (ConfigError, OSError) as error:
        return fault(error)


def _answer(tools: ToolRegistry, tool: str, arguments: str) -> dict[str, str]:
    try:
        return {"result": tools.run_here(tool, arguments)}
    except ToolFault as error:
        return {"fault": error.trace[-_MOST_TRACE:]}
    except ToolError as error:
        return {"error": str(error)}
