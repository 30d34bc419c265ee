"""The voices of a leg: utterances in, audio and its end out, however a provider behaves."""

import asyncio
import base64
import logging
from collections.abc import AsyncGenerator, Callable

import pytest

from app.audio import ulaw_encode
from app.bridge.leg.voice_side import FRAME_BYTES, PIECE_BYTES, VoiceSide
from app.call import events as ev
from app.call.commands import Synthesize
from app.errors import VoiceError
from app.simulator.voices.mouth import tones
from app.wires.voices.voice import Sound, SpokenWord

Says = Callable[[str], AsyncGenerator[Sound, None]]


class Puppet:
    """A voice and its only line, which behaves as the test says."""

    label = "puppet/one"

    def __init__(self, says: Says) -> None:
        self.prepared = 0
        self.closed = False
        self._says = says

    def line(self) -> "Puppet":
        return self

    async def prepare(self) -> None:
        self.prepared += 1

    def say(self, text: str, *, answer: int = 0) -> AsyncGenerator[Sound, None]:
        return self._says(text)

    async def aclose(self) -> None:
        self.closed = True


class Ear:
    """Collects the events, until an utterance is over."""

    def __init__(self) -> None:
        self.events: list[ev.Event] = []
        self.over = asyncio.Event()

    def __call__(self, event: ev.Event) -> None:
        self.events.append(event)
        if isinstance(event, ev.VoiceFinished | ev.VoiceFailed):
            self.over.set()

    @property
    def ulaw(self) -> bytes:
        pieces = [e.payload for e in self.events if isinstance(e, ev.VoiceReceived)]
        return b"".join(map(base64.b64decode, pieces))


def order(text: str = "Good morning.", number: int = 1) -> Synthesize:
    return Synthesize(f"utterance_{number}", "item_1", text, 0)


async def heard(says: Says) -> Ear:
    ear = Ear()
    side = VoiceSide("CA1", [Puppet(says)], ear)
    side.say(order())
    await ear.over.wait()
    await side.aclose()
    return ear


@pytest.mark.parametrize("step", [2, 1000, 3334, 100_000])
async def test_the_audio_of_a_voice_reaches_the_machine_unchanged(step: int) -> None:
    pcm = tones("Good morning.", 8000).pcm

    async def says(_: str) -> AsyncGenerator[Sound, None]:
        for at in range(0, len(pcm), step):
            yield Sound(pcm[at : at + step], 8000)

    ear = await heard(says)
    expected = ulaw_encode(pcm)
    assert ear.ulaw == expected + b"\xff" * (-len(expected) % FRAME_BYTES)
    assert ear.events[-1] == ev.VoiceFinished("utterance_1")
    sizes = [e.size_bytes for e in ear.events if isinstance(e, ev.VoiceReceived)]
    assert max(sizes) <= PIECE_BYTES and sum(sizes) == len(ear.ulaw)


async def test_pauses_are_events() -> None:
    pcm = tones("one two three", 8000, gap_ms=100).pcm

    async def says(_: str) -> AsyncGenerator[Sound, None]:
        yield Sound(pcm, 8000)

    ear = await heard(says)
    pauses = [(e.start, e.end) for e in ear.events if isinstance(e, ev.VoicePaused)]
    assert [round(start / 800) for start, _ in pauses] == [2, 5, 9], "behind each word"


async def test_the_times_of_words_are_an_event_before_their_sound() -> None:
    pcm = tones("one two", 8000).pcm
    words = (SpokenWord("one", 0, 180.5), SpokenWord("two", 180.5, 360))

    async def says(_: str) -> AsyncGenerator[Sound, None]:
        yield Sound(pcm, 8000, words)

    ear = await heard(says)
    assert ear.events[0] == ev.VoiceTimed("utterance_1", (("one", 0, 1444), ("two", 1444, 2880)))
    assert isinstance(ear.events[1], ev.VoiceReceived)


async def test_a_voice_that_fails_keeps_what_it_had_said() -> None:
    pcm = tones("Good morning.", 24000).pcm

    async def says(_: str) -> AsyncGenerator[Sound, None]:
        yield Sound(pcm[:24000], 24000)
        raise VoiceError("the connection broke")

    ear = await heard(says)
    assert 0 <= len(ear.ulaw) - 4000 < FRAME_BYTES, "what the resampler held is not lost"
    assert ear.events[-1] == ev.VoiceFailed(
        "utterance_1", "puppet/one: the connection broke", "passing"
    )


