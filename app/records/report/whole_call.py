"""All that is known of a call: its report, and the rows that it is of."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from app.records.record import CallRow, TimelineRow, TurnRow
from app.records.report.call_report import CallReport, report_of
from app.records.report.view import levels_of, stored_timeline
from app.records.store import Store


@dataclass(frozen=True, slots=True)
class WholeCall:
    """A call."""

    report: CallReport
    turns: Sequence[TurnRow]
    timeline: Sequence[TimelineRow]

    def record(self) -> dict[str, Any]:
        """The contents of call.json: the record, and what was measured in it."""
        report = self.report
        answers = [{**asdict(answer), "latency_ms": answer.latency_ms} for answer in report.answers]
        measured = {
            "answers": answers,
            "median_ms": report.median_ms,
            "worst_ms": report.worst_ms,
            "round_trip_ms": report.round_trip_ms,
            "interruptions": [asdict(cut) for cut in report.interruptions],
            "false_interruptions": [asdict(each) for each in report.false_interruptions],
            "turns": [asdict(turn) for turn in report.turns],
            "tools": [asdict(tool) for tool in report.tools],
            "absences": [asdict(gap) for gap in report.gaps],
        }
        return {
            **asdict(report.call),
            "transcript": [asdict(row) for row in self.turns],
            "events": [asdict(row) for row in self.timeline],
            "measured": measured,
        }


async def whole_call(store: Store, report: CallReport) -> WholeCall:
    """The call of a report, with its turns and its timeline.

    Raises:
        StoreUnavailable: the database is away.
    """
    call_sid = report.call.call_sid
    return WholeCall(report, await store.turns(call_sid), await store.timeline(call_sid))


def stored_call(
    call: CallRow,
    turns: Sequence[TurnRow],
    batches: Iterable[str],
    wav: Path | None,
    fault: str = "",
) -> WholeCall:
    """The call of a record. It takes long enough to be made in a thread.

    `batches`: of its timeline, as they are stored. `wav`: its recording; None: it has none, or
    `fault` says why it cannot be read.
    """
    timeline = stored_timeline(call.call_sid, batches)
    levels, fault = levels_of(wav, fault)
    report = report_of(call, turns, timeline, levels)
    readable = wav if levels is not None else None
    return WholeCall(replace(report, wav=readable, recording_fault=fault), turns, timeline)
