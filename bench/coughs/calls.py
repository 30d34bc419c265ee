"""Calls on which the caller coughs and interrupts, with one voice of the agent's.

The service runs as a process between the simulated phone line, whose playback clock is the truth,
the scripted model, which hears the caller's frames, and the stand-in of the voice's provider.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import cycle
from random import Random

from app.simulator.realtime import Item, Options, RealtimeServer, Session
from app.simulator.twilio import Call, CallEnded, Network, PhoneLine, now_ms
from app.simulator.voices.mouth import Plan
from bench.coughs.answers import KEY_BYTES, Answer, Teller, mouth
from bench.coughs.judge import Outcome, Played, Said, heard_bytes, judge, placed
from bench.coughs.script import Ears, Event, filler, script
from bench.line import ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL
from bench.process import Process, Subject, busy_s, ready, running, weigh
from bench.voices.ways import NATIVE, Way

NETWORKS = (
    Network(),
    Network(delay_ms=20),
    Network(delay_ms=60),
    Network(delay_ms=120),
    Network(delay_ms=40, jitter_ms=20, seed=7),
    Network(delay_ms=100, jitter_ms=20, seed=8),
)
#: How much of an answer has played when the caller had better hear another one.
MOST_PLAYED_MS = 9000.0
SPEED = 3.0  # how many times faster than real time a provider sends
LATEST_S = 8.0
FILLERS = 24  # sentences that make the agent begin another answer
REST_S = 0.6  # after the last event: what it brings about is still to come


@dataclass(slots=True)
class Talk:
    """One call, and what is known of it."""

    call: Call
    session: Session
    network: Network
    answers: list[Answer]
    events: list[Event]
    #: When each event began, in order.
    said: list[tuple[Event, float]] = field(default_factory=list)
    played: list[Played] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def judge(self) -> None:
        """Judge every event, after the call."""
        started, committed = (
            [at_s * 1000 for at_s in self.session.sent_at_s(f"input_audio_buffer.{kind}")]
            for kind in ("speech_started", "committed")
        )
        ends = [at_ms for _, at_ms in self.said[1:]] + [float("inf")]
        said = [
            Said(event, at_ms, _within(started, at_ms, end_ms), _within(committed, at_ms, end_ms))
            for (event, at_ms), end_ms in zip(self.said, ends, strict=True)
        ]
        self.played = placed(self.call.playback.media, self.answers)
        self.outcomes = judge(said, self.played, self.call.playback.clears)

    def truncation_error_ms(self, outcome: Outcome) -> float | None:
        """Truncated to, minus heard, of the answer that an event interrupted; None: the model's own
        audio was not truncated."""
        if outcome.stopped is None:
            return None
        audio = self.answers[outcome.stopped.answer].audio
        item = next((item for item in self.session.items if _is_of(item, audio)), None)
        if item is None or not (item.truncations or item.deleted_at_s):
            return None
        truncated_ms = item.truncations[-1].audio_end_ms if item.truncations else 0
        return truncated_ms - heard_bytes(self.played, outcome.stopped.answer) / 8


def _within(times_ms: list[float], from_ms: float, to_ms: float) -> float | None:
    return next((at_ms for at_ms in times_ms if from_ms <= at_ms < to_ms), None)


def _is_of(item: Item, audio: bytes) -> bool:
    return item.role == "assistant" and bool(item.audio) and audio.startswith(item.audio[:24])


Stage = Callable[[Network], PhoneLine]


@asynccontextmanager
async def stage(
    way: Way | None, subject: Subject, teller: Teller, ears: Ears
) -> AsyncIterator[tuple[RealtimeServer, Stage, Process]]:
    """The service with its model and its voice. `way`: None: the model speaks itself."""
    async with AsyncExitStack() as stack:
        if way is not None:
            provider = way.provider(mouth, lambda _text: Plan(speed=SPEED))
            url = (await stack.enter_async_context(provider)).url
            subject = replace(way, hz=8000).subject(url)
        options = Options(speed=5.0)
        model = await stack.enter_async_context(
            RealtimeServer(teller.answer, transcribe=ears.transcribe, options=options)
        )
        service = stack.enter_context(running(subject, model.port))
        await ready(service)

        def line(network: Network) -> PhoneLine:
            return PhoneLine(
                f"http://127.0.0.1:{service.port}/incoming-call",
                account_sid=ACCOUNT_SID,
                auth_token=AUTH_TOKEN,
                public_url=PUBLIC_URL,
                network=network,
            )

        yield model, line, service


async def measure(way: Way | None, each: int, calls: int, seed: int) -> tuple[list[Talk], float]:
    """Calls, and how much of a core all other processes used meanwhile.

    `each`: sounds that are no interruption, and as many interruptions, over several calls at once
    on all networks. `way`: None: the model speaks itself.
    """
    random, ears, teller = Random(seed), Ears(), Teller(seed)
    events = script(each, random)
    fillers = [filler(random) for _ in range(FILLERS)]  # now: synthesis blocks the event loop
    ears.learn([*events, *fillers])
    talks: list[Talk] = []
    async with (
        stage(way, NATIVE, teller, ears) as (model, line, service),
        AsyncExitStack() as stack,
    ):
        began_s, own_s, all_s = time.perf_counter(), time.process_time(), busy_s()
        cpu_s = weigh(service.pid).cpu_s
        lines = [await stack.enter_async_context(line(network)) for network in NETWORKS]
        async with asyncio.TaskGroup() as group:
            for number in range(calls):
                call = await lines[number % len(lines)].call()
                session = await model.session(number)
                network = NETWORKS[number % len(NETWORKS)]
                told = teller.told[session.id]
                talk = Talk(call, session, network, told, events[number::calls])
                talks.append(talk)
                group.create_task(_hold(talk, cycle(fillers)))
        own_s, all_s = time.process_time() - own_s, busy_s() - all_s
        others_s = all_s - own_s - (weigh(service.pid).cpu_s - cpu_s)
        others = others_s / (time.perf_counter() - began_s)
    for talk in talks:
        talk.judge()
    return talks, others


async def _hold(talk: Talk, fillers: Iterator[Event]) -> None:
    """One call: each event after the effect of the one before, then hang up."""
    call = talk.call
    await call.wait_heard(1)
    for event in talk.events:
        if _played_ms(talk) > MOST_PLAYED_MS:
            await _make(talk, next(fillers))
        await asyncio.sleep(event.after_ms / 1000)
        await _make(talk, event)
    call.hang_up()
    await talk.session.closed.wait()
    await call.wait_ended()


async def _make(talk: Talk, event: Event) -> None:
    """Make a sound, and wait for what has to become of it, or for `LATEST_S`."""
    call, playback = talk.call, talk.call.playback
    cleared, begun_ms, told = len(playback.clears), now_ms(), len(talk.answers)
    talk.said.append((event, begun_ms))
    call.say(event.sound.ulaw)

    def gone_on() -> bool:
        clears = playback.clears
        return len(clears) > cleared and playback.media[-1].arrived_ms > clears[-1].at_ms

    def another() -> bool:
        key = playback.media[-1].payload[:KEY_BYTES]
        return any(key in answer.audio for answer in talk.answers[told:])

    try:
        async with asyncio.timeout(LATEST_S):
            await call.wait_spoken()
            await call.wait_for(another if event.answered else gone_on)
    except (TimeoutError, CallEnded):
        return
    late_s = event.fate.delay_ms / 1000 if event.resumes and not event.answered else 0.0
    await asyncio.sleep(0 if late_s > LATEST_S else min(late_s, REST_S))


def _played_ms(talk: Talk) -> float:
    """How much of the present answer has arrived and played, at most."""
    last = talk.call.playback.media[-1]
    key = last.payload[:KEY_BYTES]
    places = (answer.audio.find(key) for answer in reversed(talk.answers[-2:]))
    byte = next((place for place in places if place >= 0), 0)
    ahead_ms = max(0.0, last.ends_ms - now_ms())
    return (byte + len(last.payload)) / 8 - ahead_ms
