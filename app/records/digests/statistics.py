"""Figures of all calls by day, from their digests."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo

from app.records.digests.digest import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFigures:
    """The calls that came in, or were placed, on one day."""

    day: date
    calls: int
    #: How many answers were waited for, and how long, in ms; null: none was.
    answers: int
    response_p50_ms: int | None
    response_p95_ms: int | None
    #: Interruptions of the agent, and sounds that were none.
    interruptions: int
    false_interruptions: int
    #: How many transfers had each outcome.
    transfers: dict[str, int]
    #: Of what has a known price, in US dollars.
    cost_usd: float


def by_day(digests: Iterable[tuple[datetime, Digest]], zone: tzinfo) -> list[DayFigures]:
    """The days that have calls, in their order. `zone`: that of days."""
    days: dict[date, list[Digest]] = defaultdict(list)
    for at, digest in digests:
        days[at.astimezone(zone).date()].append(digest)
    return [_figures(day, days[day]) for day in sorted(days)]


def _figures(day: date, digests: Sequence[Digest]) -> DayFigures:
    responses = sorted(each for digest in digests for each in digest.responses_ms)
    return DayFigures(
        day=day,
        calls=len(digests),
        answers=len(responses),
        response_p50_ms=percentile(responses, 50),
        response_p95_ms=percentile(responses, 95),
        interruptions=sum(digest.interruptions for digest in digests),
        false_interruptions=sum(digest.false_interruptions for digest in digests),
        transfers=dict(Counter(each for digest in digests for each in digest.transfers)),
        cost_usd=round(sum(digest.cost_usd for digest in digests), 6),
    )


def percentile(ordered: Sequence[int], percent: int) -> int | None:
    """The value that this share of all values does not exceed (nearest rank); None: there are
    none."""
    if not ordered:
        return None
    rank = -(-len(ordered) * percent // 100)  # rounded up
    return ordered[max(0, rank - 1)]
