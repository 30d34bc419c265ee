"""`roll`: the replicas are replaced one after the other while calls come and go."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

from app.simulator.twilio import now_ms
from bench.process import end
from bench.replicas.calls import KINDS, Conversation, Outcome, hold
from bench.replicas.cluster import Cluster, Stores, cluster
from bench.replicas.judge import Row
from bench.replicas.losses import Story, finish
from bench.replicas.spread import judged, references

LONG = 6  # calls that last all the time
DRAIN_S = 5
ENDS_WITHIN_S = 15.0
EVERY_S = 0.5
STEADY_S = 5.0
PROBED_S = 3.0

Say = Callable[[str], None]


async def measure(stores: Stores, folder: Path, say: Say, seed: int = 1) -> list[Row]:
    """Replace each replica with SIGTERM and a new start."""
    wanted = await references(folder)
    wrong: list[str] = []
    took: list[float] = []
    async with cluster(stores, folder, seed=seed, DRAIN_SECONDS=str(DRAIN_S)) as run:
        lasting = await _lasting(run)
        arriving = asyncio.create_task(_arrive(run, seed))
        await asyncio.sleep(STEADY_S)
        for number, replica in enumerate(run.replicas, 1):
            took.append(await end(replica.process, DRAIN_S + ENDS_WITHIN_S))
            say(f"roll: replica {number} ended after {took[-1]:.1f} s")
            await replica.start()
            await asyncio.sleep(PROBED_S)
        await asyncio.sleep(STEADY_S)
        arriving.cancel()
        done = await arriving
        say(f"roll: {len(done)} calls came meanwhile")
        moved = sum(len(each.call.streams) - 1 for each in lasting)
        cut = [each for each in lasting if not each.call.is_live]
        await asyncio.gather(*(finish(run, each) for each in lasting))
        for each in lasting:
            each.faults += [f"Twilio said {text!r}" for text in each.call.said]
            if each.faults:
                wrong.append(f"a lasting call ({each.call.call_sid}): {'; '.join(each.faults)}")
        judgements = await asyncio.gather(*(judged(run, each, wanted) for each in done))
        unanswered = run.proxy.refused
    for outcome, faults in zip(done, judgements, strict=True):
        if faults:
            wrong.append(f"{outcome.kind} ({outcome.call.call_sid}): {'; '.join(faults)}")
    calls = [each.call for each in done] + [each.call for each in lasting]
    apologies = sum(bool(call.said) for call in calls)
    refused = sum("busy" in text for call in calls for text in call.said)
    measured = (
        f"{len(done)} calls came, {LONG} lasted and moved {moved} times: {len(cut)} of them cut, "
        f"{refused} refused, {apologies} apologies, {len(wrong)} not as they should be"
    )
    ended = ", ".join(f"{each:.1f}" for each in took)
    what = f"SIGTERM and a new start one by one, drain {DRAIN_S} s (ended after {ended} s)"
    limit = "0 cut, 0 refused, 0 apologies"
    return [Row("roll", what, limit, measured, not wrong and not unanswered, wrong)]


async def _lasting(run: Cluster) -> list[Story]:
    """Calls that last all the time, in which the caller listens."""
    stories = [Story(n, "listening", run.line.ring(from_=f"+1415558{n:04}")) for n in range(LONG)]

    async def name(story: Story) -> None:
        c = Conversation(run, story.call)
        await c.greeted()
        await c.asks(story.name)
        story.said.append((now_ms(), story.name))

    await asyncio.gather(*map(name, stories))
    return stories


async def _arrive(run: Cluster, seed: int) -> list[Outcome]:
    """Calls of all kinds at a steady rate until this is cancelled; then wait for those that live.
    Returns what became of each."""
    dice = random.Random(seed)
    calls: list[asyncio.Task[Outcome]] = []
    try:
        while True:
            kind = dice.choice(list(KINDS))
            calls.append(asyncio.create_task(hold(run, kind, len(calls))))
            await asyncio.sleep(EVERY_S)
    except asyncio.CancelledError:
        return list(await asyncio.gather(*calls))
