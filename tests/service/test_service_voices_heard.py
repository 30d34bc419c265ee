"""Callers who interrupt an external voice: the model learns what they heard, to the word."""

import asyncio
import json
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import pytest

from app.simulator.realtime import Item, Reply, Script, Session, Turn
from app.simulator.twilio import Call
from app.simulator.voices.http import HttpStandIn
from app.simulator.voices.mouth import Mouth, Plan, tones
from app.simulator.voices.qwen import QwenStandIn
from app.simulator.voices.volcengine import VolcengineStandIn
from bench.voices.words import foreign_bytes, pieces_by_text, pieces_of, words_played, words_told
from tests.service.voices import WAYS, speaking_with
from tests.service.world import World

CALLS = 6
INTRODUCTION = "This is the parcel office."
STORY = "Your parcel left today. The driver will ring before noon. Please keep your passport ready."
ANSWER = "All right."
LATE = " And here is something that comes too late. "

# A pause after each word: then a wrong word is a fault, and not bad luck.
CLEARLY: Mouth = partial(tones, ms_per_character=45, gap_ms=80)


class Stories(Script):
    """An introduction for the first caller, the story for all others, then short answers."""

    def __init__(self) -> None:
        super().__init__()
        self._first = ""

    def brain(self, turn: Turn) -> Reply:
        self._first = self._first or turn.session_id
        if turn.session_id == self._first:
            return Reply(INTRODUCTION)
        told = any(item.role == "user" for item in turn.items)
        return Reply(ANSWER if told else STORY)


def slowly(text: str) -> Plan:
    """How a provider speaks: the story so that it is never far ahead."""
    return Plan() if text.strip() == INTRODUCTION else Plan(speed=1.2, chunk_ms=40)


def written(session: Session) -> list[Item]:
    """The items that the model wrote, those that were deleted too."""
    return [item for item in session.items if item.role == "assistant" and item.part]


def replacement(session: Session, item: Item) -> dict[str, Any] | None:
    """What took the place of an item, if anything did."""
    created = session.events_of("conversation.item.create")
    return next((e["item"] for e in created if e.get("previous_item_id") == item.id), None)


async def introduced(w: World) -> None:
    """The service hears its voice for the first time: later it knows how that one speaks."""
    call = await w.connected()
    await call.wait_heard(len(CLEARLY(INTRODUCTION, 8000).pcm) // 2)
    call.hang_up()
    await call.wait_ended()
    await w.settled()


async def interrupted(call: Call, session: Session, at_bytes: int) -> None:
    """The caller speaks when so much of the story was heard, until it is cleared and replaced."""
    await call.wait_heard(at_bytes)
    (story,) = written(session)
    session.start_speech()
    session.stop_speech("Stop.")
    await session.until(lambda _: story.deleted_at_s is not None)
    await call.wait_for(lambda: bool(call.playback.clears))


async def answered(call: Call, session: Session) -> str:
    """The caller hears the answer out, and nothing else. Returns what the model was told."""
    story = written(session)[0]
    late = {
        "type": "response.output_text.delta",
        "event_id": "event_late",
        "response_id": story.response_id,
        "item_id": story.id,
        "output_index": 0,
        "content_index": 0,
        "delta": LATE,
    }
    session.send_raw(json.dumps(late))
    cut = call.playback.heard_bytes(call.playback.clears[0].at_ms)
    await call.wait_heard(cut + len(CLEARLY(ANSWER, 8000).pcm) // 2)
    await call.wait_quiet(20)

    caller = next(item for item in session.items if item.role == "user")
    _, answer = written(session)
    instead = replacement(session, story)
    order = [item.id for item in session.conversation]
    assert session.errors_sent == []
    if instead is None:
        assert order == [caller.id, answer.id]
        return ""
    assert order == [instead["id"], caller.id, answer.id]
    assert instead["role"] == "assistant"
    told: str = instead["content"][0]["text"]
    return told


async def dropped(provider: Any) -> None:
    """Wait until whatever a provider did not say to its end was dropped."""
    heard = provider.heard
    over: Callable[[], bool] = lambda: all(said.whole or said.dropped for said in heard.said)  # noqa: E731
    match provider:
        case QwenStandIn():
            await provider.until(over)
        case VolcengineStandIn():
            await provider.until(lambda _: over())
        case HttpStandIn():
            await provider.wait_silent()
    assert over()


@pytest.mark.parametrize("way", WAYS)
async def test_the_model_learns_to_the_word_what_callers_who_interrupt_heard(way: str) -> None:
    chance = Random(way)
    async with speaking_with(way, Stories(), CLEARLY, slowly) as (w, provider):
        await introduced(w)
        length = len(CLEARLY(STORY, 8000).pcm) // 2
        calls = [await w.connected() for _ in range(CALLS)]
        sessions = w.model.sessions[-CALLS:]
        talks = [*zip(calls, sessions, strict=True)]
        places = [int(length * chance.uniform(0.02, 0.6)) for _ in talks]
        await asyncio.gather(
            *(interrupted(*talk, at) for talk, at in zip(talks, places, strict=True))
        )
        await dropped(provider)
        unpaid = [said for said in provider.heard.said if said.dropped]
        assert len(unpaid) > CALLS / 2  # others were between two sentences
        told = await asyncio.gather(*(answered(*talk) for talk in talks))
        known = pieces_by_text(provider.heard.said)
        for call, text in zip(calls, told, strict=True):
            (clear,) = call.playback.clears
            media = [m for m in call.playback.media if m.arrived_ms <= clear.at_ms]
            count = words_told(STORY, text)
            assert count is not None, f"{text!r} is not how the story begins"
            played = words_played(pieces_of(STORY, known), sum(m.kept_bytes for m in media))
            assert abs(count - played) <= 1, f"{played} words were played, told was {text!r}"

            after = b"".join(m.payload for m in call.playback.media[len(media) :])
            assert foreign_bytes(after, pieces_of(ANSWER, known)) == 0
        assert not any(LATE.strip() in said.text for said in provider.heard.said)

        for call, text in zip(calls, told, strict=True):
            call.hang_up()
            await call.wait_ended()
            turns = (await w.record(call.call_sid))["transcript"]
            agent = [turn["text"] for turn in turns if turn["role"] == "assistant"]
            assert agent == [*([text] if text else []), ANSWER]
