"""A whole call, with each of its events lost, doubled, late or out of order, one at a time.

Whatever the fault: a waiting caller hears something every eight seconds, and in the end the caller
has either an answer to their last words, or help without the model.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call.agent import Limits
from app.call.timeline import ordered, replay
from tests.call.model_scene import SPOKEN, WRITTEN, Form, ModelScene
from tests.call.scene import agent
from tests.call.transfer_scene import SUPPORT

LATE_MS = 1700.0
GREETED = agent(greeting="Hello.", limits=Limits(idle_ms=0), destinations=(SUPPORT,))
WAYS = ("lost", "doubled", "late", "swapped")
UNTOUCHED = (ev.LegOpened, ev.TimerFired)  # the leg itself: no network in between
SETTLES_MS = 40_000.0

Disturb = Callable[[ev.Event], Sequence[tuple[float, ev.Event]]]


class FaultyEvents(ModelScene):
    """One event is faulty: the `number`-th of type `what` comes in this `way`."""

    def __init__(self, what: type[ev.Event], number: int, way: str, voices: tuple[str, ...]):
        self._what, self._number, self._comes = what, number, way
        self._held: ev.Event | None = None
        self.seen = 0
        self.touched = False
        super().__init__(GREETED, self._answer_form, voices=voices)
        self.loses_ends = True

    def _answer_form(self, number: int) -> Form:
        return WRITTEN if self.agent.voices else SPOKEN

    def feed(self, *events: ev.Event) -> list[do.Command]:
        commands: list[do.Command] = []
        for event in events:
            for each in self._disturbed(event):
                commands += super().feed(each)
                assert self.machine.next_deadline_ms > self.now_ms, "a timer that is due already"
        return commands

    def _disturbed(self, event: ev.Event) -> list[ev.Event]:
        if self._held is not None and not isinstance(event, UNTOUCHED):
            held, self._held = self._held, None
            return [event, held]
        if type(event) is not self._what or self.touched:
            return [event]
        self.seen += 1
        if self.seen <= self._number:
            return [event]
        self.touched = True
        match self._comes:
            case "lost":
                return []
            case "doubled":
                return [event, event]
            case "late":
                self.later(LATE_MS, lambda: self._late(event))
                return []
        self._held = event
        return []

    def _late(self, event: ev.Event) -> None:
        super().feed(event)

    # --- the call ---------------------------------------------------------------------------------

    def hold(self) -> None:
        """Greeting, a turn, a barge-in, a digit entry, a tool, and a last question."""
        self.feed(ev.LegOpened())
        self.run(400)
        self.feed(ev.StreamStarted("MZ1"))
        self.run(2500)
        self.turn("user_1")
        self.run(300)
        self.turn("user_2")  # into the answer
        self.run(2500)
        self.press("42#")
        self.run(2500)
        self.feed(ev.SpeechStarted("user_3", 0))
        self.run(200)
        self.fall_silent("user_3", "Look it up.")
        self.tool_response("call_1", response_id="resp_tool")
        self.run(300)
        self.feed(ev.ToolReturned("call_1", "42"), ev.ToolOutputTaken("call_1"))
        self.run(3000)
        self.said_last_ms = self.now_ms
        self.turn("user_4")
        self.run(SETTLES_MS)


@cache
def occurring(voices: tuple[str, ...]) -> Counter[type[ev.Event]]:
    """How often each event occurs in the call when none is faulty."""
    counted: Counter[type[ev.Event]] = Counter()

    class Counting(FaultyEvents):
        def _disturbed(self, event: ev.Event) -> list[ev.Event]:
            counted[type(event)] += 1
            return [event]

    Counting(ev.LegOpened, 0, "counted", voices).hold()
    return counted


def cases(voices: tuple[str, ...]) -> Iterator[tuple[type[ev.Event], int]]:
    """The first, second and fourth event of each type that occurs."""
    for kind, times in occurring(voices).items():
        if kind not in UNTOUCHED:
            yield from ((kind, number) for number in (0, 1, 3) if number < times)


def check(scene: FaultyEvents) -> None:
    if not scene.all(do.SendMark):  # its beginning is lost: there is no line at all
        assert scene.machine.ended_by == "unclaimed"
        return
    helped = scene.machine.over or bool(scene.all(do.CloseStream))
    entries = scene.timeline.take()
    assert replay(lambda _: scene.agent, entries) == ordered(entries)
    end_ms = min([scene.now_ms, *scene.when(do.CloseStream)])
    if not helped:
        assert scene.line.clock.media, "nothing was ever heard"
        answered_ms = [
            media.starts_ms
            for item_id, media in zip(scene.line.item_ids, scene.line.clock.media, strict=True)
            if item_id and media.starts_ms >= scene.said_last_ms
        ]
        assert answered_ms, "the last words were never answered"
        end_ms = answered_ms[0]
    if scene.machine.connected or helped:
        began_ms = next(iter(scene.when(do.SendMark)), 0.0)
        waits = scene.line.silences_ms(began_ms, end_ms)
        assert max(waits, default=0) <= 8100, f"silence of {max(waits)} ms"
    assert scene.unheard() == [] or helped


@pytest.mark.parametrize("voices", [(), ("first",)], ids=["native", "voice"])
@pytest.mark.parametrize("way", WAYS)
def test_each_event_of_a_call_lost_doubled_late_or_out_of_order(
    way: str, voices: tuple[str, ...]
) -> None:
    disturbed = set()
    for kind, number in cases(voices):
        scene = FaultyEvents(kind, number, way, voices)
        try:
            scene.hold()
            check(scene)
        except AssertionError as error:
            raise AssertionError(f"{kind.__name__} {number}, {way}: {error}") from error
        assert scene.touched
        disturbed.add(kind.__name__)
    assert disturbed >= {"ResponseDone", "ResponseCreated", "SpeechStarted", "MarkEchoed"}
