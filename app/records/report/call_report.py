"""The report of a call, from its record: turns, latencies, interruptions, tools, gaps.

The figures come from the timeline and, if there is one, from the recording. With a recording, an
answer's latency is measured in its sound: from the end of the caller's to the start of the agent's.
Without one it counts from the event that ended the caller's turn, and leaves out the silence that
turn detection waited for: no event says how long that was.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from app.call.timeline import TimelineEntry
from app.records.record import CallRow, TimelineRow, TurnRow
from app.records.report.gaps import AgentGap, agent_gaps, gap_reason
from app.records.report.levels import Levels, read_levels
from app.records.report.recorded_pcm import RecordingUnreadable
from app.records.report.trace import (
    CallerSpeech,
    CallTrace,
    FalseInterruption,
    Interruption,
    Mark,
    Span,
    Speech,
    Tool,
)
from app.records.report.trace_reader import read_trace
from app.records.store import Store

_REST_MS = 160.0  # the end of a caller's turn is silent this long: turn detection waited longer


@dataclass(frozen=True, slots=True)
class SpokenTurn:
    """One turn, of the caller or the agent."""

    #: user or assistant.
    role: str
    item_id: str
    #: When its sound started and ended.
    from_ms: float
    to_ms: float
    #: The text that was heard.
    heard: str
    #: The rest of the agent's text.
    unheard: str = ""
    #: Not all of it was heard; where the text is cut is an estimate.
    cut: bool = False
    #: The caller cut it, not the end of the call.
    interrupted: bool = False
    #: The caller's, which was no interruption: a cough, a "mm-hm".
    false_interruption: bool = False
    #: Of the agent's audio; None: the caller's turn.
    heard_ms: float | None = None
    generated_ms: float | None = None
    #: Where there was sound; more than one span when audio arrived slower than it plays.
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """The agent's answer to one turn of the caller's."""

    caller_item_id: str
    #: The end of the caller's speech.
    from_ms: float
    #: The start of the agent's, as it was heard.
    to_ms: float
    #: Measured in the recording.
    by_sound: bool

    @property
    def latency_ms(self) -> float:
        return self.to_ms - self.from_ms


@dataclass(frozen=True, slots=True)
class CallReport:
    """A call. Times are ms of its timeline, which starts at the webhook."""

    call: CallRow
    turns: tuple[SpokenTurn, ...]
    answers: tuple[Answer, ...]
    interruptions: tuple[Interruption, ...]
    tools: tuple[Tool, ...]
    marks: tuple[Mark, ...]
    #: To Twilio and back, without the telephone network behind it; None: unknown.
    round_trip_ms: float | None
    #: When the first media stream started; None: none did.
    connected_ms: float | None
    #: When the agent was first heard; None: it was not.
    greeted_ms: float | None
    #: When the service hung up; None: it did not.
    hung_up_ms: float | None
    #: The end of the record, or of the caller's talk with a human after it.
    ended_ms: float
    #: Times without the agent. The last one may last to the end of the call.
    gaps: tuple[AgentGap, ...] = ()
    #: Sounds of the caller after which the agent went on.
    false_interruptions: tuple[FalseInterruption, ...] = ()
    #: None: there is no recording, or it cannot be read.
    wav: Path | None = None
    #: Why the recording cannot be read; empty: it can, or there is none.
    recording_fault: str = ""

    @property
    def by_sound(self) -> bool:
        """Whether `latencies_ms` are measured in the recording."""
        return any(answer.by_sound for answer in self.answers)

    @property
    def latencies_ms(self) -> list[float]:
        """Of the answers measured in the recording, if there are any: the others are shorter by the
        silence that turn detection waited for. Else of all answers."""
        return [a.latency_ms for a in self.answers if a.by_sound or not self.by_sound]

    @property
    def median_ms(self) -> float | None:
        return median(self.latencies_ms) if self.answers else None

    @property
    def worst_ms(self) -> float | None:
        return max(self.latencies_ms, default=None)

    def at_the_ear_ms(self, latency_ms: float) -> float | None:
        """The latency that the caller perceives: half a round trip before it, and half after it.
        None: the round trip is unknown."""
        return None if self.round_trip_ms is None else latency_ms + self.round_trip_ms

    def turn(self, item_id: str) -> SpokenTurn | None:
        return next((turn for turn in self.turns if turn.item_id == item_id), None)


async def read_call(store: Store, call_sid: str) -> CallReport | None:
    """The report of one call. None: there is no record of it. If its recording cannot be read,
    `recording_fault` says why, and nothing is measured in it.

    Raises:
        StoreUnavailable: the database is away.
    """
    call = await store.get_call(call_sid)
    if call is None:
        return None
    turns, timeline = await store.turns(call_sid), await store.timeline(call_sid)
    levels, fault = None, ""
    if call.recording:
        try:
            levels = await asyncio.to_thread(read_levels, Path(call.recording))
        except RecordingUnreadable as error:
            fault = str(error)
    report = report_of(call, turns, timeline, levels)
    wav = Path(call.recording) if call.recording and levels else None
    return replace(report, wav=wav, recording_fault=fault)


def report_of(
    call: CallRow,
    turns: Sequence[TurnRow],
    timeline: Sequence[TimelineRow],
    levels: Levels | None = None,
) -> CallReport:
    """The report of a record. `levels`: of its recording; None: there is none."""
    traced = read_trace(
        TimelineEntry.from_data(row.at_ms, row.kind, row.name, row.data) for row in timeline
    )
    rows = {row.item_id: row for row in turns}
    traced.caller = {
        item_id: speech
        for item_id, speech in traced.caller.items()
        if item_id in rows or not speech.before_swap
    }
    spoken = [
        _agents_turn(speech, rows.get(speech.item_id), levels)
        for speech in traced.speeches.values()
        if speech.text or speech.spans
    ]
    sound = {speech.item_id: _by_sound(speech, levels) for speech in traced.caller.values()}
    spoken += [
        _callers_turn(speech, rows.get(speech.item_id), sound[speech.item_id], traced.ended_ms)
        for speech in traced.caller.values()
    ]
    known = {turn.item_id for turn in spoken}
    spoken += [
        SpokenTurn(row.role, row.item_id, row.at_ms, row.at_ms, row.text)
        for row in turns
        if row.item_id not in known and row.role != "tool"
    ]
    spoken.sort(key=lambda turn: turn.from_ms)
    sounding = [turn.from_ms for turn in spoken if turn.role == "assistant" and turn.spans]
    gaps = tuple(agent_gaps(call, traced.leg_gaps, traced.connected_ms))
    ends_ms = [turn.to_ms for turn in spoken] + [gap.to_ms for gap in gaps]
    return CallReport(
        call=call,
        turns=tuple(spoken),
        answers=tuple(_answers(spoken, traced, sound)),
        interruptions=tuple(traced.interruptions),
        tools=tuple(_with_outcome(tool, gaps) for tool in traced.tools),
        marks=tuple(traced.marks),
        round_trip_ms=traced.round_trip_ms,
        connected_ms=traced.connected_ms,
        greeted_ms=min(sounding, default=None),
        hung_up_ms=traced.hung_up_ms,
        ended_ms=max([traced.ended_ms, *ends_ms]),
        gaps=gaps,
        false_interruptions=tuple(traced.false_interruptions),
    )


def _with_outcome(tool: Tool, gaps: Sequence[AgentGap]) -> Tool:
    """A transfer that a human accepted has no result in the timeline: take it from its gap."""
    if tool.outcome == "open":
        for gap in gaps:
            if gap.call_id == tool.call_id:
                return replace(tool, result=gap_reason(gap))
    return tool


def _agents_turn(speech: Speech, row: TurnRow | None, levels: Levels | None) -> SpokenTurn:
    """`row`: None: nothing of it was heard, so the transcript has no turn for it."""
    heard = row.text if row else ""
    cut = row.cut if row else True
    unheard = ""
    if cut:
        whole = speech.text.strip()
        unheard = whole.removeprefix(heard).strip() if whole.startswith(heard) else ""
    begun_ms = speech.spans[0].from_ms if speech.spans else speech.begun_ms
    ended_ms = speech.spans[-1].to_ms if speech.spans else speech.begun_ms
    if levels is not None and speech.spans:
        level = levels.agent.level(begun_ms, ended_ms)
        if level is not None:
            begun_ms = levels.agent.first_sound_ms(level, begun_ms, ended_ms) or begun_ms
            ended_ms = levels.agent.last_sound_ms(level, begun_ms, ended_ms) or ended_ms
    return SpokenTurn(
        role="assistant",
        item_id=speech.item_id,
        from_ms=begun_ms,
        to_ms=ended_ms,
        heard=heard,
        unheard=unheard,
        cut=cut,
        interrupted=speech.interrupted,
        heard_ms=speech.heard_ms if row is None or row.heard_ms is None else row.heard_ms,
        generated_ms=speech.generated_ms,
        spans=tuple(speech.spans),
    )


def _callers_turn(
    speech: CallerSpeech, row: TurnRow | None, sound: Span | None, call_ended_ms: float
) -> SpokenTurn:
    ended_ms = call_ended_ms if speech.to_ms is None else speech.to_ms
    span = sound or Span(speech.from_ms, ended_ms)
    text = row.text if row else ""
    return SpokenTurn(
        "user",
        speech.item_id,
        span.from_ms,
        span.to_ms,
        text,
        spans=(span,),
        false_interruption=speech.false_interruption,
    )


def _by_sound(speech: CallerSpeech, levels: Levels | None) -> Span | None:
    """Where the caller's sound is, without the padding and the silence of turn detection."""
    if levels is None or speech.to_ms is None:
        return None
    level = levels.caller.level(speech.from_ms, speech.to_ms, rest_ms=_REST_MS)
    if level is None:
        return None
    begun_ms = levels.caller.first_sound_ms(level, speech.from_ms, speech.to_ms)
    ended_ms = levels.caller.last_sound_ms(level, speech.from_ms, speech.to_ms)
    return None if begun_ms is None or ended_ms is None else Span(begun_ms, ended_ms)


def _answers(
    spoken: Sequence[SpokenTurn], traced: CallTrace, sound: Mapping[str, Span | None]
) -> list[Answer]:
    """For each turn of the caller's that has to be answered, the agent's first sound after it and
    before the next. Speech that began before the end of the turn is no answer."""
    answers = []
    heard = [turn for turn in spoken if turn.role == "assistant" and turn.spans]
    callers = sorted(traced.caller.values(), key=lambda speech: speech.noticed_ms)
    for number, speech in enumerate(callers):
        if speech.to_ms is None or speech.false_interruption:
            continue
        next_ms = callers[number + 1].noticed_ms if number + 1 < len(callers) else float("inf")
        first = next(
            (turn for turn in heard if speech.to_ms <= turn.spans[0].from_ms < next_ms), None
        )
        if first is not None:
            span = sound[speech.item_id]
            from_ms = span.to_ms if span else speech.to_ms
            answers.append(Answer(speech.item_id, from_ms, first.from_ms, span is not None))
    return answers
