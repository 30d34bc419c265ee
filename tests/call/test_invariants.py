"""Whatever happens, in whatever order: what the call promises holds.

Hypothesis tells stories of a call, absurd ones too: events twice, of unknown ids, of nobody's
marks, after the end, with no time or hours in between. Every promise is checked at every step.
"""

from collections import Counter
from itertools import count
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.call import commands as do
from app.call import events as ev
from app.call.agent import Limits
from app.call.timeline import ordered, replay
from tests.call.scene import Scene, agent

LONGEST_CALL_MS = 600_000
BUSY = "conversation_already_has_active_response"
LIMITS = Limits(longest_call_ms=LONGEST_CALL_MS)
AGENTS = {
    "greets": agent(greeting="Hello.", limits=LIMITS),
    "listens": agent(limits=LIMITS),
    "talks on": agent(greeting="Hello.", interruptible=False, limits=LIMITS),
}

NOBODY = -1  # asks for a tool before there is a session that could

Step = tuple[float, str, int, int]

STEPS = [
    *["answer", "answer in full", "caller turn", "tool", "tool returns"] * 3,
    *["response created", "item added", "audio", "audio", "transcript", "item done"],
    *["response done", "cancelled", "failed", "speech started", "speech stopped", "committed"],
    *["end call", "tool", "broken tool", "tool fails", "tool taken", "unknown tool"],
    *["truncation refused", "request busy", "request refused", "error"],
    *["model opened", "configured", "session comes", "session comes", "model lost"],
    *["blocked", "unblocked", "unblocked", "mark", "digit", "timer", "transcribed"],
]
RARE = ["stream started again", "hang up", "hung up", "stream ended", "leg opened again"]
RARE += ["model lost for good", "hang up failed"]
SHORT_MS = [0.0] * 6 + [1.0, 20.0, 100.0, 333.3, 1000.0, 2500.0, 7000.0]
LONG_MS = [16_000.0, 40_000.0, 1e7]

GAPS_MS = SHORT_MS * 15 + LONG_MS
WHATS = STEPS * 12 + RARE
SIZES = [1, 7, 160, 800, 8000, 30_000, 200_000]

steps = st.tuples(
    st.sampled_from(GAPS_MS), st.sampled_from(WHATS), st.integers(0, 3), st.sampled_from(SIZES)
)


