"""The live calls of this process, from the events and commands that watchers see."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from app.call import commands as do
from app.call import events as ev
from app.call.heard.agent_audio import OWN_SOUND
from app.call.heard.ledger import BYTES_PER_MS
from app.records.record import TurnRow
from app.records.watching import CallEnded, Selective, TurnsChanged, Watched
from app.web.live.board import Board, CallState, Card, LiveTurn
from app.wires.twilio.call import CallInfo

#: Calls that are followed at a time. Past it the oldest go: their process had no end of them.
MOST_CALLS = 10_000
#: Turns kept of a call; older ones are in its record.
MOST_TURNS = 500
#: Texts of the agent's items that are kept, to show what was not heard of a turn that is cut.
MOST_TEXTS = 50
LONGEST_TEXT = 20_000
LONGEST_WORDS = 160


@dataclass(slots=True, eq=False)
class FollowedCall:
    """One call, and what happens on it. Times are ms of the call's clock."""

    call: CallInfo
    agent: str
    began_s: float
    started: bool = False
    #: Where the caller is without a media stream: empty, or a state.
    away: CallState | None = None
    away_detail: str = ""
    model_lost: bool = False
    caller_speaks: bool = False
    paused: bool = False
    muted: bool = False
    responding: bool = False
    #: When the audio that was sent has played.
    plays_until_ms: float = 0.0
    #: Names of the tools that run, by call_id.
    tools: dict[str, str] = field(default_factory=dict)
    rows: dict[int, TurnRow] = field(default_factory=dict)
    #: All text of the agent's items, heard or not, by item id.
    texts: dict[str, str] = field(default_factory=dict)
    #: What the board showed last.
    shown: tuple[CallState, str] = ("dialing", "")
    shown_muted: bool = False

    def state(self, now_ms: float) -> tuple[CallState, str]:
        """What happens on the call, and its detail."""
        if self.away is not None:
            return self.away, self.away_detail
        if not self.started:
            return "dialing", ""
        if self.model_lost:
            return "lost", ""
        if self.paused:
            return "paused", ""
        if self.caller_speaks:
            return "caller", ""
        if self.plays_until_ms > now_ms:
            return "agent", ""
        if self.tools:
            return "tool", next(iter(self.tools.values()))
        return ("thinking" if self.responding else "listening"), ""

    def card(self) -> Card:
        words, words_by = self._last_words()
        state, detail = self.shown
        return Card(
            call_sid=self.call.call_sid,
            direction=self.call.direction,
            from_number=self.call.from_number,
            to_number=self.call.to_number,
            agent=self.agent,
            began_s=self.began_s,
            state=state,
            detail=detail,
            words=words,
            words_by=words_by,
            muted=self.shown_muted,
        )

    def _last_words(self) -> tuple[str, str]:
        for row in reversed(self.rows.values()):
            if row.role != "tool" and row.text:
                text = row.text
                return (
                    "…" + text[-LONGEST_WORDS:] if len(text) > LONGEST_WORDS else text
                ), row.role
        return "", ""

    def turns(self) -> list[LiveTurn]:
        return [self._turn(row) for row in self.rows.values()]

    def _turn(self, row: TurnRow) -> LiveTurn:
        unheard = ""
        if row.cut:
            whole = self.texts.get(row.item_id, "").strip()
            unheard = whole.removeprefix(row.text).strip() if whole.startswith(row.text) else ""
        return LiveTurn(
            position=row.position,
            item_id=row.item_id,
            role=row.role,
            at_ms=row.at_ms,
            heard=row.text,
            unheard=unheard,
            cut=row.cut,
            complete=row.complete,
            extra=row.extra,
        )

    def add_text(self, item_id: str, text: str) -> None:
        """More text of an item of the agent's."""
        texts = self.texts
        texts[item_id] = (texts.get(item_id, "") + text)[:LONGEST_TEXT]
        while len(texts) > MOST_TEXTS:
            del texts[next(iter(texts))]

    def change_turns(self, changed: TurnsChanged) -> None:
        for position in changed.removed:
            self.rows.pop(position, None)
        last = next(reversed(self.rows), -1)
        in_order = all(row.position > last or row.position in self.rows for row in changed.rows)
        self.rows |= {row.position: row for row in changed.rows}
        if not in_order:
            self.rows = dict(sorted(self.rows.items()))
        while len(self.rows) > MOST_TURNS:
            del self.rows[next(iter(self.rows))]


