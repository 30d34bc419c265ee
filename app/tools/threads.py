"""Threads for sync tools. A thread cannot be stopped, so their number is bounded."""

import asyncio
import contextvars
import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from app.errors import ToolError
from app.tools.outcome import Outcome, busy

logger = logging.getLogger(__name__)

#: Most threads of a process that run tools.
MOST_THREADS = 128
#: Most of them for one call. The others are for other calls.
MOST_OF_CALL = 16
# How soon a thread that computes gives the interpreter to another one, instead of 5 ms: the event
# loop competes with all of them.
_SWITCH_S = 0.0005


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """A thread that runs a tool."""

    tool: str
    call_sid: str
    began_s: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class _Start:
    """A thread to start."""

    name: str
    work: Callable[[], None]
    #: Called with the error if it cannot be started.
    finish: Callable[[Outcome], None]


class ToolThreads:
    """Runs each sync tool in a thread of its own.

    The threads are no executor's: Python waits for those at its exit, so a tool that hangs would
    keep the process alive. A thread counts until it ends, also after its call.
    """

    def __init__(self, most: int = MOST_THREADS, most_of_call: int = MOST_OF_CALL) -> None:
        self._most = most
        self._most_of_call = most_of_call
        self._running: set[_Run] = set()
        self._lock = threading.Lock()
        self._starts: SimpleQueue[_Start] | None = None

    async def run(self, work: Callable[[], Any], tool: str, call_sid: str) -> Outcome:
        """Run `work` in a thread, in a copy of this task's context, and wait for it. When the wait
        is cancelled the thread runs on, and its outcome is dropped.

        Args:
            tool: The tool's name.
            call_sid: The call; empty: none, and no limit for it.

        Raises:
            ToolError: too many tools run. The message is worded for the model.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        variables = contextvars.copy_context()
        entry = self._begin(tool, call_sid)

        def settle(outcome: Outcome) -> None:
            if not future.done():
                future.set_result(outcome)

        def run() -> None:
            try:
                finish((variables.run(work), None))
            except BaseException as raised:  # passed on to the event loop, whatever it is
                finish((None, raised))

        def finish(outcome: Outcome) -> None:
            with self._lock:
                self._running.discard(entry)
            try:
                loop.call_soon_threadsafe(settle, outcome)
            except RuntimeError:
                pass  # the event loop is closed: the service has stopped

        self._start(_Start(f"tool-{tool}", run, finish))
        return await future

    def _begin(self, tool: str, call_sid: str) -> _Run:
        with self._lock:
            of_call = sum(each.call_sid == call_sid for each in self._running) if call_sid else 0
            if of_call < self._most_of_call and len(self._running) < self._most:
                entry = _Run(tool, call_sid)
                self._running.add(entry)
                return entry
            running = list(self._running)
        now_s = time.monotonic()
        extra = {
            "call_sid": call_sid,
            "tool": tool,
            "threads": len(running),
            "of_call": of_call,
            "running": dict(Counter(each.tool for each in running).most_common()),
            "longest_s": round(max((now_s - each.began_s for each in running), default=0.0), 1),
        }
        logger.warning("no thread is free for a tool", extra=extra)
        raise ToolError(busy(tool))

    def _start(self, start: _Start) -> None:
        # Thread.start waits for the new thread, and the more threads compute, the longer. So one
        # thread starts the others, and the event loop waits for none.
        with self._lock:
            if self._starts is None:
                sys.setswitchinterval(min(_SWITCH_S, sys.getswitchinterval()))
                self._starts = SimpleQueue()
                threading.Thread(target=self._starter, name="tool-starter", daemon=True).start()
        self._starts.put(start)

    def _starter(self) -> None:
        assert self._starts is not None
        while True:
            start = self._starts.get()
            try:
                threading.Thread(target=start.work, name=start.name, daemon=True).start()
            except RuntimeError as error:  # the system gives no more threads
                start.finish((None, error))
