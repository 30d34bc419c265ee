"""SayRequested: the agent says exactly these words, when it is its turn."""

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.ordered_words import TRIES
from tests.call.scene import Scene, agent
from tests.call.transfer_scene import call_transfer, transfer_scene

WORDS = "Your taxi is there."
SAY = prompts.say(WORDS)


@pytest.fixture
def scene() -> Scene:
    return Scene().connect()


def test_words_of_an_operator_are_said_at_once(scene: Scene) -> None:
    (request,) = scene.feed(ev.SayRequested(WORDS))
    assert request == do.CreateResponse("bridge_2", SAY) and WORDS in SAY


def test_words_wait_for_what_the_agent_says_and_for_the_caller(scene: Scene) -> None:
    scene.begin()
    scene.feed(ev.SayRequested(WORDS))
    scene.speak()
    scene.finish(status="cancelled")
    assert scene.asked() == []
    scene.fall_silent()
    scene.begin("item_2", "resp_2")
    scene.audio(300, "item_2", "resp_2")
    assert scene.asked() == []
    scene.finish("item_2", "resp_2")
    assert scene.asked() == [SAY]


def test_words_are_said_once_each_and_in_their_order(scene: Scene) -> None:
    scene.feed(ev.SayRequested("One."), ev.SayRequested("Two."), ev.SayRequested("Two."))
    scene.respond()
    scene.respond()
    scene.run(10_000)
    assert scene.asked() == [prompts.say("One."), prompts.say("Two.")]


def test_words_for_a_model_that_is_not_there_yet_are_said_when_it_is() -> None:
    scene = Scene(agent(greeting="Hello."))
    scene.feed(ev.LegOpened(), ev.SayRequested(WORDS), ev.StreamStarted("MZ1"))
    scene.configure()
    scene.respond()
    assert set(scene.asked()) == {SAY, prompts.greeting(scene.agent)}


def test_words_that_fail_are_said_again(scene: Scene) -> None:
    scene.feed(ev.SayRequested(WORDS))
    scene.feed(ev.ResponseCreated("resp_1"), ev.ResponseDone("resp_1", "failed"))
    scene.run(400)
    assert scene.asked() == [SAY] * 2


def test_words_whose_session_is_lost_are_said_by_the_next(scene: Scene) -> None:
    scene.feed(ev.SayRequested(WORDS))
    scene.begin()
    scene.feed(ev.ModelLost("gone"))
    scene.configure()
    assert scene.asked() == [SAY] * 2


def test_words_are_not_said_into_a_transfer_nor_into_a_goodbye() -> None:
    scene = transfer_scene()
    call_transfer(scene)
    scene.feed(ev.SayRequested(WORDS))
    scene.run(5000)
    assert len(scene.all(do.TransferCall)) == 1 and scene.asked() == []
    assert [each.decision for each in scene.decisions] == ["leave out what it was to say"]
    scene = transfer_scene()
    scene.begin()
    scene.audio(1000)
    scene.call_tool("call_1", "end_call")
    scene.feed(ev.SayRequested(WORDS))
    scene.finish()
    scene.run(5000)
    assert len(scene.all(do.HangUp)) == 1 and scene.asked() == []
    assert [each.decision for each in scene.decisions] == ["leave out what it was to say"]


def test_ordered_words_that_the_end_of_the_leg_leaves_out_are_reported(scene: Scene) -> None:
    scene.speak()
    scene.feed(ev.SayRequested(WORDS), ev.StreamEnded("stop"))
    assert [each.reason for each in scene.decisions] == ["the leg ended: caller"]


def test_ordered_words_of_a_lost_stream_are_left_to_the_next_leg(scene: Scene) -> None:
    scene.speak()
    scene.feed(ev.SayRequested(WORDS), ev.StreamEnded("socket closed", lost=True))
    assert scene.machine.unfinished_orders == (ev.SayRequested(WORDS),) and not scene.decisions


def test_ordered_words_are_said_again_if_the_caller_spoke_before_a_sound_of_them(
    scene: Scene,
) -> None:
    scene.feed(ev.SayRequested(WORDS))
    scene.speak()
    scene.feed(ev.ResponseCreated("resp_1"), ev.ResponseDone("resp_1", "cancelled"))
    scene.fall_silent(text="Hello?")
    scene.answer(500, "item_2", "resp_2")
    scene.respond()
    scene.run(10_000)
    assert scene.asked() == [SAY] * 2 and not scene.decisions


def test_ordered_words_that_the_caller_interrupts_are_not_repeated(scene: Scene) -> None:
    scene.feed(ev.SayRequested(WORDS))
    scene.answer(3000)
    scene.run(1000)
    scene.speak()
    scene.fall_silent(text="I know.")
    scene.answer(500, "item_2", "resp_2")
    scene.run(10_000)
    assert scene.asked() == [SAY]
    assert [each.decision for each in scene.decisions] == [
        "leave out the rest of what it was to say"
    ]


def test_ordered_words_that_are_always_interrupted_are_given_up(scene: Scene) -> None:
    scene.feed(ev.SayRequested(WORDS))
    for number in range(10):
        scene.feed(ev.ResponseCreated(f"resp_{number}"))
        scene.feed(ev.ResponseDone(f"resp_{number}", "cancelled"))
    assert scene.asked() == [SAY] * TRIES
    assert [each.decision for each in scene.decisions] == ["leave out what it was to say"]
