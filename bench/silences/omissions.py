"""Realtime servers that omit fields or events: the call must go on as with the complete ones."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any

from app.simulator.twilio import Call, CallEnded
from bench.model import new_id, now_ms
from bench.silences import stage
from bench.silences.calls import LOOK_S, SOUND_MS, first_sound_ms, first_words_ms, read_record
from bench.silences.played import Cell, PlayedSession, Step, words_of
from bench.silences.wishes import Phone, greeted, ring, spoken_to

WITHIN_MS = 4000.0
HEADINGS = ("a server that leaves out", "what has to happen", "ms", "")
INTERRUPTS_AFTER_MS = 400.0
SPEAKS_MS = 1000

Happened = Callable[[Phone, Cell, Call], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Omission:
    """What a server omits, and what must happen nevertheless."""

    name: str
    #: What must happen, in words.
    wanted: str
    #: The responses of the model.
    steps: tuple[Step, ...]
    #: Makes the call, up to the omission.
    begin: Callable[[Phone, Cell], Awaitable[Call]]
    #: Whether it has happened; polled after `begin`.
    happened: Happened
    #: How soon after `begin`.
    within_ms: float = WITHIN_MS


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one omission."""

    omission: Omission
    #: Until it happened; None: it did not.
    ms: float | None

    @property
    def row(self) -> tuple[str, ...]:
        told = "never" if self.ms is None else f"{self.ms:.0f} (≤ {self.omission.within_ms:.0f})"
        return self.omission.name, self.omission.wanted, told, "FAIL" if self.broken else "PASS"

    @property
    def broken(self) -> bool:
        return self.ms is None or self.ms > self.omission.within_ms


async def measure() -> list[Result]:
    """Make a call for each omission, all at once."""
    cells = {
        index: Cell(index, PlayedSession.speak, never=False, steps=list(each.steps))
        for index, each in enumerate(OMISSIONS)
    }
    async with stage.phones(cells, [("native", "talk")]) as phones:
        phone = phones["native", "talk"]
        return await asyncio.gather(
            *(_try(each, phone, cells[index]) for index, each in enumerate(OMISSIONS))
        )


async def _try(omission: Omission, phone: Phone, cell: Cell) -> Result:
    call: Call | None = None
    took_ms = None
    with suppress(CallEnded, TimeoutError):
        call = await omission.begin(phone, cell)
        began_ms = now_ms()
        while took_ms is None and now_ms() < began_ms + 2 * omission.within_ms:
            if await omission.happened(phone, cell, call):
                took_ms = now_ms() - began_ms
            await asyncio.sleep(LOOK_S)
    if call is not None:
        call.hang_up()
        await call.wait_ended()
    return Result(omission, took_ms)


# --- what is omitted ------------------------------------------------------------------------------


async def _interrupted(phone: Phone, cell: Cell, **left: Any) -> Call:
    call = await ring(phone, cell)
    await call.wait_heard(int(INTERRUPTS_AFTER_MS) * 8)
    cell.sessions[-1].send("input_audio_buffer.speech_started", **left)
    return call


def _without_ids(session: PlayedSession) -> None:
    """An answer whose transcript events have no ids."""
    assert session.cell is not None
    session.begin()
    item, text = session.message(), "".join(words_of(session.cell.index))
    session.part("audio")
    session.send("response.output_audio_transcript.delta", delta=text)
    session.sound(session.deltas)
    session.send("response.output_audio_transcript.done", transcript=text)
    done = session.complete(item, {"type": "output_audio", "transcript": text})
    session.end("completed", done)


def _anonymous_audio(session: PlayedSession) -> None:
    """An answer whose audio deltas have no ids."""
    session.begin()
    item = session.message()
    session.sound(session.deltas, named=False)
    done = session.complete(item, {"type": "output_audio", "transcript": ""})
    session.end("completed", done)


