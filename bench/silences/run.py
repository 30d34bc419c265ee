"""Every wish for words, met by every form of an answer without sound: what becomes of the caller.

Each cell is a call of its own; the services, one for each agent that is needed, take them side by
side. The Realtime server is bench/silences/played.py; an external voice is a stand-in that hums.
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
    "Seconds from the moment at which the words were due. Where the second try answers: to the "
    "words. Where none does: to the first sound, and to a human or <Say>. "
    "-: never; g: let go without a word; u: unheard text left; ?: never came so far; !: broken."
)


def places(text: str = "") -> list[Place]:
    """Every cell of the table. `text`: only those with this in the name of the wish or the form."""
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
    """Hold all calls, and say what became of each."""
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
    """Some at once; in any order, so that no service has them all."""
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
    """A line for each voice, form, and whether a try answers; a column for each wish."""
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
    """What is broken, in how many cells and for which wishes."""
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
    """Every cell with all that is known of it."""
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
            "broken": each.broken,
        }
        for each in outcomes
    ]
    return msgspec.json.format(msgspec.json.encode(cells))


def _ms(value: float) -> float | None:
    return None if value == inf else round(value)
