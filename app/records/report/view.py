"""A call as the console draws it: its report, and what else the timeline shows."""

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

from app.call import commands as do
from app.call import events as ev
from app.records.reading import read_timeline
from app.records.record import CallRow, TimelineRow, TurnRow
from app.records.report.call_report import CallReport, SpokenTurn, report_of
from app.records.report.gaps import AgentGap
from app.records.report.levels import CELL_MS, Levels, RecordingUnreadable, read_levels
from app.records.report.trace import FalseInterruption, Interruption, Mark, Tool
from app.records.report.waterfall import Waterfall, waterfalls

#: Of a waveform, for each side: more than a screen is wide, so that it can be enlarged.
MOST_PEAKS = 6000


@dataclass(frozen=True, slots=True)
class Silence:
    """A wait in which nothing was heard."""

    from_ms: float
    to_ms: float
    #: See `app.call.commands.Cause`.
    cause: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something that happened at one moment."""

    at_ms: float
    #: decision: of the service. operator: an act of a person. session: the model's session
    #: was lost, is back, or was replaced. key: the caller pressed one.
    kind: str
    #: In a few words.
    text: str


@dataclass(frozen=True, slots=True)
class Waveform:
    """Both sides of a recording."""

    #: How long each value lasts.
    cell_ms: float
    #: Base64 of a byte for each cell: 255 times the square root of its peak, 1.0 being full scale.
    caller: str
    agent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallView:
    """A call. Times are ms of its timeline."""

    turns: Sequence[SpokenTurn]
    answers: Sequence[Waterfall]
    interruptions: Sequence[Interruption]
    false_interruptions: Sequence[FalseInterruption]
    tools: Sequence[Tool]
    marks: Sequence[Mark]
    #: Times without the agent: transfers, keys, lost streams.
    gaps: Sequence[AgentGap]
    silences: Sequence[Silence]
    notes: Sequence[Note]
    #: To Twilio and back; None: unknown.
    round_trip_ms: float | None
    #: When the first media stream started; None: none did.
    connected_ms: float | None
    #: When the service hung up; None: it did not.
    hung_up_ms: float | None
    ended_ms: float
    #: None: there is no recording, or it cannot be read.
    waveform: Waveform | None
    #: Why the recording cannot be read; empty: it can, or there is none.
    recording_fault: str


def view_of(call: CallRow, turns: Sequence[TurnRow], batches: Iterable[str]) -> CallView:
    """The view of a record. It takes long enough to be made in a thread.

    `batches`: of its timeline, as they are stored.
    """
    levels, fault = _levels(call)
    timeline = sorted(
        {entry.position: entry for entry in read_timeline(call.call_sid, batches)}.values(),
        key=lambda entry: entry.position,
    )
    report = report_of(call, turns, timeline, levels)
    return CallView(
        turns=report.turns,
        answers=waterfalls(report.answers, report.turns, timeline),
        interruptions=report.interruptions,
        false_interruptions=report.false_interruptions,
        tools=report.tools,
        marks=report.marks,
        gaps=report.gaps,
        silences=list(_silences(timeline)),
        notes=list(_notes(timeline)),
        round_trip_ms=report.round_trip_ms,
        connected_ms=report.connected_ms,
        hung_up_ms=report.hung_up_ms,
        ended_ms=_ended_ms(report, levels),
        waveform=_waveform(levels) if levels is not None else None,
        recording_fault=fault,
    )


def _levels(call: CallRow) -> tuple[Levels | None, str]:
    if not call.recording:
        return None, ""
    try:
        return read_levels(Path(call.recording)), ""
    except RecordingUnreadable:  # its text has the path, which is of no use to a browser
        return None, "the recording is not on this machine, or cannot be read"


def _ended_ms(report: CallReport, levels: Levels | None) -> float:
    return max(report.ended_ms, levels.length_ms if levels is not None else 0.0)


def _silences(timeline: Iterable[TimelineRow]) -> Iterator[Silence]:
    for entry in timeline:
        if entry.name == do.ReportSilence.__name__:
            length_ms = float(entry.data["length_ms"])
            from_ms = max(0.0, entry.at_ms - length_ms)
            yield Silence(from_ms, entry.at_ms, str(entry.data["cause"]))


def _notes(timeline: Iterable[TimelineRow]) -> Iterator[Note]:
    for entry in timeline:
        data = entry.data
        match entry.name:
            case ev.DecisionMade.__name__ | do.ReportDecision.__name__:
                yield Note(entry.at_ms, "decision", f"{data['decision']}: {data['reason']}")
            case ev.SayRequested.__name__:
                yield Note(entry.at_ms, "operator", f"say: {data['text']}")
            case ev.TransferRequested.__name__:
                yield Note(entry.at_ms, "operator", f"transfer: {data['destination']}".rstrip(": "))
            case ev.HangUpRequested.__name__ if data["reason"] == "operator":
                yield Note(entry.at_ms, "operator", "hang up")
            case ev.ModelLost.__name__:
                yield Note(entry.at_ms, "session", f"lost: {data['reason']}")
            case ev.SessionConfigured.__name__:
                yield Note(entry.at_ms, "session", "ready")
            case do.SwapModel.__name__:
                yield Note(entry.at_ms, "session", "replaced")
            case ev.DigitPressed.__name__:
                yield Note(entry.at_ms, "key", str(data["digit"]))


def _waveform(levels: Levels) -> Waveform:
    per_cell = max(1, -(-len(levels.caller.peak) // MOST_PEAKS))
    sides = (levels.caller.peak, levels.agent.peak)
    caller, agent = (base64.b64encode(_bytes(peak, per_cell)).decode() for peak in sides)
    return Waveform(float(CELL_MS * per_cell), caller, agent)


def _bytes(peaks: Sequence[int], per_cell: int) -> bytes:
    loudest = (max(peaks[at : at + per_cell]) for at in range(0, len(peaks), per_cell))
    return bytes(min(255, round(255 * sqrt(peak / 32768))) for peak in loudest)
