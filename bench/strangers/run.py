"""What attacks at the port cost the live calls: each attack beside 20 calls, compared with a window
without it; then a stop, while the attacker's sockets are still open.

The attacker is a process of its own, at the lowest priority (bench/strangers/attacker.py). In the
undisturbed window it attacks itself, so that the machine has the same load.
"""

import asyncio
import gc
import sqlite3
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from bench.ledger import Call
from bench.line import Line
from bench.model import now_ms
from bench.process import (
    API_TOKEN,
    CORES,
    DATABASE,
    ROOT,
    SERVICE,
    Process,
    end,
    memory_kb,
    pin,
    ready,
    reset_peak,
    running,
    weigh,
)
from bench.strangers.attacker import Sockets
from bench.strangers.attacks import Attack
from bench.strangers.backends import Backends
from bench.strangers.talk import Newcomers, TalkLedger, TalkMetronome, TalkModel, dial

CALLS = 20
SETTLE_S = 2.0
WINDOW_S = 5.0
AFTER_S = 2.0
DRAIN_S = 1.0
EXIT_WITHIN_S = 20.0

GAP_MS = 40.0  # beyond the undisturbed window
PEAK_MIB = 30.0
BACK_MIB = 15.0  # left of an attack's memory afterwards
NEW_CALL_MS = 1000.0  # the slowest, until its stream is open, beyond the undisturbed window
LOG_KIB = 64.0
STOP_S = DRAIN_S + 5.0

HEADINGS = (
    "attack",
    "RSS MiB: before / peak / after",
    "gap ms: without / with",
    "new calls: answered, slowest ms without / with",
    "calls held",
    "log kB",
    "sockets: opened, open",
    "attacker's core %",
    "stop: status, s",
    "records / reports",
    "",
)


@dataclass(slots=True)
class Window:
    """A few seconds of calls."""

    #: The longest gap in the agent's audio.
    gap_ms: float
    newcomers: Newcomers
    #: What the service logged.
    log_bytes: int
    #: The longest stall of the load itself.
    stall_ms: float


@dataclass(slots=True)
class Outcome:
    """The result of one attack."""

    attack: Attack
    without: Window
    during: Window
    before_mib: float
    peak_mib: float
    after_mib: float
    #: Calls that are still open.
    held: int
    sockets: Sockets
    #: Of a core.
    attacker_percent: float
    #: The end of the service's log.
    last_words: str = ""
    #: The service's exit status; None: it had to be killed.
    status: int | None = None
    stop_s: float = 0.0
    #: Calls with a complete record.
    records: int = 0
    #: Calls that the webhook reported.
    reports: int = 0
    #: The limits that are not kept.
    broken: list[str] = field(default_factory=list)

    def judge(self) -> None:
        """Set `broken`."""
        without, during, new = self.without, self.during, self.during.newcomers
        slowest_ms = new.answered_ms.summary().max - without.newcomers.answered_ms.summary().max
        limits = {
            "memory at its peak": self.peak_mib <= self.before_mib + PEAK_MIB,
            "memory afterwards": self.after_mib <= self.before_mib + BACK_MIB,
            "gap in the audio": during.gap_ms <= without.gap_ms + GAP_MS,
            "new calls": not new.failures and slowest_ms <= NEW_CALL_MS,
            "calls held": self.held == CALLS,
            "log": during.log_bytes - without.log_bytes <= LOG_KIB * 1024,
            "stop": self.status == 0 and self.stop_s <= STOP_S,
            "records": self.records == CALLS,
            "reports": self.reports == CALLS,
        }
        self.broken = [name for name, holds in limits.items() if not holds]

    @property
    def row(self) -> tuple[str, ...]:
        """Its line of the table."""
        without, during = self.without, self.during
        ms = [each.newcomers.answered_ms.summary() for each in (without, during)]
        came = during.newcomers.count
        log = f"{during.log_bytes / 1024:.0f}" if self.attack.reads_log else "not read"
        return (
            self.attack.name,
            f"{self.before_mib:.0f} / {self.peak_mib:.0f} / {self.after_mib:.0f}",
            f"{without.gap_ms:.0f} / {during.gap_ms:.0f}",
            f"{ms[1].count} of {came}, {ms[0].max:.0f} / {ms[1].max:.0f}",
            f"{self.held} of {CALLS}",
            log,
            f"{self.sockets.opened}, {self.sockets.open}",
            f"{self.attacker_percent:.0f}",
            f"{'killed' if self.status is None else self.status}, {self.stop_s:.1f}",
            f"{self.records} / {self.reports} of {CALLS}",
            "FAIL" if self.broken else "PASS",
        )

    @property
    def remarks(self) -> list[str]:
        """The broken limits, and reasons to doubt them."""
        said = []
        if self.broken:
            failures = dict.fromkeys(self.during.newcomers.failures)
            said.append(f"{self.attack.name}: {', '.join(self.broken)}")
            said += [f"    {failure}" for failure in list(failures)[:3]]
        if self.status != 0 and self.last_words:
            said.append("    end of its log: " + self.last_words.splitlines()[-1][:200])
        stall_ms = max(self.without.stall_ms, self.during.stall_ms)
        if stall_ms > GAP_MS:
            said.append(f"{self.attack.name}, doubtful: the load stood still for {stall_ms:.0f} ms")
        return said


