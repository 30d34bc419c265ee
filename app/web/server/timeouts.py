"""The two clocks of a connection: what its peer has to do by when, and whether it reads."""

import asyncio
import socket
import struct
import sys
from collections.abc import Callable
from math import inf

SLACK_S = 0.001  # uvloop's clock has whole milliseconds


def _nothing() -> None: ...


class Deadline:
    """One timer for all that is expected, one thing at a time: it finds out when it rings whether
    that is due, or something later. `deadline_passed` is called then."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, deadline_passed: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._deadline_passed = deadline_passed
        self._timer: asyncio.TimerHandle | None = None
        self._fires_s = inf
        self._due_s = inf
        self._left_s = inf  # while it is held
        self._held = False

    def expect(self, within_s: float) -> None:
        """From now on this is expected, and nothing else."""
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
        """Time does not pass for the peer, who has to wait for us."""
        if not self._held:
            self._held = True
            if self._due_s != inf:
                self._left_s, self._due_s = self._due_s - self._loop.time(), inf

    def release(self) -> None:
        """Time passes again."""
        self._held = False
        left_s, self._left_s = self._left_s, inf
        if left_s != inf:
            self.expect(left_s)

    def stop(self) -> None:
        """Nothing will be expected any more."""
        self.expect_nothing()
        self._deadline_passed = _nothing  # no circle is left
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
    """Whether the peer takes what is written: `unread()` says how many bytes it has not. `stuck` is
    called when it has taken less than `least_bytes` of them in `within_s`."""

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
        """Something was written."""
        self._since_s, self._unread_bytes = self._loop.time(), self._unread()
        if self._timer is None:
            self._timer = self._loop.call_later(self._within_s, self._check)

    def stop(self) -> None:
        """Nothing is watched any more."""
        self._stuck, self._unread = _nothing, int  # no circle is left
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        self._timer = None
        left_s = self._since_s + self._within_s - self._loop.time()
        if left_s > SLACK_S:  # more was written since
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
    """How many bytes the kernel still has to bring to the peer; 0 where it does not say."""
    if connected is None or sys.platform != "linux":
        return 0
    import fcntl  # these two are not there on Windows
    import termios

    try:
        answer = fcntl.ioctl(connected.fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:
        return 0
    (size_bytes,) = struct.unpack("i", answer)
    return int(size_bytes)
