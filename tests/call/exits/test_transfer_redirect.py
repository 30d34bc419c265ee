"""The redirect of a transfer: Twilio accepts it, refuses it, or never answers."""

from collections.abc import Callable

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.agent import Limits
from app.call.exits.last_words import GUARD_MS
from app.call.exits.transfer import TRANSFER
from app.call.exits.transitions import ORDER_MS, STOP_MS, UNANSWERED
from tests.call.scene import Scene, agent
from tests.call.transfer_scene import HUMANS, call_transfer, transfer_scene

ORDERED_MS = 2100 + GUARD_MS


@pytest.fixture
def ordered() -> Scene:
    """The announcement was heard, and the redirect is ordered just now."""
    scene = transfer_scene()
    call_transfer(scene)
    scene.run(ORDERED_MS)
    assert len(scene.all(do.TransferCall)) == 1
    scene.take()
    return scene


def wait(scene: Scene, ms: float) -> None:
    """So much time passes, and the model answers each request for a hold message."""
    until_ms, answered = scene.now_ms + ms, len(scene.asked())
    while scene.now_ms < until_ms:
        scene.run(min(100, until_ms - scene.now_ms))
        if scene.asked()[answered:] == [prompts.HOLD]:
            scene.respond(900)
        answered = len(scene.asked())


def failed(why: str) -> str:
    return prompts.transfer_failed("Sales", why)


# --- accepted -----------------------------------------------------------------------------------


def test_a_stream_that_stops_after_the_redirect_was_accepted_ends_by_the_transfer(
    ordered: Scene,
) -> None:
    assert ordered.feed(ev.CallRedirected()) == []
    ordered.run(400)
    ordered.feed(ev.StreamEnded("stop"))
    assert ordered.machine.ended_by == "transfer" and ordered.machine.redirecting


def test_a_stream_that_stops_before_the_redirect_is_confirmed_is_no_hang_up(
    ordered: Scene,
) -> None:
    ordered.run(200)
    ordered.feed(ev.StreamEnded("closed"))
    assert ordered.machine.ended_by == "transfer" and ordered.machine.redirecting


def test_a_stream_that_does_not_stop_after_the_redirect_ends_the_leg(ordered: Scene) -> None:
    ordered.feed(ev.CallRedirected())
    ordered.run(STOP_MS - 1)
    assert not ordered.machine.over
    ordered.run(1)
    assert ordered.machine.over and ordered.machine.ended_by == "transfer"
    assert [type(c) for c in ordered.take()[-2:]] == [do.CloseModel, do.EndLeg]


def test_a_repeated_confirmation_of_the_redirect_changes_nothing(ordered: Scene) -> None:
    ordered.feed(ev.CallRedirected())
    ordered.run(STOP_MS / 2)
    ordered.feed(ev.CallRedirected(), ev.RedirectFailed("late"))
    ordered.run(STOP_MS / 2)
    assert ordered.machine.over and ordered.outputs() == []


def test_the_callers_words_after_the_redirect_change_nothing(ordered: Scene) -> None:
    assert ordered.speak() == []
    ordered.fall_silent(text="Wait.")
    ordered.answer(500, "item_2", "resp_2")
    assert ordered.outputs() == [] and len(ordered.all(do.TransferCall)) == 1


# --- refused ------------------------------------------------------------------------------------


def test_a_redirect_that_fails_is_the_tools_answer_and_the_call_goes_on(ordered: Scene) -> None:
    told = ordered.feed(ev.RedirectFailed("status 503"))
    assert [type(command) for command in told] == [do.AddToolOutput, do.CreateResponse]
    assert ordered.outputs() == [failed("status 503")] and ordered.asked() == [""]
    assert not ordered.machine.redirecting
    ordered.feed(ev.ToolOutputTaken("call_1"))
    ordered.respond(1500)
    ordered.run(120_000)
    assert ordered.asked() == [""] and len(ordered.all(do.TransferCall)) == 1
    ordered.speak("user_2")  # a barge-in again, answered again
    ordered.fall_silent("user_2")
    ordered.answer(500, "item_3", "resp_3")
    ordered.feed(ev.StreamEnded("stop"))
    assert ordered.machine.ended_by == "caller"


