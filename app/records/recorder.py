"""Writes a leg into the store while it lasts: turns as heard, timeline, usage, timings."""

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
from app.records.recording import Recording
from app.records.schema import Transfers
from app.records.store import CallRow, Store, TimelineRow, TurnRow
from app.wires.twilio.call import TERMINAL, CallInfo, CallStatus


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of a call that another process had. `age_s`: since its first ring."""

    history: tuple[tuple[str, str], ...] = ()
    turns: int = 0
    entries: int = 0
    usage: Usage = Usage()
    started_at: datetime | None = None
    timings: dict[str, float] = field(default_factory=dict)
    transfers: list[dict[str, Any]] = field(default_factory=list)
    age_s: float = 0.0


class CallIsOver(BridgeError):
    """The record says that the call has ended."""


async def read_past(store: Store, call_sid: str) -> tuple[CallInfo, Past] | None:
    """A call that goes on, as it is recorded; None when no agent ever had it, as far as is known.

    Raises:
        CallIsOver: it does not go on.
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
    past = Past(
        history=tuple(as_messages(spoken)),
        turns=turns[-1].position + 1 if turns else 0,
        entries=_last_order_of(entries),
        usage=_usage(row),
        started_at=row.started_at,
        timings=row.timings,
        transfers=row.transfers,
        age_s=_age_s(row),
    )
    call = CallInfo(call_sid, row.account_sid, row.direction, row.from_number, row.to_number)
    return call, past


def forgotten(now_s: float) -> Past:
    """Of a call whose record cannot be read. What is written from now on lies beyond whatever
    the record holds. `now_s`: Unix time."""
    beyond = (1 + int(now_s / 60) % 2000) * 1_000_000
    return Past(history=(("system", HISTORY_LOST),), turns=beyond, entries=beyond)


async def note_decision(store: Store, call_sid: str, decision: str, reason: str) -> None:
    """Add a decision to the record of a call that no recorder is at; nothing if there is none."""
    row = await store.get_call(call_sid)
    if row is None:
        return
    order = _last_order_of(await store.timeline(call_sid)) + 1
    at_ms = round(_age_s(row) * 1000, 3)
    data = {"order": order, **asdict(ev.DecisionMade(decision, reason))}
    entry = TimelineRow(order, at_ms, "event", ev.DecisionMade.__name__, data)
    store.append_timeline(call_sid, [entry])


def record_turned_away(store: Store, call: CallInfo, agent_name: str, reason: str) -> None:
    """Write down a call that was not taken: all of its record."""
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


Cost = Callable[[Usage, float, str, Transfers], dict[str, Any]]
"""What a call cost, in money, JSON-ready: by its usage, its seconds on the line, its direction, and
the humans whom it was handed to."""


def close_record(store: Store, row: CallRow, status: CallStatus, cost: Cost) -> None:
    """Write the end of a call that no recorder is at any more."""
    ended_at, started_at = datetime.now(UTC), row.started_at
    duration_s = (ended_at - started_at).total_seconds() if started_at else None
    store.save_call(
        row.call_sid,
        status=status,
        ended_at=ended_at,
        duration_s=duration_s,
        cost=cost(_usage(row), duration_s or 0.0, row.direction, row.transfers),
    )


def _usage(row: CallRow) -> Usage:
    known = {each.name for each in fields(Usage)}
    return Usage(**{name: value for name, value in row.usage.items() if name in known})


def _age_s(row: CallRow) -> float:
    return max(0.0, (datetime.now(UTC) - row.created_at).total_seconds())


def _last_order_of(entries: Sequence[TimelineRow]) -> int:
    """The order of the last thing in a timeline, whose entries may be runs of them."""
    orders = [entry.position for entry in entries]
    for entry in entries:
        orders += [order for order, _, _ in entry.data.get("pieces", [])]
    return max(orders, default=0)


Watcher = Callable[[CallInfo, ev.Event | do.Command, float], None]
"""Told of every event and command as it comes, with its time in ms of the leg. Must not wait."""


