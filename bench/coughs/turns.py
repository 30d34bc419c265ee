"""How soon the caller is answered, with the pause and without it: long interruptions and ordinary
turns.

Two services run at the same time, so that a slow phase of the machine affects both. On every call
the caller speaks in turn while the agent is silent, and while it speaks. Measured from the commit
of the caller's turn, by the model, to the first audio of the answer at the line.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from random import Random
from statistics import median

from app.simulator.realtime import Session
from app.simulator.twilio import Call, Network
from bench.coughs.answers import KEY_BYTES, Answer, Teller
from bench.coughs.calls import stage
from bench.coughs.script import FATES, Ears, Event
from bench.coughs.sounds import Kind, make
from bench.process import AGENT_FILE, Subject
from bench.samples import percentile
from bench.voices.ways import NATIVE

CALLS = 6
EARLIEST_MS, LATEST_MS = 60, 1500
QUIET_MS = 700
LATEST_S = 8.0
ORDINARY_LIMIT_MS, INTERRUPTING_LIMIT_MS = 10.0, 60.0
HEADINGS = ("turns", "pairs", "with, median ms", "p99", "without, median", "p99", "later ms", "")


@dataclass(slots=True)
class Answered:
    """What one service needed, in ms."""

    ordinary_ms: list[float] = field(default_factory=list)
    interrupting_ms: list[float] = field(default_factory=list)
    #: Turns without an answer.
    missed: int = 0


@dataclass(frozen=True, slots=True)
class Compared:
    """One kind of turns."""

    name: str
    with_ms: list[float]
    without_ms: list[float]
    limit_ms: float
    missed: int

    @property
    def later_ms(self) -> float:
        """How much later the answer comes, in the median."""
        return median(self.with_ms) - median(self.without_ms)

    @property
    def kept(self) -> bool:
        return not self.missed and self.later_ms <= self.limit_ms

    @property
    def row(self) -> tuple[str, ...]:
        """Its line of the table."""
        each = (self.with_ms, self.without_ms)
        figures = [
            f"{percentile(sorted(values), percent):.1f}" for values in each for percent in (50, 99)
        ]
        return (
            self.name,
            str(min(map(len, each))),
            *figures,
            f"{self.later_ms:.1f} (≤ {self.limit_ms:g})",
            "PASS" if self.kept else "FAIL",
        )


def without_pause(subject: Subject) -> Subject:
    """The same service, every sound interrupts."""
    agent = subject.files[AGENT_FILE] + "[turns]\nresume_false_interruptions = false\n"
    return replace(subject, files={AGENT_FILE: agent})


async def measure(each: int, seed: int) -> list[Compared]:
    """`each`: turns of each kind, with each service."""
    done, random = (Answered(), Answered()), Random(seed)
    events = [(_sentence(random), _sentence(random)) for _ in range(each)]
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        for service, answered in zip((NATIVE, without_pause(NATIVE)), done, strict=True):
            ears, teller = Ears(), Teller(seed, sentences=1)
            ears.learn([event for pair in events for event in pair])
            model, line, _ = await stack.enter_async_context(stage(None, service, teller, ears))
            phones = await stack.enter_async_context(line(Network()))
            for number in range(CALLS):
                call = await phones.call()
                session = await model.session(number)
                caller = _Caller(call, session, teller.told[session.id], answered)
                group.create_task(caller.talk(events[number::CALLS], Random(f"{seed} {number}")))
    paused, plain = done
    missed = paused.missed + plain.missed
    return [
        Compared("while the agent is silent", paused.ordinary_ms, plain.ordinary_ms,
                 ORDINARY_LIMIT_MS, missed),
        Compared("interruptions, 600 ms or longer", paused.interrupting_ms, plain.interrupting_ms,
                 INTERRUPTING_LIMIT_MS, missed),
    ]  # fmt: skip


@dataclass(slots=True)
class _Caller:
    call: Call
    session: Session
    answers: Sequence[Answer]
    answered: Answered

    async def talk(self, turns: Sequence[tuple[Event, Event]], random: Random) -> None:
        """Speak while the agent is silent, and then while it speaks, for each pair of turns."""
        await self.call.wait_heard(1)
        for ordinary, interrupting in turns:
            await self.call.wait_quiet(QUIET_MS)
            await self._say(ordinary, self.answered.ordinary_ms)
            await asyncio.sleep(random.uniform(EARLIEST_MS, LATEST_MS) / 1000)
            await self._say(interrupting, self.answered.interrupting_ms)
        self.call.hang_up()
        await self.session.closed.wait()
        await self.call.wait_ended()

    async def _say(self, event: Event, into_ms: list[float]) -> None:
        told, arrived = len(self.answers), len(self.call.playback.media)
        self.call.say(event.sound.ulaw)

        def begun_ms() -> float | None:
            for media in self.call.playback.media[arrived:]:
                key = media.payload[:KEY_BYTES]
                if any(key in answer.audio for answer in self.answers[told:]):
                    return media.arrived_ms
            return None

        try:
            async with asyncio.timeout(LATEST_S):
                await self.call.wait_for(lambda: begun_ms() is not None)
        except TimeoutError:
            self.answered.missed += 1
            return
        committed_ms = self.session.sent_at_s("input_audio_buffer.committed")[-1] * 1000
        into_ms.append((begun_ms() or 0.0) - committed_ms)


def _sentence(random: Random) -> Event:
    return Event(make(Kind.SENTENCE, random), random.choice(FATES), False, 0.0)
