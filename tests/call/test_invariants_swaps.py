"""The invariants of a call hold when sessions expire and follow each other, at any moment."""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from random import Random
from typing import Any, get_args

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call.agent import Agent
from app.call.optional_settings import Setting
from app.call.timeline import ordered, replay
from tests.call.pause_scene import pausing
from tests.call.story import (
    AGENTS,
    FIRST,
    LONGEST_CALL_MS,
    SETTLES_MS,
    SHORT_MS,
    SIZES,
    STEPS,
    Step,
    Story,
)
from tests.call.test_timeline import stored

SETTINGS: tuple[Any, ...] = ("", "required", *get_args(Setting))
SWAPS = ["successor", "successor", "successor configured", "successor configured", "quieted"]
SWAPS += ["successor lost", "successor refuses", "settings refused", "cough", "voiced"]
WHATS = [*STEPS, *SWAPS * 4]
CALLS = 25


class SwapStory(Story):
    """Each session expires after some seconds. Events of the session before a swap are dropped, as
    the bridge drops them."""

    def __init__(self, kind: str, random: Random) -> None:
        super().__init__(kind)
        self._random = random
        if AGENTS[kind].turns.interruptible:
            self.agent = pausing(self.agent)
            self.machine = type(self.machine)(self.agent)

    def _expiry_s(self) -> float:
        at_s = FIRST.at_s + self.now_ms / 1000
        return at_s + self._random.choice((2, 5, 10, 20, 40))

    def _ordered(self, command: do.Command, answer: list[do.Command]) -> None:
        if isinstance(command, do.SwapModel):
            super()._ordered(do.CloseModel(), answer)
        elif isinstance(command, do.PlayAudio) and command.item_id:
            assert command.item_id not in self.cut  # what a pause cleared is played again
            self.played[command.item_id] += command.size_bytes
            heard = self.line.heard_bytes(command.item_id, self.now_ms)
            assert heard <= self.received[command.item_id]
        else:
            super()._ordered(command, answer)

    def configure(self) -> list[do.Command]:
        opened = self.feed(ev.ModelOpened(), ev.SessionCreated("sess", self._expiry_s()))
        return opened + self.feed(ev.SessionConfigured())

    def tell(self, step: Step) -> None:
        gap_ms, what, number, size = step
        if what not in SWAPS:
            super().tell(step)
            return
        self.run(gap_ms)
        setting = SETTINGS[size * (number + 1) % len(SETTINGS)]
        match what:
            case "cough":
                self.turn += 1
                self.speak(f"{self.session}.user_{self.turn}")
                self.run(size / 100)
                self.fall_silent(f"{self.session}.user_{self.turn}", "Well." if number > 2 else "")
            case "successor":
                created = ev.SuccessorCreated("sess", self._expiry_s())
                self.feed(ev.SuccessorOpened(), created)
            case "successor configured":
                self.feed(ev.SuccessorConfigured())
            case "successor lost":
                self.feed(ev.SuccessorLost("closed"))
            case "successor refuses":
                self.feed(ev.SuccessorLost("refused", refused=True, setting=setting))
            case "settings refused":
                sent = self.all(do.ConfigureSession)
                cause = sent[-1].event_id if sent and number > 1 else None
                self.feed(ev.ModelFaulted("invalid_value", "No.", cause, setting=setting))
            case "voiced":
                self.feed(ev.CallerVoiced())
            case "quieted":
                self.feed(ev.CallerQuieted())


def _agent(scene: SwapStory, _opened: Mapping[str, Any]) -> Agent:
    return scene.agent


@pytest.mark.parametrize("kind", [kind for kind in sorted(AGENTS) if kind != "is back"])
def test_the_invariants_hold_when_sessions_follow_each_other(kind: str) -> None:
    random, reached = Random(f"swaps {kind}"), Counter[type[do.Command]]()
    for _ in range(CALLS):
        scene = SwapStory(kind, random)
        scene.feed(FIRST)
        opening: list[Step] = [(300, "session comes", 0, 0), (50, "stream started again", 0, 0)]
        pick = random.choice
        story = [(pick(SHORT_MS), pick(WHATS), random.randrange(4), pick(SIZES)) for _ in range(80)]
        for step in opening + story:
            scene.tell(step)
            scene.check_tools()
        scene.run(SETTLES_MS)
        scene.check_tools()
        scene.run(LONGEST_CALL_MS + 120_000)
        assert scene.machine.over and scene.ends == 1
        entries = [stored(entry) for entry in scene.timeline.take()]
        assert replay(partial(_agent, scene), entries) == ordered(entries)
        reached.update({type(command) for _, command in scene.commands})
    assert reached[do.SwapModel] >= CALLS / 10
    assert reached[do.CloseSuccessor] and reached[do.ConfigureSuccessor]
