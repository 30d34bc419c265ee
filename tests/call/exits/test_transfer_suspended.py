"""A barge-in suspends a transfer: the model decides anew, and it never happens by itself later."""

from collections.abc import Callable
from functools import partial
from random import Random

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.caller.keypad import PAUSE_MS
from app.call.exits.last_words import GUARD_MS
from app.call.exits.transfer import TRANSFER
from app.call.prompts import TakenBack
from tests.call.scene import Scene
from tests.call.transfer_scene import HUMANS, call_transfer, transfer_scene

ANNOUNCEMENT_MS = 2000
ORDERED_MS = ANNOUNCEMENT_MS + 100 + GUARD_MS  # with the round trip of `transfer_scene`
SUSPENDED = [prompts.transfer_suspended()]


@pytest.fixture
def scene() -> Scene:
    return transfer_scene()


def told_then_asked(scene: Scene) -> None:
    """The model has the tool's answer when turn detection requests the reply."""
    scene.fall_silent(text="Actually, wait.")
    scene.feed(ev.ToolOutputTaken("call_1"))
    scene.answer(600, "item_2", "resp_2")


def asked_then_told(scene: Scene) -> None:
    """The reply began before the model had the tool's answer, so it does not count."""
    scene.fall_silent(text="Actually, wait.")
    scene.begin("item_2", "resp_2")
    scene.feed(ev.ToolOutputTaken("call_1"))
    scene.audio(600, "item_2", "resp_2")
    scene.finish("item_2", "resp_2")


def not_asked(scene: Scene) -> None:
    """Turn detection requests no response to a cough."""
    scene.fall_silent(text="")


@pytest.mark.parametrize(
    ("reply", "ours"), [(told_then_asked, 0), (asked_then_told, 1), (not_asked, 1)]
)
def test_an_announcement_interrupted_at_any_of_fifty_moments_is_no_transfer(
    reply: Callable[[Scene], None], ours: int
) -> None:
    random = Random(50)
    for number in range(50):
        scene = transfer_scene()
        call_transfer(scene, ANNOUNCEMENT_MS)
        scene.run(random.uniform(0, ORDERED_MS - 1))
        scene.speak()
        assert scene.outputs() == SUSPENDED, f"moment {number}"
        scene.run(random.uniform(200, 4000))
        assert scene.asked() == []  # not while the caller speaks
        scene.answers_ms = 700
        reply(scene)
        scene.run(6000)
        assert scene.asked() == [""] * ours, f"moment {number}"
        scene.run(120_000)
        assert scene.asked() == [""] * ours and scene.outputs() == SUSPENDED
        assert not scene.all(do.TransferCall) and not scene.all(do.HangUp)


def test_a_streaming_announcement_interrupted_at_any_of_fifty_moments_is_no_transfer() -> None:
    """The model still sends it, so what would have followed the barge-in never comes."""
    random, reached = Random(51), 0
    for number in range(50):
        scene = transfer_scene()
        begun_ms, speaks_ms = scene.now_ms, random.uniform(1, ORDERED_MS + 500)

        def unless_cut(*events: ev.Event, scene: Scene = scene, until: float = speaks_ms) -> None:
            if scene.now_ms - begun_ms < until:  # noqa: B023
                scene.feed(*events)

        scene.feed(ev.ResponseCreated("resp_1"))
        scene.feed(ev.OutputItemAdded("resp_1", "item_1", "message"))
        for piece in range(20):
            delta = ev.AudioReceived("resp_1", "item_1", "", 800)
            scene.later(30.0 * piece, partial(unless_cut, delta))
        done = ev.OutputItemDone("resp_1", "item_1", "message", "completed")
        kind, arguments = "function_call", '{"destination": "Sales"}'
        call = ev.OutputItemDone("resp_1", "f_1", kind, "completed", "call_1", TRANSFER, arguments)
        scene.later(620, partial(unless_cut, done, ev.OutputItemAdded("resp_1", "f_1", kind)))
        scene.later(900, partial(unless_cut, call))
        scene.later(910, partial(unless_cut, ev.ResponseDone("resp_1", "completed")))
        scene.run(speaks_ms)
        scene.speak()
        ordered_in_time = bool(scene.all(do.TransferCall))
        if speaks_ms < 910:
            scene.feed(ev.ResponseDone("resp_1", "cancelled", "turn_detected"))
        scene.fall_silent(text="Okay.")
        scene.feed(ev.ToolOutputTaken("call_1"))
        scene.answer(500, "item_2", "resp_2")
        scene.run(60_000)
        assert bool(scene.all(do.TransferCall)) == ordered_in_time, f"moment {number}"
        asked_for_it = speaks_ms > 900 and not ordered_in_time
        assert (scene.outputs() == SUSPENDED) == asked_for_it or ordered_in_time
        reached += asked_for_it
        if not ordered_in_time:
            assert set(scene.asked()) <= {""} and scene.asked() == []
    assert 10 < reached < 40


