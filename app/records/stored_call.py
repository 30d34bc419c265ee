"""Calls that have no recorder in this process: their records are read, noted in, and closed."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from app.audio import ULAW_BYTES_PER_MS
from app.call import commands as do
from app.call import events as ev
from app.call.caller.answering_machine import Shown, Verdict, is_machine, verdict_of
from app.call.caller.callee_evidence import HasWords, answered_turn, sent_digits
from app.call.detection import WENT_ON
from app.call.events import STREAM_LOST, ResumeCause
from app.call.exits.attempts import CALLER_GONE, RINGING, TAKEN, TALKING
from app.call.heard.conversation import Turn
from app.call.prompts import HISTORY_LOST, as_messages
from app.call.usage import Usage
from app.errors import BridgeError
from app.records.carried import Carried, Placed
from app.records.record import Transfers
from app.records.recording_files import parts_of
from app.records.redirected import resume_cause
from app.records.store import CallRow, Store, TimelineRow, TurnRow
from app.records.watching import CallEnded, known_usd
from app.wires.twilio.call import TERMINAL, CallInfo, CallStatus


@dataclass(frozen=True, slots=True)
class StoredCall:
    """The record of a call that another process had, as the next recorder needs it."""

    #: (role, text) of what was said, for the model's session.
    history: tuple[tuple[str, str], ...] = ()
    #: Position of the next turn.
    turns: int = 0
    #: Order of the last event or command in the timeline.
    entries: int = 0
    usage: Usage = Usage()
    #: When the first stream started, UTC; None: none did.
    started_at: datetime | None = None
    #: Milliseconds, as in `CallRow.timings`.
    timings: dict[str, float] = field(default_factory=dict)
    transfers: list[dict[str, Any]] = field(default_factory=list)
    #: As in `CallRow.recordings`; None: unknown.
    recordings: list[dict[str, Any]] | None = field(default_factory=list)
    #: Seconds that the call's clock has run, see `_age_s`.
    age_s: float = 0.0
    #: A tool was waiting for digits that are secret: the caller may go on typing them.
    secret_entry_open: bool = False
    #: Twilio's `AnsweredBy`; empty: unknown, or no outbound call.
    answered_by: str = ""
    #: What the agent leaves on an answering machine; None: what the agent file says, as far as is
    #: stored.
    voicemail: str | None = None
    #: What the call has shown of who answered, see `LegOpened.shown`.
    shown: str = ""
    #: What an outbound call is for.
    placed: Placed = Placed()
    #: What the last leg left to the next one.
    carried: Carried = Carried()
    #: Why the caller left the agent.
    resume_cause: ResumeCause = STREAM_LOST


#: The timing of a call's first stream, on the call's clock.
STREAM_STARTED = "stream_started_ms"
_ENTRY_OVER = {each.__name__ for each in (do.GiveDigits, ev.ToolReturned, ev.ToolFailed)}


class CallIsOver(BridgeError):
    """The record says that the call has ended."""


async def read_stored_call(store: Store, call_sid: str) -> tuple[CallInfo, StoredCall] | None:
    """Read the record of a live call. None: there is none, or no agent has answered it yet.

    Raises:
        CallIsOver: the call has ended.
        StoreUnavailable: the record cannot be read.
    """
    row = await store.get_call(call_sid)
    if row is None:
        return None
    if row.status in TERMINAL:
        raise CallIsOver(f"the call has ended: {row.status}")
    if not row.agent_name:
        return None
    turns, entries = await store.turns(call_sid), await store.timeline(call_sid)
    spoken = (
        Turn(turn.role, turn.item_id, turn.at_ms, text=turn.text, detail=turn.extra)
        for turn in turns
    )
    answered_by, voicemail = _verdict(row, entries)
    stored = StoredCall(
        history=tuple(as_messages(spoken)),
        turns=turns[-1].position + 1 if turns else 0,
        entries=_last_order(entries),
        usage=_usage(row),
        started_at=row.started_at,
        timings=_timings(row),
        transfers=row.transfers,
        recordings=[part.as_data() for part in parts_of(row)],
        age_s=_age_s(row, entries),
        secret_entry_open=_secret_entry_open(entries),
        answered_by=answered_by,
        voicemail=voicemail,
        shown=_shown(turns, entries),
        placed=Placed.from_data(row.placed),
        carried=Carried.from_data(row.carried),
        resume_cause=resume_cause(row, entries),
    )
    return call_of(row), stored


def call_of(row: CallRow) -> CallInfo:
    """Who is on the call of a record."""
    return CallInfo(row.call_sid, row.account_sid, row.direction, row.from_number, row.to_number)


# A version that knew no other event of a verdict stored `VoicemailReached`.
_VERDICTS = {ev.CalleeDetected.__name__, ev.VoicemailReached.__name__}


def _verdict(row: CallRow, entries: Sequence[TimelineRow]) -> tuple[str, str | None]:
    """Twilio's verdict, and the message that came with it (None: not stored). One against a machine
    outlasts those that follow: the machine may be recording."""
    last: str | None = None
    for entry in reversed(entries):
        if entry.name in _VERDICTS:
            answered_by, message = _answered_by(entry), str(entry.data["message"])
            if is_machine(verdict_of(answered_by)):
                return answered_by, message
            last = message if last is None else last
    return row.answered_by or "", last


def _answered_by(verdict: TimelineRow) -> str:
    return str(verdict.data.get("answered_by", Verdict.MACHINE_END_OTHER))


def _shown(rows: Sequence[TurnRow], entries: Sequence[TimelineRow]) -> Shown:
    """What a call has shown of who answered, see `LegOpened.shown`: nothing if the last leg left a
    message, because what came after the verdict is the machine's."""
    went_on = _went_on(entries)
    if went_on is False:
        return Shown.NOTHING
    shown = _evidence(rows, entries)
    return Shown.TURN if went_on and shown is Shown.NOTHING else shown


