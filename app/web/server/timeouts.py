"""The two timeouts of a connection: for what its peer must send, and for reading the answer."""

import asyncio
import socket
import struct
import sys
from collections.abc import Callable
from math import inf

SLACK_S = 0.001  # uvloop's clock has whole milliseconds


def _nothing() -> None: ...


class Deadline:
    """One deadline at a time; `deadline_passed` is called when it passes.

    Moving a deadline later costs no timer: when the timer fires early, it is set again.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, deadline_passed: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._deadline_passed = deadline_passed
        self._timer: asyncio.TimerHandle | None = None
        self._fires_s = inf
        self._due_s = inf
        self._left_s = inf  # remaining time, while held
        self._held = False

    def expect(self, within_s: float) -> None:
        """Set the deadline, in place of any before."""
        if self._held:
            self._left_s = within_s
            return
        now_s = self._loop.time()
        self._due_s = now_s + within_s
        if self._due_s < self._fires_s:
            self._set_timer(self._due_s, now_s)

    def expect_nothing(self) -> None:
        self._due_s = self._left_s = inf

    def hold(self) -> None:
        """Stop the clock: the peer waits for this service."""
        if not self._held:
            self._held = True
            if self._due_s != inf:
                self._left_s, self._due_s = self._due_s - self._loop.time(), inf

    def release(self) -> None:
        """Let the clock go on."""
        self._held = False
        left_s, self._left_s = self._left_s, inf
        if left_s != inf:
            self.expect(left_s)

    def stop(self) -> None:
        """Cancel for good."""
        self.expect_nothing()
        self._deadline_passed = _nothing  # breaks the reference cycle
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, at_s: float, now_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fires_s = at_s
        self._timer = self._loop.call_later(at_s - now_s, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer, self._fires_s = None, inf
        if self._due_s == inf:
            return
        now_s = self._loop.time()
        if now_s + SLACK_S < self._due_s:
            self._set_timer(self._due_s, now_s)
        else:
            self._due_s = inf
            self._deadline_passed()


class WriteTimeout:
    """Calls `stuck` when the peer takes less than `least_bytes` of what is written in `within_s`
    seconds. `unread()`: how many written bytes it has not taken."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        within_s: float,
        least_bytes: int,
        unread: Callable[[], int],
        stuck: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._within_s = within_s
        self._least_bytes = least_bytes
        self._unread = unread
        self._stuck = stuck
        self._timer: asyncio.TimerHandle | None = None
        self._since_s = 0.0
        self._unread_bytes = 0

    def data_written(self) -> None:
        """Something was written: start the timeout anew."""
        self._since_s, self._unread_bytes = self._loop.time(), self._unread()
        if self._timer is None:
            self._timer = self._loop.call_later(self._within_s, self._check)

    def stop(self) -> None:
        """Cancel for good."""
        self._stuck, self._unread = _nothing, int  # breaks the reference cycle
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        self._timer = None
        left_s = self._since_s + self._within_s - self._loop.time()
        if left_s > SLACK_S:  # `data_written` was called since
            self._timer = self._loop.call_later(left_s, self._check)
            return
        unread_bytes = self._unread()
        if not unread_bytes:
            return
        if self._unread_bytes - unread_bytes < self._least_bytes:
            self._stuck()
        else:
            self.data_written()


def in_kernel(connected: socket.socket | None) -> int:
    """How many bytes in the kernel's send buffer the peer has not acknowledged; 0 if unknown."""
    return _queued(connected, "TIOCOUTQ")


def received_in_kernel(connected: socket.socket | None) -> int:
    """How many bytes the kernel has received that are not read yet; 0 if unknown."""
    return _queued(connected, "FIONREAD")


def _queued(connected: socket.socket | None, request: str) -> int:
    if connected is None or sys.platform != "linux":
        return 0
    import fcntl  # neither is available on Windows
    import termios

    try:
        answer = fcntl.ioctl(connected.fileno(), getattr(termios, request), bytes(4))
    except OSError:
        return 0
    (size_bytes,) = struct.unpack("i", answer)
    return int(size_bytes)
