"""The words of an external voice that the conversation keeps at an interruption, compared with the
words that had played.

The service runs as a process between simulated phone lines, whose playback clocks are the truth,
the scripted model, and a provider's stand-in that speaks with espeak-ng. Calls have short and long
delays. Callers interrupt at random times, and each time the service replaces the interrupted item
with one that has the heard words only.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from math import inf

from app.simulator.realtime import Item, RealtimeServer, Reply, Session, Turn
from app.simulator.twilio import Call, Network, PhoneLine, now_ms
from app.simulator.voices.mouth import Plan
from bench.line import ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL
from bench.process import ready, running
from bench.samples import percentile
from bench.truth import CONDITIONS, speak_over
from bench.voices.stories import by_heart, learn, length_ms, stories
from bench.voices.ways import Way
from bench.voices.words import (
    Piece,
    foreign_bytes,
    pieces_by_text,
    pieces_of,
    words_played,
    words_told,
)

EACH = 2  # interruptions of a call, one after the other
EARLIEST_MS, BEFORE_END_MS = 60, 600  # when a story is interrupted
SPEED = 3.0  # how many times faster than real time a provider sends
MISSED_AFTER_S = 3.0
# How far off an interruption may be: by the times that the voice sends, or without them.
LIMIT_TIMED_WORDS, LIMIT_WORDS = 1, 3
# How many words that did not play 99 of 100 interruptions may keep: the agent never repeats them,
# while it may repeat words that played and are missing.
LIMIT_UNHEARD_WORDS = 1
HEADINGS = (
    "way",
    "interruptions",
    "words off, median",
    "p90",
    "most",
    "exact",
    "unheard words kept, p99",
    "missed / misplaced / untrue",
    "foreign bytes",
    "",
)


@dataclass(slots=True)
class Heard:
    """The result of one way of speaking."""

    way: str
    #: The voice sends the times of its words.
    timed: bool = False
    interruptions: int = 0
    #: Words in the new item, minus words played.
    off: list[int] = field(default_factory=list)
    #: Interruptions after which no item was deleted, or the line was not cleared.
    missed: int = 0
    #: Items that were not deleted, or not replaced in their place.
    misplaced: int = 0
    #: New items whose words are not the first words of the answer.
    untrue: int = 0
    #: Audio that is not part of the answer, such as the rest of an interrupted one.
    foreign_bytes: int = 0
    #: The errors, call by call.
    remarks: list[str] = field(default_factory=list)

    @property
    def kept(self) -> bool:
        """Whether all limits are kept."""
        faults = self.missed + self.misplaced + self.untrue + self.foreign_bytes
        if faults or not self.off or self.unheard_words > LIMIT_UNHEARD_WORDS:
            return False
        return max(map(abs, self.off)) <= self.limit_words

    @property
    def unheard_words(self) -> int:
        """How many words that did not play the conversation keeps, at most, after 99 of 100
        interruptions."""
        return max(0, int(percentile(sorted(self.off) or [0], 99)))

    @property
    def limit_words(self) -> int:
        """By how many words an interruption may be off."""
        return LIMIT_TIMED_WORDS if self.timed else LIMIT_WORDS

    @property
    def row(self) -> tuple[str, ...]:
        """Its line of the table."""
        off = sorted(map(abs, self.off)) or [0]
        return (
            f"{self.way}, {'word times' if self.timed else 'in proportion'}",
            str(self.interruptions),
            f"{percentile(off, 50)}",
            f"{percentile(off, 90)}",
            f"{off[-1]} (≤ {self.limit_words})",
            f"{off.count(0)} of {len(self.off)}",
            f"{self.unheard_words} (≤ {LIMIT_UNHEARD_WORDS})",
            f"{self.missed} / {self.misplaced} / {self.untrue}",
            str(self.foreign_bytes),
            "PASS" if self.kept else "FAIL",
        )


async def measure(way: Way, interruptions: int, seed: int) -> Heard:
    """Make `interruptions`, over several calls at once, their networks alternating."""
    heard = Heard(f"{way.name}, {way.hz // 1000} kHz", way.timed)
    chance = random.Random(seed)
    calls = -(-interruptions // EACH)
    plenty = stories(interruptions + calls, seed=0)
    learn(plenty, way.hz)
    teller = Teller(plenty)
    async with AsyncExitStack() as stack:
        mouth = way.provider(by_heart, lambda _text: Plan(speed=SPEED))
        provider = await stack.enter_async_context(mouth)
        model = await stack.enter_async_context(RealtimeServer(teller.answer))
        service = stack.enter_context(running(way.subject(provider.url), model.port))
        await ready(service)
        lines = [
            await stack.enter_async_context(
                PhoneLine(
                    f"http://127.0.0.1:{service.port}/incoming-call",
                    account_sid=ACCOUNT_SID,
                    auth_token=AUTH_TOKEN,
                    public_url=PUBLIC_URL,
                    network=condition.network,
                )
            )
            for condition in CONDITIONS
        ]
        talks = []
        async with asyncio.TaskGroup() as group:
            for number in range(calls):
                place = number % len(lines)
                call, network = await lines[place].call(), CONDITIONS[place].network
                talk = Talk(call, await model.session(number), network, teller)
                times = min(EACH, interruptions - number * EACH)
                early = chance.random()
                offsets = (early, 1 - early)[:times]  # all calls take as long
                group.create_task(_interrupt(talk, offsets, way.hz, heard))
                talks.append(talk)
        known = pieces_by_text(provider.heard.said)
    for talk in talks:
        _compare(talk, known, heard)
    return heard


class Teller:
    """The model: it answers each turn with a story."""

    def __init__(self, stories: Iterable[str]) -> None:
        #: The stories of each session, in order.
        self.told: defaultdict[str, list[str]] = defaultdict(list)
        self._stories = iter(stories)

    def answer(self, turn: Turn) -> Reply:
        self.told[turn.session_id].append(next(self._stories))
        return Reply(self.told[turn.session_id][-1])


@dataclass(slots=True)
class Talk:
    """One call."""

    call: Call
    session: Session
    network: Network
    teller: Teller
    #: The interrupted items, in order.
    cut: list[Item] = field(default_factory=list)

    @property
    def stories(self) -> list[str]:
        """The stories of this call's answers."""
        return self.teller.told[self.session.id]

    @property
    def answers(self) -> list[Item]:
        """The items that the model generated, deleted ones included."""
        return [item for item in self.session.items if item.role == "assistant" and item.part]

    @property
    def told_of(self) -> dict[str, tuple[str, str]]:
        """The replacement of each item, by the item's id: its own id and its text."""
        return {
            str(event["previous_item_id"]): (
                event["item"]["id"],
                event["item"]["content"][0]["text"],
            )
            for event in self.session.events_of("conversation.item.create")
            if event["item"].get("role") == "assistant" and event.get("previous_item_id")
        }


