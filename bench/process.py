"""The subject under test as a process: started on its own core, measured, stopped by its pid."""

import asyncio
import fcntl
import os
import platform
import random
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from bench.line import ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL

ROOT = Path(__file__).resolve().parent.parent
STOP_WITHIN_S = 6
READY_WITHIN_S = 30
API_TOKEN = "bench"
DATABASE = "bench.sqlite"
AGENT_FILE = "agent.toml"


@dataclass(frozen=True, slots=True)
class Subject:
    """A program to measure, and how to start it."""

    name: str
    #: After the program; {port} and {model_port} are filled in.
    arguments: tuple[str, ...]
    #: It answers /incoming-call and /healthz. False: it only accepts streams.
    webhook: bool
    #: Files in its working directory, by name; an `agent.toml` is its agent file.
    files: Mapping[str, str] = field(default_factory=dict)
    #: Environment variables beside those of every run.
    settings: Mapping[str, str] = field(default_factory=dict)
    #: The limit on open files and sockets; 0: that of this process.
    descriptors: int = 0
    #: False: its log goes to a small pipe, see `LogPipe`.
    reads_log: bool = True
    program: str = sys.executable

    def command(self, port: int, model_port: int) -> list[str]:
        """The command line."""
        values = {"port": port, "model_port": model_port}
        command = [self.program, *(part.format(**values) for part in self.arguments)]
        if self.descriptors:
            limited = f'ulimit -n {self.descriptors} && exec "$@"'
            return ["sh", "-c", limited, "sh", *command]
        return command


RELAY = Subject(
    "relay",
    ("-m", "bench.load.relay", "--port", "{port}")
    + ("--model-url", "ws://127.0.0.1:{model_port}/v1/realtime?model=bench"),
    webhook=False,
)
SERVICE = Subject("service", ("-m", "app", "serve"), webhook=True)


@dataclass(frozen=True, slots=True)
class Weight:
    """The resources of a process and its children."""

    #: CPU time so far.
    cpu_s: float
    #: Memory now.
    rss_kb: float


def cpu_seconds(clock: str) -> float:
    """The seconds of a `ps` time: [[days-]hours:]minutes:seconds, with or without a fraction."""
    days, _, rest = clock.rpartition("-")
    seconds = 0.0
    for part in rest.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds + 86400 * int(days or 0)


def _weigh_linux(pid: int) -> Weight:
    ticks, rss_kb = 0, 0.0
    family = [pid]
    for member in family:  # grows while it is walked
        try:
            process = Path(f"/proc/{member}")
            for thread in (process / "task").iterdir():
                family += map(int, (thread / "children").read_text().split())
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))  # own and reaped children's, user and system
            status = (process / "status").read_text().partition("VmRSS:")[2]
            rss_kb += float(status.split()[0])
        except OSError:
            continue  # the process has ended
    return Weight(ticks / os.sysconf("SC_CLK_TCK"), rss_kb)


def _weigh_ps(pid: int) -> Weight:
    command = ["ps", "-axo", "pid=,ppid=,time=,rss="]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    family, cpu_s, rss_kb = {pid}, 0.0, 0.0
    for row in sorted(listing.splitlines(), key=lambda row: int(row.split()[0])):
        member, parent, clock, rss = row.split()
        if int(member) in family or int(parent) in family:
            family.add(int(member))
            cpu_s += cpu_seconds(clock)
            rss_kb += float(rss)
    return Weight(cpu_s, rss_kb)


weigh = _weigh_linux if sys.platform == "linux" else _weigh_ps


def machine() -> str:
    """The processor, and how many of them there are."""
    name = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = next(filter(None, models), name)
    return f"{os.cpu_count()} x {name}"


def _cores() -> tuple[int, int] | None:
    if sys.platform != "linux":
        return None
    available = sorted(os.sched_getaffinity(0))
    return (available[0], available[-1]) if len(available) > 1 else None


#: The core of the subject and the core of the load; None where processes cannot be pinned. Computed
#: once: after `pin` this process sees only its own core.
CORES = _cores()


def pin(pid: int, core: int) -> None:
    """Pin a process to a core. `pid`: 0 is this process."""
    if sys.platform == "linux":
        os.sched_setaffinity(pid, {core})