def _tool_in_done(session: PlayedSession, name: str) -> None:
    """A function call that appears in `response.done` only."""
    assert session.cell is not None
    session.begin()
    call = {"type": "function_call", "name": name, "call_id": new_id("call"), "arguments": "{}"}
    session.end("completed", {**call, "id": new_id("item"), "status": "completed"})
    session.cell.called_ms = now_ms()


async def _heard_without_id(phone: Phone, cell: Cell) -> Call:
    call = await greeted(phone, cell)
    kind = "conversation.item.input_audio_transcription.completed"
    session = cell.sessions[-1]
    session.turn()
    session.at(now_ms() + 500, lambda: session.send(kind, transcript="Without an id."))
    return call


async def _spoke(phone: Phone, cell: Cell, *, reported: int) -> Call:
    """The caller has spoken, and the server sends the first so many events of that."""
    call = await greeted(phone, cell)
    events = ("speech_started", "speech_stopped", "committed")[:reported]
    call.say(random.Random(0).randbytes(SPEAKS_MS * 8))
    for number, event in enumerate(events):
        if number == 1:
            await call.wait_spoken()
        cell.sessions[-1].send(f"input_audio_buffer.{event}", item_id="item_caller")
    await call.wait_spoken()
    return call


# --- what must happen -----------------------------------------------------------------------------


async def _cleared(_phone: Phone, _cell: Cell, call: Call) -> bool:
    return bool(call.playback.clears)


async def _heard(_phone: Phone, _cell: Cell, call: Call) -> bool:
    return first_words_ms(call) < inf


async def _sounded(_phone: Phone, _cell: Cell, call: Call) -> bool:
    return first_sound_ms(call, call.voice.spans[-1][1]) < inf


async def _tool_answered(_phone: Phone, cell: Cell, _call: Call) -> bool:
    return bool(cell.tool_ms)


async def _hung_up(_phone: Phone, _cell: Cell, call: Call) -> bool:
    return not call.is_live


def _written(text: str) -> Happened:
    async def happened(phone: Phone, cell: Cell, call: Call) -> bool:
        turns = (await read_record(phone, call)).get("transcript", ())
        return any(text.format(cell.index) in turn["text"] for turn in turns)

    return happened


_SPEAK = PlayedSession.speak

OMISSIONS = (
    Omission(
        "nothing",
        "the line is cleared",
        (_SPEAK,),
        partial(_interrupted, item_id="item_caller", audio_start_ms=900),
        _cleared,
    ),
    Omission(
        "speech_started: item and time", "the line is cleared", (_SPEAK,), _interrupted, _cleared
    ),
    Omission(
        "speech_started: the item",
        "the line is cleared",
        (_SPEAK,),
        partial(_interrupted, audio_start_ms=900),
        _cleared,
    ),
    Omission(
        "speech_started: the time",
        "the line is cleared",
        (_SPEAK,),
        partial(_interrupted, item_id="item_caller"),
        _cleared,
    ),
    Omission(
        "the agent's transcript: ids",
        "the record has its words",
        (_without_ids,),
        ring,
        _written("Line {} has your answer here."),
    ),
    Omission(
        "the caller's transcript: its id",
        "the record has their words",
        (_SPEAK, _SPEAK),
        _heard_without_id,
        _written("Without an id."),
    ),
    *(
        Omission(
            f"the caller's speech: {what}",
            "a sound is heard",
            (_SPEAK,),
            partial(_spoke, reported=reported),
            _sounded,
            within_ms=SOUND_MS,
        )
        for reported, what in enumerate(
            ("every event", "all but its beginning", "the commit, and the answer", "the answer")
        )
    ),
    Omission("audio: ids", "it is heard", (_anonymous_audio,), ring, _heard),
    Omission(
        "output_item events of a tool call",
        "the tool is run",
        (_SPEAK, partial(_tool_in_done, name="look_up")),
        spoken_to,
        _tool_answered,
    ),
    Omission(
        "output_item events of end_call",
        "a goodbye, and the line closes",
        (_SPEAK, partial(_tool_in_done, name="end_call")),
        spoken_to,
        _hung_up,
    ),
)
