"""One cell of the table: a call in which a response has no sound, and what the caller heard."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from typing import Any

import aiohttp

from app.simulator.twilio import Call, CallEnded
from app.simulator.twilio.media.playback import PlayedMedia
from bench import stamps
from bench.model import now_ms
from bench.process import API_TOKEN
from bench.silences.forms import Form, Speaker
from bench.silences.played import Cell, PlayedSession, is_unspoken
from bench.silences.wishes import Phone, Wish

WORDS_MS = 6000.0  # if the second try answers
SOUND_MS = 8000.0  # if no try does
HELP_MS = 15_000.0
WAITS_MS = 20_000.0
ASKED_WITHIN_MS = 25_000.0
LOOK_S = 0.05
PAUSE_MS = 50.0  # shorter ones do not end a sentence
SETTLES_MS = 700.0  # after the first words
SETTLES_LATE_MS = 6000.0  # after those of the first try, which must stay the only one
ENDED_WITHIN_S = 4.0
UNHEARD_MS = 200.0  # of an item: its mark may be on its way
TOLERANCE_MS = 50.0  # one `LOOK_S`: times are polled

HZ_PERIOD_BYTES = 8  # of the tone of the external voice: 1000 Hz
LEAST_TONE_BYTES = 80
_SILENT = frozenset(b"\xff\x7f")


@dataclass(frozen=True, slots=True)
class Place:
    """A cell's place in the table."""

    wish: Wish
    form: Form
    speaker: Speaker
    #: No try answers; False: the second one does.
    never: bool


@dataclass(slots=True)
class Outcome:
    """What the caller heard. Times count from when the answer was due; infinity: never."""

    place: Place
    #: Until the agent's words.
    words_ms: float = inf
    #: Until any sound.
    sound_ms: float = inf
    #: Until a human is dialled or Twilio says something.
    help_ms: float = inf
    #: The call ended, or went to a human, without words or help.
    let_go: bool = False
    #: Texts in the conversation or the record that the caller did not hear.
    left: list[str] = field(default_factory=list)
    #: Responses that were created for the answer.
    tries: int = 0
    status: str = ""
    ended_by: str = ""
    #: The decisions in the record, with their reasons.
    decisions: list[str] = field(default_factory=list)
    #: The silences in the record: cause and seconds.
    silences: list[str] = field(default_factory=list)
    #: Why the cell could not be measured.
    fault: str = ""

    @property
    def answers(self) -> bool:
        """Whether the caller must hear words."""
        return self.place.form.sounds or not self.place.never

    @property
    def broken(self) -> list[str]:
        """The limits that are not kept."""
        if self.fault:
            return [self.fault]
        broken = []
        if self.let_go:
            broken.append("let go without a word")
        if self.answers:
            most_ms = HELP_MS if self.place.form.fresh else WORDS_MS
            if self.words_ms > most_ms + TOLERANCE_MS:
                broken.append("words too late")
        if not self.answers or self.place.form.fresh:
            if self.sound_ms > SOUND_MS + TOLERANCE_MS:
                broken.append("sound too late")
        if not self.answers and self.help_ms > HELP_MS + TOLERANCE_MS:
            broken.append("help too late")
        if self.left:
            broken.append("unheard text left")
        if self.place.form.sounds and any("ask again" in each for each in self.decisions):
            broken.append("asked for again though it was heard")
        return broken

    @property
    def text(self) -> str:
        """The cell: seconds to the words, or to the first sound and to help."""
        seconds = [self.words_ms] if self.answers else [self.sound_ms, self.help_ms]
        told = " ".join("-" if each == inf else f"{each / 1000:.1f}" for each in seconds)
        if self.fault:
            told = "?"
        marks = [(self.let_go, "g"), (bool(self.left), "u"), (bool(self.broken), "!")]
        return told + "".join(mark for holds, mark in marks if holds)


async def hold(place: Place, cell: Cell, phone: Phone) -> Outcome:
    """Make the call of a cell, and record what the caller hears."""
    outcome, call = Outcome(place), None
    try:
        began_ms = now_ms()
        call = await place.wish.begin(phone, cell)
        while True:
            await asyncio.sleep(LOOK_S)
            if _over(place, cell, call, began_ms):
                break
        _read(outcome, cell, call)
    except (CallEnded, TimeoutError, aiohttp.ClientError) as error:
        outcome.fault = f"{type(error).__name__} before it was due: {error}"[:120]
    if call is not None:
        call.hang_up()
        with suppress(TimeoutError):
            async with asyncio.timeout(ENDED_WITHIN_S):
                await call.wait_ended()
        await _judge_record(outcome, call, phone)
    return outcome


def _due_ms(place: Place, cell: Cell, call: Call) -> float:
    """When the words were due: when the response was created, or when a broken-off one ended."""
    if cell.broke_off_ms:
        return _end_of_words_ms(call, cell.asked_ms[0]) or cell.broke_off_ms
    if place.wish.from_call:
        return min(cell.asked_ms[0], cell.called_ms)
    return cell.asked_ms[0]


def _end_of_words_ms(call: Call, from_ms: float) -> float:
    """When the first words since then ended; 0: there were none."""
    end_ms = 0.0
    for media in _heard(call, from_ms):
        if end_ms and media.starts_ms > end_ms + PAUSE_MS:
            break
        if end_ms or is_speech(media.payload):
            end_ms = media.ends_ms
    return end_ms


