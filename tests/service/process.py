"""The service as people start it: `python -m app serve`, a process of its own."""

import asyncio
import atexit
import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Protocol

import app
from app.config.settings import Settings

ROOT = Path(app.__file__).parent.parent
# Imports take most of a start: one process has done them, and every service is a fork of it.
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["app.cli.root"])


class Child(Protocol):
    """What is needed of a process: asyncio's own have it."""

    pid: int
    stderr: asyncio.StreamReader | None

    @property
    def returncode(self) -> int | None: ...

    def kill(self) -> None: ...

    async def wait(self) -> int: ...


class Process:
    """A running `serve`. `lines`: what it wrote to stderr so far."""

    def __init__(self, process: Child) -> None:
        self.lines: list[str] = []
        self._process = process
        self._news = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def says(self, text: str) -> str:
        """Wait for a line with this text in it."""
        while not (found := [line for line in self.lines if text in line]):
            assert not self._reading.done(), f"it ended and never said {text!r}: {self.lines}"
            self._news.clear()
            await self._news.wait()
        return found[0]

    def signal(self, number: signal.Signals) -> None:
        """Nothing happens when it has ended."""
        if self._process.returncode is None:
            # asyncio's own way looks for the exit status first, and takes it from its watcher.
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    async def exit_status(self) -> int:
        """Wait until it has ended."""
        await self._reading
        return await self._process.wait()

    async def end(self) -> None:
        """Leave nothing behind, whatever happened."""
        if self._process.returncode is None:
            self._process.kill()
        await self.exit_status()

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.lines.append(line.decode().rstrip())
            self._news.set()
        self._news.set()


class _Fork:
    """A process that was forked."""

    def __init__(self, process: ForkServerProcess, stderr: asyncio.StreamReader) -> None:
        assert process.pid is not None
        self.pid = process.pid
        self.stderr: asyncio.StreamReader | None = stderr
        self._process = process

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    async def wait(self) -> int:
        await asyncio.to_thread(self._process.join)
        assert self._process.exitcode is not None
        return self._process.exitcode


def _serve(
    folder: Path,
    arguments: tuple[str, ...],
    environment: Mapping[str, str],
    descriptors: str,
    stderr: Connection,
) -> None:
    """What a fork does."""
    from app.__main__ import main

    os.dup2(stderr.fileno(), 2)
    stderr.close()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if descriptors:
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(descriptors), int(descriptors)))
    sys.argv = ["app", "serve", *arguments]
    try:
        main()
    finally:
        atexit._run_exitfuncs()  # multiprocessing leaves them out


@asynccontextmanager
async def serve(
    folder: Path, *arguments: str, descriptors: str = "", **variables: str
) -> AsyncIterator[Process]:
    """`python -m app serve` in `folder`, with no settings but these. `descriptors`: how many files
    it may open. With a PYTHONPATH of its own it is no fork."""
    known = {name.upper() for name in Settings.model_fields}
    environment = {name: value for name, value in os.environ.items() if name not in known}
    environment |= {"PYTHONPATH": str(ROOT), "DATABASE_URL": "sqlite:///calls.db", **variables}
    child: Child
    if "PYTHONPATH" in variables:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "app", "serve", *arguments,
            cwd=folder, env=environment, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    else:
        child = await _fork(folder, arguments, environment, descriptors)
    running = Process(child)
    try:
        yield running
    finally:
        await running.end()


async def _fork(
    folder: Path, arguments: tuple[str, ...], environment: Mapping[str, str], descriptors: str
) -> _Fork:
    reading, writing = multiprocessing.Pipe(duplex=False)
    with writing:
        process = _forks.Process(
            target=_serve, args=(folder, arguments, environment, descriptors, writing)
        )
        await asyncio.to_thread(process.start)  # the first one waits for the imports
    stderr = asyncio.StreamReader()
    pipe = os.fdopen(os.dup(reading.fileno()), "rb", buffering=0)
    reading.close()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stderr), pipe
    )
    return _Fork(process, stderr)
