"""The table of the runs: a row for each measured value, with its limit and verdict."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from bench.load.run import Measurement
from bench.load.watchers import PAGES

CPU_RATIO = 2.2
CPU_OVER_PEER = 1.05
P50_MS = 0.5
P99_OVER_RELAY_MS = 2
P999_OVER_RELAY_MS = 5
MEMORY_RATIO = 2
CLEAR_P99_MS = 2
WATCHED_RATIO = 0.2
CAPACITY_PERCENT = 60
CAPACITY_P99_MS = 20

Field = Callable[[Measurement], float]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    #: None: not measured with the relay.
    relay: float | None
    service: float
    limit: str = ""
    #: None: there is no limit.
    kept: bool | None = None
    digits: int = 2
    #: None: not measured with another project's bridge.
    peer: float | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        """The texts under `HEADINGS`."""
        ratio = f"{self.service / self.relay:.1f}" if self.relay else ""
        relay, peer = (
            "" if each is None else f"{each:.{self.digits}f}" for each in (self.relay, self.peer)
        )
        verdict = {None: "", True: "PASS", False: "FAIL"}[self.kept]
        return self.name, relay, peer, f"{self.service:.{self.digits}f}", ratio, self.limit, verdict


class Comparison:
    """Runs of relay and service under the same load, and of another project's bridge, if any."""

    def __init__(
        self,
        relay: Sequence[Measurement],
        service: Sequence[Measurement],
        peer: Sequence[Measurement] = (),
    ) -> None:
        self._relay, self._service, self._peer = relay, service, peer

    def typical(self, name: str, field: Field, digits: int = 2) -> Row:
        """The median of the runs."""
        relay, service = median(map(field, self._relay)), median(map(field, self._service))
        peer = median(map(field, self._peer)) if self._peer else None
        return Row(name, relay, service, digits=digits, peer=peer)

    def total(self, name: str, field: Field) -> Row:
        """The sum over the runs, for what must not happen."""
        relay, service = sum(map(field, self._relay)), sum(map(field, self._service))
        peer = sum(map(field, self._peer)) if self._peer else None
        return Row(name, relay, service, digits=0, peer=peer)


def keep(row: Row, limit: str, kept: bool) -> Row:
    """The row with its limit."""
    return replace(row, limit=limit, kept=kept)


def at_most(row: Row, limit: float, unit: str = " ms") -> Row:
    """The row with an upper limit on the service's value."""
    return keep(row, f"≤ {limit:g}{unit}", row.service <= limit)


def load_rows(runs: Comparison) -> list[Row]:
    """The rows of the full load."""
    cpu = runs.typical("CPU, s per call-minute", lambda m: m.cpu_s_per_call_minute, 3)
    rows = [keep(cpu, f"≤ {CPU_RATIO} x relay", cpu.service <= CPU_RATIO * (cpu.relay or 0))]
    if cpu.peer is not None:
        over = Row("CPU, over the peer's", None, cpu.service / cpu.peer)
        rows.append(at_most(over, CPU_OVER_PEER, ""))
    frames: list[tuple[str, Field, Field, Field]] = [
        (
            "caller to model",
            lambda m: m.uplink_ms.p50,
            lambda m: m.uplink_ms.p99,
            lambda m: m.uplink_ms.p999,
        ),
        (
            "model to caller",
            lambda m: m.downlink_ms.p50,
            lambda m: m.downlink_ms.p99,
            lambda m: m.downlink_ms.p999,
        ),
    ]
    for way, p50, p99, p999 in frames:
        rows.append(at_most(runs.typical(f"{way}, p50 ms", p50), P50_MS))
        slow = runs.typical(f"{way}, p99 ms", p99)
        rows.append(_over_relay(slow, P99_OVER_RELAY_MS))
        slowest = runs.typical(f"{way}, p99.9 ms", p999)
        rows.append(_over_relay(slowest, P999_OVER_RELAY_MS))
    rows += [
        runs.typical("caller to model, max ms", lambda m: m.uplink_ms.max),
        runs.typical("model to caller, max ms", lambda m: m.downlink_ms.max),
        runs.typical("first audio, p50 ms", lambda m: m.first_audio_ms.p50),
        runs.typical("first audio, p99 ms", lambda m: m.first_audio_ms.p99),
        runs.typical("speech to clear, p50 ms", lambda m: m.clear_ms.p50),
        runs.typical("speech to clear, p99 ms", lambda m: m.clear_ms.p99),
        runs.typical("truncation error, p50 ms", lambda m: m.truncation_error_ms.p50),
        runs.typical("truncation error, p99 ms", lambda m: m.truncation_error_ms.p99),
    ]
    memory = runs.typical("memory per call, kB", lambda m: m.rss_kb_per_call, 0)
    limit_kb = MEMORY_RATIO * (memory.relay or 0)
    rows.append(keep(memory, f"≤ {MEMORY_RATIO} x relay", memory.service <= limit_kb))
    none: list[tuple[str, Field]] = [
        ("calls lost", lambda m: m.calls - m.calls_held),
        ("frames lost", lambda m: m.lost_frames + m.lost_deltas),
        ("model sockets left open", lambda m: m.sockets_left_open),
    ]
    rows += [at_most(runs.total(name, field), 0, "") for name, field in none]
    return rows + [
        runs.total("clears missing", lambda m: m.missing_clears),
        runs.total("clears needless", lambda m: m.needless_clears),
        runs.total("truncates missing", lambda m: m.missing_truncates),
        runs.total("truncates needless", lambda m: m.needless_truncates),
        runs.total("truncates refused", lambda m: m.refused_truncates),
        runs.typical("load: its core, %", lambda m: m.load_core_percent, 0),
        runs.typical("other processes, % of a core", lambda m: m.others_percent, 0),
        runs.typical("load: sent late, p99 ms", lambda m: m.load_late_ms.p99),
    ]


