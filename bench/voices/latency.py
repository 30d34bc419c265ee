"""The latency that an external voice adds inside the service.

It is measured from the model's text delta that completes the first sentence to the first sound of
that sentence at Twilio, with a provider that answers at once. Model, provider and Twilio run in
this process, so that there is one clock; the time of the stand-in is included.
"""

import asyncio
import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

import aiohttp

from app.simulator.voices.mouth import Plan
from bench.ledger import Call, Ledger
from bench.line import Line, Metronome, ProbedLine
from bench.model import now_ms
from bench.process import Process, busy_s, ready, running, weigh
from bench.samples import percentile
from bench.voices.model import END_MS, PROBE, WritingModel, WritingSession, hum
from bench.voices.ways import Way

LIMIT_MS = 15.0
BESIDE = 20  # other calls, in the second half
EACH = 10  # probes of a call, after its greeting
SPEED = 3.0  # how many times faster than real time a provider sends to the other calls
SETTLE_S = 3.0
LATEST_S = 5.0  # later sound counts as missing
BUSY_OTHERS = 0.1  # of a core
REST_MS = 20.0  # from the end of one probe to the next
HEADINGS = (
    "way",
    "calls beside",
    "a call's first, median",
    "most",
    "later ones",
    "space follows, median",
    "p99",
    "none follows, median",
    "p99",
    "text at provider, median",
    "",
)


@dataclass(slots=True)
class Added:
    """The result of one way of speaking. Latencies are in ms."""

    way: str
    #: The number of other calls.
    beside: int
    #: Greetings: their connection was opened with the call.
    first: list[float] = field(default_factory=list)
    #: Later answers whose full stop was sent with the space after it.
    spaced: list[float] = field(default_factory=list)
    #: Later answers without that space.
    bare: list[float] = field(default_factory=list)
    #: Of `spaced`: until the provider had the text.
    texts: list[float] = field(default_factory=list)
    #: Why the result is invalid.
    faults: list[str] = field(default_factory=list)
    #: How much of a core all other processes used, which slows the slowest answers.
    others: float = 0.0

    @property
    def remarks(self) -> list[str]:
        """The faults, and reasons to doubt the result."""
        if self.others <= BUSY_OTHERS:
            return self.faults
        return [*self.faults, f"doubtful: other processes used {self.others:.0%} of a core"]

    @property
    def kept(self) -> bool:
        """Whether 99 of 100 answers keep the limit."""
        return not self.faults and max(_p99(self.spaced), _p99(self.bare)) <= LIMIT_MS

    @property
    def row(self) -> tuple[str, ...]:
        """Its line of the table."""
        return (
            self.way,
            str(self.beside),
            f"{percentile(sorted(self.first), 50):.1f}",
            f"{max(self.first):.1f}",
            str(len(self.spaced) + len(self.bare)),
            f"{percentile(sorted(self.spaced), 50):.1f}",
            f"{_p99(self.spaced):.1f} (≤ {LIMIT_MS:g})",
            f"{percentile(sorted(self.bare), 50):.1f}",
            f"{_p99(self.bare):.1f} (≤ {LIMIT_MS:g})",
            f"{percentile(sorted(self.texts), 50):.1f}",
            "PASS" if self.kept else "FAIL",
        )


def _p99(values: list[float]) -> float:
    return percentile(sorted(values), 99)


@dataclass(slots=True)
class Pace:
    """A provider's plan: probes at once, other texts at a provider's speed."""

    #: When the last probe's text arrived.
    asked_ms: float = 0.0

    def plan(self, text: str) -> Plan:
        if text.strip() != PROBE:
            return Plan(speed=SPEED)
        self.asked_ms = now_ms()
        return Plan()


async def measure(way: Way, probes: int) -> list[Added]:
    """Measure `probes` without other calls, and as many beside `BESIDE` other calls."""
    calls = -(-probes // EACH)
    ledger, pace = Ledger(BESIDE + 2 * calls), Pace()
    model = WritingModel(ledger)
    port = await model.start()
    gc.collect()
    gc.disable()
    try:
        async with way.provider(hum, pace.plan) as provider, aiohttp.ClientSession() as http:
            with running(way.subject(provider.url), port) as service:
                await ready(service)
                rest = iter(ledger.calls)
                alone = Prober(ledger, model, pace, http, service, Added(way.name, 0))
                await alone.probe([*islice(rest, calls)], probes)
                talking = [Line(call, ledger) for call in islice(rest, BESIDE)]
                model.probing = False
                metronome = Metronome(talking, ledger)
                metronome.start()
                for line in talking:
                    await line.dial(http, service.port, webhook=True)
                await asyncio.sleep(SETTLE_S)
                among = Prober(ledger, model, pace, http, service, Added(way.name, BESIDE))
                await among.probe([*rest], probes)
                for line in talking:
                    line.hang_up()
                metronome.stop()
                service.check()
    finally:
        model.stop()
        gc.enable()
    among.added.faults += ledger.faults
    return [alone.added, among.added]


@dataclass(slots=True)
class Prober:
    """Measures probes, one call after the other, into `added`."""

    ledger: Ledger
    model: WritingModel
    pace: Pace
    http: aiohttp.ClientSession
    service: Process
    added: Added

    async def probe(self, calls: Sequence[Call], probes: int) -> None:
        """Measure `probes`, spread over these calls, after their greetings."""
        began_s, before_s = time.perf_counter(), self._others_s()
        await self._probe(calls, probes)
        self.added.others = (self._others_s() - before_s) / (time.perf_counter() - began_s)

    def _others_s(self) -> float:
        """Busy seconds of the processors so far, without this process and the service."""
        return busy_s() - time.process_time() - weigh(self.service.pid).cpu_s

    async def _probe(self, calls: Sequence[Call], probes: int) -> None:
        for number, call in enumerate(calls):
            line = ProbedLine(call, self.ledger)
            metronome = Metronome([line], self.ledger)
            try:
                await self._talk(line, metronome, min(EACH, probes - number * EACH))
            except TimeoutError:
                self.added.faults.append(f"call {call.index}: no sound within {LATEST_S:g} s")
            finally:
                metronome.stop()
                line.hang_up()
                if self.model.newest is not None:  # so that no call disturbs the next one
                    async with asyncio.timeout(LATEST_S):
                        await self.model.newest.closed.wait()

    async def _talk(self, line: ProbedLine, metronome: Metronome, probes: int) -> None:
        self.model.probing = True
        sound = line.listen()
        metronome.start()
        await line.dial(self.http, self.service.port, webhook=True)
        session = self.model.newest
        if session is None:
            raise TimeoutError
        self.added.first.append(await self._heard(sound, session))
        for number in range(probes):
            left_ms = line.call.playback.end_ms - now_ms() + REST_MS
            await asyncio.sleep(max(left_ms, END_MS + REST_MS) / 1000)
            spaced = number % 2 == 0
            sound = line.listen()
            session.ask(spaced=spaced)
            added_ms = await self._heard(sound, session)
            (self.added.spaced if spaced else self.added.bare).append(added_ms)
            if spaced:
                self.added.texts.append(self.pace.asked_ms - session.completed_ms)

    async def _heard(self, sound: asyncio.Future[float], session: WritingSession) -> float:
        """The time from the completed text to its sound, in ms."""
        async with asyncio.timeout(LATEST_S):
            return await sound - session.completed_ms