def test_a_redirect_that_fails_is_answered_once(ordered: Scene) -> None:
    ordered.feed(ev.RedirectFailed("status 503"))
    assert ordered.feed(ev.RedirectFailed("status 503")) == []
    assert ordered.outputs() == [failed("status 503")]


def test_a_transfer_that_failed_may_be_requested_again(ordered: Scene) -> None:
    ordered.feed(ev.RedirectFailed("status 503"), ev.ToolOutputTaken("call_1"))
    call_transfer(ordered, call_id="call_2", item_id="item_2", response_id="resp_2")
    ordered.run(ORDERED_MS)
    assert [order.call_id for order in ordered.all(do.TransferCall)] == ["call_1", "call_2"]


def test_a_redirect_that_is_never_answered_has_failed(ordered: Scene) -> None:
    wait(ordered, ORDER_MS - 1)
    assert ordered.outputs() == []
    wait(ordered, 1)
    assert ordered.outputs() == [failed(UNANSWERED)]
    assert ordered.asked()[-1] == ""


@pytest.mark.parametrize("late_ms", [0, 800, 20_000])
def test_a_redirect_that_was_accepted_after_all_is_no_hang_up(
    ordered: Scene, late_ms: float
) -> None:
    """Twilio's answer came past the deadline, so the tool had failed already. The stream ends."""
    wait(ordered, ORDER_MS)
    assert ordered.outputs() == [failed(UNANSWERED)]
    ordered.respond(700)
    ordered.run(late_ms)
    ordered.feed(ev.CallRedirected())
    assert ordered.machine.redirecting
    ordered.run(100)
    ordered.feed(ev.StreamEnded("stop"))
    assert ordered.machine.ended_by == "transfer"


def test_an_outcome_of_a_redirect_that_was_never_ordered_changes_nothing() -> None:
    scene = transfer_scene()
    assert scene.feed(ev.CallRedirected(), ev.RedirectFailed("no")) == []
    scene.run(60_000)
    assert not scene.machine.over and not scene.machine.redirecting


def test_an_operators_redirect_that_fails_is_a_system_message() -> None:
    scene = transfer_scene()
    scene.feed(ev.TransferRequested("Sales"))
    scene.respond(500)
    scene.run(1000)
    scene.feed(ev.RedirectFailed("status 503"))
    assert scene.messages() == [("system", prompts.tool_result(TRANSFER, failed("status 503")))]
    assert scene.asked() == [prompts.announcement("Sales"), ""]


# --- the caller waits ---------------------------------------------------------------------------


@pytest.mark.parametrize("passes", [Scene.run, wait])
def test_a_caller_hears_something_every_eight_seconds_while_the_redirect_takes_forty(
    passes: Callable[[Scene, float], None],
) -> None:
    patient = Limits(idle_ms=15_000, longest_call_ms=0)
    scene = transfer_scene(agent(limits=patient, destinations=HUMANS.destinations))
    call_transfer(scene)
    scene.run(ORDERED_MS)
    passes(scene, 40_000)
    assert set(scene.asked()) == {prompts.HOLD} and not scene.machine.over
    ordered_ms = scene.when(do.TransferCall)[0]
    assert max(scene.line.silences_ms(ordered_ms - 200, scene.now_ms)) <= 8000
    scene.feed(ev.RedirectFailed("status 503"))
    if passes is wait:
        assert scene.asked()[-1] == "" and scene.outputs() == [failed("status 503")]


def test_a_caller_without_a_model_hears_tones_while_the_redirect_takes_forty_seconds() -> None:
    scene = transfer_scene()
    scene.feed(ev.ModelLost("no money left", fatal=False))
    scene.feed(ev.TransferRequested("Sales"))
    begun_ms = scene.now_ms
    scene.run(40_000)
    assert not scene.machine.over and not scene.all(do.CloseStream)
    assert max(scene.line.silences_ms(begun_ms, scene.now_ms)) <= 8000
    scene.feed(ev.RedirectFailed("status 503"))
    assert scene.all(do.CloseStream) == [do.CloseStream("model")]  # TwiML helps the caller now
    assert scene.machine.without_model


