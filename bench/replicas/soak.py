"""`soak`: forty calls at once for half an hour. Does memory grow, and is anything left at rest?"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from math import inf
from pathlib import Path

from app.simulator.twilio import now_ms
from bench.process import memory_kb
from bench.replicas.calls import KINDS, hold
from bench.replicas.cluster import Cluster, Stores, cluster
from bench.replicas.judge import Row, growth
from bench.replicas.resources import AtRest, held

SECONDS = 1800
AT_ONCE = 40
ABRUPT = 0.25  # the share of callers who hang up at any moment
ABRUPT_S = 5.0
LOOK_EVERY_S = 5.0
SAY_EVERY_S = 60.0
KEPT_MS = 20_000.0
REST_WITHIN_S = 150.0  # announced streams are kept for two minutes
GROWTH = 0.05

Say = Callable[[str], None]


@dataclass(slots=True)
class Load:
    """The calls so far."""

    calls: int = 0
    wrong: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    numbers: "count[int]" = field(default_factory=count)


async def measure(
    stores: Stores, folder: Path, say: Say, seconds: int = SECONDS, seed: int = 1
) -> list[Row]:
    """Hold the calls, then compare what is held with what was held before."""
    load = Load()
    memory: list[list[float]] = []
    async with cluster(stores, folder, seed=seed, remembers=False) as run:
        # A first call of each kind: what is loaded or opened once is no growth.
        await asyncio.gather(*(hold(run, kind, 0) for kind in KINDS for _ in run.replicas))
        _forget(run)
        before = await _at_rest(run, AtRest())
        say("soak: all replicas have had calls, and are at rest")
        stop = asyncio.Event()
        callers = [asyncio.create_task(_call(run, load, seed + n, stop)) for n in range(AT_ONCE)]
        loop = asyncio.get_running_loop()
        began_s = said_s = loop.time()
        while loop.time() < began_s + seconds:
            await asyncio.sleep(min(LOOK_EVERY_S, seconds / 20))
            memory.append([memory_kb(each.process.pid, "VmRSS") for each in run.replicas])
            if loop.time() >= said_s + SAY_EVERY_S:
                said_s = loop.time()
                megabytes = ", ".join(f"{each / 1024:.1f}" for each in memory[-1])
                minutes = (said_s - began_s) / 60
                say(f"soak: minute {minutes:.0f}: {load.calls} calls; {megabytes} MB")
        stop.set()
        await asyncio.gather(*callers)
        _forget(run)
        say("soak: the last call is over")
        after = await _at_rest(run, before)
        left = after.more_than(before)
    grown = [growth(each) for each in zip(*memory, strict=True)]
    ends = ", ".join(f"{each / 1024:.1f}" for each in memory[-1])
    shares = ", ".join(f"{100 * each:+.1f}" for each in grown)
    what = f"{seconds / 60:g} minutes, {AT_ONCE} calls at once, {load.calls} in all"
    wrong = len(load.wrong)
    return [
        Row("soak", what, "all as they should be", f"{wrong} not", not wrong, load.wrong),
        Row(
            "soak",
            "memory of each replica, from a third of it to the end",
            f"at most {100 * GROWTH:+g} %",
            f"{shares} % (now {ends} MB)",
            max(grown) <= GROWTH,
        ),
        Row(
            "soak",
            "sockets, files, threads, calls, Redis keys and model sessions at rest",
            "as before",
            "as before" if not left else "; ".join(left),
            not left,
        ),
    ]


async def _call(run: Cluster, load: Load, seed: int, stop: asyncio.Event) -> None:
    """One call after the other, of random kinds."""
    dice = random.Random(seed)
    await asyncio.sleep(dice.uniform(0, 3))
    while not stop.is_set():
        number = next(load.numbers)
        if dice.random() < ABRUPT:
            call = run.line.ring(from_=f"+1415556{number % 10_000:04}")
            await asyncio.sleep(dice.uniform(0.05, ABRUPT_S))
            call.hang_up()
            await call.wait_ended()
        else:
            kind = dice.choice(list(KINDS))
            outcome = await hold(run, kind, number)
            call = outcome.call
            said = [f"Twilio said {text!r}" for text in call.said]
            if faults := [*outcome.faults, *said]:
                record = await run.record(call.call_sid)
                story = {key: record.get(key) for key in ("status", "transcript", "transfers")}
                load.wrong.append(f"{kind} ({call.call_sid}): {'; '.join(faults)}; {story}")
        load.calls += 1
        _forget(run)


def _forget(run: Cluster) -> None:
    """Forget calls that ended more than `KEPT_MS` ago: their sounds are the bench's memory."""
    before_ms = now_ms() - KEPT_MS
    for calls in (run.line.calls, run.line.children):
        over = [sid for sid, each in calls.items() if (each.ended_ms or inf) < before_ms]
        for sid in over:
            del calls[sid]


async def _at_rest(run: Cluster, before: AtRest) -> AtRest:
    """What is held once nothing more goes, or after `REST_WITHIN_S`. `before`: empty: the keys of
    calls and tickets must be gone."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + REST_WITHIN_S
    while True:
        now = await _held(run)
        if not before.replicas:
            alive = any(each.live_calls for each in now.replicas) or now.model_sessions
            rests = not alive and not any(":replica" not in key for key in now.redis_keys)
        else:
            rests = not now.more_than(before)
        if rests or loop.time() > until_s:
            return now
        await asyncio.sleep(1)


async def _held(run: Cluster) -> AtRest:
    pages = [await run.text(n, "/metrics") for n in range(len(run.replicas))]
    return AtRest(
        [held(each.process.pid, page) for each, page in zip(run.replicas, pages, strict=True)],
        await asyncio.to_thread(run.stores.redis_keys),
        len(run.model.open_sessions),
    )