async def test_an_utterance_of_silence_is_a_failure() -> None:
    async def says(_: str) -> AsyncGenerator[Sound, None]:
        yield Sound(bytes(16000), 8000)

    end = (await heard(says)).events[-1]
    assert isinstance(end, ev.VoiceFailed) and end.reason.endswith("nothing but silence")


async def test_utterances_of_one_answer_have_its_number() -> None:
    numbers: list[int] = []

    async def says(_: str) -> AsyncGenerator[Sound, None]:
        yield Sound(b"\x10\x10" * 800, 8000)

    class Counting(Puppet):
        def say(self, text: str, *, answer: int = 0) -> AsyncGenerator[Sound, None]:
            numbers.append(answer)
            return super().say(text)

    side = VoiceSide("CA1", [Counting(says)], Ear())
    for number, item_id in enumerate(("item_1", "item_1", "item_2", "item_1"), 1):
        ear = Ear()
        side._feed = ear
        side.say(Synthesize(f"utterance_{number}", item_id, "Good morning.", 0))
        await ear.over.wait()
    await side.aclose()

    assert numbers == [1, 1, 2, 1]


async def test_a_bug_in_a_voice_fails_the_utterance_and_not_the_call(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def says(_: str) -> AsyncGenerator[Sound, None]:
        raise ZeroDivisionError
        yield

    with caplog.at_level(logging.ERROR):
        ear = await heard(says)
    assert ear.events == [ev.VoiceFailed("utterance_1", "a fault of the service", "fatal")]
    assert [record.getMessage() for record in caplog.records] == ["fault in a voice"]


async def test_a_dropped_utterance_feeds_no_event_and_the_next_can_start() -> None:
    began, closed = asyncio.Event(), asyncio.Event()

    async def says(text: str) -> AsyncGenerator[Sound, None]:
        try:
            yield Sound(b"\x10\x10" * 800, 8000)
            if text == "Good morning.":
                began.set()
                await asyncio.Event().wait()
        finally:
            closed.set()

    ear = Ear()
    puppet = Puppet(says)
    side = VoiceSide("CA1", [puppet], ear)
    side.say(order())
    await began.wait()
    side.drop("utterance_1")
    before = len(ear.events)
    side.say(order("Good evening.", 2))
    await ear.over.wait()

    assert closed.is_set()
    told = ear.events[before:]
    assert told[-1] == ev.VoiceFinished("utterance_2")
    assert all(getattr(each, "utterance_id", "") == "utterance_2" for each in told)
    assert puppet.prepared == 1, "the connection that was lost is opened again"
    await side.aclose()
    assert puppet.closed


async def test_an_utterance_dropped_before_it_started_is_never_said() -> None:
    said: list[str] = []

    async def says(text: str) -> AsyncGenerator[Sound, None]:
        said.append(text)
        yield Sound(b"\x10\x10" * 800, 8000)

    ear = Ear()
    side = VoiceSide("CA1", [Puppet(says)], ear)
    side.say(order())
    side.drop("utterance_1")
    side.say(order("Good evening.", 2))
    await ear.over.wait()
    await side.aclose()

    assert said == ["Good evening."]


async def test_an_utterance_may_be_dropped_by_its_own_event() -> None:
    async def says(_: str) -> AsyncGenerator[Sound, None]:
        yield Sound(b"\x10\x10" * 800, 8000)

    heard: list[ev.Event] = []
    dropped = asyncio.Event()

    def feed(event: ev.Event) -> None:
        heard.append(event)
        side.drop("utterance_1")
        dropped.set()

    side = VoiceSide("CA1", [Puppet(says)], feed)
    side.say(order())
    await dropped.wait()
    await side.aclose()

    assert not any(isinstance(each, ev.VoiceFinished | ev.VoiceFailed) for each in heard)


async def test_closing_leaves_no_task() -> None:
    began = asyncio.Event()

    async def says(_: str) -> AsyncGenerator[Sound, None]:
        began.set()
        await asyncio.Event().wait()
        yield Sound(b"\x10\x10", 8000)

    tasks = asyncio.all_tasks()
    side = VoiceSide("CA1", [Puppet(says)], Ear())
    side.prepare()
    side.say(order())
    await began.wait()
    await side.aclose()

    assert asyncio.all_tasks() == tasks