def busy_s() -> float:
    """Busy seconds of all processors so far, stolen time included; 0 if unknown."""
    if sys.platform != "linux":
        return 0.0
    user, nice, system, _idle, _iowait, *others = Path("/proc/stat").read_text().split()[1:9]
    return sum(map(int, (user, nice, system, *others))) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A free port of the loopback interface, on Linux outside the range of clients' ports: it is
    still free when the subject takes it."""
    if sys.platform == "linux":
        lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        candidates = random.sample(range(10_000, max(lowest, 20_000)), 50)
    else:
        candidates = [0]
    for candidate in candidates:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            port: int = probe.getsockname()[1]
            return port
    raise RuntimeError("no free port was found")


class Process:
    """A running subject.

    `directory`: its working directory, with the database. `pipe`: where it writes its log; None: to
    a file.
    """

    def __init__(
        self,
        popen: "subprocess.Popen[bytes]",
        port: int,
        directory: Path,
        pipe: "LogPipe | None" = None,
    ) -> None:
        self._popen, self.port, self.directory, self.pipe = popen, port, directory, pipe
        self._log = directory / "log"
        self.pid = popen.pid

    def check(self) -> None:
        """Raises RuntimeError with the end of its log if the process has ended."""
        if self._popen.poll() is not None:
            raise RuntimeError(f"it ended with {self._popen.returncode}: {self.last_words()}")

    def last_words(self) -> str:
        """The end of its log."""
        return self._log.read_text(errors="replace")[-2000:].strip()

    @property
    def log_bytes(self) -> int:
        """The size of its log so far."""
        return self._log.stat().st_size

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs; negative: the signal that ended it."""
        return self._popen.poll()

    def signal(self, order: signal.Signals) -> None:
        """Send a signal, if the process still runs."""
        self._popen.send_signal(order)

    def stop(self) -> None:
        """Send SIGTERM, then SIGKILL if the process does not end."""
        for order in (signal.SIGTERM, signal.SIGKILL):
            if self._popen.poll() is None:
                self._popen.send_signal(order)
                try:
                    self._popen.wait(STOP_WITHIN_S)
                except subprocess.TimeoutExpired:
                    continue


def reset_peak(pid: int) -> None:
    """Reset the peak that `memory_kb` returns for VmHWM. Linux."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def memory_kb(pid: int, field: str) -> float:
    """The memory of a process without its children; infinity if it has ended.

    `field`: VmRSS is the memory now, VmHWM the peak.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        return float(status.partition(f"{field}:")[2].split()[0])
    except (OSError, IndexError):
        return float("inf")


async def ready(process: Process, *, webhook: bool = True) -> None:
    """Wait until a subject accepts calls. `webhook`: see `Subject`.

    Raises RuntimeError with the end of its log if it ends instead.
    """
    async with asyncio.timeout(READY_WITHIN_S), aiohttp.ClientSession() as http:
        while True:
            process.check()
            try:
                if not webhook:
                    _, writer = await asyncio.open_connection("127.0.0.1", process.port)
                    writer.close()
                    return
                async with http.get(f"http://127.0.0.1:{process.port}/healthz") as answer:
                    if answer.status == 200:
                        return
            except (OSError, aiohttp.ClientError):
                pass  # not listening yet
            await asyncio.sleep(0.1)


async def end(process: Process, within_s: float) -> float:
    """Send SIGTERM and wait until the process has ended. Returns the seconds that it took; infinity
    if it still runs after `within_s`."""
    began_s = time.monotonic()
    process.signal(signal.SIGTERM)
    while time.monotonic() < began_s + within_s:
        if process.status is not None:
            return time.monotonic() - began_s
        await asyncio.sleep(0.02)
    return float("inf")


@contextmanager
def running(subject: Subject, model_port: int, port: int = 0) -> Iterator[Process]:
    """Start a subject in an empty directory, with these settings and its own only.

    `port`: where it listens; 0 takes a free port.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        port, directory = port or free_port(), Path(name)
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": name,
            "PYTHONPATH": str(ROOT),
            "PORT": str(port),
            "HOST": "127.0.0.1",
            "OPENAI_API_KEY": "bench",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{model_port}/v1",
            "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
            "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
            "PUBLIC_URL": PUBLIC_URL,
            "DATABASE_URL": f"sqlite:///{name}/{DATABASE}",
            "API_TOKEN": API_TOKEN,
            "MAX_CALLS": "0",
            "LOG_LEVEL": "warning",
        }
        for file, text in subject.files.items():
            (directory / file).write_text(text, encoding="utf-8")
        if AGENT_FILE in subject.files:
            environment["AGENT_FILE"] = AGENT_FILE
        log = stack.enter_context((directory / "log").open("wb"))
        pipe = None if subject.reads_log else stack.enter_context(closing(LogPipe()))
        popen = subprocess.Popen(
            subject.command(port, model_port),
            cwd=directory,
            env={**environment, **subject.settings},
            stdout=log,
            stderr=pipe.write_fd if pipe else log,
            start_new_session=True,  # Ctrl-C reaches this process only, which stops it
        )
        process = Process(popen, port, directory, pipe)
        if CORES:
            pin(popen.pid, CORES[0])
        try:
            yield process
        finally:
            process.stop()


class LogPipe:
    """A small pipe for a log. A thread reads it until `stop_reading`: soon it is full then."""

    def __init__(self) -> None:
        self._read_fd, self.write_fd = os.pipe()
        if sys.platform == "linux":
            fcntl.fcntl(self.write_fd, fcntl.F_SETPIPE_SZ, 4096)
        self._wanted = True
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while self._wanted:
            if select.select([self._read_fd], [], [], 0.05)[0] and self._wanted:
                os.read(self._read_fd, 1 << 16)

    def stop_reading(self) -> None:
        """Stop reading; the pipe stays open."""
        self._wanted = False
        self._reader.join()

    def close(self) -> None:
        """Stop reading and close both ends."""
        self.stop_reading()
        os.close(self._read_fd)
        os.close(self.write_fd)