def _went_on(entries: Iterable[TimelineRow]) -> bool | None:
    """Whether the conversation went on after the last verdict against a machine; None: no leg got
    one."""
    live, went_on = False, None
    for entry in entries:
        if entry.name == ev.LegOpened.__name__:
            live = True
        elif entry.name == do.EndLeg.__name__:
            live = False  # a verdict that follows is for the next leg
        elif entry.name in _VERDICTS and live:
            went_on = False if is_machine(verdict_of(_answered_by(entry))) else went_on
        elif entry.name == do.ReportDecision.__name__ and entry.data["decision"] == WENT_ON:
            went_on = True
    return went_on


def _evidence(rows: Sequence[TurnRow], entries: Sequence[TimelineRow]) -> Shown:
    """The evidence of a person or a menu. The record does not say when the callee stopped to
    speak, so a turn counts up to the one after it."""
    if any(entry.name == ev.DigitPressed.__name__ for entry in entries):
        return Shown.KEY
    if any(row.extra.get("by") == "keypad" for row in rows):  # stored before the timeline was
        return Shown.KEY
    turns = [
        Turn(row.role, row.item_id, row.at_ms, text=row.text, cut=row.cut, detail=row.extra)
        for row in rows
    ]
    for turn, row in zip(turns, rows, strict=True):
        turn.heard_bytes = int(row.heard_ms or 0) * ULAW_BYTES_PER_MS
    if any(map(sent_digits, turns)):
        return Shown.DIGITS
    ended_ms = {turn.item_id: after.at_ms for turn, after in pairwise(turns)}
    answered = answered_turn(turns, ended_ms, _has_words(entries))
    return Shown.TURN if answered else Shown.NOTHING


def _has_words(entries: Iterable[TimelineRow]) -> HasWords:
    """Whether a stored turn of the callee's has words: see `callee_evidence`."""
    transcribes, words = True, dict[str, bool]()
    for entry in entries:
        data = entry.data
        if entry.name == ev.LegOpened.__name__ and "agent" in data:
            transcribes = bool(data["agent"]["transcription"]["model"])
            transcribes = transcribes and "transcription" not in data.get("left_out", ())
        elif entry.name == do.ConfigureSession.__name__:
            transcribes = transcribes and "transcription" not in data.get("without", ())
        elif entry.name == ev.CallerTranscribed.__name__:
            words[data["item_id"]] = bool(data["text"].strip())
        elif entry.name == ev.CallerTranscriptionFailed.__name__:
            words[data["item_id"]] = True
    unknown = None if transcribes else True
    return lambda turn: True if turn.text else words.get(turn.item_id, unknown)


def _secret_entry_open(entries: Iterable[TimelineRow]) -> bool:
    """Whether a tool of the last leg waited for secret digits when the timeline ended. That the
    tool was cancelled at the end of the leg ends no entry: the caller does not know of it."""
    open_ids: set[str] = set()
    for entry in entries:
        call_id = str(entry.data.get("call_id", ""))
        if entry.name == ev.LegOpened.__name__:
            open_ids.clear()
        elif entry.name == ev.EntryAsked.__name__ and entry.data["secret"]:
            open_ids.add(call_id)
        elif entry.name in _ENTRY_OVER:
            open_ids.discard(call_id)
    return bool(open_ids)


def unreadable_call(now_s: float) -> StoredCall:
    """For a call whose record cannot be read. Positions start beyond those that the record may
    hold, so that nothing is overwritten. `now_s`: Unix time."""
    beyond = (1 + int(now_s / 60) % 2000) * 1_000_000  # a block for each minute
    history = (("system", HISTORY_LOST),)
    return StoredCall(history=history, turns=beyond, entries=beyond, recordings=None)


