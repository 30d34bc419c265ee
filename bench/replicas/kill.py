"""`kill`: the replica that holds twenty calls is killed at a moment that is random for each."""

import asyncio
import signal
from collections import Counter
from collections.abc import Callable
from math import inf
from pathlib import Path

from app.simulator.twilio import now_ms
from bench.replicas.cluster import Stores, cluster
from bench.replicas.judge import Row
from bench.replicas.losses import STATES, VICTIM, begin, finish, reach_states, see_back
from bench.samples import Samples

CALLS = 20
BACK_MS = 3000.0

Say = Callable[[str], None]


async def measure(stores: Stores, folder: Path, say: Say, seed: int = 1) -> list[Row]:
    """Kill it, and see where its calls are then."""
    async with cluster(stores, folder, seed=seed) as run:
        names = list(STATES)
        stories = await begin(run, [names[n % len(names)] for n in range(CALLS)])
        say(f"kill: one replica holds {CALLS} calls")
        await reach_states(run, stories, seed)
        lost_ms = now_ms()
        run.replicas[VICTIM].signal(signal.SIGKILL)
        run.proxy.for_streams = None
        say("kill: it is dead")
        await asyncio.gather(*(see_back(run, each, lost_ms) for each in stories))
        say("kill: the callers are back")
        await asyncio.gather(*(finish(run, each) for each in stories))
    waits = [each.back_ms for each in stories if each.back_ms is not None]
    for each in stories:
        if each.back_ms is not None and BACK_MS < each.back_ms < inf:
            each.faults.append(f"back after {each.back_ms:.0f} ms")
    states = Counter(each.state for each in stories if not each.faults)
    figures = Samples(each for each in waits if each < inf).summary()
    wrong = [
        f"{each.state} ({each.call.call_sid}): {'; '.join(each.faults)}"
        for each in stories
        if each.faults
    ]
    measured = ", ".join(f"{states[name]} {name}" for name in names)
    whole = f"{CALLS - len(wrong)} whole: {measured}"
    slowest = f"; back after p50 {figures.p50:.0f}, max {figures.max:.0f} ms"
    what = f"kill -9 of the replica with {CALLS} calls"
    limit = f"all back {BACK_MS / 1000:g} s after Twilio's callback, nothing forgotten"
    row = Row("kill", what, limit, whole + slowest, not wrong, wrong)
    return [row]