def _over_relay(row: Row, limit_ms: float) -> Row:
    """The row with a limit beyond the relay's value."""
    kept = row.service <= (row.relay or 0) + limit_ms
    return keep(row, f"≤ relay + {limit_ms:g} ms", kept)


def watched_rows(
    relays: Sequence[Measurement], services: Sequence[Measurement], watched: Sequence[Measurement]
) -> list[Row]:
    """The rows of the service while pages of the console are open and its metrics are scraped."""
    more = median(
        (seen.cpu_s_per_call_minute - alone.cpu_s_per_call_minute) / relay.cpu_s_per_call_minute
        for relay, alone, seen in zip(relays, services, watched, strict=True)
    )
    name = f"{PAGES} pages of the console open, metrics scraped"
    slow_ms = median(max(run.uplink_ms.p99, run.downlink_ms.p99) for run in watched)
    cost = Row(f"{name}: further CPU, times the relay's", None, more)
    return [at_most(cost, WATCHED_RATIO, ""), Row(f"{name}: p99 of frames, ms", None, slow_ms)]


def capacity_rows(run: Measurement) -> list[Row]:
    """The rows of one core with many calls."""
    name = f"{run.calls} calls"
    slow_ms = max(run.uplink_ms.p99, run.downlink_ms.p99)
    lost = run.lost_frames + run.lost_deltas + run.calls - run.calls_held
    return [
        at_most(Row(f"{name}: core, %", None, run.core_percent, digits=0), CAPACITY_PERCENT, " %"),
        at_most(Row(f"{name}: p99 of frames, ms", None, slow_ms), CAPACITY_P99_MS),
        at_most(Row(f"{name}: calls and frames lost", None, lost, digits=0), 0, ""),
    ]


def barge_in_rows(runs: Comparison, calls: int) -> list[Row]:
    """The rows of interruptions under a moderate load."""
    p50 = runs.typical(f"speech to clear at {calls}, p50 ms", lambda m: m.clear_ms.p50)
    p99 = runs.typical(f"speech to clear at {calls}, p99 ms", lambda m: m.clear_ms.p99)
    # The relay only forwards: the difference is the service's own time.
    inside_ms = [row.service - (row.relay or 0) for row in (p50, p99)]
    return [
        p50,
        at_most(p99, CLEAR_P99_MS),
        Row("of which inside, p50 ms", None, inside_ms[0]),
        Row("of which inside, p99 ms", None, inside_ms[1]),
    ]


def remarks(measurements: Iterable[Measurement]) -> list[str]:
    """Reasons to doubt the runs, and their faults."""
    said = []
    for number, run in enumerate(measurements, 1):
        said += [f"run {number} ({run.subject}), doubtful: {doubt}" for doubt in run.doubts]
        said += [f"run {number} ({run.subject}): {fault}" for fault in run.faults[:3]]
    return said


HEADINGS = ("", "relay", "Node peer", "service", "ratio", "limit", "")


def markdown(rows: Iterable[Row], caption: str) -> str:
    """The table for a README."""
    lines = [" | ".join(HEADINGS), "--- | ---: | ---: | ---: | ---: | --- | ---"]
    lines += [" | ".join(row.cells) for row in rows]
    return "\n".join([*(f"| {line} |" for line in lines), "", caption, ""])
