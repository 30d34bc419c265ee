"""Coughs beside interruptions, measured in four parts: what goes on, what is interrupted, how soon
the caller is answered, and what it costs.

The seeds of the test are not those with which anything was tuned: `SEED` is used here only.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import uvloop

from bench.coughs import calls, cost, turns
from bench.coughs.calls import Talk
from bench.coughs.judge import Outcome
from bench.coughs.sounds import Kind
from bench.process import CORES, pin
from bench.samples import percentile
from bench.voices.ways import NATIVE, WAYS, Way

SEED = 1501
PARTS = ("sounds", "turns", "cost")
#: The share of the model's own voice; the others share the rest.
NATIVE_SHARE = 0.4
CALLS = 12
RESUMED = 0.99
LOST_MS, LOST_JITTER_MS = 20.0, 45.0
HEARD_AGAIN_MS = 2500.0
CLEARED_MS = 2.0
TRUNCATION_MS = 20.0
ANSWER_MS = 60.0
BUSY_OTHERS = 0.1  # of a core; above it a figure is doubtful
VOICES: tuple[Way | None, ...] = (
    None,
    *(way for way in WAYS if way.name in ("qwen commit", "volcengine v1", "volcengine v3", "http")),
)


@dataclass(frozen=True, slots=True)
class Part:
    """The result of one part."""

    title: str
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]
    remarks: list[str]

    @property
    def kept(self) -> bool:
        return not any(row[-1] == "FAIL" for row in self.rows)


@dataclass(frozen=True, slots=True)
class Judged:
    """An outcome, with what the table needs of its call."""

    voice: str
    outcome: Outcome
    delay_ms: float
    jitter_ms: float
    #: None: it was not truncated, or has no audio at the model.
    truncation_ms: float | None
    #: When its transcript was sent; None: none was.
    transcript_ms: float | None


def measure(
    parts: tuple[str, ...], each: int, seed: int, say: Callable[[str], None]
) -> Iterator[Part]:
    """Measure parts, and yield each when it is done.

    `each`: sounds of each kind. `say`: gets the progress.

    Raises RuntimeError with the end of its log if a service does not start or ends early.
    """
    if CORES:
        pin(0, CORES[1])
    # An interruption disconnects a client, and aiohttp's server would log each.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    say(f"seed {seed}")
    if "sounds" in parts:
        yield from _sounds(each, seed, say)
    if "turns" in parts:
        say(f"{each // 4} turns of each kind, with and without …")
        compared = uvloop.run(turns.measure(each // 4, seed))
        title = "From the commit of the caller's turn to the first audio of the answer"
        yield Part(title, turns.HEADINGS, [each.row for each in compared], [])
    if "cost" in parts:
        yield Part("What measuring a frame costs", cost.HEADINGS, [cost.measure(seed).row], [])


def _sounds(each: int, seed: int, say: Callable[[str], None]) -> Iterator[Part]:
    judged: list[Judged] = []
    doubts: list[str] = []
    native = round(each * NATIVE_SHARE)
    other = -(-(each - native) // (len(VOICES) - 1))
    for number, way in enumerate(VOICES):
        name, count = (way.name, other) if way else (NATIVE.name, native)
        say(f"{name}: {count} sounds that are no interruption, and as many interruptions …")
        talks, others = uvloop.run(calls.measure(way, count, CALLS, seed + number))
        if others > BUSY_OTHERS:
            doubts.append(f"{name}, doubtful: other processes used {others:.0%} of a core")
        judged += [each for talk in talks for each in _judged(name, talk)]
    harmless = [each for each in judged if not each.outcome.said.event.sound.interrupts]
    interrupting = [each for each in judged if each.outcome.said.event.sound.interrupts]
    yield Part(
        "Coughs, bangs and “mm-hm” while the agent speaks",
        HARMLESS_HEADINGS,
        [_harmless(name, some) for name, some in _groups(harmless)],
        [_remark(each) for each in harmless if _odd(each, each.outcome.lost_ms)],
    )
    yield Part(
        "Interruptions among them",
        INTERRUPTING_HEADINGS,
        [_interrupting(name, some) for name, some in _groups(interrupting)],
        [_remark(each) for each in interrupting if _odd(each, each.truncation_ms)] + doubts,
    )


def _judged(voice: str, talk: Talk) -> Iterator[Judged]:
    network = talk.network
    for outcome in talk.outcomes:
        event = outcome.said.event
        if event.filler:
            continue
        error_ms = talk.truncation_error_ms(outcome) if event.answered else None
        sent_ms = None
        if outcome.said.committed_ms is not None and not event.fate.failed:
            sent_ms = outcome.said.committed_ms + event.fate.delay_ms
        yield Judged(voice, outcome, network.delay_ms, network.jitter_ms, error_ms, sent_ms)


def _groups(judged: Sequence[Judged]) -> Iterator[tuple[str, list[Judged]]]:
    """By voice, by kind and by what became of the transcript, and all."""
    names: list[Callable[[Judged], str]] = [
        lambda each: each.voice,
        lambda each: each.outcome.said.event.sound.kind.value,
        _fate,
        lambda _each: "all",
    ]
    for name_of in names:
        for name in dict.fromkeys(map(name_of, judged)):
            yield name, [each for each in judged if name_of(each) == name]


def _fate(each: Judged) -> str:
    event = each.outcome.said.event
    return f"transcript {'invented' if event.invented else event.fate.name}"


def _detected(judged: Iterable[Judged]) -> list[Judged]:
    """Those that the model's turn detection reported."""
    return [each for each in judged if each.outcome.said.started_ms is not None]


