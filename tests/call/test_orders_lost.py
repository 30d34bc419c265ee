"""Every order of an operator that was accepted is carried out, left to the next leg, or reported.

A row of the table is a moment of an order and what disturbs it there.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.agent import Limits
from app.call.exits.tones import SEND_DIGITS
from tests.call.scene import Scene
from tests.call.transfer_scene import HUMANS, call_transfer, transfer_scene

WORDS = "Your taxi is there."
SAY, TRANSFER = ev.SayRequested(WORDS), ev.TransferRequested("Support")
Order = ev.SayRequested | ev.TransferRequested
Moment = Callable[[Scene], object]

#: The agent's reply to the caller.
REPLY = "item_7"

CARRIED_OUT, CARRIED_ON, REPORTED = "carried out", "left to the next leg", "reported"


# --- where the order is ---------------------------------------------------------------------------


def waiting_for_the_caller(scene: Scene) -> None:
    scene.feed(ev.SpeechStarted("user_0", 0))


def requested(scene: Scene) -> None:
    pass


def begun(scene: Scene) -> None:
    scene.feed(ev.ResponseCreated("resp_1"))


def sent(scene: Scene) -> None:
    """All of it came, and nothing of it was heard."""
    scene.feed(ev.StreamBlocked())
    scene.answer(3000)


def half_heard(scene: Scene) -> None:
    scene.answer(3000)
    scene.run(1500)


# --- what happens to it ---------------------------------------------------------------------------


def nothing(scene: Scene) -> None:
    pass


def caller_speaks(scene: Scene) -> None:
    scene.speak()
    if scene.machine._responses.requested is not None:
        scene.feed(ev.ResponseCreated("resp_1"))
    scene.feed(ev.ResponseDone("resp_1", "cancelled"))
    scene.run(500)
    scene.fall_silent(text="Wait.")
    scene.answer(500, REPLY, "resp_7")


def session_lost(scene: Scene) -> None:
    scene.feed(ev.ModelLost("gone"))
    scene.run(1000)
    scene.configure()


def model_gone(scene: Scene) -> None:
    scene.feed(ev.ModelLost("no money left", fatal=True))
    scene.run(20_000)


def machine_answers(scene: Scene) -> None:
    scene.feed(ev.VoicemailReached("Please call back."))
    scene.feed(ev.ResponseDone("resp_1", "cancelled"))


def hung_up(scene: Scene) -> None:
    scene.feed(ev.HangUpRequested("operator"))
    scene.feed(ev.StreamEnded("stop"))


def drained(scene: Scene) -> None:
    scene.feed(ev.HangUpRequested("shutdown"))
    scene.feed(ev.StreamEnded("stop"))


def caller_hangs_up(scene: Scene) -> None:
    scene.feed(ev.StreamEnded("stop"))


def line_lost(scene: Scene) -> None:
    scene.feed(ev.StreamEnded("socket closed", lost=True))


def stream_stuck(scene: Scene) -> None:
    scene.feed(ev.StreamBlocked())
    scene.run(60_000)


def leg_fails(scene: Scene) -> None:
    scene.feed(ev.LegFailed())


ENDS = (hung_up, drained, caller_hangs_up, leg_fails)
ON_THE_CALL = (nothing, caller_speaks, session_lost, model_gone, machine_answers)
DISTURBANCES = (*ON_THE_CALL, *ENDS, line_lost, stream_stuck)
MOMENTS = (waiting_for_the_caller, requested, begun, sent, half_heard)


def goes_on(scene: Scene) -> None:
    """Whatever may still follow: the caller is silent, and the model answers each request."""
    scene.feed(ev.StreamUnblocked(), ev.SpeechStopped("user_0", 0))
    scene.answers_ms = 600
    if scene.asked():
        scene.answer(600, "late", "resp_late")
    scene.run(20_000)


def outcomes(scene: Scene, order: Order) -> set[str]:
    """What became of the order; empty: it vanished."""
    found = set()
    if order in scene.machine.unfinished_orders:
        found.add(CARRIED_ON)
    if any("what it was to say" in each.decision for each in scene.decisions):
        found.add(REPORTED)
    if any("operator's transfer" in each.decision + each.reason for each in scene.decisions):
        found.add(REPORTED)
    if isinstance(order, ev.TransferRequested):
        return found | ({CARRIED_OUT} if scene.all(do.TransferCall) else set())
    return found | ({CARRIED_OUT} if was_said(scene) else set())


def was_said(scene: Scene) -> bool:
    """Whether the first answer to a request of the words was heard to its end."""
    turns = [
        turn
        for turn in scene.machine.conversation
        if turn.role == "assistant" and turn.item_id != REPLY
    ]
    requests = [(ms, each) for ms, each in scene.commands if isinstance(each, do.CreateResponse)]
    ends_ms = [*(ms for ms, _ in requests), float("inf")][1:]
    for (begun_ms, request), end_ms in zip(requests, ends_ms, strict=True):
        answers = [turn for turn in turns if begun_ms <= turn.at_ms <= end_ms]
        if request.direction == prompts.say(WORDS) and answers:
            if answers[0].finished and not answers[0].cut:
                return True
    return False


@pytest.mark.parametrize("disturbance", DISTURBANCES)
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("order", [SAY, TRANSFER])
def test_no_order_vanishes(order: Order, moment: Moment, disturbance: Moment) -> None:
    scene = transfer_scene(replace(HUMANS, limits=Limits(idle_ms=0, longest_call_ms=0)))
    if moment is waiting_for_the_caller:
        moment(scene)
    assert scene.machine.refusal(order) == ""
    scene.feed(order)
    if moment is not waiting_for_the_caller:
        moment(scene)
    scene.run(100)
    disturbance(scene)
    scene.run(100)
    goes_on(scene)
    became = outcomes(scene, order)
    assert len(became) == 1, f"{became}: {scene.decisions} {scene.asked()}"
    if disturbance is nothing:
        assert became == {CARRIED_OUT}
    elif disturbance in ENDS:
        assert became == {REPORTED}
    elif disturbance is line_lost:
        assert became == {CARRIED_ON}


def test_words_that_wait_while_twilio_presses_keys_are_left_to_the_next_leg() -> None:
    scene = transfer_scene()
    scene.feed(ev.ResponseCreated("resp_1"), SAY)
    scene.call_tool(name=SEND_DIGITS, arguments=f'{{"digits": "{"1W" * 20}"}}')
    assert len(scene.all(do.PlayDigits)) == 1
    scene.feed(ev.CallRedirected(), ev.StreamEnded("stop"))
    assert scene.machine.unfinished_orders == (SAY,) and not scene.decisions


def test_words_that_wait_for_tones_are_said_after_them() -> None:
    scene = transfer_scene()
    scene.feed(ev.ResponseCreated("resp_1"), SAY)
    scene.call_tool(name=SEND_DIGITS, arguments='{"digits": "123"}')
    scene.answers_ms = 600
    scene.feed(ev.ResponseDone("resp_1", "completed"))
    scene.run(10_000)
    assert prompts.say(WORDS) in scene.asked() and not scene.decisions


def test_a_redirect_that_fails_is_reported_for_an_operators_transfer() -> None:
    scene = transfer_scene()
    scene.answers_ms = 600
    scene.feed(TRANSFER)
    scene.run(5000)
    scene.feed(ev.RedirectFailed("status 503"))
    (reported,) = scene.decisions
    assert "operator's transfer failed: status 503" in reported.reason
    assert scene.machine.refusal(TRANSFER) == "", "the operator may order it again"


def test_a_suspended_transfer_of_an_operator_is_reported_with_the_cause() -> None:
    scene = transfer_scene()
    scene.feed(TRANSFER)
    scene.answer(3000)
    scene.run(1000)
    scene.speak()
    (reported,) = scene.decisions
    assert (reported.decision, reported.reason) == (
        "suspend the operator's transfer",
        "the caller spoke",
    )
    scene.run(60_000)
    assert not scene.all(do.TransferCall)


def test_a_transfer_of_the_models_own_is_not_reported_as_an_operators() -> None:
    scene = transfer_scene()
    call_transfer(scene)
    scene.run(500)
    scene.speak()
    assert not scene.decisions
