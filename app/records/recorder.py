"""Records a call in the store while it lasts: turns as heard, timeline, usage, timings, transfers.

The functions here read and write records of calls that have no recorder in this process.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from app.call import commands as do
from app.call import events as ev
from app.call.agent import Agent
from app.call.heard.conversation import Turn
from app.call.machine import CallMachine
from app.call.prompts import HISTORY_LOST, as_messages
from app.call.timeline import Timeline
from app.call.usage import Usage
from app.errors import BridgeError
from app.records.record import Transfers
from app.records.recording import Recording
from app.records.store import CallRow, Store, TimelineRow
from app.records.turn_rows import TurnRows
from app.records.watching import CallEnded, TransferEnded, Watched, Watcher, known_usd, outcomes_of
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
    #: Seconds since the record was created.
    age_s: float = 0.0
    #: A tool was waiting for digits that are secret: the caller may go on typing them.
    secret_entry_open: bool = False
    #: Twilio's `AnsweredBy`; empty: unknown, or no outbound call.
    answered_by: str = ""
    #: An answering machine was reached, and what the agent leaves on it; None: not as far as is
    #: stored, see `answered_by`.
    voicemail: ev.VoicemailReached | None = None


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
    stored = StoredCall(
        history=tuple(as_messages(spoken)),
        turns=turns[-1].position + 1 if turns else 0,
        entries=_last_order(entries),
        usage=_usage(row),
        started_at=row.started_at,
        timings=row.timings,
        transfers=row.transfers,
        age_s=_age_s(row),
        secret_entry_open=_secret_entry_open(entries),
        answered_by=row.answered_by or "",
        voicemail=_voicemail(entries),
    )
    call = CallInfo(call_sid, row.account_sid, row.direction, row.from_number, row.to_number)
    return call, stored


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


def _voicemail(entries: Sequence[TimelineRow]) -> ev.VoicemailReached | None:
    """What the call was to leave on an answering machine; None: none was reached."""
    for entry in reversed(entries):
        if entry.name == ev.VoicemailReached.__name__:
            return ev.VoicemailReached(str(entry.data.get("message", "")))
    return None


def unreadable_call(now_s: float) -> StoredCall:
    """For a call whose record cannot be read. Positions start beyond those that the record may
    hold, so that nothing is overwritten. `now_s`: Unix time."""
    beyond = (1 + int(now_s / 60) % 2000) * 1_000_000  # a block for each minute
    return StoredCall(history=(("system", HISTORY_LOST),), turns=beyond, entries=beyond)


async def note_decision(store: Store, call_sid: str, decision: str, reason: str) -> None:
    """Append a decision to the timeline of a call without a recorder. Ignored without a record."""
    row = await store.get_call(call_sid)
    if row is None:
        return
    order = _last_order(await store.timeline(call_sid)) + 1
    at_ms = round(_age_s(row) * 1000, 3)
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


def close_stored_record(store: Store, row: CallRow, status: CallStatus, cost: Cost) -> CallEnded:
    """Write the end of a call without a recorder. `status`: Twilio's terminal status. Returns what
    to tell watchers."""
    ended_at, started_at = datetime.now(UTC), row.started_at
    duration_s = (ended_at - started_at).total_seconds() if started_at else None
    priced = cost(_usage(row), duration_s or 0.0, row.direction, row.transfers)
    store.save_call(
        row.call_sid, status=status, ended_at=ended_at, duration_s=duration_s, cost=priced
    )
    return CallEnded(row.ended_by or "", known_usd(priced))


def _usage(row: CallRow) -> Usage:
    known = {each.name for each in fields(Usage)}
    return Usage(**{name: value for name, value in row.usage.items() if name in known})


def _age_s(row: CallRow) -> float:
    return max(0.0, (datetime.now(UTC) - row.created_at).total_seconds())


def _last_order(entries: Sequence[TimelineRow]) -> int:
    """The highest order in a timeline: of an entry, or of a piece of one."""
    orders = [entry.position for entry in entries]
    for entry in entries:
        orders += [order for order, _, _ in entry.data.get("pieces", [])]
    return max(orders, default=0)


class Recorder:
    """Records one call, leg after leg. Give it every event and command with `event` and `command`.

    Only `save_recording` awaits. The rest runs on the event loop between the caller's frames: it
    must stay cheap, since its time delays them. The store writes later, in a task of its own.

    Args:
        cost: prices the call at its end.
        recording: None: the call's audio is not recorded.
        watchers: called with every event and command.
        stored: the record of a call that another process had.
    """

    def __init__(
        self,
        store: Store,
        call: CallInfo,
        agent: Agent,
        cost: Cost,
        recording: Recording | None = None,
        watchers: Iterable[Watcher] = (),
        stored: StoredCall | None = None,
    ) -> None:
        self._store = store
        self._cost = cost
        self._recording = recording
        self._recording_saved = False
        #: Whether to give it the caller's frames.
        self.records_audio = recording is not None
        self._watchers = tuple(watchers)
        self._call = call
        self._timeline = Timeline(stored.entries if stored else 0, agent)
        self._timings: dict[str, float] = dict(stored.timings) if stored else {}
        self._saved_revision = 0
        self._turns = TurnRows(stored.turns if stored else 0)
        self._earlier_usage = stored.usage if stored else Usage()
        self._usage = self._earlier_usage
        self._started_at = stored.started_at if stored else None
        self._transfers: Transfers = stored.transfers if stored else []
        self._outcomes = outcomes_of(self._transfers)  # those that watchers know
        self._left_at: datetime | None = None  # the end of the last leg
        self._ended_by = ""
        self._closed = False
        self._now_ms = 0.0  # of the last event
        store.save_call(
            call.call_sid,
            account_sid=call.account_sid,
            direction=call.direction,
            from_number=call.from_number,
            to_number=call.to_number,
            agent_name=agent.name,
            status="ringing",
        )

    def save_transfers(self, transfers: Transfers) -> None:
        """Store all transfers of the call so far."""
        outcomes = outcomes_of(transfers)
        for number, outcome in enumerate(outcomes):
            if outcome and self._outcomes[number : number + 1] != [outcome]:
                self._tell(TransferEnded(outcome), self._now_ms)
        self._transfers, self._outcomes = transfers, outcomes
        records = [dict(each) for each in transfers]
        self._store.save_call(self._call.call_sid, transfers=records)

    def next_leg(self, ended: CallMachine, agent: Agent) -> None:
        """Another leg begins, with this agent. `ended`: the machine of the leg before."""
        self._timeline.agent = agent
        self._turns = TurnRows(self._turns.next_position)
        self._earlier_usage += ended.usage
        self._saved_revision = 0

    def event(self, event: ev.Event, now_ms: float) -> None:
        self._now_ms = now_ms
        self._timeline.event(event, now_ms)
        self._tell(event, now_ms)
        if self._recording is not None:
            self._recording.event(event, now_ms)
        match event:
            case ev.SessionConfigured():
                self._timings.setdefault("model_ready_ms", now_ms)
            case ev.AudioReceived() | ev.VoiceReceived():
                if "first_delta_ms" not in self._timings:
                    self._timings["first_delta_ms"] = now_ms
            case ev.StreamStarted():
                self._timings.setdefault("stream_started_ms", now_ms)
                self._started_at = self._started_at or datetime.now(UTC)
                self._store.save_call(
                    self._call.call_sid, status="in-progress", started_at=self._started_at
                )
            case ev.VoicemailReached():
                self.save_timeline()  # at once: the next process needs the message

    def _tell(self, message: Watched, now_ms: float) -> None:
        for watch in self._watchers:
            watch(self._call, message, now_ms)

    def caller_frame(self, payload: str, timestamp: object, now_ms: float) -> None:
        """Record a frame of the caller's. `payload`: base64 µ-law. `timestamp`: Twilio's."""
        if self._recording is not None:
            self._recording.caller_frame(payload, timestamp, now_ms)

    async def save_recording(self, until_ms: float) -> None:
        """Write the recording up to `until_ms` of the timeline, in a thread."""
        if self._recording is None:
            return
        await self._recording.write(until_ms)
        if self._recording.path is not None and not self._recording_saved:
            self._recording_saved = True
            path = str(self._recording.path)
            self._store.save_call(self._call.call_sid, recording=path)

    def is_behind(self, machine: CallMachine) -> bool:
        """Whether the conversation changed since `save_turns`."""
        return machine.conversation.revision != self._saved_revision

    def command(self, command: do.Command, now_ms: float) -> None:
        self._timeline.command(command, now_ms)
        self._tell(command, now_ms)
        if self._recording is not None:
            self._recording.command(command, now_ms)
        if isinstance(command, do.PlayAudio) and "first_media_ms" not in self._timings:
            self._timings["first_media_ms"] = now_ms

    def save_turns(self, machine: CallMachine, now_ms: float) -> None:
        """Store the turns that changed: of one that still plays, what was heard so far."""
        self._saved_revision = machine.conversation.revision
        if changed := self._turns.take_changed(machine, now_ms):
            self._store.save_turns(self._call.call_sid, changed.rows, changed.removed)

    def save(self, machine: CallMachine, now_ms: float) -> None:
        """Store the turns that changed, and the new timeline entries."""
        self.save_turns(machine, now_ms)
        self.save_timeline()

    def save_timeline(self) -> None:
        """Store the timeline entries since the last call of this."""
        self._store.append_timeline(
            self._call.call_sid,
            [
                TimelineRow(entry.order, entry.at_ms, entry.kind, entry.name, entry.as_data())
                for entry in self._timeline.take()
            ],
        )

    def finish(
        self, machine: CallMachine, now_ms: float, *, ended_by: str, call_continues: bool
    ) -> None:
        """Store the end of a leg. Unless `call_continues`, the record is closed too."""
        self.save(machine, now_ms)
        self._left_at, self._ended_by = datetime.now(UTC), ended_by
        self._usage = self._earlier_usage + machine.usage
        self._store.save_call(
            self._call.call_sid,
            ended_by=ended_by,
            usage=asdict(self._usage),
            timings=self._timings,
        )
        if not call_continues:
            self.close_record()

    def ended_by(self, ended_by: str) -> None:
        """Correct the cause that `finish` stored."""
        self._ended_by = ended_by
        self._store.save_call(self._call.call_sid, ended_by=ended_by)

    def close_record(self, *, at_leg_end: bool = False) -> None:
        """Store the end of the call: status, duration, cost. It ended now, or `at_leg_end` when
        its last leg ended."""
        self.save_timeline()
        ended_at, started_at = datetime.now(UTC), self._started_at
        if at_leg_end and self._left_at is not None:
            ended_at = self._left_at
        duration_s = (ended_at - started_at).total_seconds() if started_at else None
        cost = self._cost(self._usage, duration_s or 0.0, self._call.direction, self._transfers)
        self._store.save_call(
            self._call.call_sid,
            status="completed",
            ended_at=ended_at,
            duration_s=duration_s,
            cost=cost,
        )
        if not self._closed:
            self._closed = True
            self._tell(CallEnded(self._ended_by, known_usd(cost)), self._now_ms)