def _over(place: Place, cell: Cell, call: Call, began_ms: float) -> bool:
    """Whether the call can end: there is nothing more to measure."""
    if not call.is_live:
        return True
    if not cell.asked_ms:
        return now_ms() > began_ms + ASKED_WITHIN_MS
    due_ms = _due_ms(place, cell, call)
    words_ms = first_words_ms(call, due_ms)
    if words_ms < inf and not (place.never and not place.form.sounds):
        quiet_ms = call.playback.plays_until_ms
        settles_ms = SETTLES_LATE_MS if place.form.sounds else SETTLES_MS
        return now_ms() > max(words_ms, quiet_ms) + settles_ms or _helped(place, call, due_ms) < inf
    if call.dialed or _helped(place, call, due_ms) < inf:
        return True
    return now_ms() > max(due_ms, cell.tool_ms) + WAITS_MS


def _read(outcome: Outcome, cell: Cell, call: Call) -> None:
    outcome.tries = len(cell.asked_ms)
    if not cell.asked_ms:
        ended = f" ({call.status})" if not call.is_live else ""
        outcome.fault = f"the words were never asked for{ended}"
        return
    place = outcome.place
    due_ms = _due_ms(place, cell, call)
    helped_ms = _helped(place, call, due_ms)
    outcome.words_ms = first_words_ms(call, due_ms) - due_ms
    outcome.sound_ms = min(first_sound_ms(call, due_ms), helped_ms) - due_ms
    # A caller who waits for a tool gets its answer, which is due when the tool returns.
    outcome.help_ms = helped_ms - max(due_ms, cell.tool_ms)
    heard = min(outcome.words_ms, outcome.help_ms)
    gone = not call.is_live or (place.wish.needs_words and bool(call.dialed))
    outcome.let_go = gone and heard == inf
    outcome.left = [*cell.left]
    session = cell.sessions[-1]
    if not session.closed.is_set() and call.is_live:
        outcome.left += session.unspoken + _unheard(session, call)


def _helped(place: Place, call: Call, due_ms: float) -> float:
    """When a human was dialled or Twilio spoke; infinity: never."""
    moments = [each.at_ms for each in call.spoken_by_twilio if each.verb == "Say"]
    if not place.wish.needs_words:
        moments += [each.at_ms for each in call.dialed]
    return min((at_ms for at_ms in moments if at_ms >= due_ms), default=inf)


# --- what was heard -------------------------------------------------------------------------------


def first_words_ms(call: Call, from_ms: float = -inf) -> float:
    """When the caller heard the agent's first words since then; infinity: never."""
    return next((each.starts_ms for each in _heard(call, from_ms) if is_speech(each.payload)), inf)


def first_sound_ms(call: Call, from_ms: float) -> float:
    """When the caller heard the first sound since then; infinity: never."""
    heard = _heard(call, from_ms)
    return next((each.starts_ms for each in heard if not _SILENT.issuperset(each.payload)), inf)


def _heard(call: Call, from_ms: float) -> Iterator[PlayedMedia]:
    media = call.playback.media
    return (each for each in media if each.kept_bytes and each.starts_ms >= from_ms)


def is_speech(ulaw: bytes) -> bool:
    """Whether audio is the agent's voice: the model's, which is stamped, or the external one, a
    tone of 1000 Hz."""
    if stamps.AGENT in ulaw:
        return True
    tone = ulaw[: len(ulaw) // HZ_PERIOD_BYTES * HZ_PERIOD_BYTES][-LEAST_TONE_BYTES:]
    period = tone[:HZ_PERIOD_BYTES]
    steady = tone == period * (len(tone) // HZ_PERIOD_BYTES)
    return len(tone) == LEAST_TONE_BYTES and steady and not _SILENT.issuperset(tone)


def _unheard(session: PlayedSession, call: Call) -> list[str]:
    """Items in the conversation whose audio the caller did not hear."""
    heard: dict[int, int] = {}
    for media in call.playback.media:
        stamp = stamps.unpack(media.payload)
        if stamp is not None and stamp.kind == stamps.AGENT:
            heard[stamp.owner] = heard.get(stamp.owner, 0) + media.kept_bytes
    return [
        f"{answer.item_id}: {answer.length_ms:.0f} ms, heard {heard.get(answer.number, 0) / 8:.0f}"
        for answer in (session.call.answers if session.call else ())
        if answer.item_id in session.items
        and answer.length_ms - heard.get(answer.number, 0) / 8 > UNHEARD_MS
    ]


# --- what the record says -------------------------------------------------------------------------


async def read_record(phone: Phone, call: Call) -> dict[str, Any]:
    """The call's record from the HTTP API; empty while there is none."""
    headers = {"Authorization": f"Bearer {API_TOKEN}"}
    async with phone.http.get(f"{phone.url}/calls/{call.call_sid}", headers=headers) as answer:
        record: dict[str, Any] = await answer.json() if answer.status == 200 else {}
    return record


async def _judge_record(outcome: Outcome, call: Call, phone: Phone) -> None:
    """Read the record of an ended call into the outcome."""
    record: dict[str, Any] = {}
    for _ in range(int(ENDED_WITHIN_S / LOOK_S)):
        record = await read_record(phone, call)
        if record.get("ended_at"):
            break
        await asyncio.sleep(LOOK_S)
    outcome.status, outcome.ended_by = record.get("status", ""), record.get("ended_by") or ""
    outcome.decisions = [
        f"{event['data'].get('decision')}: {event['data'].get('reason')}"
        for event in record.get("events", ())
        if "decision" in event["data"]
    ]
    outcome.silences = [
        f"{event['data']['cause']} {event['data']['length_ms'] / 1000:.1f}"
        for event in record.get("events", ())
        if event["name"] == "ReportSilence"
    ]
    outcome.left += [
        f"in the record: {turn['text']}"
        for turn in record.get("transcript", ())
        if turn["role"] == "assistant" and is_unspoken(turn["text"])
    ]
