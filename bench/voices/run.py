"""External voices, measured in three parts: what the model learns about interruptions, the added
latency, and the cost.

The provider is a stand-in on the loopback, in the process of the load. The service is a process of
its own, started anew for each way of speaking.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import uvloop

from bench.process import CORES, pin
from bench.voices import cost as voices_cost
from bench.voices import heard as voices_heard
from bench.voices import latency as voices_latency
from bench.voices.ways import WAYS

PARTS = ("heard", "added", "cost")
RUNS = 2


@dataclass(frozen=True, slots=True)
class Part:
    """The result of one part."""

    title: str
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]
    #: Its limits are kept.
    kept: bool
    #: Its faults, and reasons to doubt it.
    remarks: list[str]


def measure(
    parts: tuple[str, ...],
    samples: int,
    seconds: float,
    runs: int,
    say: Callable[[str], None],
) -> Iterator[Part]:
    """Measure parts, and yield each when it is done.

    `samples`: interruptions and answers for each way of speaking. `seconds`, `runs`: of the cost.
    `say`: gets the progress.

    Raises RuntimeError with the end of its log if a service does not start or ends early.
    """
    if CORES:
        pin(0, CORES[1])
    # An interruption disconnects a client, and aiohttp's server would log each.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    makers = {"heard": _heard, "added": _added, "cost": _cost}
    for part in parts:
        yield makers[part](samples, seconds, runs, say)


def _heard(samples: int, _seconds: float, _runs: int, say: Callable[[str], None]) -> Part:
    done = []
    for number, way in enumerate(WAYS):
        say(f"{way.name}: {samples} interruptions …")
        done.append(uvloop.run(voices_heard.measure(way, samples, seed=number)))
    return Part(
        "Words that the conversation keeps at interruptions, compared with the words played",
        voices_heard.HEADINGS,
        [each.row for each in done],
        all(each.kept for each in done),
        [f"{each.way}: {remark}" for each in done for remark in each.remarks],
    )


def _added(samples: int, _seconds: float, _runs: int, say: Callable[[str], None]) -> Part:
    done = []
    for way in WAYS:
        say(f"{way.name}: {samples} answers alone, {samples} beside other calls …")
        done += uvloop.run(voices_latency.measure(way, samples))
    return Part(
        "From the text delta that completes the first sentence to its first sound at Twilio, in ms",
        voices_latency.HEADINGS,
        [each.row for each in done],
        all(each.kept for each in done),
        [f"{each.way}, beside {each.beside}: {remark}" for each in done for remark in each.remarks],
    )


def _cost(_samples: int, seconds: float, runs: int, say: Callable[[str], None]) -> Part:
    done = []
    for number in range(runs):
        for way in voices_cost.SUBJECTS:
            name = voices_cost.name(way)
            say(f"{name}: {voices_cost.CALLS} calls for {seconds:g} s, run {number + 1} …")
            done.append(uvloop.run(voices_cost.measure(way, voices_cost.CALLS, seconds)))
    return Part(
        f"What the service's process uses, {voices_cost.CALLS} calls, medians of {runs} runs",
        voices_cost.HEADINGS,
        voices_cost.rows(done),
        not any(cost.faults for cost in done),
        voices_cost.remarks(done),
    )