class Recorder:
    """Told of every event and command of a call, leg after leg. Nothing here waits but
    `save_sound`: the store takes what it is given and writes it in its own time.

    `recording`: keeps the sound, None for a call that is not recorded. `cost`: the price of usage
    and seconds on the line. `past`: of a call that another process had.
    """

    def __init__(
        self,
        store: Store,
        call: CallInfo,
        agent: Agent,
        cost: Cost,
        recording: Recording | None = None,
        watchers: Iterable[Watcher] = (),
        past: Past | None = None,
    ) -> None:
        self._store = store
        self._cost = cost
        self._recording = recording
        self._recording_saved = False
        self.keeps_sound = recording is not None  # whether the caller's frames are wanted
        self._watchers = tuple(watchers)
        self._call = call
        self._timeline = Timeline(past.entries if past else 0, agent)
        self._timings: dict[str, float] = dict(past.timings) if past else {}
        self._saved_revision = 0
        self._saved_turns: dict[int, TurnRow] = {}
        self._earlier_turns = past.turns if past else 0  # of the legs before
        self._earlier_usage = past.usage if past else Usage()
        self._usage = self._earlier_usage
        self._started_at = past.started_at if past else None
        self._transfers: Transfers = past.transfers if past else []
        self._left_at: datetime | None = None  # the end of the last leg
        store.save_call(
            call.call_sid,
            account_sid=call.account_sid,
            direction=call.direction,
            from_number=call.from_number,
            to_number=call.to_number,
            agent_name=agent.name,
            status="ringing",
        )

    def handed_over(self, transfers: Transfers) -> None:
        """The call was handed to these humans so far, or was to be."""
        self._transfers = transfers
        records = [dict(each) for each in transfers]
        self._store.save_call(self._call.call_sid, transfers=records)

    def next_leg(self, ended: CallMachine, agent: Agent) -> None:
        """The call goes on in another leg, whose agent this is."""
        self._timeline.agent = agent
        self._earlier_turns = max([self._earlier_turns - 1, *self._saved_turns]) + 1
        self._earlier_usage += ended.usage
        self._saved_revision = 0

    def event(self, event: ev.Event, now_ms: float) -> None:
        self._timeline.event(event, now_ms)
        for watch in self._watchers:
            watch(self._call, event, now_ms)
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

    def heard(self, payload: str, timestamp: object, now_ms: float) -> None:
        """A frame of the caller's came."""
        if self._recording is not None:
            self._recording.heard(payload, timestamp, now_ms)

    async def save_sound(self, until_ms: float) -> None:
        """Write what sounded before `until_ms`."""
        if self._recording is None:
            return
        await self._recording.write(until_ms)
        if self._recording.path is not None and not self._recording_saved:
            self._recording_saved = True
            path = str(self._recording.path)
            self._store.save_call(self._call.call_sid, recording=path)

    def is_behind(self, machine: CallMachine) -> bool:
        """Whether something was said since turns were stored."""
        return machine.conversation.revision != self._saved_revision

    def command(self, command: do.Command, now_ms: float) -> None:
        self._timeline.command(command, now_ms)
        for watch in self._watchers:
            watch(self._call, command, now_ms)
        if self._recording is not None:
            self._recording.command(command, now_ms)
        if isinstance(command, do.PlayAudio) and "first_media_ms" not in self._timings:
            self._timings["first_media_ms"] = now_ms

    def save_turns(self, machine: CallMachine, now_ms: float) -> None:
        """Store the turns that changed. One that still plays is stored as far as it was heard."""
        self._saved_revision = machine.conversation.revision
        rows = _rows(machine.transcript(now_ms), self._earlier_turns)
        changed = [row for row in rows if self._saved_turns.get(row.position) != row]
        if changed:
            self._saved_turns.update({row.position: row for row in changed})
            self._store.save_turns(self._call.call_sid, changed)

    def save(self, machine: CallMachine, now_ms: float) -> None:
        """Store what is new."""
        self.save_turns(machine, now_ms)
        self.save_timeline()

    def save_timeline(self) -> None:
        """Store what happened since it was stored last."""
        self._store.append_timeline(
            self._call.call_sid,
            [
                TimelineRow(entry.order, entry.at_ms, entry.kind, entry.name, entry.as_data())
                for entry in self._timeline.take()
            ],
        )

    def finish(
        self, machine: CallMachine, now_ms: float, *, ended_by: str, call_goes_on: bool
    ) -> None:
        """Store the end of the leg. `call_goes_on`: it is not known to be the call's."""
        self.save(machine, now_ms)
        self._left_at = datetime.now(UTC)
        self._usage = self._earlier_usage + machine.usage
        self._store.save_call(
            self._call.call_sid,
            ended_by=ended_by,
            usage=asdict(self._usage),
            timings=self._timings,
        )
        if not call_goes_on:
            self.call_over()

    def ended_by(self, ended_by: str) -> None:
        """The leg that ended was the last one with the agent, for this cause."""
        self._store.save_call(self._call.call_sid, ended_by=ended_by)

    def call_over(self, *, at_its_end: bool = False) -> None:
        """Nothing comes after the leg that ended. `at_its_end`: the call is known of until then."""
        self.save_timeline()
        ended_at, started_at = datetime.now(UTC), self._started_at
        if at_its_end and self._left_at is not None:
            ended_at = self._left_at
        duration_s = (ended_at - started_at).total_seconds() if started_at else None
        self._store.save_call(
            self._call.call_sid,
            status="completed",
            ended_at=ended_at,
            duration_s=duration_s,
            cost=self._cost(self._usage, duration_s or 0.0, self._call.direction, self._transfers),
        )


def _rows(turns: Iterable[Turn], after: int) -> list[TurnRow]:
    return [
        TurnRow(
            position=position,
            role=turn.role,
            text=turn.heard_text,
            item_id=turn.item_id,
            at_ms=turn.at_ms,
            cut=turn.cut,
            estimated=turn.cut,
            heard_ms=turn.heard_ms if turn.role == "assistant" else None,
            complete=turn.finished,
            extra=dict(turn.detail),
        )
        for position, turn in enumerate(turns, after)
    ]