def _odd(each: Judged, off_ms: float | None) -> bool:
    """Whether something else became of it than expected, or its places are far off."""
    if each.outcome.said.started_ms is None:
        return False
    most_ms = LOST_JITTER_MS if each.jitter_ms else LOST_MS
    return not each.outcome.as_expected or abs(off_ms or 0.0) > most_ms


def _remark(each: Judged) -> str:
    """One sound in words. A clear that took long shows that the machine was busy."""
    outcome, event = each.outcome, each.outcome.said.event
    steps = []
    if outcome.cleared_ms is not None and outcome.said.started_ms is not None:
        late_ms = outcome.cleared_ms - outcome.said.started_ms - each.delay_ms
        steps.append(f"cleared after {late_ms:.0f} ms and the line's delay")
    if outcome.lost_ms is not None:
        steps.append(f"went on, {outcome.lost_ms:.0f} ms lost")
    if outcome.answered_ms is not None:
        steps.append("answered")
    if each.truncation_ms is not None:
        steps.append(f"truncated {each.truncation_ms:.0f} ms off")
    return (
        f"{each.voice}, {each.delay_ms:g} ± {each.jitter_ms:g} ms: {event.sound.kind.value} of "
        f"{event.sound.ms:.0f} ms, {_fate(each)}: {', '.join(steps) or 'not noticed'}"
    )


# --- sounds that are no interruption ----------------------------------------------------------

HARMLESS_HEADINGS = (
    "sounds",
    "made",
    "reported",
    "to go on",
    "went on",
    "lost or doubled ms, constant delay",
    "± 20 ms, p99",
    "heard again ms, most",
    "",
)


def _harmless(name: str, judged: Sequence[Judged]) -> tuple[str, ...]:
    detected = _detected(judged)
    right = [each for each in detected if not each.outcome.said.event.invented]
    on = [each for each in right if each.outcome.resumed is not None]
    steady, shaken = (
        sorted(
            abs(each.outcome.lost_ms)
            for each in detected
            if each.outcome.lost_ms is not None and bool(each.jitter_ms) is jitter
        )
        or [0.0]
        for jitter in (False, True)
    )
    again = [
        each.outcome.resumed_ms - each.outcome.said.started_ms
        for each in detected
        if each.outcome.resumed_ms is not None and each.outcome.said.started_ms is not None
    ]
    kept = (
        len(on) >= RESUMED * len(right)
        and steady[-1] <= LOST_MS
        and percentile(shaken, 99) <= LOST_JITTER_MS
        and max(again, default=0) <= HEARD_AGAIN_MS
    )
    return (
        name,
        str(len(judged)),
        str(len(detected)),
        str(len(right)),
        f"{len(on)} (≥ {RESUMED:.0%})" if right else "",
        f"{steady[-1]:.1f} (≤ {LOST_MS:g})",
        f"{percentile(shaken, 99):.1f} (≤ {LOST_JITTER_MS:g})",
        f"{max(again):.0f} (≤ {HEARD_AGAIN_MS:g})" if again else "",
        "PASS" if kept else "FAIL",
    )


# --- interruptions ----------------------------------------------------------------------------

INTERRUPTING_HEADINGS = (
    "interruptions",
    "made",
    "cleared ms, p99, no delay",
    "truncation off ms, p99, constant delay",
    "± 20 ms, p99",
    "words in time",
    "went on all the same",
    "answered after the words ms, p99",
    "",
)


def _interrupting(name: str, judged: Sequence[Judged]) -> tuple[str, ...]:
    detected = _detected(judged)
    cleared = sorted(
        each.outcome.cleared_ms - each.outcome.said.started_ms
        for each in detected
        if not each.delay_ms
        and each.outcome.cleared_ms is not None
        and each.outcome.said.started_ms is not None
    )
    steady, shaken = (
        sorted(
            abs(each.truncation_ms)
            for each in detected
            if each.truncation_ms is not None and bool(each.jitter_ms) is jitter
        )
        for jitter in (False, True)
    )
    in_time = [each for each in detected if each.outcome.said.event.fate.in_time]
    on = [each for each in in_time if each.outcome.resumed is not None]
    answers = sorted(
        each.outcome.answered_ms - each.delay_ms - each.transcript_ms
        for each in in_time
        if each.outcome.said.event.sound.kind is Kind.WORD
        and each.voice == NATIVE.name
        and each.outcome.answered_ms is not None
        and each.transcript_ms is not None
        and not each.jitter_ms
    )
    lost = len(judged) - len(detected)
    kept = (
        not lost
        and not on
        and _p99(cleared) <= CLEARED_MS
        and _p99(steady) <= TRUNCATION_MS
        and _p99(answers) <= ANSWER_MS
    )
    return (
        name,
        str(len(judged)),
        f"{_p99(cleared):.1f} (≤ {CLEARED_MS:g})" if cleared else "",
        f"{_p99(steady):.1f} (≤ {TRUNCATION_MS:g})" if steady else "",
        f"{_p99(shaken):.1f}" if shaken else "",
        str(len(in_time)),
        f"{len(on)} (0)",
        f"{_p99(answers):.1f} (≤ {ANSWER_MS:g})" if answers else "",
        "PASS" if kept else "FAIL",
    )


def _p99(ordered: Sequence[float]) -> float:
    return percentile(ordered, 99) if ordered else 0.0
