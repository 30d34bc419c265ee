"""What the parts judge by: records compared, waits and gaps measured. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from statistics import median
from typing import Any

from bench.strangers.gaps import Span, Stalls

HEADINGS = ("part", "what", "limit", "measured", "")
#: Decisions that only replicas report: the call is the same without them.
_OF_REPLICAS = frozenset({"call taken over"})


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    part: str
    what: str
    limit: str
    measured: str
    #: None: there is no limit.
    kept: bool | None
    #: What went wrong, in sentences.
    remarks: Sequence[str] = field(default=())

    @property
    def row(self) -> tuple[str, ...]:
        """Its cells, with the verdict."""
        verdict = {None: "", True: "PASS", False: "FAIL"}[self.kept]
        return (self.part, self.what, self.limit, self.measured, verdict)


def shape(record: Mapping[str, Any]) -> dict[str, Any]:
    """What two records of the same script have in common: all but times, ids and costs. The text
    of an interrupted answer depends on time as well."""
    turns = [
        (turn["role"], "(cut)" if turn.get("cut") else turn["text"])
        for turn in record.get("transcript", ())
    ]
    transfers = [
        (each["destination"], each["outcome"], bool(each.get("warm")))
        for each in record.get("transfers", ())
    ]
    data = [each["data"] for each in record.get("events", ())]
    decisions = [each["decision"] for each in data if "decision" in each]
    return {
        "status": record.get("status"),
        "ended_by": record.get("ended_by"),
        "direction": record.get("direction"),
        "turns": turns,
        "transfers": transfers,
        "decisions": [each for each in decisions if each not in _OF_REPLICAS],
    }


def differences(record: Mapping[str, Any], reference: Mapping[str, Any]) -> list[str]:
    """In what the shape of a record differs from a reference's; empty: in nothing."""
    if not record:
        return ["there is no record of its end"]
    found = shape(record)
    wanted = shape(reference)
    return [
        f"{key}: {found[key]}, not {wanted[key]}" for key in wanted if found[key] != wanted[key]
    ]


def longest_silence_ms(
    spans: Iterable[Span], window: Span, stalls: Stalls, *, goes_on: bool = True
) -> float:
    """The longest silence that a caller heard in a window in which the agent spoke all the time.

    `spans`: when audio played. `goes_on`: the agent still spoke at the window's end. What the bench
    itself stalled is left out.
    """
    start_ms, end_ms = window
    heard = [(max(a, start_ms), min(b, end_ms)) for a, b in spans if b > start_ms and a < end_ms]
    edges: list[Span] = [(start_ms, start_ms), *heard]
    if goes_on:
        edges.append((end_ms, end_ms))
    return max(
        (
            begin - end - stalls.within(end, begin)
            for (_, end), (begin, _) in pairwise(edges)
            if begin > end
        ),
        default=0.0,
    )


def back_ms(asked_ms: Iterable[float], heard_ms: Iterable[float], since_ms: float) -> float:
    """From Twilio's first question after `since_ms` to the first sound after that; infinity: the
    caller is not back."""
    asked = min((each for each in asked_ms if each >= since_ms), default=inf)
    return min((each for each in heard_ms if each >= asked), default=inf) - asked


def growth(samples_kb: Sequence[float]) -> float:
    """How much memory grew from the first third of a run to its end, as a share; the medians of a
    twentieth of the samples are compared."""
    if len(samples_kb) < 3:
        return 0.0
    width = max(1, len(samples_kb) // 20)
    third = len(samples_kb) // 3
    early = median(samples_kb[third : third + width])
    return median(samples_kb[-width:]) / early - 1


def missing(told: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """The texts that a model was not told, in order."""
    known = list(told)
    return [each for each in wanted if not any(each in text for text in known)]
