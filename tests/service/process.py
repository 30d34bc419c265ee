"""The service as people start it: `python -m app serve`, a process of its own."""

import asyncio
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import app
from app.config.settings import Settings

ROOT = Path(app.__file__).parent.parent


class Process:
    """A running `serve`. `lines`: what it wrote to stderr so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
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


def _may_open(descriptors: str) -> Callable[[], None] | None:
    """What a new process does first to have no more files open than that; empty: as many as we."""
    if not descriptors:
        return None
    most = int(descriptors)
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@asynccontextmanager
async def serve(
    folder: Path, *arguments: str, descriptors: str = "", **variables: str
) -> AsyncIterator[Process]:
    """`python -m app serve` in `folder`, with no settings but these. `descriptors`: how many files
    it may open."""
    known = {name.upper() for name in Settings.model_fields}
    environment = {name: value for name, value in os.environ.items() if name not in known}
    environment |= {"PYTHONPATH": str(ROOT), "DATABASE_URL": "sqlite:///calls.db", **variables}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", "serve", *arguments,
        cwd=folder, env=environment, stderr=asyncio.subprocess.PIPE,
        preexec_fn=_may_open(descriptors),
    )  # fmt: skip
    running = Process(process)
    try:
        yield running
    finally:
        await running.end()
