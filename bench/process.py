"""The system under test as a process: started on a core of its own, weighed, stopped by its pid."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.line import ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL

ROOT = Path(__file__).resolve().parent.parent
STOP_WITHIN_S = 6


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured. `arguments` after the interpreter, with {port} and {model_port} in them;
    `webhook`: whether it answers /incoming-call and /healthz, or only opens streams."""

    name: str
    arguments: tuple[str, ...]
    webhook: bool


RELAY = Subject(
    "relay",
    ("-m", "bench.relay", "--port", "{port}")
    + ("--model-url", "ws://127.0.0.1:{model_port}/v1/realtime?model=bench"),
    webhook=False,
)
SERVICE = Subject("service", ("-m", "app", "serve"), webhook=True)


@dataclass(frozen=True, slots=True)
class Weight:
    """What a process and its children used so far: seconds of CPU, and memory now."""

    cpu_s: float
    rss_kb: float


def cpu_seconds(clock: str) -> float:
    """Seconds of a `ps` time, [[days-]hours:]minutes:seconds with a fraction or without."""
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
            continue  # it ended meanwhile
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


def _cores() -> tuple[int, int] | None:
    if sys.platform != "linux":
        return None
    available = sorted(os.sched_getaffinity(0))
    return (available[0], available[-1]) if len(available) > 1 else None


# A core for the system under test and one for the load, where processes can be pinned. Looked up
# once: after the load has been pinned there is only one left to see.
CORES = _cores()


def pin(pid: int, core: int) -> None:
    """Keep a process (0: this one) on one core."""
    if sys.platform == "linux":
        os.sched_setaffinity(pid, {core})


def busy_s() -> float:
    """Seconds that all processors worked so far, a hypervisor's theft included; 0 if unknown."""
    if sys.platform != "linux":
        return 0.0
    user, nice, system, _idle, _iowait, *others = Path("/proc/stat").read_text().split()[1:9]
    return sum(map(int, (user, nice, system, *others))) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A port of the loopback interface that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Process:
    """A running subject."""

    def __init__(self, popen: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
        self._popen, self.port, self._log = popen, port, log
        self.pid = popen.pid

    def check(self) -> None:
        """Raises RuntimeError with what it printed last when it has ended."""
        if self._popen.poll() is not None:
            raise RuntimeError(f"it ended with {self._popen.returncode}: {self.last_words()}")

    def last_words(self) -> str:
        """The end of what it printed."""
        return self._log.read_text(errors="replace")[-2000:].strip()

    def stop(self) -> None:
        """SIGTERM, then SIGKILL when it does not go."""
        for order in (signal.SIGTERM, signal.SIGKILL):
            if self._popen.poll() is None:
                self._popen.send_signal(order)
                try:
                    self._popen.wait(STOP_WITHIN_S)
                except subprocess.TimeoutExpired:
                    continue


@contextmanager
def running(subject: Subject, model_port: int) -> Iterator[Process]:
    """Start a subject afresh, in an empty directory and with no settings but these."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        port = free_port()
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": directory,
            "PYTHONPATH": str(ROOT),
            "PORT": str(port),
            "HOST": "127.0.0.1",
            "OPENAI_API_KEY": "bench",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{model_port}/v1",
            "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
            "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
            "PUBLIC_URL": PUBLIC_URL,
            "DATABASE_URL": f"sqlite:///{directory}/bench.sqlite",
            "API_TOKEN": "bench",
            "MAX_CALLS": "0",
            "LOG_LEVEL": "warning",
        }
        values = {"port": port, "model_port": model_port}
        command = [sys.executable, *(part.format(**values) for part in subject.arguments)]
        log = Path(directory) / "log"
        with log.open("wb") as output:
            popen = subprocess.Popen(
                command,
                cwd=directory,
                env=environment,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C reaches us alone, and we stop it
            )
        process = Process(popen, port, log)
        if CORES:
            pin(popen.pid, CORES[0])
        try:
            yield process
        finally:
            process.stop()
