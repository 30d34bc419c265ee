"""What a delta costs in the last minute of an hour's call, beside the first: machine and recorder.

A scripted call runs in virtual time, in process and without sockets. Its minutes are all alike: the
caller asks and the agent answers every few seconds, marks come back as they are reached, a tool
runs, and two answers are interrupted. So any growth is a cost that rises with the call's length.
"""

import gc
import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from time import thread_time_ns
from typing import Any

from app.call import commands as do
from app.call import events as ev
from app.call.agent import Agent, Limits
from app.call.machine import CallMachine
from app.records.recorder import Recorder
from app.records.store import Store
from app.wires.twilio.call import CallInfo
from bench.load.report import Row, at_most

MINUTES = 60
#: The minutes that are compared with the first.
COMPARED = (10, MINUTES)
LOOPS = 5
LIMIT = 1.2

MINUTE_MS = 60_000.0
SAVE_MS = 5000.0
NETWORK_MS = 20.0
#: When the caller begins to speak, in each minute; at 19.5 s and 39 s the agent still speaks.
QUESTIONS_MS = (1000.0, 8500.0, 15_000.0, 19_500.0, 27_000.0, 34_500.0, 39_000.0, 48_500.0)
#: At which of them the model calls a tool before it answers.
TOOL_AT = 4
SPEAKS_MS = 1500.0
DELTA_MS = 200
BETWEEN_DELTAS_MS = 40.0  # five times as fast as it plays
WORDS = (
    "Let me see what we have that evening. There is a table at seven. Shall I put it down for you?"
)
PIECES = [f"{word} " for word in WORDS.split()]
VOICE = "bench/voice"
AGENT = Agent("Bench", "Be kind.", limits=Limits(idle_ms=0, longest_call_ms=0))


class DiscardingStore(Store):
    """Keeps nothing: encoding and writing are no cost of a delta."""

    def __init__(self) -> None:
        self.reports = False
        self.saved_turns = 0

    def save_call(self, call_sid: str, **changes: Any) -> None:
        pass

    def save_turns(self, call_sid: str, turns: Any, removed: Any = ()) -> None:
        self.saved_turns += len(turns)

    def append_timeline(self, call_sid: str, entries: Any) -> None:
        pass


@dataclass(slots=True)
class Minute:
    """What one minute of the call cost."""

    #: CPU time of each event and each save, in their order.
    spent_ns: list[int] = field(default_factory=list)
    #: Audio and text of the agent's, from the model or from a voice.
    deltas: int = 0


