"""`stores`: the database, then Redis, is away for a minute while callers talk and others arrive."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from app.simulator.twilio import now_ms
from bench.replicas.calls import Conversation, Outcome, hold
from bench.replicas.cluster import Cluster, Replica, Stores, cluster
from bench.replicas.judge import Row, differences, longest_silence_ms
from bench.replicas.losses import Story, finish
from bench.replicas.script import SOUNDS
from bench.replicas.spread import References, references

CALLS = 20
TALKING = 10  # of them; the agent speaks in real time all the time
SECONDS = 60
LONGEST_S = 150  # the agent's speech is no longer
QUIET_S = 10.0
STANDBY_S = 2.0  # for which it may only be read
SETTLES_S = 15.0  # what waited is written
EVERY_S = 2.0
GAP_MS = 40.0
SPOOL = "spool"
ARRIVALS = ("talk", "tool", "keys", "barge-in", "transfer, answered")

Say = Callable[[str], None]
Step = Callable[[Cluster], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is taken away, and how it comes back."""

    name: str
    begin: Step
    end: Step


async def _nothing(_run: Cluster) -> None:
    pass


async def _suspend_postgres(run: Cluster) -> None:
    run.stores.postgres.suspend()


async def _resume_postgres(run: Cluster) -> None:
    run.stores.postgres.resume()


async def _kill_postgres(run: Cluster) -> None:
    await asyncio.to_thread(run.stores.postgres.stop)


async def _restart_postgres(run: Cluster) -> None:
    await asyncio.to_thread(run.stores.postgres.start)


async def _fail_over(run: Cluster) -> None:
    """A standby that was promoted takes the place of the server."""
    postgres = run.stores.postgres
    await asyncio.to_thread(postgres.start_as_standby)
    await asyncio.sleep(STANDBY_S)
    await asyncio.to_thread(postgres.promote)


async def _suspend_redis(run: Cluster) -> None:
    run.stores.redis.pause()


async def _resume_redis(run: Cluster) -> None:
    run.stores.redis.resume()


async def _kill_redis(run: Cluster) -> None:
    await asyncio.to_thread(run.stores.redis.stop)


async def _restart_redis(run: Cluster) -> None:
    await asyncio.to_thread(run.stores.redis.start)


async def _kill_without_spool(run: Cluster) -> None:
    for each in run.replicas:
        _block(each)
    await _kill_postgres(run)


def _block(replica: Replica) -> None:
    """Nothing can be written to its SPOOL_DIR: a file has its place."""
    folder = replica.process.directory / SPOOL
    if folder.exists():
        folder.rename(folder.with_name("before"))
    folder.write_text("")


TROUBLES = (
    Trouble("PostgreSQL stopped (SIGSTOP)", _suspend_postgres, _resume_postgres),
    Trouble("PostgreSQL killed and restarted", _kill_postgres, _restart_postgres),
    Trouble("PostgreSQL failing over to a standby", _kill_postgres, _fail_over),
    Trouble(
        "PostgreSQL killed, SPOOL_DIR cannot be written", _kill_without_spool, _restart_postgres
    ),
    Trouble("Redis stopped (SIGSTOP)", _suspend_redis, _resume_redis),
    Trouble("Redis killed and restarted", _kill_redis, _restart_redis),
)


@dataclass(slots=True)
class Found:
    """What one trouble did."""

    arrived: list[Outcome] = field(default_factory=list)
    quiet_gap_ms: float = 0.0
    gap_ms: float = 0.0
    lost: int = 0
    wrong: list[str] = field(default_factory=list)


async def measure(
    stores: Stores, folder: Path, say: Say, seconds: int = SECONDS, only: str = ""
) -> list[Row]:
    """Cause each trouble. `only`: those with this in their name."""
    seconds = min(seconds, LONGEST_S)
    wanted = await references(folder)
    rows = []
    for trouble in TROUBLES:
        if only.lower() not in trouble.name.lower():
            continue
        say(f"stores: {trouble.name} for {seconds} s")
        found = await _meet(stores, folder, trouble, seconds, wanted)
        rows.append(_row(trouble, seconds, found))
        say("stores: " + rows[-1].measured)
    return rows


