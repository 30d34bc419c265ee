"""A leg begins once, ends once, and releases everything."""

from collections.abc import Callable

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call.caller.keypad import MASK
from app.call.deadlines import NEVER
from app.call.timeline import ordered, replay
from tests.call.scene import Scene, agent


def _nothing(scene: Scene) -> None:
    pass


def _opening(scene: Scene) -> None:
    scene.feed(ev.LegOpened())


def _configuring(scene: Scene) -> None:
    scene.feed(ev.LegOpened(), ev.ModelOpened())


def _greeting(scene: Scene) -> None:
    scene.connect()
    scene.begin()
    scene.audio(2000)


def _tool(scene: Scene) -> None:
    scene.connect()
    scene.tool_response("call_1", "call_2")


def _goodbye(scene: Scene) -> None:
    scene.connect()
    scene.feed(ev.ResponseCreated("resp_1"))
    scene.call_tool("call_1", "end_call")
    scene.feed(ev.ResponseDone("resp_1", "completed"))


def _interrupted(scene: Scene) -> None:
    _greeting(scene)
    scene.speak()


def _blocked(scene: Scene) -> None:
    scene.connect()
    scene.feed(ev.StreamBlocked())
    scene.answer(1000)


def _hung_up(scene: Scene) -> None:
    scene.connect()
    scene.feed(ev.HangUpRequested("operator"))


def _without_model(scene: Scene) -> None:
    scene.connect()
    scene.feed(ev.ModelLost("gone"))


MOMENTS = [
    _nothing,
    _opening,
    _configuring,
    _greeting,
    _interrupted,
    _tool,
    _goodbye,
    _blocked,
    _hung_up,
    _without_model,
]


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.__name__.strip("_"))
def test_a_stream_that_ends_at_any_moment_ends_the_leg_once(
    moment: Callable[[Scene], None],
) -> None:
    scene = Scene(agent(greeting="Hello."))
    moment(scene)
    running = {c.call_id for c in scene.all(do.RunTool)}
    ended = scene.feed(ev.StreamEnded("stop"))
    assert [type(c) for c in ended[-2:]] == [do.CloseModel, do.EndLeg]
    assert running <= {c.call_id for c in ended if isinstance(c, do.CancelTool)}
    assert scene.machine.over and scene.machine.next_deadline_ms == NEVER
    assert not scene.machine.connected
    scene.answer(1000, "late", "late")
    scene.feed(
        ev.StreamEnded("closed"),
        ev.ToolReturned("call_1", "42"),
        ev.ModelLost("gone"),
        ev.HangUpRequested("late"),
        ev.TimerFired(),
    )
    scene.run(600_000)
    assert scene.commands[-1][1] is ended[-1]
    assert len(scene.all(do.EndLeg)) == 1


def test_a_leg_whose_stream_never_starts_ends_after_half_a_minute() -> None:
    scene = Scene(agent(greeting="Hello."))
    scene.feed(ev.LegOpened())
    scene.configure()
    scene.answer(2000)
    scene.run(29_999)
    assert not scene.machine.over and not scene.machine.connected
    scene.run(1)
    assert scene.take()[-2:] == [do.CloseModel(), do.EndLeg("unclaimed")]
    assert scene.machine.transcript(scene.now_ms) == []


def test_a_leg_without_a_stream_and_without_a_model_still_ends() -> None:
    scene = Scene()
    scene.feed(ev.LegOpened())
    for _ in range(100):
        scene.feed(ev.ModelLost("refused"))
        scene.run(400)
    assert scene.all(do.EndLeg) == [do.EndLeg("unclaimed")]


def test_a_caller_who_was_connected_stays() -> None:
    scene = Scene().connect()
    assert scene.machine.connected
    scene.run(3_600_000)
    assert scene.machine.connected and not scene.machine.over


