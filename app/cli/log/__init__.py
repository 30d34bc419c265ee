"""The log: one line per record on stderr, as text or JSON, with phone numbers redacted.

`configure_logging` at the start, `close_logging` at the end; `log_unhandled` per event loop.
"""

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

CLOSE_S = 1.0  # for writing the last lines; stderr may block

logger = logging.getLogger(__name__)


def configure_logging(level: str = "INFO", format: Format = "text") -> None:
    """Send the log to stderr, through a bounded queue and its own thread. May be called again.

    `level`: of this project's loggers; an unknown one means INFO. Libraries log warnings and errors
    only: their debug lines hold headers, frames, parameters, and the paths of media sockets, which
    are tickets. There is no access log. Call `close_logging` at the end.
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
    """Write a line for the owner of the service, as it is, in order with the log's lines.

    Does not block. Does nothing before `configure_logging`.
    """
    for each in _queues():
        each.say(text)


def settle(within_s: float = CLOSE_S) -> bool:
    """Wait until everything logged so far is written, for `within_s` seconds at most. Returns
    whether it is. Blocks: do not call it on the event loop of live calls."""
    return all(each.settle(within_s) for each in _queues())


def close_logging() -> None:
    """Write the last lines, as far as stderr takes them within `CLOSE_S`, and stop. Lines logged
    later are lost."""
    for each in _queues():
        each.settle(CLOSE_S)
        logging.getLogger().removeHandler(each)
        each.stop()


def reserve_standard_descriptors() -> None:
    """Open /dev/null for those of stdin, stdout and stderr that are closed.

    Call it before anything else is opened. Otherwise the database, or a socket, could get file
    descriptor 2, and errors would be written into it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number


# --- unhandled exceptions -------------------------------------------------------------------------


def log_unhandled(loop: asyncio.AbstractEventLoop) -> None:
    """Log each unhandled exception as one line: of a future, a callback, a thread, a destructor.

    By default Python writes a whole traceback to stderr, and blocks until stderr takes it.
    """

    def in_loop(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        _log_unhandled(
            str(context.get("message", "")),
            context.get("exception"),
            context.get("task") or context.get("future"),
        )

    def in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_type is not SystemExit:
            name = args.thread.name if args.thread is not None else ""
            _log_unhandled(f"in the thread {name}", args.exc_value)

    def in_destructor(args: "sys.UnraisableHookArgs") -> None:
        _log_unhandled(args.err_msg or "in a destructor", args.exc_value)

    loop.set_exception_handler(in_loop)
    threading.excepthook = in_thread
    sys.unraisablehook = in_destructor
    logging.captureWarnings(True)


def _log_unhandled(what: str, error: BaseException | None, task: object = None) -> None:
    frames = traceback.extract_tb(error.__traceback__)[-1:] if error is not None else []
    where = "".join(f"{each.filename}:{each.lineno}" for each in frames)
    extra = {"what": what.partition("\n")[0], "error": repr(error), "where": where}
    if isinstance(task, asyncio.Task):
        extra["task"] = f"{task.get_name()} {getattr(task.get_coro(), '__qualname__', '')}"
    trace = error if logger.isEnabledFor(logging.DEBUG) else None
    logger.error("fault that no code handled", exc_info=trace, extra=extra)