async def _interrupt(talk: Talk, offsets: Sequence[float], hz: int, heard: Heard) -> None:
    """Interrupt an answer for each offset, a share of the answer's length, and hang up."""
    call, session = talk.call, talk.session
    for offset in offsets:
        before = call.playback.heard_bytes(now_ms())
        await call.wait_heard(before + 1)
        begun_ms = call.playback.heard_at_ms(before + 1) or now_ms()
        latest_ms = length_ms(talk.stories[-1], hz) - BEFORE_END_MS
        due_ms = begun_ms + EARLIEST_MS + offset * (latest_ms - EARLIEST_MS)
        await asyncio.sleep(max(0.0, due_ms - now_ms()) / 1000)
        talk.cut.append(talk.answers[-1])
        heard.interruptions += 1
        await speak_over(call, session, talk.network, by_voice=len(talk.cut) % 2 == 0)
        try:
            async with asyncio.timeout(MISSED_AFTER_S):
                await session.until(partial(_was_told, talk.cut[-1]))
                await call.wait_for(partial(_was_cleared, call, len(talk.cut)))
        except TimeoutError:
            heard.missed += 1
    call.hang_up()
    await session.closed.wait()
    await call.wait_ended()


def _was_told(item: Item, _session: Session) -> bool:
    return item.deleted_at_s is not None


def _was_cleared(call: Call, times: int) -> bool:
    return len(call.playback.clears) >= times


def _compare(talk: Talk, known: Mapping[str, Piece], heard: Heard) -> None:
    """Compare the replacement of each interrupted answer with what played of it."""
    clears = [clear.at_ms for clear in talk.call.playback.clears]
    if len(clears) != len(talk.cut):
        return  # counted as missed; the audio cannot be assigned to answers
    told_of = talk.told_of
    for story, item, begin_ms, end_ms in zip_longest(
        talk.stories, talk.cut, [-inf, *clears], [*clears, inf]
    ):
        media = [m for m in talk.call.playback.media if begin_ms < m.arrived_ms <= end_ms]
        pieces = pieces_of(story or "", known)
        heard.foreign_bytes += foreign_bytes(b"".join(m.payload for m in media), pieces)
        if item is None:
            continue  # the last answer was not interrupted
        told = told_of[item.id][1] if item.id in told_of else ""
        count = words_told(story, told)
        if count is None:
            heard.untrue += 1
            continue
        heard_bytes = sum(m.kept_bytes for m in media)
        played = words_played(pieces, heard_bytes)
        heard.off.append(count - played)
        if abs(count - played) > heard.limit_words:
            what = f"kept {count} words, {played} were played in {heard_bytes / 8:.0f} ms"
            heard.remarks.append(f"{what} of {story!r}")
    heard.misplaced += _misplaced(talk)


def _misplaced(talk: Talk) -> int:
    """How many interrupted items were not deleted, or have a replacement that is not right before
    the caller's item that interrupted them."""
    told_of = talk.told_of
    callers = [item.id for item in talk.session.items if item.role == "user"]
    order = [item.id for item in talk.session.conversation]
    count = 0
    for item, caller in zip_longest(talk.cut, callers):
        if item is None or item.deleted_at_s is None or caller not in order:
            count += 1
        elif item.id in told_of:
            stands_in, _ = told_of[item.id]
            count += order[order.index(caller) - 1] != stands_in
    return count