def test_the_caller_ended_it() -> None:
    scene = Scene().connect()
    scene.feed(ev.StreamEnded("stop"))
    assert scene.machine.ended_by == "caller" and not scene.machine.without_model


def test_a_failure_of_the_bridge_ends_the_leg_in_its_timeline_too() -> None:
    scene = Scene().connect()
    scene.feed(ev.LegFailed())
    assert scene.machine.ended_by == "error" and scene.take()[-1] == do.EndLeg("error")
    entries = scene.timeline.take()
    assert replay(lambda _: scene.agent, entries) == ordered(entries)


def test_events_that_come_out_of_place_are_counted() -> None:
    scene = Scene().connect()
    scene.feed(ev.ModelOpened(), ev.RedirectFailed("busy"))
    assert scene.machine.out_of_place == {
        "ModelOpened while a session is ready": 1,
        "redirect failed in no redirect": 1,
    }


def test_marks_and_tool_answers_that_belong_to_nothing_are_counted() -> None:
    scene = Scene().connect()
    scene.tool_response("call_1")
    scene.feed(ev.ToolReturned("call_1", "42"), ev.ToolFailed("call_1", "late"))
    scene.feed(ev.ToolReturned("call_unknown", "42"), ev.MarkEchoed("7:7"))
    assert scene.machine.out_of_place == {
        "ToolFailed without an open call": 1,
        "ToolReturned without an open call": 1,
        "MarkEchoed without its mark": 1,
    }


def test_marks_that_a_clear_flushed_are_expected_back_once() -> None:
    scene = Scene().connect()
    scene.answer(3000)
    scene.run(500)
    scene.speak()
    scene.run(5000)
    assert scene.all(do.ClearAudio) and not scene.machine.out_of_place
    scene.feed(ev.MarkEchoed(scene.all(do.SendMark)[-1].name))
    assert scene.machine.out_of_place == {"MarkEchoed without its mark": 1}


def test_there_is_no_deadline_when_nothing_is_due() -> None:
    assert Scene().connect().machine.next_deadline_ms == NEVER


def test_a_failure_leaves_out_what_the_failed_event_had_commanded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene().connect()

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(scene.machine._idle_and_hold, "run", fail)
    with pytest.raises(RuntimeError):
        scene.feed(ev.HangUpRequested("operator"))
    assert scene.feed(ev.LegFailed()) == [do.CloseModel(), do.EndLeg("error")]


def test_without_a_stream_the_model_is_tried_until_the_leg_ends() -> None:
    scene = Scene()
    opened = scene.feed(ev.LegOpened())
    while not scene.machine.over:
        if do.OpenModel() in opened:
            scene.run(300)
            opened = scene.feed(ev.ModelLost("refused"))
        else:
            scene.run(100)
            opened = scene.take()
    assert scene.when(do.OpenModel)[-1] > 25_000


# --- may another process go on from here? ---------------------------------------------------------


def test_a_leg_is_at_rest_once_its_answer_was_heard() -> None:
    scene = Scene().connect()
    assert scene.machine.is_at_rest(scene.now_ms)
    scene.answer(500)
    assert not scene.machine.is_at_rest(scene.now_ms)
    scene.run(1000)
    assert scene.machine.is_at_rest(scene.now_ms)


@pytest.mark.parametrize("moment", [_greeting, _tool, _goodbye, _blocked, _hung_up])
def test_a_leg_with_something_under_way_is_not_at_rest(moment: Callable[[Scene], None]) -> None:
    scene = Scene()
    moment(scene)
    assert not scene.machine.is_at_rest(scene.now_ms)


def test_a_leg_that_waits_for_secret_digits_is_not_at_rest() -> None:
    scene = Scene().connect()
    scene.tool_response("call_1")
    scene.feed(ev.EntryAsked("call_1", 4, True, "", 10_000))
    scene.feed(ev.DigitPressed(MASK))
    assert not scene.machine.is_at_rest(scene.now_ms)