def test_a_tool_call_that_comes_after_the_barge_in_is_no_transfer(
    scene: Scene,
) -> None:
    """It was on its way when the caller began to speak."""
    scene.begin()
    scene.audio(1500)
    scene.run(300)
    scene.speak()
    scene.call_tool("call_1", TRANSFER, arguments='{"destination": "Sales"}')
    assert scene.outputs() == SUSPENDED
    scene.finish(status="cancelled")
    told_then_asked(scene)
    scene.run(60_000)
    assert not scene.all(do.TransferCall) and scene.asked() == []


def test_a_suspended_transfer_that_the_model_requests_again_happens(scene: Scene) -> None:
    call_transfer(scene)
    scene.run(900)
    scene.speak()
    scene.fall_silent(text="Yes, please do.")
    scene.feed(ev.ToolOutputTaken("call_1"))
    call_transfer(scene, 800, call_id="call_2", item_id="item_2", response_id="resp_2")
    scene.run(900 + GUARD_MS)
    (order,) = scene.all(do.TransferCall)
    assert order.call_id == "call_2" and scene.outputs() == SUSPENDED
    assert scene.line.heard_bytes("item_2", scene.now_ms) == 6400
    scene.feed(ev.CallRedirected(), ev.StreamEnded("stop"))
    assert scene.machine.ended_by == "transfer"


def test_a_requested_announcement_is_not_said_after_a_barge_in(scene: Scene) -> None:
    call_transfer(scene, announcement_ms=0)
    scene.feed(ev.ResponseCreated("resp_2"))
    scene.speak()
    scene.feed(ev.ResponseDone("resp_2", "failed", "server_error"))
    told_then_asked(scene)
    scene.run(60_000)
    assert scene.asked() == [prompts.announcement("Sales")]
    assert not scene.all(do.TransferCall)


def test_a_transfer_requested_again_is_announced_once(scene: Scene) -> None:
    """The interrupted announcement is not said before the next transfer."""
    call_transfer(scene, announcement_ms=0)
    scene.begin("item_2", "resp_2")
    scene.audio(1000, "item_2", "resp_2")
    scene.run(200)
    scene.speak()
    scene.finish("item_2", "resp_2", "cancelled")
    scene.fall_silent()
    scene.feed(ev.ToolOutputTaken("call_1"))
    call_transfer(scene, 800, call_id="call_2", item_id="item_3", response_id="resp_3")
    scene.run(5000)
    assert scene.asked() == [prompts.announcement("Sales")]
    assert [order.call_id for order in scene.all(do.TransferCall)] == ["call_2"]


def test_an_interrupted_announcement_is_not_said_for_another_destination(scene: Scene) -> None:
    call_transfer(scene, announcement_ms=0)
    scene.begin("item_2", "resp_2")
    scene.audio(1000, "item_2", "resp_2")
    scene.speak()
    scene.finish("item_2", "resp_2", "cancelled")
    scene.feed(ev.TransferRequested("Support"))  # the caller still speaks
    scene.fall_silent()
    scene.answer(500, "item_3", "resp_3")
    assert scene.asked() == [prompts.announcement("Sales"), prompts.announcement("Support")]