# --- the model is lost --------------------------------------------------------------------------


def test_a_model_lost_during_the_announcement_leaves_what_was_said_to_play() -> None:
    scene = transfer_scene()
    scene.begin()
    scene.audio(2000)
    scene.call_tool("call_1", TRANSFER, arguments='{"destination": "Sales"}')
    scene.feed(ev.ModelLost("gone"))
    begun_ms = scene.now_ms
    scene.run(ORDERED_MS)
    (order,) = scene.all(do.TransferCall)
    assert order.announced and scene.when(do.TransferCall) == [begun_ms + ORDERED_MS]
    assert scene.line.heard_bytes("item_1", scene.now_ms) == 16_000


def test_a_model_lost_before_the_announcement_does_not_delay_the_transfer() -> None:
    scene = transfer_scene()
    call_transfer(scene, announcement_ms=0)
    scene.feed(ev.ModelLost("gone"))
    scene.run(GUARD_MS)
    assert [order.announced for order in scene.all(do.TransferCall)] == [False]


def test_a_model_lost_for_good_does_not_lose_the_transfer() -> None:
    scene = transfer_scene()
    call_transfer(scene)
    scene.run(300)
    scene.feed(ev.ModelLost("no money left", fatal=True))
    scene.run(ORDERED_MS)
    assert len(scene.all(do.TransferCall)) == 1 and not scene.all(do.CloseStream)
    scene.feed(ev.CallRedirected(), ev.StreamEnded("stop"))
    assert scene.machine.ended_by == "transfer"


def test_a_session_replaced_during_the_redirect_learns_of_its_failure(ordered: Scene) -> None:
    ordered.feed(ev.ModelLost("gone"))
    ordered.configure()
    assert not ordered.all(do.CreateResponse)  # no response during the transfer
    ordered.feed(ev.RedirectFailed("status 503"))
    result = prompts.tool_result(TRANSFER, failed("status 503"))
    assert ordered.messages()[-1] == ("system", result)
    assert ordered.outputs() == [] and ordered.asked() == [""]


def test_a_session_lost_while_the_redirect_fails_tells_the_next_one(
    ordered: Scene,
) -> None:
    ordered.feed(ev.ModelLost("gone"), ev.RedirectFailed("status 503"))
    ordered.configure()
    result = prompts.tool_result(TRANSFER, failed("status 503"))
    assert ("system", result) in ordered.messages()
    assert ordered.asked() == [""]


# --- other ends ---------------------------------------------------------------------------------


def test_an_operator_may_hang_up_during_the_redirect(ordered: Scene) -> None:
    assert ordered.feed(ev.HangUpRequested("operator")) == [do.HangUp("operator")]
    ordered.feed(ev.RedirectFailed("status 404"), ev.HangUpConfirmed(), ev.StreamEnded("stop"))
    assert ordered.machine.ended_by == "operator" and not ordered.machine.redirecting
    assert ordered.asked() == []


@pytest.mark.parametrize("end_ms", [1500, ORDERED_MS + 3000])
def test_the_longest_call_is_over_during_the_transfer(end_ms: float) -> None:
    """That ends the call with the agent just as well; if it fails, the goodbye is still due."""
    longest = Limits(idle_ms=0, longest_call_ms=60_000, warning_ms=10_000)
    scene = transfer_scene(agent(limits=longest, destinations=HUMANS.destinations))
    scene.answers_ms = 100
    scene.run_until(60_000 - end_ms)
    begun_ms = scene.now_ms
    call_transfer(scene)
    scene.run(30_000)
    assert len(scene.all(do.TransferCall)) == 1 and not scene.all(do.HangUp)
    assert prompts.GOODBYE_LIMIT not in scene.asked()
    assert max(scene.line.silences_ms(begun_ms, scene.now_ms)) <= 8000
    scene.feed(ev.RedirectFailed("status 503"))
    scene.run(2000 + GUARD_MS)
    assert scene.asked()[-1] == prompts.GOODBYE_LIMIT
    assert scene.all(do.HangUp) == [do.HangUp("limit")]