class Attacker:
    """The attacker's process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None and process.stdout is not None
        self.pid = process.pid
        self._stdin, self._stdout = process.stdin, process.stdout

    async def done(self) -> None:
        """Wait until the attack is over; its sockets stay open."""
        await self._stdout.readline()

    async def sockets(self) -> Sockets:
        """The state of its sockets."""
        self._stdin.write(b"\n")
        return msgspec.json.decode(await self._stdout.readline(), type=Sockets)


@asynccontextmanager
async def attacking(attack: Attack, port: int, *, innocent: bool) -> AsyncIterator[Attacker]:
    """Start an attack. Leaving the context closes its sockets."""
    arguments = ["-m", "bench.strangers.attacker", attack.name, "--port", str(port)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        *(["--innocent"] if innocent else []),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    if CORES:
        pin(process.pid, CORES[1])
    try:
        yield Attacker(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def measure(attack: Attack) -> Outcome:
    """Measure one attack, on a service of its own."""
    ledger = TalkLedger(CALLS)
    lines = [Line(call, ledger) for call in ledger.calls[:CALLS]]
    model, metronome = TalkModel(ledger), TalkMetronome(lines, ledger)
    port = await model.start()
    gc.collect()
    gc.disable()
    try:
        async with Backends() as backends:
            backends.lines = {line.call_sid: line for line in lines}
            settings = {
                **backends.settings,
                "LOG_LEVEL": "info",
                "DRAIN_SECONDS": f"{DRAIN_S:g}",
            }
            subject = replace(
                SERVICE,
                settings=settings,
                descriptors=attack.descriptors,
                reads_log=attack.reads_log,
            )
            with running(subject, port) as service:
                await ready(service)
                metronome.start()
                await dial(lines, service.port)
                await asyncio.sleep(SETTLE_S)
                return await _attack(attack, service, ledger, backends)
    finally:
        metronome.stop()
        model.stop()
        gc.enable()


async def _attack(
    attack: Attack, service: Process, ledger: TalkLedger, backends: Backends
) -> Outcome:
    spare = ledger.calls[CALLS:]
    async with attacking(attack, service.port, innocent=True) as innocent:
        without = await _window(service, ledger, innocent, spare)
    before_mib = memory_kb(service.pid, "VmRSS") / 1024
    reset_peak(service.pid)
    if service.pipe is not None:
        service.pipe.stop_reading()
    async with attacking(attack, service.port, innocent=False) as attacker:
        began_ms, used_s = now_ms(), weigh(attacker.pid).cpu_s
        during = await _window(service, ledger, attacker, spare)
        used_s = weigh(attacker.pid).cpu_s - used_s
        percent = 100 * used_s / (now_ms() - began_ms) * 1000
        await asyncio.sleep(AFTER_S)
        sockets = await attacker.sockets()
        outcome = Outcome(
            attack,
            without,
            during,
            before_mib,
            memory_kb(service.pid, "VmHWM") / 1024,
            memory_kb(service.pid, "VmRSS") / 1024,
            sum(line.call.stream_open for line in backends.lines.values()),
            sockets,
            percent,
        )
        outcome.stop_s = await end(service, EXIT_WITHIN_S)
        outcome.status = service.status
    await asyncio.sleep(0.1)  # for a webhook request that is on its way
    outcome.last_words = service.last_words()
    outcome.records = complete_records(service.directory / DATABASE, list(backends.lines))
    outcome.reports = len(backends.lines.keys() & set(backends.reported))
    outcome.judge()
    return outcome


async def _window(
    service: Process, ledger: TalkLedger, attacker: Attacker, spare: list[Call]
) -> Window:
    """Make new calls until the attack is over, and for `WINDOW_S` at least."""
    newcomers = Newcomers(ledger, service.port, API_TOKEN)
    start_ms, log_bytes = now_ms(), service.log_bytes
    attack = asyncio.create_task(attacker.done())
    await newcomers.come(spare, WINDOW_S)
    while not attack.done():
        await newcomers.come(spare, 0.25)
    window = (start_ms, now_ms())
    gap_ms = ledger.longest_gap_ms(window)
    stall_ms = ledger.stalls.longest_ms(*window)
    return Window(gap_ms, newcomers, service.log_bytes - log_bytes, stall_ms)


def complete_records(database: Path, call_sids: Sequence[str]) -> int:
    """How many of these calls have a record with their end."""
    places = ", ".join("?" * len(call_sids))
    query = f"""SELECT count(*) FROM calls WHERE call_sid IN ({places})
        AND status = 'completed' AND ended_at IS NOT NULL AND ended_by IS NOT NULL"""
    with sqlite3.connect(database) as connection:
        return int(connection.execute(query, call_sids).fetchone()[0])