class LiveCalls:
    """Puts the calls of this process on the board."""

    def __init__(
        self, board: Board, agent: str, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self._board = board
        self._agent = agent
        self._wall_clock = wall_clock
        self._calls: dict[str, FollowedCall] = {}
        #: Put it among `Services.watchers`.
        self.watcher = Selective(self.watch, _WATCHED)
        #: Calls that go on without a leg of this process. It does not hear of their end.
        self.without_leg: set[str] = set()

    def watch(self, call: CallInfo, message: Watched, now_ms: float) -> None:
        """Take an event or a command of a call, or its end."""
        kind = type(message)
        handle = _HANDLERS.get(kind)
        if handle is not None:
            followed = self._calls.get(call.call_sid)
            if followed is None:
                if kind is not ev.LegOpened and kind is not ev.StreamStarted:
                    return
                followed = self._begin(call)
            if kind is ev.LegOpened:
                self.without_leg.discard(call.call_sid)
            if handle(followed, message, now_ms):
                self._show(followed, now_ms)
        elif kind is TurnsChanged:
            if followed := self._calls.get(call.call_sid):
                followed.change_turns(cast(TurnsChanged, message))
                self._board.turns_changed(call.call_sid)
        elif kind is CallEnded:
            self._end(call.call_sid)

    def _show(self, followed: FollowedCall, now_ms: float) -> None:
        state = followed.state(now_ms)
        if state != followed.shown or followed.muted != followed.shown_muted:
            followed.shown, followed.shown_muted = state, followed.muted
            self._board.changed(followed.call.call_sid)

    def _begin(self, call: CallInfo) -> FollowedCall:
        if len(self._calls) >= MOST_CALLS:
            self._end(next(iter(self._calls)))
        followed = FollowedCall(call, self._agent, self._wall_clock())
        self._calls[call.call_sid] = followed
        self._board.put(call.call_sid, followed)
        return followed

    def left(self, call_sid: str, lost: bool) -> None:
        """A call goes on without this process. `lost`: to another replica; otherwise with other
        TwiML, until a replica goes on with it: see `without_leg`."""
        if lost:
            self._end(call_sid)
        elif call_sid in self._calls:
            self.without_leg.add(call_sid)

    def over(self, call_sid: str) -> None:
        """Another replica goes on with a call that has no leg here, or it has ended."""
        if call_sid in self.without_leg:
            self._end(call_sid)

    def _end(self, call_sid: str) -> None:
        self.without_leg.discard(call_sid)
        if followed := self._calls.pop(call_sid, None):
            self._board.remove(call_sid, followed)


# --- what each event and command changes; True: the state may be another one ---------------------


def _leg_opened(call: FollowedCall, _event: ev.LegOpened, _now_ms: float) -> bool:
    call.started = call.model_lost = call.caller_speaks = call.paused = call.responding = False
    call.plays_until_ms, call.muted = 0.0, False
    call.tools.clear()
    return True


def _stream_started(call: FollowedCall, _event: ev.StreamStarted, _now_ms: float) -> bool:
    call.started, call.away = True, None
    return True


def _stream_ended(call: FollowedCall, event: ev.StreamEnded, _now_ms: float) -> bool:
    if event.lost and call.away is None:
        call.away, call.away_detail = "reconnecting", ""
    return True


def _transferred(call: FollowedCall, command: do.TransferCall, _now_ms: float) -> bool:
    call.away, call.away_detail = "transferring", ", ".join(command.route)
    return True


def _keys_played(call: FollowedCall, _command: do.PlayDigits, _now_ms: float) -> bool:
    call.away, call.away_detail = "keys", ""
    return True


def _stays(call: FollowedCall, _event: ev.RedirectFailed, _now_ms: float) -> bool:
    call.away = None
    return True


def _model_lost(call: FollowedCall, _event: ev.ModelLost, _now_ms: float) -> bool:
    call.model_lost, call.responding, call.caller_speaks = True, False, False
    return True


def _model_back(call: FollowedCall, _message: object, _now_ms: float) -> bool:
    call.model_lost = False
    return True


def _caller_speaks(call: FollowedCall, _event: ev.SpeechStarted, _now_ms: float) -> bool:
    call.caller_speaks = True
    return True


def _caller_stopped(call: FollowedCall, _event: object, _now_ms: float) -> bool:
    call.caller_speaks = False
    return True


def _played(call: FollowedCall, audio: do.PlayAudio, now_ms: float) -> bool:
    """Called for every piece of audio: it does as little as it can."""
    if audio.item_id == OWN_SOUND:
        return False
    call.plays_until_ms = max(call.plays_until_ms, now_ms) + audio.size_bytes / BYTES_PER_MS
    call.paused = False
    return call.shown[0] != "agent"


def _mark_echoed(call: FollowedCall, _event: ev.MarkEchoed, now_ms: float) -> bool:
    return call.plays_until_ms <= now_ms


def _cleared(call: FollowedCall, _command: do.ClearAudio, now_ms: float) -> bool:
    call.plays_until_ms = now_ms
    call.paused = call.caller_speaks
    return True


def _judged(call: FollowedCall, _command: object, _now_ms: float) -> bool:
    call.paused = False
    return True


def _response_began(call: FollowedCall, _event: ev.ResponseCreated, _now_ms: float) -> bool:
    call.responding, call.paused = True, False
    return True


def _response_ended(call: FollowedCall, _event: ev.ResponseDone, _now_ms: float) -> bool:
    call.responding = False
    return True


def _texted(
    call: FollowedCall, event: ev.TranscriptReceived | ev.TextReceived, _now_ms: float
) -> bool:
    call.add_text(event.item_id, event.text)
    return False


def _text_completed(call: FollowedCall, event: ev.TranscriptCompleted, _now_ms: float) -> bool:
    call.texts.pop(event.item_id, None)
    call.add_text(event.item_id, event.text)
    return False


def _tool_runs(call: FollowedCall, command: do.RunTool, _now_ms: float) -> bool:
    call.tools[command.call_id] = command.name
    return True


def _tool_ended(
    call: FollowedCall, message: ev.ToolReturned | ev.ToolFailed | do.CancelTool, _now_ms: float
) -> bool:
    call.tools.pop(message.call_id, None)
    return True


def _muted(call: FollowedCall, command: do.MuteCaller | do.UnmuteCaller, _now_ms: float) -> bool:
    call.muted = isinstance(command, do.MuteCaller)
    return True


_HANDLERS: dict[type, Callable[[FollowedCall, Any, float], bool]] = {
    do.PlayAudio: _played,
    do.ClearAudio: _cleared,
    do.TransferCall: _transferred,
    do.PlayDigits: _keys_played,
    do.ReportInterruption: _judged,
    do.TruncateItem: _judged,
    do.MuteCaller: _muted,
    do.UnmuteCaller: _muted,
    do.RunTool: _tool_runs,
    do.CancelTool: _tool_ended,
    do.SwapModel: _model_back,
    ev.LegOpened: _leg_opened,
    ev.StreamStarted: _stream_started,
    ev.StreamEnded: _stream_ended,
    ev.RedirectFailed: _stays,
    ev.ModelLost: _model_lost,
    ev.SessionConfigured: _model_back,
    ev.SpeechStarted: _caller_speaks,
    ev.SpeechStopped: _caller_stopped,
    ev.CallerTurnCommitted: _caller_stopped,
    ev.MarkEchoed: _mark_echoed,
    ev.ResponseCreated: _response_began,
    ev.ResponseDone: _response_ended,
    ev.TranscriptReceived: _texted,
    ev.TextReceived: _texted,
    ev.TranscriptCompleted: _text_completed,
    ev.ToolReturned: _tool_ended,
    ev.ToolFailed: _tool_ended,
}
_WATCHED = frozenset((*_HANDLERS, TurnsChanged, CallEnded))
