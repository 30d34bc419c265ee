"""`stop`: a replica that answers nothing for half a minute, and then goes on where it was."""

import asyncio
import json
import signal
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

from app.bridge.bus.bus import LEASE_S
from app.simulator.twilio import now_ms
from bench.replicas.cluster import Cluster, Stores, cluster
from bench.replicas.judge import Row
from bench.replicas.losses import VICTIM, Story, begin, finish, reach_states, see_back
from bench.replicas.resources import live_calls
from bench.samples import Samples

CALLS = 10
STOPPED_S = 30.0
BACK_MS = 15_000.0
CLOSED_WITHIN_S = 5.0
STATES = ("speaking", "listening")

Say = Callable[[str], None]


async def measure(stores: Stores, folder: Path, say: Say, seed: int = 1) -> list[Row]:
    """Stop it, see where its calls go, and let it go on."""
    async with cluster(stores, folder, seed=seed) as run:
        say(f"stop: leases count as expired {2 * LEASE_S:g} s after the start")
        await asyncio.sleep(2 * LEASE_S)
        stories = await begin(run, [STATES[n % len(STATES)] for n in range(CALLS)])
        await reach_states(run, stories, seed)
        old = [each for each in run.model.sessions if not each.closed.is_set()]
        lost_ms = now_ms()
        run.replicas[VICTIM].signal(signal.SIGSTOP)
        run.proxy.for_streams = set(range(len(run.replicas))) - {VICTIM}
        say(f"stop: the replica with {CALLS} calls is stopped")
        await asyncio.gather(*(see_back(run, each, lost_ms, from_loss=True) for each in stories))
        say("stop: " + ", ".join(f"{(each.back_ms or inf) / 1000:.1f}" for each in stories) + " s")
        await asyncio.sleep(max(0.0, STOPPED_S - (now_ms() - lost_ms) / 1000))
        before = await _records(run, stories)
        run.replicas[VICTIM].signal(signal.SIGCONT)
        say("stop: it goes on")
        await asyncio.sleep(CLOSED_WITHIN_S)
        left_open = sum(not each.closed.is_set() for each in old)
        live = live_calls(await run.text(VICTIM, "/metrics"))
        written = _changed(before, await _records(run, stories))
        await asyncio.gather(*(finish(run, each) for each in stories))
    waits = Samples(each.back_ms for each in stories if each.back_ms and each.back_ms < inf)
    figures = waits.summary()
    late = [
        f"{each.state} ({each.call.call_sid}): elsewhere after {each.back_ms / 1000:.1f} s"
        for each in stories
        if each.back_ms is not None and BACK_MS < each.back_ms < inf
    ]
    wrong = [
        f"{each.state} ({each.call.call_sid}): {'; '.join(each.faults)}"
        for each in stories
        if each.faults
    ]
    moved = f"{CALLS - len(wrong)} whole, after p50 {figures.p50 / 1000:.1f}, "
    moved += f"max {figures.max / 1000:.1f} s"
    what = f"SIGSTOP of the replica with {CALLS} calls for {STOPPED_S:g} s"
    limit = f"all elsewhere within {BACK_MS / 1000:g} s"
    left = f"{left_open} sessions open, {live} calls, {len(written)} records written"
    after = f"{CLOSED_WITHIN_S:g} s after SIGCONT"
    clean = not (left_open or live or written)
    return [
        Row("stop", what, limit, moved, not (wrong or late), [*wrong, *late]),
        Row("stop", after, "nothing open, nothing written", left, clean, written),
    ]


async def _records(run: Cluster, stories: list[Story]) -> dict[str, Any]:
    """The records of the calls that are silent now."""
    found = {}
    for each in stories:
        _, found[each.call.call_sid] = await run.api("GET", f"/calls/{each.call.call_sid}")
    return found


def _changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Which records were written meanwhile, and what is other in them."""
    changed = []
    for sid, record in before.items():
        keys = [
            key
            for key in record
            if key not in ("duration_s", "cost")
            and json.dumps(record[key]) != json.dumps(after[sid].get(key))
        ]
        if keys:
            new = after[sid].get("events", [])[len(record.get("events", ())) :]
            names = ", ".join(each["name"] for each in new[:8])
            changed.append(f"{sid}: {', '.join(keys)}; new events: {names or 'none'}")
    return changed
