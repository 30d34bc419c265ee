"""Calls whose replica is lost at a chosen moment, and what became of them."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import inf

from app.simulator.realtime import Session
from app.simulator.twilio import Call, CallEnded, now_ms
from bench.replicas.calls import Conversation
from bench.replicas.cluster import Cluster
from bench.replicas.judge import back_ms, missing
from bench.replicas.script import HELLO, REPLIES, SOUNDS

LEAD_S = 5.0  # from the first word of a state to the loss
SPREAD_S = 1.0  # within which the moment of each call is random
WRITTEN_WITHIN_MS = 600.0  # a replica writes what was heard this often
BACK_WITHIN_S = 40.0
VICTIM = 0


@dataclass(slots=True)
class Story:
    """One call that loses its replica."""

    number: int
    state: str
    call: Call
    #: What the caller said, and when it was heard. Monotonic ms.
    said: list[tuple[float, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    #: From Twilio's callback, or from the loss, to the first sound; None: the state has none.
    back_ms: float | None = None

    @property
    def name(self) -> str:
        """What the caller says first; no other caller says it."""
        return f"This is caller {self.number}."


State = Callable[[Story, Conversation], Awaitable[None]]


async def speaking(story: Story, c: Conversation) -> None:
    """The agent speaks."""
    c.call.say(SOUNDS["Talk for a long time."])


async def listening(story: Story, c: Conversation) -> None:
    """The caller has asked, was answered, and says nothing now."""
    await c.asks("When do you open?")
    story.said.append((now_ms(), "When do you open?"))


async def in_tool(story: Story, c: Conversation) -> None:
    """A tool runs."""
    await asyncio.sleep(LEAD_S - 2.4)
    c.call.say(SOUNDS["Is a table free at seven?"])
    story.said.append((now_ms() + 800, "Is a table free at seven?"))


async def ringing(story: Story, c: Conversation) -> None:
    """A human is dialled, and has not answered."""
    await asyncio.sleep(LEAD_S - 2.6)
    c.call.say(SOUNDS["The late one, please."])


async def talking(story: Story, c: Conversation) -> None:
    """A human talks with the caller."""
    c.call.say(SOUNDS["The late one, please."])


STATES: dict[str, State] = {
    "speaking": speaking,
    "listening": listening,
    "in a tool": in_tool,
    "ringing a human": ringing,
    "human talking": talking,
}
WITH_HUMAN = ("ringing a human", "human talking")


async def begin(run: Cluster, states: list[str]) -> list[Story]:
    """Calls on the victim, greeted and named, each on its way to one of these states in turn."""
    run.proxy.for_streams = {VICTIM}
    stories = []
    for number, state in enumerate(states):
        stories.append(Story(number, state, run.line.ring(from_=f"+1415557{number:04}")))

    async def name(story: Story) -> None:
        c = Conversation(run, story.call)
        await c.greeted()
        await c.asks(story.name)
        story.said.append((now_ms(), story.name))

    async with asyncio.timeout(20):
        await asyncio.gather(*map(name, stories))
    for each in stories:
        if run.holder(each.call) != VICTIM:
            raise RuntimeError(f"call {each.number} is not on the replica that will be lost")
    return stories


async def reach_states(run: Cluster, stories: list[Story], seed: int) -> None:
    """Bring each call into its state, and return at the moment of the loss."""
    dice = random.Random(seed)

    async def reach(story: Story) -> None:
        await asyncio.sleep(dice.uniform(0, SPREAD_S))
        try:
            await STATES[story.state](story, Conversation(run, story.call))
        except CallEnded as ended:
            story.faults.append(f"before the loss: {ended}")

    async with asyncio.timeout(3 * LEAD_S):
        await asyncio.gather(asyncio.sleep(LEAD_S), *map(reach, stories))
    for each in stories:
        dialed = each.call.dialed
        there = {
            "ringing a human": bool(dialed) and dialed[0].bridged_ms is None,
            "human talking": bool(dialed) and dialed[0].bridged_ms is not None,
        }.get(each.state, not dialed)
        if not there:
            each.faults.append("not in its state at the loss; the bench's fault")


async def see_back(run: Cluster, story: Story, lost_ms: float, *, from_loss: bool = False) -> None:
    """Wait until a call goes on elsewhere, and note how long it took and what it had forgotten.

    `from_loss`: the wait counts from the loss; else from Twilio's callback after it.
    """
    call = story.call
    try:
        async with asyncio.timeout(BACK_WITHIN_S):
            if story.state in WITH_HUMAN:
                await _end_with_human(story)
                return
            await call.wait_connected(2)
            began_ms = now_ms()
            await call.wait_for(lambda: bool(_sounds_since(call, began_ms)))
            heard = _sounds_since(call, began_ms)
            asked = [lost_ms] if from_loss else [each.sent_ms for each in call.requests]
            story.back_ms = back_ms(asked, heard, lost_ms)
            await _check_memory(run, story, lost_ms)
    except TimeoutError:
        story.back_ms = inf
        story.faults.append(f"not back after {BACK_WITHIN_S:g} s")
    except CallEnded as ended:
        story.back_ms = inf
        story.faults.append(f"lost: {ended}")


async def finish(run: Cluster, story: Story) -> None:
    """The caller asks once more, is answered, and hangs up; the record has all of it."""
    call = story.call
    if story.state not in WITH_HUMAN and call.is_live:
        c = Conversation(run, call)
        try:
            async with asyncio.timeout(20):
                heard, clears = c.heard_bytes, len(call.playback.clears)
                call.say(SOUNDS["Please stop that."])
                if story.state == "speaking" and len(call.streams) == 1:
                    # What the caller hears until then is not the answer.
                    await call.wait_for(lambda: len(call.playback.clears) > clears)
                    heard = c.heard_bytes
                await c.hears(REPLIES["Please stop that."].audio, heard)
        except (TimeoutError, CallEnded) as error:
            story.faults.append(f"no answer afterwards: {error!r}")
        call.hang_up()
    await call.wait_ended()
    record = await run.record(call.call_sid)
    if not record:
        story.faults.append("no record of its end")
        return
    turns = [turn["text"] for turn in record["transcript"]]
    wanted = [HELLO.text, story.name]
    if story.state not in WITH_HUMAN:
        wanted.append("Please stop that.")
    story.faults += [f"the record lacks {each!r}" for each in missing(turns, wanted)]
    by = "transfer" if story.state in WITH_HUMAN else "caller"
    if (record["status"], record["ended_by"]) != ("completed", by):
        story.faults.append(f"the record says {record['status']}, {record['ended_by']}")
    if story.state in WITH_HUMAN:
        outcomes = [each["outcome"] for each in record["transfers"]]
        if outcomes != ["completed"]:
            story.faults.append(f"the record's transfers: {outcomes}")


def told(session: Session) -> list[str]:
    """The texts of the conversation that a session was given."""
    return [item.text or item.output for item in session.items]


async def _end_with_human(story: Story) -> None:
    await story.call.wait_ended()
    (dialed,) = story.call.dialed
    if dialed.bridged_ms is None:
        story.faults.append(f"the human was lost: {dialed.status}")
    elif dialed.status != "completed":
        story.faults.append(f"the human's call ended with {dialed.status!r}")


async def _check_memory(run: Cluster, story: Story, lost_ms: float) -> None:
    """The session that goes on knows all that was heard before it was lost."""
    knowing = [each for each in run.model.sessions if story.name in told(each)]
    if len(knowing) < 2:
        story.faults.append("its new session does not know the caller's name")
        return
    heard = [text for at_ms, text in story.said if at_ms < lost_ms - WRITTEN_WITHIN_MS]
    lacking = missing(told(knowing[-1]), heard)
    story.faults += [f"its new session does not know {each!r}" for each in lacking]


def _sounds_since(call: Call, since_ms: float) -> list[float]:
    """When the caller heard each piece of audio that arrived since then."""
    return [each.starts_ms for each in call.playback.media if each.arrived_ms >= since_ms]
