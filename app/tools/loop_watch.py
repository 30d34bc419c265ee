"""Async tools on the event loop: each step of them is timed, and none of them ends the process.

While an async tool computes or blocks, no call's audio moves. `LoopWatch` names such a tool in the
log. asyncio lets KeyboardInterrupt and SystemExit of a task end the whole event loop; a task that a
tool starts raises RuntimeError in their place.
"""

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from app.tools.outcome import Outcome

logger = logging.getLogger(__name__)

#: A tool that holds the event loop for longer is logged.
HELD_MS = 100.0
#: A tool that holds it for longer is logged with its stack, while it does.
STUCK_S = 1.0
_POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class Who:
    """Which tool runs, and for which call."""

    tool: str
    call_sid: str = ""


@dataclass(slots=True, eq=False)
class Step:
    """A tool holds the event loop."""

    who: Who
    #: By the clock of the `LoopWatch`, in seconds.
    began_s: float
    #: CPU time of the thread when it began, in seconds.
    cpu_s: float
    #: The step that it interrupts: a task that is started eagerly runs inside another one's.
    outer: "Step | None"
    #: It was logged as stuck.
    reported: bool = False


class LoopWatch:
    """Times the steps of async tools. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._steps: dict[int, Step | None] = {}  # under way, by the event loop's thread
        self._runs = 0
        self._any_run = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, who: Who) -> Step:
        """The tool holds the event loop from now on. Call `end` when it returns."""
        thread_id = threading.get_ident()
        step = Step(who, self._clock(), time.thread_time(), self._steps.get(thread_id))
        self._steps[thread_id] = step
        return step

    def end(self, step: Step) -> None:
        """The tool gives the event loop back."""
        self._steps[threading.get_ident()] = step.outer
        held_ms = (self._clock() - step.began_s) * 1000
        if held_ms > HELD_MS:
            extra = {
                "tool": step.who.tool,
                "call_sid": step.who.call_sid,
                "held_ms": round(held_ms),
                "cpu_ms": round((time.thread_time() - step.cpu_s) * 1000),
            }
            logger.warning("a tool held the event loop", extra=extra)

    @contextmanager
    def run(self) -> Iterator[None]:
        """An async tool runs inside this block: a thread watches for one that is stuck."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="tool-watch", daemon=True)
            self._thread.start()
        self._runs += 1
        self._any_run.set()
        try:
            yield
        finally:
            self._runs -= 1

    def _watch(self) -> None:
        while True:
            self._any_run.wait()
            time.sleep(_POLL_S)
            now_s = self._clock()
            for thread_id, step in list(self._steps.items()):
                if step and not step.reported and now_s - step.began_s > STUCK_S:
                    step.reported = True
                    self._report(thread_id, step.who, now_s - step.began_s)
            if not self._runs:
                self._any_run.clear()
                if self._runs:  # one began meanwhile
                    self._any_run.set()

    def _report(self, thread_id: int, who: Who, for_s: float) -> None:
        frame = sys._current_frames().get(thread_id)
        extra = {
            "tool": who.tool,
            "call_sid": who.call_sid,
            "held_ms": round(for_s * 1000),
            "trace": "".join(traceback.format_stack(frame)) if frame else "",
        }
        logger.error("a tool is holding the event loop, and every call with it", extra=extra)


_watch = LoopWatch()
_tool: ContextVar[Who | None] = ContextVar("tool", default=None)


async def run_on_loop(
    work: Callable[[], Coroutine[Any, Any, Any]], who: Who, watch: LoopWatch = _watch
) -> Outcome:
    """Await `work()` in a task of its own, and return what it returned or raised.

    Raises:
        CancelledError: this task was cancelled, and the tool's task with it. A tool that cancels
            itself, or raises CancelledError, has that as its outcome.
    """

    async def outcome() -> Outcome:
        try:
            return await work(), None
        except BaseException as raised:  # whatever it is, it ends this tool alone
            return None, raised

    loop = asyncio.get_running_loop()
    _guard_tasks(loop)
    variables = copy_context()
    variables.run(_tool.set, who)
    task = loop.create_task(_Watched(outcome(), who, watch), context=variables)
    with watch.run():
        result, error = await task
    here = asyncio.current_task()
    if isinstance(error, asyncio.CancelledError) and here is not None and here.cancelling():
        raise error
    return result, error


class _Watched(Coroutine[Any, Any, Any]):
    """A tool's coroutine, whose steps are timed. It raises no exception that ends the loop."""

    def __init__(self, work: Coroutine[Any, Any, Any], who: Who, watch: LoopWatch) -> None:
        self._work = work
        self._who = who
        self._watch = watch
        self.__name__ = getattr(work, "__name__", type(work).__name__)
        self.__qualname__ = getattr(work, "__qualname__", self.__name__)

    def send(self, value: Any) -> Any:
        return self._step(self._work.send, value)

    def throw(self, kind: Any, value: Any = None, trace: TracebackType | None = None, /) -> Any:
        return self._step(self._work.throw, kind if value is None else value)

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield from self._work.__await__())

    def _step(self, resume: Callable[[Any], Any], value: Any) -> Any:
        step = self._watch.begin(self._who)
        try:
            return resume(value)
        except (KeyboardInterrupt, SystemExit) as error:
            raise RuntimeError(f"a task of a tool raised {type(error).__name__}") from error
        finally:
            self._watch.end(step)


class _GuardedTasks:
    """A task factory that watches the tasks of tools. `inner`: the factory that it replaces."""

    def __init__(self, inner: Callable[..., Any] | None) -> None:
        self._inner = inner or _plain_task

    def __call__(
        self, loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any
    ) -> "asyncio.Future[Any]":
        who = _tool.get()
        if who is not None and asyncio.iscoroutine(coro):
            coro = _Watched(coro, who, _watch)
        return self._inner(loop, coro, **kwargs)


def _plain_task(loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any) -> "asyncio.Future[Any]":
    return asyncio.Task(coro, loop=loop, **kwargs)


def _guard_tasks(loop: asyncio.AbstractEventLoop) -> None:
    factory = loop.get_task_factory()
    if not isinstance(factory, _GuardedTasks):
        loop.set_task_factory(_GuardedTasks(factory))