def _row(trouble: Trouble, seconds: int, found: Found) -> Row:
    refused = sum("busy" in text for each in found.arrived for text in each.call.said)
    broken = sum(bool(each.faults) for each in found.arrived)
    more_ms = max(0.0, found.gap_ms - found.quiet_gap_ms)
    measured = (
        f"{found.lost} of {CALLS} lost; {len(found.arrived)} came: {refused} refused, {broken} "
        f"broken; longest gap {found.quiet_gap_ms:.0f} → {found.gap_ms:.0f} ms; "
        f"{len(found.wrong)} faults"
    )
    limit = f"none lost, none refused, gaps + {GAP_MS:g} ms, every record complete"
    kept = not found.lost and not found.wrong and not refused and more_ms <= GAP_MS
    what = f"{trouble.name}, {seconds} s"
    return Row("stores", what, limit, measured, kept, found.wrong)


async def _meet(
    stores: Stores, folder: Path, trouble: Trouble, seconds: int, wanted: References
) -> Found:
    found = Found()
    async with cluster(stores, folder, SPOOL_DIR=SPOOL) as run:
        stories = await _talkers(run)
        quiet_ms = (now_ms(), now_ms() + QUIET_S * 1000)
        await asyncio.sleep(QUIET_S)
        during_ms = (now_ms(), now_ms() + seconds * 1000)
        await trouble.begin(run)
        try:
            found.arrived = await _arrivals(run, seconds)
        finally:
            await trouble.end(run)
        talking = [each for each in stories if each.state == "speaking"]
        heard = [each.call.playback.spans(now_ms()) for each in talking if each.call.is_live]
        for spans in heard:
            quiet = longest_silence_ms(spans, quiet_ms, run.stalls)
            found.quiet_gap_ms = max(found.quiet_gap_ms, quiet)
            during = longest_silence_ms(spans, during_ms, run.stalls)
            found.gap_ms = max(found.gap_ms, during)
        found.lost = sum(not each.call.is_live for each in stories)
        await asyncio.sleep(SETTLES_S)
        await asyncio.gather(*(finish(run, each) for each in stories))
        for each in stories:
            if each.faults:
                faults = "; ".join(each.faults)
                found.wrong.append(f"{each.state} ({each.call.call_sid}): {faults}")
        for outcome in found.arrived:
            record = await run.record(outcome.call.call_sid, 5.0)
            faults_of = [*outcome.faults, *(f"Twilio said {s!r}" for s in outcome.call.said)]
            faults_of += differences(record, wanted[outcome.kind])
            if faults_of:
                found.wrong.append(
                    f"came: {outcome.kind} ({outcome.call.call_sid}): {'; '.join(faults_of)}"
                )
        ended = [n for n, each in enumerate(run.replicas) if each.process.status is not None]
        found.wrong += [f"replica {n + 1} ended" for n in ended]
    return found


async def _talkers(run: Cluster) -> list[Story]:
    """Calls that last all the time; in half of them the agent speaks, in real time."""
    stories = []
    for number in range(CALLS):
        state = "speaking" if number < TALKING else "listening"
        stories.append(Story(number, state, run.line.ring(from_=f"+1415559{number:04}")))

    async def begin(story: Story) -> None:
        c = Conversation(run, story.call)
        await c.greeted()
        await c.asks(story.name)
        if story.state == "speaking":
            heard = c.heard_bytes
            story.call.say(SOUNDS["Talk for a long time."])
            await story.call.wait_heard(heard + 8000)

    async with asyncio.timeout(30):
        await asyncio.gather(*map(begin, stories))
    return stories


async def _arrivals(run: Cluster, seconds: float) -> list[Outcome]:
    """Calls of several kinds at a steady rate for so long. Returns what became of each, once it is
    over; those that hang do so no longer than half a minute."""
    dice = random.Random(1)
    calls: list[asyncio.Task[Outcome]] = []
    until_ms = now_ms() + seconds * 1000
    while now_ms() < until_ms:
        kind = dice.choice(ARRIVALS)
        calls.append(asyncio.create_task(hold(run, kind, len(calls), 30.0)))
        await asyncio.sleep(EVERY_S)
    return list(await asyncio.gather(*calls))
