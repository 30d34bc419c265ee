"""The way from a logger to stderr: a bounded queue, and a thread that writes. Logging never blocks
on stderr, be it a pipe that is not read or a full disk."""

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

from app.cli.log.lines import Format, Line, taken, written
from app.cli.log.repeats import Repeats, Summary

MOST_WAITING = 5000  # lines
TICK_S = 1.0  # how often what was held back is looked at
_NAME = "app.cli.log"

Write = Callable[[str], None]
"""Writes text, and may take as long as it likes. Raises OSError or ValueError when it cannot."""


class LogQueue(QueueHandler):
    """Takes records and never blocks: what finds no room is counted as lost. `settle` waits until
    what was taken is written."""

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
                    self._put(taken(record))
            except Exception:  # no line is worth a fault; `handleError` would print it, and wait
                self._lost += 1

    def say(self, text: str) -> None:
        """Write a line as it is."""
        with self._counting:
            self._put(Line(time.time(), "INFO", _NAME, text, plain=True))

    def _put(self, line: Line) -> None:
        try:
            self.queue.put_nowait(line)
        except queue.Full:
            self._lost += 1

    def take_summaries(self, *, all_of_it: bool = False) -> list[Line]:
        """What was summed up and is due."""
        with self._counting:
            found = self._repeats.due(time.monotonic(), all_of_them=all_of_it)
            return [_line_of(each) for each in found]

    def take_lost(self) -> int:
        """How many lines were lost since this was asked last."""
        with self._counting:
            lost, self._lost = self._lost, 0
            return lost

    def lose(self, lines: int) -> None:
        """These could not be written."""
        with self._counting:
            self._lost += lines

    def settle(self, within_s: float) -> bool:
        """Wait until all that was logged so far is written, what was held back included, but no
        longer than this. Returns whether it is."""
        done = threading.Event()
        until_s = time.monotonic() + within_s
        try:
            self.queue.put(done, timeout=within_s)
        except queue.Full:
            return False
        return done.wait(max(0.0, until_s - time.monotonic()))

    def stop(self) -> None:
        """Let the thread go, without waiting for it."""
        with suppress(queue.Full):
            self.queue.put_nowait(None)


class _Writer(QueueListener):
    """The thread. It is a daemon: one that hangs in a write keeps no process alive."""

    def __init__(self, log: LogQueue, write: Write, form: Format) -> None:
        super().__init__(log.queue)
        self._log = log
        self._write = write
        self._form: Format = form
        self._looked_s = 0.0

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
        if time.monotonic() - self._looked_s >= TICK_S:
            self._write_summaries()

    def _write_summaries(self, *, all_of_it: bool = False) -> None:
        self._looked_s = time.monotonic()
        for line in self._log.take_summaries(all_of_it=all_of_it):
            self._write_line(line)
        if lost := self._log.take_lost():
            told = Line(time.time(), "WARNING", _NAME, "log lines lost", {"lines": lost})
            if not self._write_line(told):
                self._log.lose(lost - 1)

    def _write_line(self, line: Line) -> bool:
        """Write a line. Whatever goes wrong, the thread goes on."""
        try:
            self._write(written(line, self._form))
        except Exception:  # no stderr, a full disk, a value whose repr fails
            self._log.lose(1)
            return False
        return True


def _line_of(summary: Summary) -> Line:
    said = summary.said
    extras = {**said.extras, "repeated": summary.repeated, "seconds": round(summary.seconds, 1)}
    return Line(time.time(), said.level, said.logger, said.message, extras)


def to_stderr() -> Write:
    """How stderr is written to: past Python's buffer, whose lock a thread that hangs would hold
    while the interpreter ends."""
    stream, first = sys.stderr, sys.__stderr__
    if stream is None:  # pythonw, or started with it closed
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
            except BlockingIOError:  # whoever started us left it so
                select.select([], [number], [])

    return write
