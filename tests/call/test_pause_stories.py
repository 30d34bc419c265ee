"""Whatever comes in whatever order while the agent is paused: the caller hears each byte once."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call.agent import Agent
from app.call.timeline import ordered, replay
from tests.call.pause_scene import PauseScene, spoken

WORDS = ["", "Mm-hm.", "Okay.", "No, wait.", "What about Sundays?", "[cough]"]
LONGEST_MS = 3000


class Story(PauseScene):
    """A call in which anything may happen next."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        super().__init__(
            up_ms=random.choice([0, 20, 120]),
            down_ms=random.choice([0, 20, 120]),
            round_trip_ms=random.choice([0, 40, 300, None]),
        )
        self.whole_frames = bool(seed % 2)
        self.active = self.given_up = self.item = self.sound = ""
        self.asked_now = False
        self.responses = self.sounds = self.calls = 0
        self.open_calls: list[str] = []

    def feed(self, *events: ev.Event) -> list[do.Command]:
        commands = []
        for event in events:
            if isinstance(event, ev.LegOpened):
                event = replace(event, whole_frames=self.whole_frames)
            if isinstance(event, ev.ResponseCreated):
                self.asked_now = False
            for command in super().feed(event):
                commands.append(command)
                self.obey(command)
        return commands

    def obey(self, command: do.Command) -> None:
        match command:
            case do.CreateResponse():
                in_flight = self.active not in ("", self.given_up) or self.asked_now
                assert not in_flight, "two responses in flight"
                self.asked_now = True
                self.later(self.random.uniform(0, 200), self.begins)
            case do.CancelResponse(_, response_id):
                self.given_up = response_id
                self.later(self.random.uniform(0, 100), self.is_cancelled)
            case do.CloseModel():
                self.active, self.asked_now = "", False
            case do.OpenModel() if self.now_ms:
                self.later(100, self.configure)
            case do.RunTool(call_id):
                self.open_calls.append(call_id)

    # --- what may happen ------------------------------------------------------------------------

    def begins(self) -> None:
        if self.active:
            return
        self.responses += 1
        self.active, self.item = f"resp_{self.responses}", f"item_{self.responses}"
        self.begin(self.item, self.active)

    def speaks(self) -> None:
        if self.active:
            self.audio(self.random.choice([20, 100, 700, 2000]), self.item, self.active)

    def ends(self) -> None:
        if self.active:
            response_id, self.active = self.active, ""
            self.finish(self.item, response_id)

    def is_cancelled(self) -> None:
        if self.active:
            response_id, self.active = self.active, ""
            self.finish(self.item, response_id, "cancelled")

    def calls_tool(self) -> None:
        if self.active:
            self.calls += 1
            self.call_tool(f"call_{self.calls}", response_id=self.active)

    def tool_returns(self) -> None:
        if self.open_calls:
            call_id = self.open_calls.pop()
            self.feed(ev.ToolReturned(call_id, "42"), ev.ToolOutputTaken(call_id))

    def sounds_up(self) -> None:
        self.sounds += 1
        self.sound = f"user_{self.sounds}"
        self.speak(self.sound)

    def stops(self) -> None:
        self.feed(ev.SpeechStopped(self.sound, 0))

    def commits(self) -> None:
        if self.sound:
            self.fall_silent(self.sound)
            if not self.machine._floor.pause.active and self.random.random() < 0.5:
                self.begins()  # turn detection responds

    def is_transcribed(self) -> None:
        if self.sounds:
            which = f"user_{self.random.randint(max(1, self.sounds - 2), self.sounds)}"
            self.feed(ev.CallerTranscribed(which, self.random.choice(WORDS)))

    def happens(self) -> None:
        """Something more."""
        act: Callable[[], object] = self.random.choices(
            [
                self.begins, self.speaks, self.ends, self.is_cancelled, self.calls_tool,
                self.tool_returns, self.sounds_up, self.stops, self.commits, self.is_transcribed,
                lambda: self.feed(ev.CallerVoiced()), lambda: self.feed(ev.CallerQuieted()),
                lambda: self.press("5"), lambda: self.feed(ev.StreamBlocked()),
                lambda: self.feed(ev.StreamUnblocked()),
                lambda: self.feed(ev.CallerTranscriptionFailed(self.sound, "no")),
            ],
            weights=[4, 8, 3, 1, 1, 2, 6, 2, 5, 4, 1, 2, 1, 1, 2, 1],
        )[0]  # fmt: skip
        act()

    def check(self) -> None:
        for number in range(1, self.responses + 1):
            heard = self.played(f"item_{number}")
            assert heard == spoken(f"item_{number}", 60_000)[: len(heard)], f"item_{number}"


@pytest.mark.parametrize("block", range(6))
def test_each_byte_is_heard_once_and_one_response_is_in_flight(block: int) -> None:
    verdicts: set[tuple[str, str]] = set()
    for seed in range(block * 40, block * 40 + 40):
        story = Story(seed)
        story.connect()
        story.begins()
        story.audio(3000, story.item, story.active)
        for _ in range(60):
            story.happens()
            story.run(story.random.choice([0, 1, 20, 150, 600, 1500]))
            if story.machine.over:
                break
        story.feed(ev.StreamUnblocked())
        story.run(LONGEST_MS + 1)
        paused = story.machine._floor.pause.active
        assert story.machine.over or not paused, f"story {seed} is paused"
        story.run(30_000)
        try:
            story.check()
        except AssertionError as error:
            raise AssertionError(f"story {seed}: {error}") from None
        verdicts |= set(story.verdicts())
        entries = story.timeline.take()
        assert replay(always(story.agent), entries) == ordered(entries)
    assert {verdict for verdict, _ in verdicts} == {"false", "confirmed"}


def always(agent: Agent) -> Callable[[object], Agent]:
    return lambda _: agent
