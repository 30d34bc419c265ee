"""Last words that were cut off or not spoken: the model is not told that they were heard."""

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.exits.last_words import GUARD_MS
from app.call.exits.transfer import TRANSFER
from app.call.exits.transitions import ExitState
from tests.call.exits.exit_states import (
    HEARD_MS,
    LIMIT_MS,
    OPERATOR,
    REACHED,
    answer_to,
    assert_state,
    goodbye,
    interrupted_call,
)
from tests.call.scene import Scene
from tests.call.transfer_scene import HUMANS
from tests.call.voice_scene import VoiceScene, Way

FAREWELL = "It was a pleasure. Goodbye."
REFUSED = "Xyzzy."


def final_goodbye_of_end_call() -> Scene:
    """The agent says goodbye when the longest call is over: no barge-in takes it back."""
    scene = interrupted_call()
    scene.answers_ms = 100
    scene.run_until(LIMIT_MS - 300)
    scene.answers_ms = None
    goodbye(scene)
    scene.run(300)
    assert_state(scene, ExitState.FINAL_GOODBYE)
    return scene


def test_a_final_goodbye_that_was_heard_is_done() -> None:
    scene = final_goodbye_of_end_call()
    scene.run(HEARD_MS)
    assert scene.all(do.HangUp) and answer_to(scene, "call_1") == [prompts.END_DONE]


def test_a_final_goodbye_that_the_caller_cut_off_was_not_heard() -> None:
    scene = final_goodbye_of_end_call()
    scene.speak()
    scene.run(HEARD_MS)
    assert len(scene.all(do.ClearAudio)) == 2 and len(scene.all(do.HangUp)) == 1
    assert answer_to(scene, "call_1") == [prompts.END_FORCED]


def test_a_final_goodbye_that_is_said_again_after_a_barge_in_is_heard() -> None:
    scene = interrupted_call()
    scene.answers_ms = 100
    scene.run_until(LIMIT_MS - 10)
    scene.answers_ms = None
    scene.feed(ev.ResponseCreated("resp_1"))
    scene.call_tool("call_1", "end_call")
    scene.run(10)
    scene.begin("item_1", "resp_1")
    scene.audio(2000, "item_1", "resp_1")
    scene.speak()
    scene.finish("item_1", "resp_1", "cancelled")
    scene.fall_silent()
    scene.run(HEARD_MS)
    assert answer_to(scene, "call_1") == [prompts.END_FORCED]


def test_a_goodbye_that_an_answering_machine_cut_off_was_not_heard() -> None:
    scene = interrupted_call()
    goodbye(scene)
    scene.run(500)
    scene.feed(REACHED)
    assert answer_to(scene, "call_1") == [prompts.END_FORCED]
    scene.respond(1000)
    scene.run(HEARD_MS)
    assert scene.all(do.HangUp) == [do.HangUp("voicemail")]
    assert answer_to(scene, "call_1") == [prompts.END_FORCED]


@pytest.mark.parametrize("event", [REACHED, ev.HangUpRequested("operator")])
def test_a_goodbye_that_was_heard_just_before_the_call_ends_otherwise_is_done(
    event: ev.Event,
) -> None:
    scene = interrupted_call()
    goodbye(scene)
    scene.run(HEARD_MS - GUARD_MS)
    scene.feed(event)
    assert answer_to(scene, "call_1") == [prompts.END_DONE]


# --- external voices ----------------------------------------------------------------------------


def voiced(*refused: str) -> VoiceScene:
    """A call whose voices refuse these texts."""
    scene = VoiceScene(
        HUMANS, way=lambda each: Way(fails="text") if each.text in refused else Way()
    )
    scene.connect()
    return scene


def say_and_call(scene: Scene, text: str, name: str, arguments: str = "{}") -> None:
    """A response that says this, and calls a tool."""
    scene.begin()
    scene.feed(ev.TextReceived("item_1", text))
    scene.feed(ev.OutputItemDone("resp_1", "item_1", "message", "completed"))
    scene.call_tool("call_1", name, arguments=arguments)
    scene.feed(ev.ResponseDone("resp_1", "completed"))


def test_a_goodbye_by_a_voice_is_done_when_it_was_heard() -> None:
    scene = voiced()
    say_and_call(scene, FAREWELL, "end_call")
    scene.run(10_000)
    assert scene.all(do.HangUp) and answer_to(scene, "call_1") == [prompts.END_DONE]


def test_a_goodbye_of_which_a_voice_left_out_a_part_was_not_heard() -> None:
    scene = voiced(REFUSED)
    say_and_call(scene, f"It was a pleasure. {REFUSED} Goodbye.", "end_call")
    scene.run(10_000)
    assert scene.heard_words() == FAREWELL.split()
    assert scene.all(do.HangUp) and answer_to(scene, "call_1") == [prompts.END_FORCED]


def test_a_goodbye_that_the_model_spoke_for_the_voices_was_heard() -> None:
    scene = voiced(FAREWELL, *FAREWELL.split(". "), "It was a pleasure.")
    say_and_call(scene, FAREWELL, "end_call")
    scene.run(1000)
    assert scene.asked() == [prompts.say(FAREWELL)]
    scene.answer(2000, "item_2", "resp_2", FAREWELL)
    scene.run(3000)
    assert scene.all(do.HangUp) and answer_to(scene, "call_1") == [prompts.END_DONE]


def test_a_goodbye_that_neither_voices_nor_the_model_spoke_is_left_to_the_twiml() -> None:
    scene = voiced(FAREWELL, *FAREWELL.split(". "), "It was a pleasure.")
    say_and_call(scene, FAREWELL, "end_call")
    for number in range(2, 5):  # the model only writes what it is to speak
        scene.run(100)
        assert not scene.all(do.CloseStream)
        scene.write(FAREWELL, f"item_{number}", f"resp_{number}")
    scene.run(1000)
    assert scene.all(do.CloseStream) == [do.CloseStream("agent")] and not scene.all(do.HangUp)
    assert scene.machine.last_words == "Goodbye."
    assert answer_to(scene, "call_1") == [prompts.END_FORCED]


def test_an_announcement_of_which_a_voice_left_out_a_part_does_not_count_as_one() -> None:
    scene = voiced(REFUSED)
    text = f"One moment. {REFUSED} I am connecting you."
    say_and_call(scene, text, TRANSFER, '{"destination": "Sales"}')
    scene.run(10_000)
    assert [order.announced for order in scene.all(do.TransferCall)] == [False]


def test_an_announcement_that_was_said_counts_as_one() -> None:
    scene = voiced()
    scene.feed(OPERATOR)
    scene.write("I am connecting you.", "item_2", "resp_2")
    scene.run(10_000)
    assert [order.announced for order in scene.all(do.TransferCall)] == [True]
