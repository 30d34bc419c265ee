"""Truncations at interruptions, compared with what the line had played by then.

The service runs as a process between the simulated phone line, whose playback clock is the truth,
and the scripted model. The line has delay and jitter; interruptions come at random times. The model
learns of each when it is sure that it is one, by voice or by a word: what was heard then ends at
the clear, which came at once.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import aiohttp

from app.audio import tone
from app.simulator.realtime import Item, Options, RealtimeServer, Reply, Session, Turn
from app.simulator.twilio import Call, Network, PhoneLine, now_ms
from bench.line import ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL
from bench.process import SERVICE, Process, ready, running
from bench.samples import percentile

CALLS = 20
ANSWER_MS = 4000
MS_PER_CHARACTER = 100
EARLIEST_MS, LATEST_MS = 60, 3700  # after an answer begins to play
BYTES_PER_MS = 8
DELTA_BYTES = 100 * BYTES_PER_MS
STAMP_BYTES = 24  # of made-up audio, enough to identify its item
MISSED_AFTER_S = 3.0
# What interrupts: enough voice, or a word whose transcript comes soon after it.
VOICE = tone([600], note_ms=900, level_dbfs=-20)
WORD_MS = 200
MARGIN_MS = 100  # the model has all of the voice when it reports its end
STARTED_WITHIN_S = 30.0

FIRST_MEDIA_MS = 20.0
WEBHOOK_MS = 500.0
CLOSED_MS = 1000.0


@dataclass(frozen=True, slots=True)
class Condition:
    """A network, and the limits on the errors of truncations there."""

    name: str
    network: Network
    #: The largest median error.
    median_ms: float
    #: The largest error of 99 in 100.
    p99_ms: float


CONDITIONS = (
    Condition("no delay", Network(), 5, 20),
    Condition("40 ms each way", Network(delay_ms=40), 5, 20),
    Condition("120 ms each way", Network(delay_ms=120), 5, 20),
    Condition("40 ± 20 ms each way", Network(delay_ms=40, jitter_ms=20, seed=7), 60, 60),
    Condition("120 ± 20 ms each way", Network(delay_ms=120, jitter_ms=20, seed=8), 60, 60),
)
HEADINGS = (
    "line",
    "interruptions",
    "error ms, median",
    "p99",
    "missed / needless / too long",
    "bytes after the clear",
    "greeting ms, most",
    "webhook ms, most",
    "session closed ms, most",
    "",
)


@dataclass(slots=True)
class Truth:
    """The result under one condition."""

    condition: Condition
    #: Truncated to, minus played.
    errors_ms: list[float] = field(default_factory=list)
    interruptions: int = 0
    #: Interruptions without a truncation or without a clear.
    missed: int = 0
    #: Truncations of items that were not interrupted.
    needless: int = 0
    #: Truncations to more audio than the item has.
    beyond: int = 0
    #: Audio of an interrupted item that played after its clear.
    heard_after_clear_bytes: int = 0
    #: From the stream's start or the greeting's first delta, the later one, to the first media.
    first_media_ms: list[float] = field(default_factory=list)
    #: How long the webhook took.
    webhook_ms: list[float] = field(default_factory=list)
    #: From the hang-up to the close of the model's session.
    closed_ms: list[float] = field(default_factory=list)

    @property
    def median_ms(self) -> float:
        return percentile(sorted(map(abs, self.errors_ms)), 50)

    @property
    def p99_ms(self) -> float:
        return percentile(sorted(map(abs, self.errors_ms)), 99)

    @property
    def kept(self) -> bool:
        """Whether every limit holds."""
        return (
            self.median_ms <= self.condition.median_ms
            and self.p99_ms <= self.condition.p99_ms
            and self.missed + self.needless + self.beyond + self.heard_after_clear_bytes == 0
            and max(self.first_media_ms) <= FIRST_MEDIA_MS
            and max(self.webhook_ms) <= WEBHOOK_MS
            and max(self.closed_ms) <= CLOSED_MS
        )


def answer(_turn: Turn) -> Reply:
    """Four seconds of made-up audio: the bytes of each item are unique."""
    return Reply("x" * (ANSWER_MS // MS_PER_CHARACTER))


async def measure(condition: Condition, interruptions: int, seed: int) -> Truth:
    """Make `interruptions`, over several calls at once, under one condition."""
    truth, rng = Truth(condition), random.Random(seed)
    async with RealtimeServer(answer, options=Options(ms_per_character=MS_PER_CHARACTER)) as model:
        with running(SERVICE, model.port) as service:
            await ready(service)
            async with PhoneLine(
                f"http://127.0.0.1:{service.port}/incoming-call",
                account_sid=ACCOUNT_SID,
                auth_token=AUTH_TOKEN,
                public_url=PUBLIC_URL,
                network=condition.network,
            ) as line:
                async with asyncio.TaskGroup() as group:
                    for number in range(CALLS):
                        call = await line.call()
                        session = await model.session(number)
                        offsets_ms = [
                            rng.uniform(EARLIEST_MS, LATEST_MS)
                            for _ in range(interruptions // CALLS)
                        ]
                        group.create_task(_interrupt(call, session, offsets_ms, truth))
                await _read_timings(service, line, truth)
    return truth


async def _interrupt(
    call: Call, session: Session, offsets_ms: Sequence[float], truth: Truth
) -> None:
    """One call: interrupt each answer, hang up, compare."""
    network = truth.condition.network
    cut: list[Item] = []
    for offset_ms in offsets_ms:
        before = len(call.heard)
        await call.wait_heard(before + 1)
        begun_ms = call.playback.heard_at_ms(before + 1) or now_ms()
        await asyncio.sleep(max(0.0, begun_ms + offset_ms - now_ms()) / 1000)
        interruption = len(cut) + 1
        cut.append([item for item in session.items if item.role == "assistant"][-1])
        truth.interruptions += 1
        await speak_over(call, session, network, by_voice=interruption % 2 == 0)
        try:
            async with asyncio.timeout(MISSED_AFTER_S):
                await session.until(partial(_was_truncated, interruption))
                await call.wait_for(partial(_was_cleared, call, interruption))
        except TimeoutError:
            truth.missed += 1
    call.hang_up()
    hung_up_ms = now_ms()
    await session.closed.wait()
    truth.closed_ms.append(now_ms() - hung_up_ms)
    await call.wait_ended()
    truth.webhook_ms.append(call.requests[0].took_ms)
    _compare(call, session, cut, truth)


async def speak_over(call: Call, session: Session, network: Network, *, by_voice: bool) -> None:
    """The caller interrupts. `by_voice`: with enough voice for an interruption, whatever it says;
    otherwise it is their words alone that make it one."""
    session.start_speech()
    if by_voice:
        call.say(VOICE)
        await call.wait_spoken()
        on_the_way_ms = network.delay_ms + network.jitter_ms
        await asyncio.sleep((on_the_way_ms + MARGIN_MS) / 1000)
    else:
        await asyncio.sleep(WORD_MS / 1000)
    session.stop_speech("go on")


def _was_truncated(times: int, session: Session) -> bool:
    kinds = ("conversation.item.truncate", "conversation.item.delete")
    return sum(len(session.events_of(kind)) for kind in kinds) >= times


def _was_cleared(call: Call, times: int) -> bool:
    return len(call.playback.clears) >= times


def _compare(call: Call, session: Session, cut: Sequence[Item], truth: Truth) -> None:
    """Compare the truncation of each item with what played of it."""
    assistant = [item for item in session.items if item.role == "assistant"]
    owner = {
        bytes(item.audio[start : start + STAMP_BYTES]): item
        for item in assistant
        for start in range(0, len(item.audio), DELTA_BYTES)
    }
    played: dict[str, int] = {}
    clears = iter([*call.playback.clears, None])
    cleared_of: dict[str, float] = {}
    for item in cut:
        if (clear := next(clears)) is None:
            break
        cleared_of[item.id] = clear.at_ms
    for media in call.playback.media:
        item = owner[media.payload[:STAMP_BYTES]]
        played[item.id] = played.get(item.id, 0) + media.kept_bytes
        if media.arrived_ms > cleared_of.get(item.id, float("inf")):
            truth.heard_after_clear_bytes += media.kept_bytes
    for item in assistant:
        truncated_ms = item.truncations[-1].audio_end_ms if item.truncations else 0
        if item not in cut:
            truth.needless += bool(item.truncations or item.deleted_at_s)
        elif item.truncations or item.deleted_at_s:
            truth.errors_ms.append(truncated_ms - played.get(item.id, 0) / BYTES_PER_MS)
            truth.beyond += truncated_ms * BYTES_PER_MS > len(item.audio)


async def _read_timings(service: Process, line: PhoneLine, truth: Truth) -> None:
    """Read the time from stream start or first delta to first media from each call's record."""
    headers = {"Authorization": "Bearer bench"}
    async with aiohttp.ClientSession(headers=headers) as http:
        for call_sid in line.calls:
            timings: dict[str, float] = {}
            async with asyncio.timeout(STARTED_WITHIN_S):
                while "first_media_ms" not in timings:
                    url = f"http://127.0.0.1:{service.port}/calls/{call_sid}"
                    async with http.get(url) as answered:
                        timings = (await answered.json()).get("timings", {})
                    await asyncio.sleep(0.05)
            begun_ms = max(timings["stream_started_ms"], timings["first_delta_ms"])
            truth.first_media_ms.append(timings["first_media_ms"] - begun_ms)


def rows(truths: Sequence[Truth]) -> list[tuple[str, ...]]:
    """A line of the table for each condition."""
    return [
        (
            truth.condition.name,
            str(truth.interruptions),
            f"{truth.median_ms:.1f} (≤ {truth.condition.median_ms:g})",
            f"{truth.p99_ms:.1f} (≤ {truth.condition.p99_ms:g})",
            f"{truth.missed} / {truth.needless} / {truth.beyond}",
            str(truth.heard_after_clear_bytes),
            f"{max(truth.first_media_ms):.1f} (≤ {FIRST_MEDIA_MS:g})",
            f"{max(truth.webhook_ms):.0f} (≤ {WEBHOOK_MS:g})",
            f"{max(truth.closed_ms):.0f} (≤ {CLOSED_MS:g})",
            "PASS" if truth.kept else "FAIL",
        )
        for truth in truths
    ]