async def note_decision(store: Store, call_sid: str, decision: str, reason: str) -> None:
    """Append a decision to the timeline of a call without a recorder. Ignored without a record."""
    row = await store.get_call(call_sid)
    if row is None:
        return
    entries = await store.timeline(call_sid)
    order = _last_order(entries) + 1
    at_ms = round(_age_s(row, entries) * 1000, 3)
    data = {"order": order, **asdict(ev.DecisionMade(decision, reason))}
    entry = TimelineRow(order, at_ms, "event", ev.DecisionMade.__name__, data)
    store.append_timeline(call_sid, [entry])


def record_rejected_call(store: Store, call: CallInfo, agent_name: str, reason: str) -> CallEnded:
    """Write the whole record of a call that was rejected. Returns what to tell watchers."""
    store.save_call(
        call.call_sid,
        account_sid=call.account_sid,
        direction=call.direction,
        from_number=call.from_number,
        to_number=call.to_number,
        agent_name=agent_name,
        status="completed",
        ended_at=datetime.now(UTC),
        ended_by="busy",
    )
    data = {"order": 1, **asdict(ev.DecisionMade("call turned away", reason))}
    store.append_timeline(
        call.call_sid, [TimelineRow(1, 0.0, "event", ev.DecisionMade.__name__, data)]
    )
    return CallEnded("busy", 0.0)


Cost = Callable[[Usage, float, str, Transfers], dict[str, Any]]
"""Computes a call's cost from its usage, its seconds on the line, its direction and its transfers.
See `Prices.of`."""


async def close_stored_record(
    store: Store, row: CallRow, status: CallStatus, cost: Cost
) -> CallEnded:
    """Write the end of a call without a recorder. `status`: Twilio's terminal status.

    Returns:
        What to tell watchers.

    Raises:
        StoreUnavailable: the call's timeline cannot be read.
    """
    ended_ms = _age_s(row, await store.timeline(row.call_sid)) * 1000
    duration_s = seconds_on_line(_timings(row), ended_ms)
    transfers = [_ended_transfer(each) for each in row.transfers]
    priced = cost(_usage(row), duration_s or 0.0, row.direction, transfers)
    changed: dict[str, Any] = {"transfers": transfers} if transfers != row.transfers else {}
    store.save_call(
        row.call_sid,
        status=status,
        ended_at=datetime.now(UTC),
        duration_s=duration_s,
        cost=priced,
        **changed,
    )
    return CallEnded(row.ended_by or "", known_usd(priced))


def _ended_transfer(record: dict[str, Any]) -> dict[str, Any]:
    """An attempt's record when the call is over: the caller hung up, or had talked with a human."""
    outcomes = {RINGING: CALLER_GONE, TALKING: TAKEN}
    outcome = record.get("outcome", "")
    return {**record, "outcome": outcomes.get(outcome, outcome)}


def _usage(row: CallRow) -> Usage:
    known = {each.name for each in fields(Usage)}
    return Usage(**{name: value for name, value in row.usage.items() if name in known})


def _timings(row: CallRow) -> dict[str, float]:
    """The timings of a stored call. An older version stored none before the end of a leg: then the
    stream's start is known by the wall clock alone."""
    timings = dict(row.timings)
    if row.started_at is not None:
        before_ms = max(0.0, (row.started_at - row.created_at).total_seconds() * 1000)
        timings.setdefault(STREAM_STARTED, before_ms)
    return timings


def _age_s(row: CallRow, entries: Sequence[TimelineRow]) -> float:
    """How long the clock of a stored call has run, in seconds.

    The monotonic clock of another process cannot be read. So this is the time since the stream's
    start, or the record's creation, by the wall clock; but no less than the time of the last entry
    of the timeline, should the wall clock have been set back.
    """
    since, before_s = row.created_at, 0.0
    if row.started_at is not None:
        since, before_s = row.started_at, _timings(row)[STREAM_STARTED] / 1000
    last_ms = max((max(_times_ms(entry)) for entry in entries), default=0.0)
    return max(0.0, last_ms / 1000, before_s + (datetime.now(UTC) - since).total_seconds())


def _times_ms(entry: TimelineRow) -> Iterator[float]:
    """When a timeline entry came, and its pieces."""
    yield entry.at_ms
    for _, at_ms, _ in entry.data.get("pieces", []):
        yield at_ms


def seconds_on_line(timings: Mapping[str, float], ended_ms: float) -> float | None:
    """Seconds on the line, by the call's clock; None: no stream started."""
    started_ms = timings.get(STREAM_STARTED)
    return None if started_ms is None else max(0.0, ended_ms - started_ms) / 1000


def _last_order(entries: Sequence[TimelineRow]) -> int:
    """The highest order in a timeline: of an entry, or of a piece of one."""
    orders = [entry.position for entry in entries]
    for entry in entries:
        orders += [order for order, _, _ in entry.data.get("pieces", [])]
    return max(orders, default=0)