class LongCall:
    """One call of so many minutes. `voices`: labels of external voices; empty: the model speaks."""

    def __init__(self, minutes: int, voices: tuple[str, ...] = ()) -> None:
        self.minutes = [Minute() for _ in range(minutes + 1)]  # the first one: the greeting's
        agent = AGENT if not voices else Agent(AGENT.name, "", voices=voices, limits=AGENT.limits)
        self.machine = CallMachine(agent)
        self.store = DiscardingStore()
        call = CallInfo("CA" + "0" * 32, "AC1", "inbound", "+15550100001", "+15550109999")
        self.recorder = Recorder(self.store, call, agent, lambda *_: {})
        self._speaks = not voices
        self._now_ms = 0.0
        self._pending: list[tuple[float, int, Callable[[], object]]] = []
        self._order, self._numbers = count(), count(1)
        self._marks: dict[str, float] = {}  # when each is reached
        self._plays_until_ms = 0.0
        self._dropped: set[str] = set()  # utterances
        self._calls_tool = False
        self._last_item_id = ""

    def run(self) -> list[Minute]:
        """Run the call. Returns the cost of its minutes, without the one in which it begins."""
        self._feed(ev.LegOpened())
        self._feed(ev.StreamStarted("MZ1"))
        for minute in range(1, len(self.minutes)):
            for number, at_ms in enumerate(QUESTIONS_MS):
                ask = partial(self._ask, calls_tool=number == TOOL_AT)
                self._later(minute * MINUTE_MS + at_ms, ask)
        for saves in range(int(len(self.minutes) * MINUTE_MS / SAVE_MS)):
            self._later(saves * SAVE_MS, self._save)
        self._run_until(len(self.minutes) * MINUTE_MS)
        return self.minutes[1:]

    # --- time -----------------------------------------------------------------------------------

    def _later(self, at_ms: float, act: Callable[[], object]) -> None:
        heapq.heappush(self._pending, (at_ms, next(self._order), act))

    def _soon(self, after_ms: float, event: ev.Event) -> None:
        self._later(self._now_ms + after_ms, partial(self._feed, event))

    def _run_until(self, at_ms: float) -> None:
        while (due_ms := min(self._pending[0][0], self.machine.next_deadline_ms)) < at_ms:
            self._now_ms = due_ms
            if self._pending[0][0] <= due_ms:
                heapq.heappop(self._pending)[2]()
            else:
                self._feed(ev.TimerFired())
            if not self._pending:
                return

    # --- what is measured -----------------------------------------------------------------------

    def _feed(self, event: ev.Event) -> None:
        """Give an event to the machine and the recorder, as `Leg.feed` does."""
        minute, now_ms = self.minutes[int(self._now_ms / MINUTE_MS)], self._now_ms
        minute.deltas += isinstance(
            event, ev.AudioReceived | ev.TextReceived | ev.TranscriptReceived | ev.VoiceReceived
        )
        begun_ns = thread_time_ns()
        self.recorder.event(event, now_ms)
        commands = self.machine.handle(event, now_ms)
        for command in commands:
            self.recorder.command(command, now_ms)
        if self.recorder.is_behind(self.machine):
            self.recorder.save_turns(self.machine, now_ms)
        minute.spent_ns.append(thread_time_ns() - begun_ns)
        for command in commands:
            self._perform(command)

    def _save(self) -> None:
        begun_ns = thread_time_ns()
        self.recorder.save(self.machine, self._now_ms)
        minute = self.minutes[int(self._now_ms / MINUTE_MS)]
        minute.spent_ns.append(thread_time_ns() - begun_ns)

    # --- the outside ----------------------------------------------------------------------------

    def _perform(self, command: do.Command) -> None:
        match command:
            case do.OpenModel():
                self._soon(NETWORK_MS, ev.ModelOpened())
            case do.ConfigureSession():
                self._soon(NETWORK_MS, ev.SessionConfigured())
            case do.PlayAudio(_, _, size_bytes):
                self._plays_until_ms = max(self._plays_until_ms, self._now_ms) + size_bytes / 8
            case do.SendMark(name):
                self._marks[name] = max(self._plays_until_ms, self._now_ms) + NETWORK_MS
                self._later(self._marks[name], partial(self._echo, name))
            case do.ClearAudio():
                self._plays_until_ms = self._now_ms
                for name in list(self._marks):
                    self._later(self._now_ms + NETWORK_MS, partial(self._echo, name))
            case do.CreateResponse():
                self._later(self._now_ms + 300, self._respond)
            case do.RunTool(call_id):
                self._soon(800, ev.ToolReturned(call_id, '{"free": true}'))
            case do.AddToolOutput(_, call_id):
                self._soon(NETWORK_MS, ev.ToolOutputTaken(call_id))
            case do.TruncateItem(_, item_id, audio_end_ms):
                self._soon(NETWORK_MS, ev.ItemTruncated(item_id, audio_end_ms))
            case do.Synthesize(utterance_id, _, text):
                self._synthesize(utterance_id, text)
            case do.DropSynthesis(utterance_id):
                self._dropped.add(utterance_id)

    def _echo(self, name: str) -> None:
        if self._marks.pop(name, None) is not None:
            self._feed(ev.MarkEchoed(name))

    def _ask(self, *, calls_tool: bool) -> None:
        """The caller speaks; then turn detection requests a response."""
        item_id = f"item_user_{next(self._numbers)}"
        self._calls_tool = calls_tool
        self._feed(ev.CallerAudioForwarded(300, 48_000))
        self._feed(ev.SpeechStarted(item_id, 0))
        self._soon(SPEAKS_MS, ev.SpeechStopped(item_id, 0))
        self._soon(SPEAKS_MS, ev.CallerTurnCommitted(item_id, self._last_item_id or None))
        self._later(self._now_ms + SPEAKS_MS + 200, self._respond)
        self._soon(SPEAKS_MS + 500, ev.CallerTranscribed(item_id, "Is a table free?", 1500))
        self._last_item_id = item_id

    def _respond(self) -> None:
        """The model responds: it calls its tool, or says `WORDS`."""
        number = next(self._numbers)
        response_id, item_id = f"resp_{number}", f"item_{number}"
        self._feed(ev.ResponseCreated(response_id))
        self._last_item_id = item_id
        if self._calls_tool:
            self._calls_tool = False
            kind, call_id = "function_call", f"call_{number}"
            self._feed(ev.OutputItemAdded(response_id, item_id, kind))
            done = ev.OutputItemDone(
                response_id, item_id, kind, "completed", call_id, "look_up", "{}"
            )
            self._feed(done)
            self._feed(ev.ResponseDone(response_id, "completed"))
            return
        self._feed(ev.OutputItemAdded(response_id, item_id, "message"))
        after_ms = 0.0
        for piece in PIECES:
            after_ms += BETWEEN_DELTAS_MS
            if self._speaks:
                self._soon(after_ms, ev.TranscriptReceived(item_id, piece, response_id))
                self._soon(after_ms, ev.AudioReceived(response_id, item_id, "", DELTA_MS * 8))
            else:
                self._soon(after_ms, ev.TextReceived(item_id, piece, response_id))
        for event in (
            ev.TranscriptCompleted(item_id, WORDS),
            ev.OutputItemDone(response_id, item_id, "message", "completed"),
            ev.ResponseDone(response_id, "completed"),
        ):
            self._soon(after_ms + BETWEEN_DELTAS_MS, event)

    def _synthesize(self, utterance_id: str, text: str) -> None:
        """The voice synthesizes an utterance, with a pause in it."""
        after_ms = 100.0
        for number in range(max(2, len(text) // 4)):
            after_ms += BETWEEN_DELTAS_MS
            self._voice(after_ms, ev.VoiceReceived(utterance_id, "", DELTA_MS * 8), utterance_id)
            if number == 1:
                self._voice(after_ms, ev.VoicePaused(utterance_id, 800, 1600), utterance_id)
        self._voice(after_ms, ev.VoiceFinished(utterance_id), utterance_id)

    def _voice(self, after_ms: float, event: ev.Event, utterance_id: str) -> None:
        def report() -> None:
            if utterance_id not in self._dropped:
                self._feed(event)

        self._later(self._now_ms + after_ms, report)


def growth(
    voices: tuple[str, ...] = (), compared: tuple[int, ...] = COMPARED, loops: int = LOOPS
) -> list[float]:
    """What a delta costs in each of these minutes, as a multiple of the first."""
    calls = []
    for _ in range(loops):
        gc.collect()
        gc.disable()  # its runs fall into any minute
        try:
            calls.append(LongCall(max(compared), voices).run())
        finally:
            gc.enable()
    first_ns = delta_ns([call[0] for call in calls])
    return [delta_ns([call[minute - 1] for call in calls]) / first_ns for minute in compared]


def delta_ns(loops: Sequence[Minute]) -> float:
    """What a delta cost in one minute. All loops have the same events: the best of each counts."""
    best: list[int] = [min(each) for each in zip(*(m.spent_ns for m in loops), strict=True)]
    return sum(best) / loops[0].deltas


def rows() -> list[Row]:
    """The rows of the bench's table: with the model's own voice, and with an external one."""
    return [
        at_most(Row(f"cost of a delta at minute {minute} over minute 1{of}", None, over), LIMIT, "")
        for of, voices in (("", ()), (", external voice", (VOICE,)))
        for minute, over in zip(COMPARED, growth(voices), strict=True)
    ]
