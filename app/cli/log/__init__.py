"""The log: one line per record on stderr, for people or for machines, without phone numbers."""

import asyncio
import logging
import os
import sys
import threading
import traceback
from typing import Any

from app.cli.log.lines import Format
from app.cli.log.queue import LogQueue, to_stderr
from app.records.redaction import redact, redact_foreign

__all__ = [
    "log_unhandled",
    "close_logging",
    "configure_logging",
    "reserve_standard_descriptors",
    "redact",
    "redact_foreign",
    "say",
    "settle",
]

CLOSE_S = 1.0  # for the last lines to be written, if stderr takes them

logger = logging.getLogger(__name__)


def configure_logging(level: str = "INFO", format: Format = "text") -> None:
    """Send the log to stderr, through a queue and a thread of its own; may be called again.

    `level` is this project's; every library says only warnings, because their chatter holds
    headers, frames, parameters, and the paths of media sockets, which are tickets. An unknown level
    counts as INFO. There is no access log. Call `close_logging` in the end.
    """
    chosen = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    root = logging.getLogger()
    close_logging()
    root.addHandler(LogQueue(to_stderr(), format))
    root.setLevel(max(chosen, logging.WARNING))
    logging.getLogger("app").setLevel(chosen)
    logging.getLogger("uvicorn").setLevel(max(chosen, logging.WARNING))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        joined = logging.getLogger(name)
        joined.handlers = []
        joined.propagate = name != "uvicorn.access"


def _queues() -> list[LogQueue]:
    return [each for each in logging.getLogger().handlers if isinstance(each, LogQueue)]


def say(text: str) -> None:
    """A line for the person who started the service, in order with the log's and as it is. Does
    not block, and needs `configure_logging`."""
    for each in _queues():
        each.say(text)


def settle(within_s: float = CLOSE_S) -> bool:
    """Wait until what was logged so far is written, but no longer than this. Not on an event loop
    that others need."""
    return all(each.settle(within_s) for each in _queues())


def close_logging() -> None:
    """Write the last lines, as far as stderr takes them within `CLOSE_S`. What is logged after it
    is lost."""
    for each in _queues():
        each.settle(CLOSE_S)
        logging.getLogger().removeHandler(each)
        each.stop()


def reserve_standard_descriptors() -> None:
    """Call it before anything is opened: a service that was started with stderr closed would write
    its last words into whatever got that number, its database for one."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


# --- the last net ---------------------------------------------------------------------------------


def log_unhandled(loop: asyncio.AbstractEventLoop) -> None:
    """What no code saw to its end is one line, wherever it fell: in a future, a callback, a thread,
    a destructor. Otherwise Python writes a page of it to stderr, and waits until that is read."""

    def in_loop(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        _unseen(
            str(context.get("message", "")),
            context.get("exception"),
            context.get("task") or context.get("future"),
        )

    def in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_type is not SystemExit:
            name = args.thread.name if args.thread is not None else ""
            _unseen(f"in the thread {name}", args.exc_value)

    def at_the_end(args: "sys.UnraisableHookArgs") -> None:
        _unseen(args.err_msg or "while an object was let go of", args.exc_value)

    loop.set_exception_handler(in_loop)
    threading.excepthook = in_thread
    sys.unraisablehook = at_the_end
    logging.captureWarnings(True)


def _unseen(what: str, error: BaseException | None, task: object = None) -> None:
    frames = traceback.extract_tb(error.__traceback__)[-1:] if error is not None else []
    where = "".join(f"{each.filename}:{each.lineno}" for each in frames)
    extra = {"what": what.partition("\n")[0], "error": repr(error), "where": where}
    if isinstance(task, asyncio.Task):
        extra["task"] = f"{task.get_name()} {getattr(task.get_coro(), '__qualname__', '')}"
    trace = error if logger.isEnabledFor(logging.DEBUG) else None
    logger.error("fault that no code handled", exc_info=trace, extra=extra)
