"""One run: start a subject, make calls, measure a window, hang up, count open sockets."""

import asyncio
import gc
import signal
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import aiohttp
import msgspec

from bench.ledger import Ledger
from bench.line import Line, Metronome
from bench.load.watchers import watching
from bench.model import Model, now_ms
from bench.process import Subject, Weight, busy_s, ready, running, weigh
from bench.samples import Summary

#: Calls before those that are measured, and how long they last: what a process loads and compiles
#: for its first call is no call's memory. Few, because the memory that they free is used again.
FIRST_CALLS, FIRST_CALLS_S = 2, 5.0
NEW_CALLS_PER_S = 50
ANSWERED_WITHIN_S = 10
SETTLE_S = 3
LAST_FRAMES_S = 0.5
LEFT_OPEN_AFTER_S = 3
MOST_FAULTS = 20


@dataclass(frozen=True, slots=True)
class Plan:
    """How many calls to make, and how long to measure."""

    calls: int
    seconds: float
    #: Pages of the console are open, and the metrics are scraped.
    watched: bool = False


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one run. Times are in ms unless the name says otherwise."""

    subject: str
    calls: int
    seconds: float
    watched: bool = False
    calls_held: int
    cpu_s_per_call_minute: float
    core_percent: float
    rss_kb_per_call: float
    rss_mb: float
    uplink_ms: Summary
    downlink_ms: Summary
    first_audio_ms: Summary
    clear_ms: Summary
    truncation_error_ms: Summary
    frames_sent: int
    lost_frames: int
    lost_deltas: int
    interruptions: int
    missing_clears: int
    needless_clears: int
    missing_truncates: int
    needless_truncates: int
    refused_truncates: int
    sockets_left_open: int
    load_core_percent: float
    others_percent: float
    load_late_ms: Summary
    faults: list[str]

    @property
    def doubts(self) -> list[str]:
        """Reasons why the latencies may include delays of the load or of other processes."""
        doubts = []
        if self.load_core_percent > 80:
            doubts.append(f"the load used {self.load_core_percent:.0f} % of its core")
        if self.others_percent > 10:
            doubts.append(f"other processes used {self.others_percent:.0f} % of a core")
        if self.load_late_ms.p99 > 5:
            doubts.append(f"the load sent up to {self.load_late_ms.p99:.1f} ms late (p99)")
        if self.frames_sent < 0.99 * self.calls * self.seconds * 50:
            doubts.append("the load sent fewer frames than planned")
        return doubts


@dataclass(frozen=True, slots=True)
class _Meters:
    """Resources used so far. Seconds of one processor."""

    at_s: float
    subject: Weight
    own_s: float
    all_s: float

    @classmethod
    def read(cls, pid: int) -> "_Meters":
        return cls(time.perf_counter(), weigh(pid), time.process_time(), busy_s())


async def run(subject: Subject, plan: Plan, say: Callable[[str], None]) -> Measurement:
    """Measure a subject once. `say` gets the name of each phase, never during the measurement.

    Raises RuntimeError with the end of the subject's log if it does not start or ends early, and
    CancelledError at SIGTERM. The subject is stopped in every case.
    """
    if task := asyncio.current_task():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    ledger = Ledger(plan.calls)
    lines = [Line(call, ledger) for call in ledger.calls]
    model, metronome = Model(ledger), Metronome(lines, ledger)
    say("starting")
    model_port = await model.start()
    gc.collect()
    gc.disable()
    try:
        with running(subject, model_port) as process:
            await ready(process, webhook=subject.webhook)
            say("first calls")
            await _first_calls(model, process.port, subject.webhook)
            idle = weigh(process.pid)
            say(f"{plan.calls} calls come in")
            metronome.start()
            await _dial(lines, process.port, subject.webhook)
            async with watching(process.port) if plan.watched else nullcontext():
                await asyncio.sleep(SETTLE_S)
                say(f"measuring for {plan.seconds:g} s")
                before = _Meters.read(process.pid)
                ledger.start_ms = now_ms()
                ledger.end_ms = ledger.start_ms + plan.seconds * 1000
                await asyncio.sleep(plan.seconds)
                after = _Meters.read(process.pid)
            process.check()
            held = sum(call.stream_open and call.model_open for call in ledger.calls)
            await asyncio.sleep(LAST_FRAMES_S)
            say("hanging up")
            left_open = await _hang_up(lines, metronome, model)
    finally:
        metronome.stop()
        model.stop()
        gc.enable()
    wall_s = after.at_s - before.at_s
    cpu_s = after.subject.cpu_s - before.subject.cpu_s
    own_s = after.own_s - before.own_s
    others_s = max(0.0, after.all_s - before.all_s - cpu_s - own_s)
    truncation_error_ms, missing_truncates = ledger.judge_truncations()
    sent, lost_frames, lost_deltas = ledger.lost()
    return Measurement(
        subject=subject.name,
        calls=plan.calls,
        seconds=plan.seconds,
        watched=plan.watched,
        calls_held=held,
        cpu_s_per_call_minute=round(cpu_s / plan.calls / (wall_s / 60), 4),
        core_percent=round(100 * cpu_s / wall_s, 1),
        rss_kb_per_call=round((after.subject.rss_kb - idle.rss_kb) / plan.calls, 1),
        rss_mb=round(after.subject.rss_kb / 1024, 1),
        uplink_ms=ledger.uplink_ms.summary(),
        downlink_ms=ledger.downlink_ms.summary(),
        first_audio_ms=ledger.first_audio_ms.summary(),
        clear_ms=ledger.clear_ms.summary(),
        truncation_error_ms=truncation_error_ms.summary(),
        frames_sent=sent,
        lost_frames=lost_frames,
        lost_deltas=lost_deltas,
        interruptions=ledger.interruptions,
        missing_clears=ledger.missing_clears,
        needless_clears=ledger.needless_clears,
        missing_truncates=missing_truncates,
        needless_truncates=ledger.needless_truncates,
        refused_truncates=ledger.refused_truncates,
        sockets_left_open=left_open,
        load_core_percent=round(100 * own_s / wall_s, 1),
        others_percent=round(100 * others_s / wall_s, 1),
        load_late_ms=ledger.late_ms.summary(),
        faults=ledger.faults[:MOST_FAULTS],
    )


async def _first_calls(model: Model, port: int, webhook: bool) -> None:
    """Make `FIRST_CALLS`, which are not measured, and hang up."""
    measured = model.ledger
    model.ledger = Ledger(FIRST_CALLS)
    lines = [Line(call, model.ledger) for call in model.ledger.calls]
    for line in lines:
        line.call_sid = f"CAf{line.call.index:031x}"  # the calls that are measured have others
    metronome = Metronome(lines, model.ledger)
    metronome.start()
    try:
        await _dial(lines, port, webhook)
        await asyncio.sleep(FIRST_CALLS_S)
    finally:
        await _hang_up(lines, metronome, model)
        measured.faults += model.ledger.faults
        model.ledger = measured
        model.sessions.clear()


async def _dial(lines: list[Line], port: int, webhook: bool) -> None:
    """Make all calls, evenly spaced, and wait until the model hears each of them."""
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as calls:
        began_s = loop.time()
        for number, line in enumerate(lines):
            calls.create_task(line.dial(http, port, webhook))
            await asyncio.sleep(began_s + (number + 1) / NEW_CALLS_PER_S - loop.time())
    until_s = loop.time() + ANSWERED_WITHIN_S
    while loop.time() < until_s:
        if all(line.call.model_open for line in lines if line.call.stream_open):
            return
        await asyncio.sleep(0.05)


async def _hang_up(lines: list[Line], metronome: Metronome, model: Model) -> int:
    """Hang up all calls. Returns how many model sockets are open after `LEFT_OPEN_AFTER_S`."""
    model.rest()
    metronome.stop()
    for line in lines:
        line.hang_up()
    for _ in range(LEFT_OPEN_AFTER_S * 20):
        if not model.ledger.model_sockets:
            break
        await asyncio.sleep(0.05)
    return model.ledger.model_sockets