# --- keys ---------------------------------------------------------------------------------------

BY_KEY = [prompts.transfer_suspended(TakenBack.KEY_PRESSED)]


@pytest.mark.parametrize("hash_key", ["", "#"])
def test_the_rest_of_an_entry_suspends_a_transfer_and_reaches_the_model(
    scene: Scene, hash_key: str
) -> None:
    scene.press(f"40{hash_key}", 200)
    scene.run(PAUSE_MS)
    call_transfer(scene)
    scene.run(500)
    scene.press("71", 200)
    assert scene.outputs() == BY_KEY
    scene.answers_ms = 500
    scene.run(60_000)
    assert not scene.all(do.TransferCall)
    assert scene.messages() == [("user", prompts.keys_pressed(each)) for each in ("40", "4071")]


def test_a_late_hash_suspends_no_transfer(scene: Scene) -> None:
    scene.press("40")
    scene.run(PAUSE_MS)
    call_transfer(scene)
    scene.run(500)
    assert scene.press("#") == []
    scene.run(ORDERED_MS)
    assert len(scene.all(do.TransferCall)) == 1


def test_keys_after_a_lone_zero_suspend_no_transfer(scene: Scene) -> None:
    scene.press("0")
    scene.run(PAUSE_MS)
    scene.begin()
    scene.audio(2000)
    scene.run(500)
    assert scene.press("#00", 200) == []
    scene.finish()
    scene.run(3000)
    assert len(scene.all(do.TransferCall)) == 1 and scene.messages() == []


def test_a_zero_soon_after_a_key_that_was_dropped_is_not_lone(scene: Scene) -> None:
    call_transfer(scene)
    scene.run(ORDERED_MS + 300)
    assert scene.press("7") == []
    scene.feed(ev.RedirectFailed("busy"))
    scene.run(2000)
    scene.press("0")
    scene.run(PAUSE_MS)
    assert scene.messages() == [("user", prompts.keys_pressed("0"))]
    assert len(scene.all(do.TransferCall)) == 1


# --- the caller hangs up ------------------------------------------------------------------------


def before(scene: Scene) -> None:
    scene.feed(ev.ResponseCreated("resp_1"))


def announcing(scene: Scene) -> None:
    call_transfer(scene)
    scene.run(800)


def heard(scene: Scene) -> None:
    call_transfer(scene)
    scene.run(ORDERED_MS - 10)


def asking(scene: Scene) -> None:
    call_transfer(scene, announcement_ms=0)


def suspended(scene: Scene) -> None:
    announcing(scene)
    scene.speak()


def ordered(scene: Scene) -> None:
    call_transfer(scene)
    scene.run(ORDERED_MS + 300)


def taken(scene: Scene) -> None:
    ordered(scene)
    scene.feed(ev.CallRedirected())


@pytest.mark.parametrize(
    ("moment", "ended_by"),
    [
        *[(moment, "caller") for moment in (before, announcing, heard, asking, suspended)],
        *[(moment, "transfer") for moment in (ordered, taken)],
    ],
)
def test_a_stream_that_stops_at_any_moment_of_a_transfer_ends_the_leg_once(
    moment: Callable[[Scene], None], ended_by: str
) -> None:
    scene = transfer_scene(HUMANS)
    moment(scene)
    orders = len(scene.all(do.TransferCall))
    redirecting = scene.machine.redirecting
    ended = scene.feed(ev.StreamEnded("stop"))
    assert [type(c) for c in ended[-2:]] == [do.CloseModel, do.EndLeg]
    assert scene.machine.ended_by == ended_by
    assert redirecting == scene.machine.redirecting == (ended_by == "transfer")
    late = scene.feed(ev.CallRedirected(), ev.RedirectFailed("gone"), ev.StreamEnded("closed"))
    scene.run(120_000)
    assert late == [] and scene.commands[-1][1] is ended[-1]
    assert len(scene.all(do.TransferCall)) == orders
