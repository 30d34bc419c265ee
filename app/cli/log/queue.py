"""From loggers to stderr: a bounded queue, and a thread that writes.

Logging never blocks the caller, even if stderr is a pipe that is not read, or a full disk.
"""

import logging
import os
import queue
import select
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from logging.handlers import QueueHandler, QueueListener
from typing import Any

from app.cli.log.lines import Format, Line, formatted, line_of
from app.cli.log.repeats import Repeats, Summary

MOST_WAITING = 5000  # lines
TICK_S = 1.0  # how often summaries of repeated lines are written
_NAME = "app.cli.log"

Write = Callable[[str], None]
"""Writes text; may block. Raises OSError or ValueError if it cannot write."""


class LogQueue(QueueHandler):
    """A handler that never blocks: when the queue is full, lines are counted as lost. Call `settle`
    to wait until everything is written, then `stop`."""

    queue: "queue.Queue[Any]"

    def __init__(self, write: Write, form: Format, most_waiting: int = MOST_WAITING) -> None:
        super().__init__(queue.Queue(most_waiting))
        self._repeats = Repeats()
        self._lost = 0
        self._counting = threading.RLock()
        self._writer = _Writer(self, write, form)
        self._writer.start()

    def emit(self, record: logging.LogRecord) -> None:
        with self._counting:
            try:
                if self._repeats.passes(record, time.monotonic()):
                    self._put(line_of(record))
            except Exception:  # `handleError` would print to stderr, and block
                self._lost += 1

    def say(self, text: str) -> None:
        """Queue a line that is written as it is."""
        with self._counting:
            self._put(Line(time.time(), "INFO", _NAME, text, plain=True))

    def _put(self, line: Line) -> None:
        try:
            self.queue.put_nowait(line)
        except queue.Full:
            self._lost += 1

    def take_summaries(self, *, all_of_it: bool = False) -> list[Line]:
        """The summaries of repeated lines that are due."""
        with self._counting:
            found = self._repeats.due(time.monotonic(), all_of_them=all_of_it)
            return [_line_of(each) for each in found]

    def take_lost(self) -> int:
        """How many lines were lost since the last call."""
        with self._counting:
            lost, self._lost = self._lost, 0
            return lost

    def lose(self, lines: int) -> None:
        """Count lines that could not be written."""
        with self._counting:
            self._lost += lines

    def settle(self, within_s: float) -> bool:
        """Wait until everything logged so far is written, summaries of repeated lines included, for
        `within_s` seconds at most. Returns whether it is."""
        done = threading.Event()
        until_s = time.monotonic() + within_s
        try:
            self.queue.put(done, timeout=within_s)
        except queue.Full:
            return False
        return done.wait(max(0.0, until_s - time.monotonic()))

    def stop(self) -> None:
        """Stop the thread, without waiting for it."""
        with suppress(queue.Full):
            self.queue.put_nowait(None)


class _Writer(QueueListener):
    """The writing thread: a daemon, so that a blocked write does not keep the process alive."""

    def __init__(self, log: LogQueue, write: Write, form: Format) -> None:
        super().__init__(log.queue)
        self._log = log
        self._write = write
        self._form: Format = form
        self._summarized_s = 0.0

    def dequeue(self, block: bool) -> Any:
        while True:
            with suppress(queue.Empty):
                return self._log.queue.get(block, TICK_S)
            self._write_summaries()

    def handle(self, record: Any) -> None:
        if isinstance(record, threading.Event):
            self._write_summaries(all_of_it=True)
            record.set()
            return
        self._write_line(record)
        if time.monotonic() - self._summarized_s >= TICK_S:
            self._write_summaries()

    def _write_summaries(self, *, all_of_it: bool = False) -> None:
        self._summarized_s = time.monotonic()
        for line in self._log.take_summaries(all_of_it=all_of_it):
            self._write_line(line)
        if lost := self._log.take_lost():
            report = Line(time.time(), "WARNING", _NAME, "log lines lost", {"lines": lost})
            if not self._write_line(report):
                self._log.lose(lost - 1)

    def _write_line(self, line: Line) -> bool:
        """Write a line. Returns whether it was written; no error ends the thread."""
        try:
            self._write(formatted(line, self._form))
        except Exception:  # stderr is closed, the disk is full, a repr fails
            self._log.lose(1)
            return False
        return True


def _line_of(summary: Summary) -> Line:
    common = summary.common
    extras = {**common.extras, "repeated": summary.repeated, "seconds": round(summary.seconds, 1)}
    return Line(time.time(), common.level, common.logger, common.message, extras)


def to_stderr() -> Write:
    """Write to the file descriptor of stderr, past Python's buffer: a blocked thread would hold the
    buffer's lock, and block the interpreter at its end."""
    stream, first = sys.stderr, sys.__stderr__
    if stream is None:  # pythonw, or stderr was closed at the start
        return lambda _: None
    if first is None or stream is not first:

        def replaced(text: str) -> None:
            stream.write(text)
            stream.flush()

        return replaced
    number, encoding = first.fileno(), first.encoding or "utf-8"

    def write(text: str) -> None:
        data = text.encode(encoding, "backslashreplace")
        while data:
            try:
                data = data[os.write(number, data) :]
            except BlockingIOError:  # the parent process made it non-blocking
                select.select([], [number], [])

    return write
