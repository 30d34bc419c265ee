"""A hundred calls, no two alike: what was stored of each of them replays to the same commands."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from app.call.timeline import TimelineEntry, ordered
from app.records.replays import replay_call
from app.simulator.realtime import Fault, Options, RealtimeServer, Reply, Turn
from app.simulator.twilio import Call, Network
from tests.service.world import AGENT, World, noise, world

SEED = 20
CALLS, MORE = 100, 10
EVERY_KIND = {
    *("caller", "agent", "limit"),
    *("ToolReturned", "ToolFailed", "SpeechStarted", "DigitPressed", "ModelLost", "TimerFired"),
    *("HangUpConfirmed", "ResponseDone"),
    *("TruncateItem", "ClearAudio", "AddToolOutput", "AddMessage", "HangUp"),
}
TOOLS = '''
import asyncio

from app.tools import tool


@tool
async def slow(turns: int) -> str:
    """Takes some turns of the event loop.

    Args:
        turns: how many
    """
    for _ in range(turns):
        await asyncio.sleep(0)
    return "done"


@tool
def sync() -> str:
    """Answers from a thread."""
    return "done"


@tool
def broken() -> str:
    """Fails."""
    raise ValueError("as it should")
'''
LIMITS = """
[limits]
idle_seconds = 0.3
idle_nudges = 2
longest_call_seconds = 1.5
warning_seconds = 0.7
"""


class Wits:
    """What the model says: drawn anew for every turn."""

    def __init__(self) -> None:
        self._random = random.Random(SEED)

    def brain(self, turn: Turn) -> Reply:
        draw = self._random
        words = " ".join(draw.choices(["yes", "we", "open", "at", "nine", "and", "more"], k=8))
        audio = noise(draw.choice([20, 100, 300, 600]), draw.random())
        speed = draw.choice([1.0, 5.0, float("inf")])
        spoken = Reply(words, audio=audio, speed=speed, delta_ms=draw.choice([20, 100]))
        if turn.kind == "direct":
            return spoken
        called: dict[str, dict[str, Any]] = {
            "slow": {"turns": draw.randrange(50)},
            "sync": {},
            "broken": {},
            "unheard_of": {},
            "end_call": {"reason": "done"},
        }
        chosen = draw.sample(sorted(called), k=draw.choice([1, 1, 2]))
        tool_calls = [(name, called[name]) for name in chosen]
        replies = [
            spoken,
            spoken,
            Reply("Goodbye.", audio=noise(40), tool_calls=[("end_call", {"reason": "done"})]),
            Reply("Goodbye.", audio=noise(40), tool_calls=[("end_call", {"reason": "done"})]),
            Reply(tool_calls=tool_calls),
            Reply(tool_calls=[("sync", {})]),
            Reply(tool_calls=[("slow", {"turns": 2})]),
            Reply(words, audio=audio, speed=speed, tool_calls=tool_calls),
            Reply(words, audio=audio, speed=speed, status="incomplete"),
            Reply(words, audio=audio, speed=speed, status="failed"),
            Reply(status="failed"),
        ]
        return draw.choice(replies)


class Callers:
    """What a caller does: a few deeds, each of which waits for something to happen."""

    def __init__(self, server: RealtimeServer) -> None:
        self._server = server
        self._numbers = itertools.count()

    async def act(self, call: Call) -> None:
        draw = random.Random(f"{SEED} {next(self._numbers)}")
        deeds: list[Callable[[], Awaitable[None]]] = [
            lambda: call.wait_heard(len(call.heard) + draw.choice([80, 800, 4000])),
            lambda: call.wait_quiet(draw.choice([0, 50])),
            lambda: self._say(call, draw.choice([100, 300]), draw.random()),
            lambda: self._say(call, draw.choice([100, 300]), draw.random()),
            lambda: self._press(call, draw.choice("0123456789*#")),
            lambda: self._lose_a_session(draw),
        ]
        await call.wait_for(lambda: bool(call.streams) or draw.random() < 0.02)
        for deed in draw.choices(deeds, weights=[4, 3, 4, 4, 2, 1], k=draw.randrange(1, 7)):
            await deed()
        ending = draw.random()
        if ending < 0.5:
            call.hang_up()
        elif ending < 0.7:
            await call.drop()
            if ending < 0.6:  # the line comes back, and is heard
                await call.wait_connected(len(call.streams) + 1)
                await call.wait_heard(len(call.heard) + 80)
            call.hang_up()

    @staticmethod
    async def _say(call: Call, duration_ms: int, seed: float) -> None:
        call.say(noise(duration_ms, seed))
        await call.wait_spoken()

    @staticmethod
    async def _press(call: Call, digit: str) -> None:
        call.press(digit)

    async def _lose_a_session(self, draw: random.Random) -> None:
        """Somebody's, not always one's own."""
        if self._server.open_sessions:
            draw.choice(self._server.open_sessions).drop()


@dataclass
class Seen:
    """What happened on calls. `missing`: what some call is still to bring."""

    ended_by: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    commands: Counter[str] = field(default_factory=Counter)
    calls: int = 0

    @property
    def missing(self) -> set[str]:
        found = EVERY_KIND - self.ended_by.keys() - self.events.keys() - self.commands.keys()
        return found | ({"a lost line"} if self.events["LegOpened"] <= self.calls else set())


async def check_replay(w: World, call: Call, seen: Seen) -> None:
    """What was stored of a call replays to the same commands."""
    row, rows = await w.store.get_call(call.call_sid), await w.store.timeline(call.call_sid)
    entries = [
        TimelineEntry.from_data(each.at_ms, each.kind, each.name, each.data) for each in rows
    ]
    commands = ordered(entries)
    assert commands and commands[-1][1] == "EndLeg"
    assert replay_call(rows).difference is None
    assert row is not None
    seen.calls += 1
    seen.ended_by[row.ended_by or ""] += 1
    seen.events.update(entry.name for entry in entries if entry.kind == "event")
    seen.commands.update(name for _, name, _ in commands)


async def test_what_was_stored_of_a_call_replays_to_the_same_commands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hundred calls at once; then a few more at a time, until there was one of every kind: how
    far a call comes before its limit is for the machine to say."""
    monkeypatch.setattr("app.call.exits.last_words.UNSAID_MS", 1500.0)
    draw = random.Random(SEED)
    server = RealtimeServer(Wits().brain, transcribe=lambda _: "What did you say?")
    options = Options(speed=8.0, transcript_delay_ms=30)
    agent = f'tools = "tools.py"\n{AGENT}{LIMITS}'
    network = Network(delay_ms=20, jitter_ms=10, seed=SEED)
    async with world(server, agent=agent, tools=TOOLS, options=options, network=network) as w:
        callers, seen = Callers(server), Seen()
        while seen.missing:
            count = MORE if seen.calls else CALLS
            for _ in range(count):
                delay_ms = draw.choice([0.0, 0.0, 0.0, 50.0, 500.0])
                server.faults.append(Fault(update_delay_ms=delay_ms))
            calls = [w.line.ring(caller=callers.act) for _ in range(count)]
            await asyncio.gather(*(call.wait_ended() for call in calls))
            await w.settled()
            await w.store.flush()
            for call in calls:
                await check_replay(w, call, seen)
