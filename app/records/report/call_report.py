"""What people want to know of a call, read from its record: `read_call` and `transcript_text`.

The figures come from the timeline, and from the recording where there is one. An answer's latency
is then measured as a person with a stop-watch would: from where the caller's sound ended to where
the agent's began. Without a recording it counts from the moment that turn detection said so, which
hides the silence that turn detection waited for; how long that was is in no event.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from app.call.timeline import TimelineEntry
from app.records.report.gaps import AgentGap, agent_gaps, gap_reason
from app.records.report.levels import Levels, RecordingUnreadable, read_levels
from app.records.report.trace import (
    CallerSpeech,
    CallTrace,
    Interruption,
    Mark,
    Span,
    Speech,
    Tool,
)
from app.records.report.trace_reader import read_trace
from app.records.schema import CallRow, TimelineRow, TurnRow
from app.records.store import Store

_REST_MS = 160.0  # of the end of a caller's turn: turn detection waited for longer than that


@dataclass(frozen=True, slots=True)
class SpokenTurn:
    """Somebody spoke, from `from_ms` to `to_ms` as it sounded. `role`: user or assistant.

    `heard`: the words that the other side heard. `unheard`: the rest of what the agent was saying.
    `cut`: not all of it was heard, and where the words are cut is an estimate. `interrupted`: the
    caller cut it, not the end of the call. `heard_ms` of `generated_ms`: None for the caller.
    `spans`: where there was sound; more than one when the model was too slow for it.
    """

    role: str
    item_id: str
    from_ms: float
    to_ms: float
    heard: str
    unheard: str = ""
    cut: bool = False
    interrupted: bool = False
    heard_ms: float | None = None
    generated_ms: float | None = None
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """From the end of the caller's speech to the first of the agent's that was heard, whatever the
    model did in between. `by_sound`: both were found in the recording."""

    caller_item_id: str
    from_ms: float
    to_ms: float
    by_sound: bool

    @property
    def latency_ms(self) -> float:
        return self.to_ms - self.from_ms


@dataclass(frozen=True, slots=True)
class CallReport:
    """A call. Times are ms of its timeline, whose 0 is the webhook.

    `connected_ms`: the caller was on the line. `ended_ms`: the record ends, or the talk with a
    human behind it. `hung_up_ms`: we hung up. `greeted_ms`: the agent was first heard.
    `round_trip_ms`: to Twilio and back, without the telephone network behind it. `absences`: the
    caller was without the agent, the last time perhaps to the call's end. `recording_fault`: why a
    recording that should be there was not read, or empty.
    """

    call: CallRow
    turns: tuple[SpokenTurn, ...]
    answers: tuple[Answer, ...]
    interruptions: tuple[Interruption, ...]
    tools: tuple[Tool, ...]
    marks: tuple[Mark, ...]
    round_trip_ms: float | None
    connected_ms: float | None
    greeted_ms: float | None
    hung_up_ms: float | None
    ended_ms: float
    gaps: tuple[AgentGap, ...] = ()
    wav: Path | None = None
    recording_fault: str = ""

    @property
    def by_sound(self) -> bool:
        """Whether latencies are those of the recording."""
        return any(answer.by_sound for answer in self.answers)

    @property
    def latencies_ms(self) -> list[float]:
        """Of every answer; of those measured by sound alone where there are any, for the others
        are shorter by what turn detection waited."""
        return [a.latency_ms for a in self.answers if a.by_sound or not self.by_sound]

    @property
    def median_ms(self) -> float | None:
        return median(self.latencies_ms) if self.answers else None

    @property
    def worst_ms(self) -> float | None:
        return max(self.latencies_ms, default=None)

    def at_the_ear_ms(self, latency_ms: float) -> float | None:
        """What the caller waited: their last word needs half a round trip to us and the answer half
        a round trip back. None when the round trip is not known."""
        return None if self.round_trip_ms is None else latency_ms + self.round_trip_ms

    def turn(self, item_id: str) -> SpokenTurn | None:
        return next((turn for turn in self.turns if turn.item_id == item_id), None)


async def read_call(store: Store, call_sid: str) -> CallReport | None:
    """Everything about one call, or None when there is no record of it. A recording that cannot be
    read costs the measurement by sound, and is named in `recording_fault`.

    Raises:
        StoreUnavailable: the database does not answer.
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
    """The report of a record. `levels`: the loudness of its recording, if it was recorded."""
    traced = read_trace(
        TimelineEntry.from_data(row.at_ms, row.kind, row.name, row.data) for row in timeline
    )
    rows = {row.item_id: row for row in turns}
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
    )


def _with_outcome(tool: Tool, gaps: Sequence[AgentGap]) -> Tool:
    """A transfer that was taken has no answer: no agent was there to be told."""
    if tool.outcome == "open":
        for gap in gaps:
            if gap.call_id == tool.call_id:
                return replace(tool, result=gap_reason(gap))
    return tool


def _agents_turn(speech: Speech, row: TurnRow | None, levels: Levels | None) -> SpokenTurn:
    """`row`: None for an answer of which nothing was heard, so that it is in no transcript."""
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
    return SpokenTurn("user", speech.item_id, span.from_ms, span.to_ms, text, spans=(span,))


def _by_sound(speech: CallerSpeech, levels: Levels | None) -> Span | None:
    """Where the caller really spoke: turn detection adds padding before and silence after."""
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
    """For each turn of the caller's, the first sound that was sent after it and before the next.
    What the agent was saying already, over the caller, answers nothing."""
    answers = []
    heard = [turn for turn in spoken if turn.role == "assistant" and turn.spans]
    callers = sorted(traced.caller.values(), key=lambda speech: speech.noticed_ms)
    for number, speech in enumerate(callers):
        if speech.to_ms is None:
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
