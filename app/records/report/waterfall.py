"""The steps of each answer: from the caller's last sound to the answer's first sound."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from app.call import commands as do
from app.call import events as ev
from app.records.record import TimelineRow
from app.records.report.call_report import Answer, SpokenTurn

_DELTAS = (ev.AudioReceived.__name__, ev.TextReceived.__name__, ev.TranscriptReceived.__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waterfall:
    """One answer. Times are ms of the timeline, none before the one above it. None: unknown."""

    #: The caller's turn that is answered, and the item that answers it.
    caller_item_id: str
    item_id: str
    #: The end of the caller's last sound.
    last_sound_ms: float
    #: Turn detection ended the caller's turn.
    committed_ms: float | None
    #: The first of the answer came from the model.
    first_delta_ms: float | None
    #: The first byte of its audio was sent.
    sent_ms: float | None
    #: It was first heard.
    heard_ms: float
    #: `last_sound_ms` and `heard_ms` are measured in the recording.
    by_sound: bool


def waterfalls(
    answers: Iterable[Answer], turns: Sequence[SpokenTurn], timeline: Iterable[TimelineRow]
) -> list[Waterfall]:
    """The steps of these answers."""
    committed: dict[str, float] = {}
    first: dict[str, float] = {}
    sent: dict[str, float] = {}
    for entry in timeline:
        item_id = str(entry.data.get("item_id", ""))
        if entry.name == ev.CallerTurnCommitted.__name__:
            committed.setdefault(item_id, entry.at_ms)
        elif entry.name in _DELTAS:
            first.setdefault(item_id, entry.at_ms)
        elif entry.name == do.PlayAudio.__name__:
            sent.setdefault(item_id, entry.at_ms)
    agents = [turn for turn in turns if turn.role == "assistant" and turn.spans]
    return [
        _steps(answer, turn.item_id, committed, first, sent)
        for answer in answers
        if (turn := next((each for each in agents if each.from_ms == answer.to_ms), None))
    ]


def _steps(
    answer: Answer,
    item_id: str,
    committed: Mapping[str, float],
    first: Mapping[str, float],
    sent: Mapping[str, float],
) -> Waterfall:
    at_ms = answer.from_ms
    steps: list[float | None] = []
    for step in (committed.get(answer.caller_item_id), first.get(item_id), sent.get(item_id)):
        at_ms = at_ms if step is None else min(max(at_ms, step), answer.to_ms)
        steps.append(None if step is None else at_ms)
    return Waterfall(
        caller_item_id=answer.caller_item_id,
        item_id=item_id,
        last_sound_ms=answer.from_ms,
        committed_ms=steps[0],
        first_delta_ms=steps[1],
        sent_ms=steps[2],
        heard_ms=answer.to_ms,
        by_sound=answer.by_sound,
    )
