"""Everything that an agent has to say, with every form of a response without sound: what the caller
hears.

Each cell of the table is a call of its own. There is a service for each agent, and its calls run at
once. The Realtime server is bench/silences/played.py; the external voice is a stand-in that plays a
tone.
"""

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from math import inf

import msgspec

from bench.silences import stage
from bench.silences.calls import Outcome, Place, hold
from bench.silences.forms import FORMS, Speaker
from bench.silences.played import Cell
from bench.silences.wishes import WISHES, Phone

AT_ONCE = 100
NEW_EVERY_S = 0.05
SPEAKERS: tuple[Speaker, ...] = ("native", "external")
HEADINGS = ("voice", "form", "answers", *(wish.name for wish in WISHES), "")
LEGEND = (
    "Seconds from when the words were due. If the second try answers: to the words. If no try "
    "does: to the first sound, and to a human or <Say>. "
    "-: never; g: ended without a word; u: unheard text left; ?: not measured; !: broken."
)


def places(text: str = "") -> list[Place]:
    """The cells of the table. `text`: only those with this in the name of wish or form."""
    return [
        Place(wish, form, speaker, never)
        for speaker in SPEAKERS
        for form in FORMS
        if speaker in form.speakers
        for never in ((False,) if form.sounds else (False, True))
        for wish in WISHES
        if text in wish.name or text in form.name
    ]


async def measure(wanted: Sequence[Place]) -> list[Outcome]:
    """Make all calls. Returns the outcome of each."""
    cells = {
        index: Cell(
            index,
            place.form.play,
            place.never,
            fresh=place.form.fresh,
            steps=list(place.wish.steps),
        )
        for index, place in enumerate(wanted)
    }
    needed = {(place.speaker, place.wish.profile) for place in wanted}
    async with stage.phones(cells, needed) as phones:
        return await _hold_all(wanted, cells, phones)


async def _hold_all(
    wanted: Sequence[Place],
    cells: Mapping[int, Cell],
    phones: Mapping[tuple[Speaker, str], Phone],
) -> list[Outcome]:
    """Make `AT_ONCE` calls at a time, shuffled, so that all services are busy."""
    outcomes: dict[int, Outcome] = {}
    room = asyncio.Semaphore(AT_ONCE)

    async def one(index: int, place: Place) -> None:
        async with room:
            phone = phones[place.speaker, place.wish.profile]
            outcomes[index] = await hold(place, cells[index], phone)

    shuffled = list(enumerate(wanted))
    random.Random(0).shuffle(shuffled)
    async with asyncio.TaskGroup() as group:
        for index, place in shuffled:
            group.create_task(one(index, place))
            await asyncio.sleep(NEW_EVERY_S)
    return [outcomes[index] for index in range(len(wanted))]


# --- the table ------------------------------------------------------------------------------------


def rows(outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """The table: a line for each voice, form, and which try answers; a column for each wish."""
    return list(_rows(outcomes))


def _rows(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, ...]]:
    lines: dict[tuple[str, str, bool], dict[str, Outcome]] = {}
    for outcome in outcomes:
        place = outcome.place
        line = lines.setdefault((place.speaker, place.form.name, place.never), {})
        line[place.wish.name] = outcome
    for (speaker, form, never), line in lines.items():
        cells = [line[wish.name].text if wish.name in line else "" for wish in WISHES]
        kept = not any(each.broken for each in line.values())
        answers = "never" if never else "the 2nd"
        yield speaker, form, answers, *cells, "PASS" if kept else "FAIL"


def remarks(outcomes: Sequence[Outcome]) -> list[str]:
    """The broken limits, with the number of cells and their wishes."""
    broken: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        for what in outcome.broken:
            broken.setdefault(what, []).append(outcome)
    said = [f"{sum(bool(each.broken) for each in outcomes)} of {len(outcomes)} cells are broken:"]
    for what, where in sorted(broken.items(), key=lambda each: -len(each[1])):
        wishes = ", ".join(dict.fromkeys(each.place.wish.name for each in where))
        said.append(f"{len(where):5}  {what}: {wishes}")
    return said


def as_json(outcomes: Sequence[Outcome]) -> bytes:
    """Every cell, as JSON."""
    cells = [
        {
            "wish": each.place.wish.name,
            "form": each.place.form.name,
            "voice": each.place.speaker,
            "answers": "never" if each.place.never else "the 2nd",
            "words_ms": _ms(each.words_ms),
            "sound_ms": _ms(each.sound_ms),
            "help_ms": _ms(each.help_ms),
            "let_go": each.let_go,
            "left": each.left,
            "tries": each.tries,
            "status": each.status,
            "ended_by": each.ended_by,
            "decisions": each.decisions,
            "silences": each.silences,
            "broken": each.broken,
        }
        for each in outcomes
    ]
    return msgspec.json.format(msgspec.json.encode(cells))


def _ms(value: float) -> float | None:
    return None if value == inf else round(value)
