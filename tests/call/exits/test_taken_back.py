"""Why a goodbye is taken back or a transfer suspended: the model learns the cause."""

import json
from collections.abc import Callable

import pytest

from app.call import prompts
from app.call.exits.transfer import TRANSFER
from app.call.exits.transitions import (
    ExitState,
)
from app.call.prompts import TakenBack
from tests.call.exits.exit_states import (
    OPERATOR,
    REACHED,
    announcing,
    answer_to,
    assert_state,
    goodbye,
    interrupted_call,
)
from tests.call.scene import agent
from tests.call.transfer_scene import HUMANS, transfer_scene


def test_a_goodbye_that_the_caller_interrupts_is_answered_with_that() -> None:
    scene = interrupted_call()
    goodbye(scene)
    scene.speak()
    assert "the caller spoke" in answer_to(scene, "call_1")[0]


def test_a_goodbye_that_a_key_interrupts_is_answered_with_that() -> None:
    scene = interrupted_call()
    goodbye(scene)
    scene.press("5")
    (told,) = answer_to(scene, "call_1")
    assert "pressed a key" in told and "spoke" not in told


def test_a_goodbye_that_a_lone_zero_takes_back_is_answered_with_that() -> None:
    """No barge-in comes before it: the caller cannot interrupt this agent."""
    scene = transfer_scene(agent(interruptible=False, destinations=HUMANS.destinations))
    goodbye(scene, 6000)
    scene.press("0")
    scene.run(2500)
    (told,) = answer_to(scene, "call_1")
    assert "pressed 0 to reach a human" in told and "spoke" not in told
    assert_state(scene, ExitState.ANNOUNCING)


def test_a_goodbye_that_an_operator_takes_back_is_answered_with_that() -> None:
    scene = interrupted_call()
    goodbye(scene)
    scene.feed(OPERATOR)
    (told,) = answer_to(scene, "call_1")
    assert "an operator" in told and "caller spoke" not in told


def test_a_transfer_that_an_answering_machine_suspends_is_answered_with_that() -> None:
    scene = interrupted_call()
    announcing(scene)
    scene.feed(REACHED)
    (told,) = answer_to(scene, "call_1")
    assert "an answering machine" in told and "caller spoke" not in told
    assert told == prompts.transfer_suspended(TakenBack.VOICEMAIL)


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("end_call", "{}", prompts.end_taken_back),
        (TRANSFER, json.dumps({"destination": "Sales"}), prompts.transfer_suspended),
    ],
)
@pytest.mark.parametrize("why", [TakenBack.CALLER_SPOKE, TakenBack.KEY_PRESSED])
def test_a_tool_whose_response_was_interrupted_is_answered_with_why(
    name: str, arguments: str, told: Callable[[TakenBack], str], why: TakenBack
) -> None:
    scene = transfer_scene()
    scene.begin()
    scene.audio(2000)
    scene.run(500)
    if why is TakenBack.KEY_PRESSED:
        scene.press("5")
    else:
        scene.speak()
    scene.call_tool("call_1", name, arguments=arguments)
    assert answer_to(scene, "call_1") == [told(why)]
