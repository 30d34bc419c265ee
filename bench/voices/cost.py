"""What a call costs the service when an external voice says what the model writes.

The load is that of `python -m bench`: the same turns, interruptions and amount of audio. The
native voice is the model's; the other audio comes from a provider's stand-in, three times faster
than real time. Every run starts a new service. The ways alternate, so that a slow phase of the
machine affects all of them.
"""

import asyncio
import gc
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import median

import aiohttp

from app.simulator.voices.mouth import Plan
from bench.ledger import Call, Ledger
from bench.line import NO_ANSWER, Line, Metronome
from bench.process import busy_s, ready, running, weigh
from bench.voices.model import WritingModel, hum
from bench.voices.ways import HTTP_WIDE, NATIVE, WAYS, Way

CALLS = 50
SECONDS = 6.0
SPEED = 3.0
SETTLE_S = 3.0
BUSY_LOAD, BUSY_OTHERS = 0.9, 0.1  # of a core; above it a run is doubtful
SUBJECTS: tuple[Way | None, ...] = (None, *WAYS, HTTP_WIDE)
HEADINGS = (
    "voice",
    "CPU, s per call-minute",
    "of native",
    "sound, s per call-minute",
    "each run",
    "",
)


@dataclass(frozen=True, slots=True)
class Cost:
    """One run."""

    name: str
    #: The service's CPU time per call and minute.
    cpu_s: float
    #: The agent's sound per call and minute.
    heard_s: float
    #: Why the run is invalid.
    faults: tuple[str, ...]
    #: Why the run may be wrong.
    doubts: tuple[str, ...]


def name(way: Way | None) -> str:
    """The name of a way; None is the native voice."""
    return f"{way.name}, {way.hz // 1000} kHz" if way else NATIVE.name


async def measure(way: Way | None, calls: int, seconds: float) -> Cost:
    """One run with `calls`, measured for `seconds`."""
    ledger = Ledger(calls)
    model = WritingModel(ledger)
    lines = [Line(call, ledger) for call in ledger.calls]
    metronome = Metronome(lines, ledger)
    port = await model.start()
    gc.collect()
    gc.disable()
    try:
        async with AsyncExitStack() as stack:
            subject = NATIVE
            if way is not None:
                mouth = way.provider(hum, lambda _text: Plan(speed=SPEED))
                subject = way.subject((await stack.enter_async_context(mouth)).url)
            service = stack.enter_context(running(subject, port))
            await ready(service)
            metronome.start()
            async with aiohttp.ClientSession() as http:
                for line in lines:
                    await line.dial(http, service.port, webhook=True)
            await asyncio.sleep(SETTLE_S)
            began_s, own_s, all_s = time.perf_counter(), time.process_time(), busy_s()
            cpu_s, heard_s = weigh(service.pid).cpu_s, _heard_s(ledger.calls)
            await asyncio.sleep(seconds)
            cpu_s = weigh(service.pid).cpu_s - cpu_s
            heard_s = _heard_s(ledger.calls) - heard_s
            wall_s = time.perf_counter() - began_s
            own_s, all_s = time.process_time() - own_s, busy_s() - all_s
            service.check()
            held = sum(call.stream_open and call.model_open for call in ledger.calls)
            model.rest()
            metronome.stop()
            for line in lines:
                line.hang_up()
    finally:
        metronome.stop()
        model.stop()
        gc.enable()
    faults = [*ledger.faults[:3]]
    if held < calls:
        faults.append(f"{calls - held} calls were lost")
    doubts = []
    if own_s > BUSY_LOAD * wall_s:
        doubts.append(f"the load used {own_s / wall_s:.0%} of its core")
    if (others_s := all_s - own_s - cpu_s) > BUSY_OTHERS * wall_s:
        doubts.append(f"other processes used {others_s / wall_s:.0%} of a core")
    minutes = calls * wall_s / 60
    return Cost(name(way), cpu_s / minutes, heard_s / minutes, tuple(faults), tuple(doubts))


def _heard_s(calls: Sequence[Call]) -> float:
    """The agent's sound that all callers have received so far, in seconds."""
    ms = 0.0
    for call in calls:
        ms += call.playback.heard_ms(NO_ANSWER)
        ms += sum(call.playback.heard_ms(answer.number) for answer in call.answers)
    return ms / 1000


def rows(costs: Sequence[Cost]) -> list[tuple[str, ...]]:
    """A line of the table for each voice: medians of its runs, and their ratio to the native."""
    found: dict[str, list[Cost]] = {}
    for cost in costs:
        found.setdefault(cost.name, []).append(cost)
    native = median(cost.cpu_s for cost in found[NATIVE.name])
    return [
        (
            voice,
            f"{median(run.cpu_s for run in runs):.3f}",
            f"{median(run.cpu_s for run in runs) / native:.2f}",
            f"{median(run.heard_s for run in runs):.1f}",
            " ".join(f"{run.cpu_s:.3f}" for run in runs),
            "FAIL" if any(run.faults for run in runs) else "",
        )
        for voice, runs in found.items()
    ]


def remarks(costs: Sequence[Cost]) -> list[str]:
    """The faults of the runs, and reasons to doubt them."""
    return [
        *(f"{cost.name}: {fault}" for cost in costs for fault in cost.faults),
        *(f"{cost.name}, doubtful: {doubt}" for cost in costs for doubt in cost.doubts),
    ]