class Story(Scene):
    """A scene that checks every promise at every step.

    Ids belong to a session, as the model's do: the events of a session end with it.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(AGENTS[kind], up_ms=30, down_ms=50)
        self.session = 0
        self.turn = 0
        self.requested = ""  # event id of the response asked for
        self.active = ""
        self.received: Counter[str] = Counter()  # bytes, by item
        self.played: Counter[str] = Counter()
        self.cut: set[str] = set()
        self.tool_calls: dict[str, int] = {}  # completed ones and their session
        self.ends = 0
        self._calls = count()
        self._faulted: set[str] = set()

    # --- every event passes here ----------------------------------------------------------------

    def feed(self, *events: ev.Event) -> list[do.Command]:
        commands: list[do.Command] = []
        for event in events:
            was_over = self.machine.over
            self._told(event)
            answer = super().feed(event)
            for command in answer:
                self._ordered(command)
            assert not (was_over and answer), "a command after the end"
            assert self.machine.next_deadline_ms > self.now_ms, "a timer that is due already"
            commands += answer
        for turn in self.machine.transcript(self.now_ms):
            assert 0 <= turn.heard_bytes <= turn.generated_bytes or turn.role != "assistant"
        return commands

    def _told(self, event: ev.Event) -> None:
        match event:
            case ev.ResponseCreated(response_id):
                self.active, self.requested = response_id, ""
            case ev.ResponseDone(response_id) if response_id == self.active:
                self.active = ""
            case ev.ModelFaulted(_, _, cause) if cause == self.requested:
                self.requested = ""
            case ev.AudioReceived(_, item_id, _, size_bytes):
                self.received[item_id] += size_bytes
            case ev.OutputItemDone(kind="function_call", status="completed", call_id=call_id):
                if not self.machine.over:
                    session = self.session if self.machine.hears_caller else NOBODY
                    self.tool_calls.setdefault(call_id, session)

    def _ordered(self, command: do.Command) -> None:
        assert not self.ends, "a command after EndLeg"
        match command:
            case do.CreateResponse(event_id):
                assert not self.requested and not self.active, "two responses in flight"
                self.requested = event_id
            case do.CloseModel():
                self.session += 1
                self.requested = self.active = ""
            case do.PlayAudio(item_id, _, size_bytes) if item_id:
                assert item_id not in self.cut, "a cut item is played"
                self.played[item_id] += size_bytes
                assert self.played[item_id] <= self.received[item_id]
            case do.TruncateItem(_, item_id, audio_end_ms):
                assert 0 < audio_end_ms * 8 <= self.played[item_id]
                assert self.belongs(item_id)
                self.cut.add(item_id)
            case do.DeleteItem(_, item_id):
                assert self.belongs(item_id)
                self.cut.add(item_id)
            case do.AddToolOutput(_, call_id):
                assert self.tool_calls[call_id] in (self.session, NOBODY), "of a lost session"
            case do.EndLeg():
                self.ends += 1

    def belongs(self, item_id: str) -> bool:
        """Whether the present session knows this item."""
        return item_id.startswith(f"{self.session}.")

    # --- what can happen ------------------------------------------------------------------------

    def tell(self, step: Step) -> None:
        gap_ms, what, number, size = step
        self.run(gap_ms)
        if what == "leg opened again" and self.machine.over:
            return  # that is another leg, with a machine of its own
        if what in ("answer", "answer in full", "caller turn") and number < 3:
            self.turn += 1  # else it is one that there was already
        turn = self.turn - number // 2
        response_id = f"{self.session}.resp_{turn}"
        item_id = f"{self.session}.item_{turn}{'ab'[number % 2]}"
        user_id = f"{self.session}.user_{turn}"
        match what:
            case "answer in full":
                self.answer(min(size, 30_000) // 8 + 1, item_id, response_id, "one two three")
            case "answer":
                self.begin(item_id, response_id)
                self.feed(ev.AudioReceived(response_id, item_id, "", size))
            case "caller turn":
                self.speak(user_id)
                self.run(size / 8)
                self.fall_silent(user_id, "Well.")
            case "tool" | "end call":
                name = "end_call" if what == "end call" else f"tool_{next(self._calls)}"
                if not self.active:
                    self.feed(ev.ResponseCreated(response_id))
                call_id = f"{self.session}.call_{number if size < 800 else next(self._calls)}"
                self.call_tool(call_id, name, self.active or response_id)
            case "broken tool":
                kind, item_id = "function_call", f"{self.session}.item_f{number}"
                self.feed(
                    ev.OutputItemAdded(response_id, item_id, kind),
                    ev.OutputItemDone(response_id, item_id, kind, "incomplete", "c", "n"),
                )
            case "session comes":
                self.configure()
            case "truncation refused":
                self._refuse_truncation()
            case _:
                self.feed(self._event(what, number, size, response_id, item_id, user_id))

    def _refuse_truncation(self) -> None:
        """Each is refused at most once, at a length that the item has."""
        for truncation in self.all(do.TruncateItem)[-1:]:
            if truncation.event_id not in self._faulted and self.belongs(truncation.item_id):
                self._faulted.add(truncation.event_id)
                shorter = truncation.audio_end_ms // 2
                text = f"Audio content of {shorter}ms is already shorter than {shorter + 1}ms"
                self.feed(ev.ModelFaulted("invalid_value", text, truncation.event_id))

    def _event(
        self, what: str, number: int, size: int, response_id: str, item_id: str, user_id: str
    ) -> ev.Event:
        calls = list(self.tool_calls)
        call_id = calls[-1 - number] if number < len(calls) else "call_unknown"
        events: dict[str, ev.Event] = {
            "response created": ev.ResponseCreated(response_id),
            "item added": ev.OutputItemAdded(response_id, item_id, "message"),
            "audio": ev.AudioReceived(response_id, item_id, "", size),
            "transcript": ev.TranscriptReceived(item_id, "and so on "),
            "item done": ev.OutputItemDone(response_id, item_id, "message", "completed"),
            "response done": ev.ResponseDone(self.active or response_id, "completed"),
            "cancelled": ev.ResponseDone(self.active or response_id, "cancelled"),
            "failed": ev.ResponseDone(self.active or response_id, "failed", "server_error"),
            "speech started": ev.SpeechStarted(user_id, 0),
            "speech stopped": ev.SpeechStopped(user_id, 0),
            "committed": ev.CallerTurnCommitted(user_id, item_id),
            "transcribed": ev.CallerTranscribed(user_id, "Well."),
            "tool returns": ev.ToolReturned(call_id, f"result of {call_id}"),
            "tool fails": ev.ToolFailed(call_id, f"result of {call_id}"),
            "tool taken": ev.ToolOutputTaken(call_id),
            "unknown tool": ev.ToolReturned("call_unknown", "42"),
            "request busy": ev.ModelFaulted(BUSY, "busy", self.requested or None),
            "request refused": ev.ModelFaulted("server_error", "no", self.requested or None),
            "error": ev.ModelFaulted("server_error", "no", f"bridge_{number}"),
            "model opened": ev.ModelOpened(),
            "configured": ev.SessionConfigured(),
            "model lost": ev.ModelLost("gone"),
            "model lost for good": ev.ModelLost("gone", fatal=True),
            "blocked": ev.StreamBlocked(),
            "unblocked": ev.StreamUnblocked(),
            "mark": ev.MarkEchoed(f"{number}:{size % 9}"),
            "digit": ev.DigitPressed("#"),
            "timer": ev.TimerFired(),
            "hang up": ev.HangUpRequested("operator"),
            "hung up": ev.HangUpConfirmed(),
            "hang up failed": ev.HangUpFailed("no"),
            "stream started again": ev.StreamStarted("MZ1"),
            "stream ended": ev.StreamEnded("stop"),
            "leg opened again": ev.LegOpened(),
        }
        return events[what]

    # --- what must be true of the whole ---------------------------------------------------------

    def check_tools(self) -> None:
        """Each call was answered once: to the session that asked, or in words to a later one."""
        outputs = Counter(answer.call_id for answer in self.all(do.AddToolOutput))
        assert all(times == 1 for times in outputs.values())
        said = " ".join(message.text for message in self.all(do.AddMessage))
        for call_id, session in self.tool_calls.items():
            answers = [t for t in self.machine.conversation if t.item_id == call_id]
            assert len(answers) <= 1
            if self.machine.over or not answers:
                continue
            if session == self.session:
                assert outputs[call_id] == 1, "its own session was never told"
            elif self.machine.hears_caller and not outputs[call_id]:
                name, text = answers[0].detail["name"], answers[0].text
                assert f"Result of {name}: {text}" in said, "no session was told"


OPENING: list[Step] = [(300, "session comes", 0, 0), (50, "stream started again", 0, 0)]


def tell(kind: str, story: list[Step], *, connected: bool = True) -> Story:
    """A whole leg. After the story nobody says anything any more, the model included: every tool
    is answered for, and within the longest call the leg is over."""
    scene = Story(kind)
    scene.feed(ev.LegOpened())
    for step in OPENING[: 2 if connected else 1] + story:
        scene.tell(step)
        scene.check_tools()
    scene.run(scene.agent.limits.tool_ms)
    scene.check_tools()
    if not scene.machine.over:
        run = {command.call_id for command in scene.all(do.RunTool)}
        assert run <= {turn.item_id for turn in scene.machine.conversation}, (
            "a tool is not answered"
        )
    scene.run(LONGEST_CALL_MS + 120_000)
    assert scene.machine.over and scene.ends == 1
    entries = scene.timeline.take()
    assert replay(scene.agent, entries) == ordered(entries)
    return scene


@settings(
    max_examples=120,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    kind=st.sampled_from(sorted(AGENTS)),
    connected=st.booleans(),
    story=st.lists(steps, min_size=5, max_size=70),
)
def test_whatever_happens_the_promises_hold(kind: str, connected: bool, story: list[Step]) -> None:
    tell(kind, story, connected=connected)


@pytest.mark.parametrize("kind", sorted(AGENTS))
def test_the_promises_hold_in_long_calls(kind: str) -> None:
    """Hypothesis varies a few stories; these have nothing in common, and reach the deep places."""
    random, reached = Random(kind), Counter[type[do.Command]]()
    pick = random.choice
    for _ in range(120):
        story = [(pick(GAPS_MS), pick(WHATS), random.randrange(4), pick(SIZES)) for _ in range(60)]
        reached.update({type(command) for _, command in tell(kind, story).commands})
    rare = [do.AddToolOutput, do.AddMessage, do.HangUp, do.CloseStream, do.CancelTool]
    if AGENTS[kind].turns.interruptible:
        rare += [do.ClearAudio, do.TruncateItem, do.DeleteItem, do.CancelResponse]
    assert all(reached[command] >= 15 for command in rare)
