"""`spread`: every request reaches another replica, and each call goes as with one process."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.replicas.calls import KINDS, Outcome, hold
from bench.replicas.cluster import Cluster, Stores, cluster
from bench.replicas.judge import Row, differences

CALLS, AT_ONCE = 200, 40
SAY_EVERY = 50

Say = Callable[[str], None]
References = dict[str, dict[str, Any]]


async def references(folder: Path) -> References:
    """The record of each kind of call against one process without Redis.

    Raises RuntimeError if one goes wrong there.
    """
    async with cluster(None, folder, count=1) as alone:
        done = await asyncio.gather(*(hold(alone, kind, n) for n, kind in enumerate(KINDS)))
        found = {}
        for each in done:
            if each.faults:
                raise RuntimeError(f"one process, {each.kind}: {each.faults}")
            found[each.kind] = await alone.record(each.call.call_sid)
            if not found[each.kind]:
                raise RuntimeError(f"one process, {each.kind}: no record")
    return found


async def judged(run: Cluster, outcome: Outcome, wanted: References) -> list[str]:
    """All that is wrong with a call and its record."""
    faults = [*outcome.faults, *(f"Twilio said {text!r}" for text in outcome.call.said)]
    record = await run.record(outcome.call.call_sid)
    return faults + differences(record, wanted[outcome.kind])


async def measure(stores: Stores, folder: Path, say: Say, calls: int = CALLS) -> list[Row]:
    """Hold the calls, and compare each with one process."""
    wanted = await references(folder)
    say("spread: one process has shown how each kind of call goes")
    wrong: list[str] = []
    by_kind: Counter[str] = Counter()
    reached: Counter[int | None] = Counter()
    finished = 0
    async with cluster(stores, folder) as run:
        room = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> None:
            nonlocal finished
            kind = list(KINDS)[number % len(KINDS)]
            async with room:
                outcome = await hold(run, kind, number)
            reached[run.holder(outcome.call)] += 1
            if faults := await judged(run, outcome, wanted):
                by_kind[kind] += 1
                wrong.append(f"{kind} ({outcome.call.call_sid}): {'; '.join(faults)}")
            finished += 1
            if finished % SAY_EVERY == 0:
                say(f"spread: {finished} of {calls} calls, {len(wrong)} not as with one process")

        await asyncio.gather(*map(one, range(calls)))
        unanswered = run.proxy.refused
    measured = f"{calls - len(wrong)} as with one process"
    if by_kind:
        measured += "; not: " + ", ".join(f"{count} {kind}" for kind, count in by_kind.items())
    spread = "/".join(str(reached[n]) for n in range(len(run.replicas)))
    what = f"{calls} calls, {AT_ONCE} at once, at {spread} of the replicas"
    kept = not wrong and not unanswered
    return [Row("spread", what, f"all {calls}", measured, kept, wrong)]
