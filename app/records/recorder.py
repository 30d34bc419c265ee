"""Records a call in the store while it lasts: turns as heard, timeline, usage, timings, cost."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from typing import Any, Protocol

from app.call import commands as do
from app.call import events as ev
from app.call.agent import Agent
from app.call.detection import WENT_ON
from app.call.machine import CallMachine
from app.call.timeline import Timeline
from app.call.usage import Usage
from app.records.carried import Carried
from app.records.live_sound import AUDIBLE, Listener, LiveSound
from app.records.record import Transfers
from app.records.recording import Recording
from app.records.recording_files import RecordingPart
from app.records.store import TimelineRow, TurnRow
from app.records.stored_call import STREAM_STARTED, Cost, StoredCall, seconds_on_line
from app.records.turn_rows import TurnRows
from app.records.watching import (
    Audience,
    CallEnded,
    TransferEnded,
    TurnsChanged,
    Watched,
    Watcher,
    audience,
    known_usd,
    outcomes_of,
)
from app.wires.twilio.call import CallInfo


class Sink(Protocol):
    """Where a recorder writes: the store."""

    def save_call(self, call_sid: str, **changes: Any) -> None: ...

    def save_turns(
        self, call_sid: str, turns: Iterable[TurnRow], removed: Iterable[int] = ()
    ) -> None: ...

    def append_timeline(self, call_sid: str, entries: Iterable[TimelineRow]) -> None: ...


class _Nowhere:
    """Takes what is not to be written."""

    def save_call(self, call_sid: str, **changes: Any) -> None:
        pass

    def save_turns(
        self, call_sid: str, turns: Iterable[TurnRow], removed: Iterable[int] = ()
    ) -> None:
        pass

    def append_timeline(self, call_sid: str, entries: Iterable[TimelineRow]) -> None:
        pass


# What changes `Carried` without a change of the conversation.
_CHANGE_CARRIED = frozenset((ev.DigitPressed, ev.SayRequested, ev.TransferRequested, ev.EntryAsked))
# What the record itself notes, of sounds the first; the timeline and the watchers get everything.
_NOTED_EVENTS = _CHANGE_CARRIED | {
    ev.SessionConfigured,
    ev.AudioReceived,
    ev.VoiceReceived,
    ev.MarkEchoed,
    ev.StreamStarted,
    ev.CalleeDetected,
    ev.RedirectFailed,
}
_NOTED_COMMANDS = frozenset(
    (do.PlayAudio, do.ReportDecision, do.TransferCall, do.PlayDigits, do.GiveDigits)
)
_NOTED: frozenset[type] = _NOTED_EVENTS | _NOTED_COMMANDS
_SOUNDS_RECEIVED: frozenset[type] = frozenset((ev.AudioReceived, ev.VoiceReceived))
_SOUNDS_SENT: frozenset[type] = frozenset((do.PlayAudio,))


@cache
def _without(noted: frozenset[type], others: frozenset[type]) -> frozenset[type]:
    """Shared by all calls: each would keep a set of its own."""
    return noted - others


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
        store: Sink,
        call: CallInfo,
        agent: Agent,
        cost: Cost,
        recording: Recording | None = None,
        watchers: Iterable[Watcher] = (),
        stored: StoredCall | None = None,
    ) -> None:
        self._store: Sink = store
        self._cost = cost
        self._recording = recording
        self._recording_saved = False
        self._recordings = stored.recordings if stored else []
        self._key_saved = False  # the timeline was stored at the call's first key
        #: Whether to give it the caller's frames.
        self.records_audio = recording is not None
        self._sound = LiveSound()
        self._audience = audience(tuple(watchers))
        self._call = call
        self._timeline = Timeline(stored.entries if stored else 0, agent)
        self._timings: dict[str, float] = dict(stored.timings) if stored else {}
        self._saved_revision = 0
        # As it is stored; None: unknown.
        self._carried: dict[str, Any] | None = None if stored else {}
        self._carried_changed = False
        self._turns = TurnRows(stored.turns if stored else 0)
        self._earlier_usage = stored.usage if stored else Usage()
        self._usage = self._earlier_usage
        self._started_at = stored.started_at if stored else None
        self._transfers: Transfers = stored.transfers if stored else []
        # The end of the last leg, on the wall clock and on the call's.
        self._left: tuple[datetime, float] | None = None
        self._outcomes = outcomes_of(self._transfers)  # those that watchers know
        self._ended_by = ""
        self._closed = False
        self._now_ms = 0.0  # of the last event
        self._noted = _NOTED  # without the sounds that were noted
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
        if type(event) in self._noted:
            self._note_event(event, now_ms)

    def _note_event(self, event: ev.Event, now_ms: float) -> None:
        if type(event) in _CHANGE_CARRIED:
            self._carried_changed = True
        match event:
            case ev.AudioReceived() | ev.VoiceReceived():
                self._timings.setdefault("first_delta_ms", now_ms)
                self._noted = _without(self._noted, _SOUNDS_RECEIVED)
            case ev.MarkEchoed():
                self._sound.forget_played(now_ms)
            case ev.SessionConfigured():
                self._timings.setdefault("model_ready_ms", now_ms)
            case ev.StreamStarted():
                self._sound.stream_started(now_ms)
                self._timings.setdefault(STREAM_STARTED, now_ms)
                self._started_at = self._started_at or datetime.now(UTC)
                self._store.save_call(
                    self._call.call_sid,
                    status="in-progress",
                    started_at=self._started_at,
                    timings=dict(self._timings),
                )
            case ev.CalleeDetected():
                self.save_timeline()  # at once: the next process needs the verdict
            case ev.DigitPressed() if not self._key_saved:
                self._key_saved = True
                self.save_timeline()  # at once too: it is evidence against a verdict
            case ev.EntryAsked() | ev.RedirectFailed():
                self.save_timeline()  # at once: what follows means something else

    def _tell(self, message: Watched, now_ms: float) -> None:
        for watch in self._audience[type(message)]:
            watch(self._call, message, now_ms)

    def caller_frame(self, payload: str, timestamp: object, now_ms: float) -> None:
        """Record a frame of the caller's. `payload`: base64 µ-law. `timestamp`: Twilio's."""
        if self._recording is not None:
            self._recording.caller_frame(payload, timestamp, now_ms)
        self._sound.caller_frame(payload, timestamp, now_ms)

    def listen(self, now_ms: float) -> Listener:
        """Hear what is heard on the call from now on. Call `leave` at the end."""
        self.records_audio = True
        return self._sound.listen(now_ms)

    def leave(self, listener: Listener) -> None:
        """End what `listen` began."""
        self._sound.leave(listener)
        self.records_audio = self._recording is not None or bool(self._sound.listeners)

    async def save_recording(self, until_ms: float) -> None:
        """Write the recording up to `until_ms` of the timeline, in a thread."""
        if self._recording is None:
            return
        await self._recording.write(until_ms)
        if self._recording.path is not None and not self._recording_saved:
            self._recording_saved = True
            path = str(self._recording.path)
            changes: dict[str, Any] = {"recording": path}
            if self._recordings is not None:
                part = RecordingPart(path, self._recording.at, self._recording.from_ms)
                changes["recordings"] = [*self._recordings, part.as_data()]
            self._store.save_call(self._call.call_sid, **changes)

    def is_behind(self, machine: CallMachine) -> bool:
        """Whether the conversation changed since `save_turns`, or what is carried may have changed
        since `save_carried`."""
        return machine.conversation.revision != self._saved_revision or self._carried_changed

    def command(self, command: do.Command, now_ms: float) -> None:
        self._timeline.command(command, now_ms)
        self._tell(command, now_ms)
        if self._recording is not None:
            self._recording.command(command, now_ms)
        if type(command) in AUDIBLE:
            self._sound.command(command, now_ms)
        if type(command) in self._noted:
            self._note_command(command, now_ms)

    def _note_command(self, command: do.Command, now_ms: float) -> None:
        if isinstance(command, do.PlayAudio):
            self._timings.setdefault("first_media_ms", now_ms)
            self._noted = _without(self._noted, _SOUNDS_SENT)
        elif isinstance(command, do.ReportDecision) and command.decision == WENT_ON:
            self.save_timeline()  # with the verdict that it answers
        elif isinstance(command, do.TransferCall | do.PlayDigits | do.GiveDigits):
            self.save_timeline()  # at once: the next process has to know

    def save_turns(self, machine: CallMachine, now_ms: float) -> None:
        """Store the turns that changed: of one that still plays, what was heard so far."""
        self._saved_revision = machine.conversation.revision
        if changed := self._turns.take_changed(machine, now_ms):
            self._store.save_turns(self._call.call_sid, changed.rows, changed.removed)
            self._tell(TurnsChanged(changed.rows, changed.removed), now_ms)

    def save_carried(self, carried: Carried) -> None:
        """Store what the leg leaves to the next one, if it changed."""
        self._carried_changed, data = False, carried.as_data()
        if data != self._carried:
            self._carried = data
            self._store.save_call(self._call.call_sid, carried=data)

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
        self._left = datetime.now(UTC), now_ms
        self._ended_by = ended_by
        self._usage = self._earlier_usage + machine.usage
        self._store.save_call(
            self._call.call_sid,
            ended_by=ended_by,
            usage=asdict(self._usage),
            timings=self._timings,
        )
        if not call_continues:
            self.close_record(now_ms)

    def silence(self) -> None:
        """Another process has the call: write nothing more, and tell watchers nothing more."""
        self._store, self._audience, self._closed = _Nowhere(), Audience(()), True
        self._sound.close()

    def ended_by(self, ended_by: str) -> None:
        """Correct the cause that `finish` stored."""
        self._ended_by = ended_by
        self._store.save_call(self._call.call_sid, ended_by=ended_by)

    def close_record(self, now_ms: float, *, at_leg_end: bool = False) -> None:
        """Store the end of the call: status, duration, cost. It ended now, or `at_leg_end` when
        its last leg ended. The duration is the call's own: the wall clock may jump."""
        self._sound.close()
        self.save_timeline()
        ended_at, ended_ms = datetime.now(UTC), now_ms
        if at_leg_end and self._left is not None:
            ended_at, ended_ms = self._left
        duration_s = seconds_on_line(self._timings, ended_ms)
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
