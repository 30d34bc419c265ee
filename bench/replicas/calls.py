"""The calls: what each kind of caller does, and whether all went as it should."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from app.simulator.twilio import Call, CallEnded, now_ms
from bench.replicas.cluster import Cluster
from bench.replicas.script import (
    BACK,
    HELLO,
    KEYED,
    ORDERED,
    REPLIES,
    SOUNDS,
    TABLES,
)

LONGEST_S = 60.0  # of a whole call
STORY_HEARD_MS = 1200  # before the caller interrupts
#: Silence before the caller goes on: the agent learns by then that all was heard.
QUIET_MS = 250.0


@dataclass(slots=True)
class Outcome:
    """What became of one call."""

    kind: str
    call: Call
    faults: list[str] = field(default_factory=list)


class Conversation:
    """A caller and what they do, step by step."""

    def __init__(self, cluster: Cluster, call: Call) -> None:
        self.cluster = cluster
        self.call = call

    @property
    def heard_bytes(self) -> int:
        """How much the caller has heard."""
        return self.call.playback.heard_bytes(now_ms())

    async def greeted(self) -> None:
        """The agent greets."""
        await self.call.wait_connected()
        await self.hears(HELLO.audio)

    async def hears(self, audio: bytes | None, since_bytes: int = 0) -> None:
        """Wait until so much was heard, and then nothing for a moment."""
        await self.call.wait_heard(since_bytes + len(audio or b""))
        await self.call.wait_quiet(QUIET_MS)

    async def asks(self, text: str, last: bytes | None = None) -> None:
        """The caller says this and hears the agent's reply. `last`: what follows it."""
        heard = self.heard_bytes
        self.call.say(SOUNDS[text])
        await self.hears((REPLIES[text].audio or b"") + (last or b""), heard)

    async def orders(self, order: str, body: object = None) -> None:
        """An operator's order. Raises RuntimeError if it is not accepted."""
        path = f"/calls/{self.call.call_sid}/{order}"
        status, answer = await self.cluster.api("POST", path, body or {})
        if status != 202:
            raise RuntimeError(f"{order}: HTTP {status} {answer}")


async def talk(c: Conversation) -> None:
    await c.greeted()
    await c.asks("When do you open?")
    c.call.hang_up()


async def barge_in(c: Conversation) -> None:
    await c.greeted()
    heard = c.heard_bytes
    c.call.say(SOUNDS["Tell me a story."])
    await c.call.wait_heard(heard + STORY_HEARD_MS * 8)
    c.call.say(SOUNDS["Please stop that."])
    await c.call.wait_for(lambda: bool(c.call.playback.clears))
    await asyncio.sleep(1.5)
    c.call.hang_up()


async def tool(c: Conversation) -> None:
    await c.greeted()
    await c.asks("Is a table free at seven?", TABLES.audio)
    c.call.hang_up()


async def keys(c: Conversation) -> None:
    await c.greeted()
    heard = c.heard_bytes
    for key in "407#":
        c.call.press(key)
        await asyncio.sleep(0.1)
    await c.hears(KEYED.audio, heard)
    c.call.hang_up()


async def transfer(c: Conversation) -> None:
    await c.greeted()
    c.call.say(SOUNDS["The desk, please."])
    await c.call.wait_for(lambda: bool(c.call.dialed))
    await c.call.wait_ended()


async def no_human(c: Conversation) -> None:
    await c.greeted()
    c.call.say(SOUNDS["A person at night, please."])
    await c.call.wait_connected(2)
    await c.hears(BACK.audio, c.heard_bytes)
    await c.asks("When do you open?")
    c.call.hang_up()


async def warm(c: Conversation) -> None:
    await c.greeted()
    c.call.say(SOUNDS["The warm one, please."])
    await c.call.wait_for(lambda: bool(c.call.dialed))
    await c.call.wait_ended()


async def told(c: Conversation) -> None:
    await c.greeted()
    heard = c.heard_bytes
    await c.orders("say", {"text": ORDERED.text})
    await c.hears(ORDERED.audio, heard)
    c.call.hang_up()


async def sent(c: Conversation) -> None:
    await c.greeted()
    await c.orders("transfer", {"destination": "desk"})
    await c.call.wait_ended()


async def ended(c: Conversation) -> None:
    await c.greeted()
    await c.orders("hangup")
    await c.call.wait_ended()


Kind = Callable[[Conversation], Awaitable[None]]
KINDS: dict[str, Kind] = {
    "talk": talk,
    "barge-in": barge_in,
    "tool": tool,
    "keys": keys,
    "transfer, answered": transfer,
    "transfer, not answered": no_human,
    "transfer, warm": warm,
    "order: say": told,
    "order: transfer": sent,
    "order: hang up": ended,
}


async def hold(cluster: Cluster, kind: str, number: int, longest_s: float = LONGEST_S) -> Outcome:
    """Make a call of a kind, and wait for its end. `number`: of the caller."""
    call = cluster.line.ring(from_=f"+1415556{number % 10_000:04}")
    outcome = Outcome(kind, call)
    try:
        async with asyncio.timeout(longest_s):
            await KINDS[kind](Conversation(cluster, call))
    except TimeoutError:
        outcome.faults.append(f"it hung after {len(call.streams)} streams")
    except (CallEnded, RuntimeError) as error:
        outcome.faults.append(f"{type(error).__name__}: {error}")
    call.hang_up()
    await call.wait_ended()
    outcome.faults += [f"{code}: {text}" for code, text in call.errors if code != 31921]
    return outcome
