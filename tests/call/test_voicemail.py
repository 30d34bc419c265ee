"""An answering machine answered: the agent leaves a message or hangs up, and ignores its sounds."""

from collections.abc import Callable

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.exits.last_words import GUARD_MS
from tests.call.scene import Scene, agent
from tests.call.transfer_scene import HUMANS, call_transfer, transfer_scene

MESSAGE = "Your table is booked. Goodbye."
MESSAGE_DIRECTION = prompts.voicemail(MESSAGE)
REACHED = ev.CalleeDetected("machine_end_beep", MESSAGE)
NO_MESSAGE = ev.CalleeDetected("machine_end_beep")
BUSY = "conversation_already_has_active_response"


@pytest.fixture
def scene() -> Scene:
    return Scene(agent(), up_ms=50, down_ms=50).connect()


def leave(scene: Scene, ms: int = 3000, number: int = 9) -> None:
    """The model says the message, and it is heard."""
    scene.answer(ms, f"message_{number}", f"resp_message_{number}")
    scene.run(ms + 100 + GUARD_MS)


def assert_left(scene: Scene, ms: int = 3000, number: int = 9) -> None:
    """The whole message was heard, and nothing else after the beep; then the call was hung up."""
    (at_ms,) = scene.when(do.HangUp)
    assert scene.all(do.HangUp) == [do.HangUp("voicemail")]
    assert scene.line.heard_bytes(f"message_{number}", at_ms) == ms * 8
    assert scene.asked().count(MESSAGE_DIRECTION) == 1


# --- when the verdict comes ---------------------------------------------------------------------


def test_a_message_is_heard_to_its_last_mark_before_the_hang_up(scene: Scene) -> None:
    begun_ms = scene.now_ms
    assert scene.feed(REACHED) == [
        do.MuteCaller(),
        do.CreateResponse("bridge_2", MESSAGE_DIRECTION),
    ]
    scene.answer(3000, "message_9", "resp_9")
    scene.run(3100 + GUARD_MS - 1)
    assert not scene.all(do.HangUp)
    scene.run(1)
    assert scene.when(do.HangUp) == [begun_ms + 3100 + GUARD_MS]
    assert_left(scene)
    scene.feed(ev.HangUpConfirmed(), ev.StreamEnded("stop"))
    assert scene.machine.ended_by == "voicemail"


def test_a_voicemail_verdict_before_the_stream_leaves_the_message_when_it_is_there() -> None:
    scene = Scene(agent(greeting="Hello."), up_ms=50, down_ms=50)
    scene.feed(ev.LegOpened(), REACHED)
    scene.configure()
    assert scene.asked() == [MESSAGE_DIRECTION]  # and no greeting
    scene.answer(3000, "message_9", "resp_9")
    scene.run(2000)
    assert scene.all(do.PlayAudio) == []
    scene.feed(ev.StreamStarted("MZ1"))
    scene.run(3100 + GUARD_MS)
    assert_left(scene)


def test_a_voicemail_verdict_during_the_greeting_cuts_it() -> None:
    scene = Scene(agent(greeting="Hello."), up_ms=50, down_ms=50).connect()
    scene.begin()
    scene.audio(4000)
    scene.run(1000)
    cut = scene.feed(REACHED)
    kinds = [type(command) for command in cut]
    assert kinds == [do.CancelResponse, do.ClearAudio, do.TruncateItem, do.MuteCaller]
    assert scene.audio(500) == []
    scene.finish(status="cancelled")
    assert scene.asked()[-1] == MESSAGE_DIRECTION
    leave(scene)
    assert_left(scene)
    assert scene.line.heard_bytes("item_1", scene.now_ms) < 1200 * 8


def test_a_greeting_that_was_asked_for_before_the_verdict_is_not_heard_after_the_beep() -> None:
    scene = Scene(agent(greeting="Hello."), up_ms=50, down_ms=50).connect()
    assert len(scene.asked()) == 1
    scene.feed(REACHED)
    assert any(isinstance(command, do.CancelResponse) for command in scene.begin())
    assert scene.audio(2000) == []
    scene.finish(status="cancelled")
    leave(scene)
    assert_left(scene)
    assert scene.line.heard_bytes("item_1", scene.now_ms) == 0


def test_a_voicemail_verdict_in_the_middle_of_an_answer_cuts_it(scene: Scene) -> None:
    scene.speak()
    scene.fall_silent(text="You have reached the Smiths.")
    scene.begin()
    scene.audio(3000)
    scene.run(700)
    scene.feed(REACHED)
    scene.finish(status="cancelled")
    leave(scene)
    assert_left(scene)


@pytest.mark.parametrize("message", ["", MESSAGE])
def test_a_voicemail_verdict_after_the_hang_up_changes_nothing(scene: Scene, message: str) -> None:
    scene.feed(ev.HangUpRequested("operator"))
    assert scene.feed(ev.CalleeDetected("machine_end_beep", message)) == []
    scene.feed(ev.StreamEnded("stop"))
    assert scene.machine.ended_by == "operator"


def test_a_voicemail_verdict_after_the_end_changes_nothing(scene: Scene) -> None:
    scene.feed(ev.StreamEnded("stop"))
    assert scene.feed(REACHED) == []


def test_a_voicemail_verdict_that_comes_twice_does_not_begin_the_message_again(
    scene: Scene,
) -> None:
    scene.feed(REACHED)
    scene.answer(3000, "message_9", "resp_9")
    scene.run(1500)
    assert scene.feed(REACHED) == []
    scene.run(1600 + GUARD_MS)
    assert_left(scene)


def test_no_message_is_a_hang_up_at_once(scene: Scene) -> None:
    scene.answer(4000)
    scene.run(500)
    commands = scene.feed(NO_MESSAGE)
    assert do.HangUp("voicemail") in commands
    scene.run(5000)
    assert scene.asked() == [] and len(scene.all(do.HangUp)) == 1


def test_no_message_before_the_stream_is_a_hang_up_at_once() -> None:
    scene = Scene(agent(greeting="Hello."))
    scene.feed(ev.LegOpened())
    assert do.HangUp("voicemail") in scene.feed(NO_MESSAGE)
    scene.configure()
    assert scene.asked() == []


# --- the answering machine is no caller ---------------------------------------------------------


def test_the_machines_sound_is_kept_from_the_model(scene: Scene) -> None:
    scene.feed(REACHED)
    leave(scene)
    assert len(scene.all(do.MuteCaller)) == 1 and not scene.all(do.UnmuteCaller)


def test_the_machines_words_do_not_cut_the_message(scene: Scene) -> None:
    scene.feed(REACHED)
    scene.begin("message_9", "resp_9")
    scene.audio(3000, "message_9", "resp_9")
    scene.run(500)
    assert scene.speak() == []
    scene.finish("message_9", "resp_9")
    scene.fall_silent()
    scene.run(2600 + GUARD_MS)
    assert_left(scene)
    assert not scene.all(do.ClearAudio)


def test_the_machines_keys_do_not_cut_the_message(scene: Scene) -> None:
    scene.feed(REACHED)
    scene.answer(3000, "message_9", "resp_9")
    scene.run(500)
    assert scene.press("0") == []
    scene.run(2600 + GUARD_MS)
    assert_left(scene)


def test_an_answer_to_the_machines_words_is_never_heard(scene: Scene) -> None:
    """Its greeting was still playing when the verdict came."""
    scene.speak()
    scene.feed(REACHED)
    scene.fall_silent(text="Please leave a message after the beep.")
    assert scene.asked() == [MESSAGE_DIRECTION]  # it records already: request the message at once
    request = scene.all(do.CreateResponse)[-1]
    scene.feed(ev.ResponseCreated("resp_1"))  # turn detection's, mistaken for it
    scene.feed(ev.ModelFaulted(BUSY, "busy", request.event_id, "busy"))
    assert [cancel.response_id for cancel in scene.all(do.CancelResponse)] == ["resp_1"]
    scene.audio(1000)
    scene.finish(status="cancelled")
    scene.run(400)
    assert scene.asked() == [MESSAGE_DIRECTION] * 2
    scene.answer(3000, "message_9", "resp_9")
    scene.run(3100 + GUARD_MS)
    assert len(scene.all(do.HangUp)) == 1
    assert scene.line.heard_bytes("message_9", scene.now_ms) == 24_000
    assert scene.line.heard_bytes("item_1", scene.now_ms) == 0


def test_the_end_of_the_machines_words_is_not_waited_for(scene: Scene) -> None:
    """Turn detection would have four seconds to answer them; the machine records silence."""
    scene.begin()
    scene.audio(1000)
    scene.speak()
    scene.feed(REACHED)
    scene.fall_silent()
    assert scene.asked() == []  # the response is not over yet
    scene.finish(status="cancelled")
    assert scene.asked() == [MESSAGE_DIRECTION]


def test_an_answer_begun_before_the_message_could_be_asked_for_is_cancelled(scene: Scene) -> None:
    scene.begin()
    scene.audio(1000)
    scene.feed(REACHED)
    scene.finish(status="cancelled")
    request = scene.all(do.CreateResponse)[-1]
    assert request.direction == MESSAGE_DIRECTION
    scene.answer(3000, "message_9", "resp_9")
    scene.feed(ev.ResponseCreated("resp_2"))
    assert scene.all(do.CancelResponse)[-1].response_id == "resp_2"
    late = scene.audio(1000, "item_2", "resp_2")
    assert [type(command) for command in late] == [do.DeleteItem]
    scene.finish("item_2", "resp_2", "cancelled")
    scene.run(3100 + GUARD_MS)
    assert_left(scene)


def test_a_machine_that_talks_on_and_on_does_not_keep_the_message_waiting(scene: Scene) -> None:
    scene.speak()
    scene.run(500)
    scene.feed(REACHED)
    assert scene.asked() == [MESSAGE_DIRECTION]
    scene.speak("user_2")
    leave(scene)
    assert_left(scene)


def test_an_error_of_something_else_does_not_cut_the_message(scene: Scene) -> None:
    scene.feed(REACHED)
    scene.answer(3000, "message_9", "resp_9")
    scene.run(500)
    scene.feed(ev.ModelFaulted("server_error", "sorry"))
    scene.feed(ev.ModelFaulted(BUSY, "busy", "bridge_2", "busy"))
    scene.run(2600 + GUARD_MS)
    assert_left(scene)


def test_an_answering_machine_is_not_asked_whether_it_is_there() -> None:
    scene = transfer_scene()
    scene.feed(REACHED)
    scene.run(3000)
    assert scene.asked() == [MESSAGE_DIRECTION]


# --- what else was going on ---------------------------------------------------------------------


def goodbye(scene: Scene) -> None:
    scene.begin()
    scene.audio(3000)
    scene.call_tool("call_1", "end_call")
    scene.finish()


def transferring(scene: Scene) -> None:
    call_transfer(scene, 3000)


def tool(scene: Scene) -> None:
    scene.tool_response("call_1")


@pytest.mark.parametrize("moment", [goodbye, transferring, tool])
def test_a_message_is_left_whatever_was_going_on(moment: Callable[[Scene], None]) -> None:
    scene = transfer_scene(HUMANS)
    moment(scene)
    scene.run(500)
    scene.feed(REACHED)
    if moment is tool:
        scene.feed(ev.ToolReturned("call_1", "42"))
    assert scene.asked() == [MESSAGE_DIRECTION]
    leave(scene)
    scene.run(20_000)
    assert_left(scene)
    assert not scene.all(do.TransferCall)


def test_a_transfer_is_not_made_to_a_machine_that_is_hung_up_on() -> None:
    scene = transfer_scene()
    call_transfer(scene)
    scene.run(500)
    assert do.HangUp("voicemail") in scene.feed(NO_MESSAGE)
    assert scene.outputs() == [prompts.END_ALREADY]
    scene.run(20_000)
    assert not scene.all(do.TransferCall)


# --- the model is down --------------------------------------------------------------------------


def test_a_message_waits_for_a_model_that_reconnects(scene: Scene) -> None:
    scene.feed(ev.ModelLost("gone"), REACHED)
    scene.run(1500)
    scene.configure()
    assert scene.asked() == [MESSAGE_DIRECTION]
    leave(scene)
    assert_left(scene)


def test_a_session_lost_in_the_middle_of_the_message_says_it_again(scene: Scene) -> None:
    scene.feed(REACHED)
    scene.begin("message_1", "resp_1")
    scene.audio(1000, "message_1", "resp_1")
    scene.feed(ev.ModelLost("gone"))
    scene.run(300)
    scene.configure()
    assert scene.asked() == [MESSAGE_DIRECTION] * 2
    scene.answer(3000, "message_9", "resp_9")
    scene.run(5000)
    (at_ms,) = scene.when(do.HangUp)
    assert scene.line.heard_bytes("message_9", at_ms) == 24_000


def test_a_message_that_the_model_gave_up_on_is_left_by_twilio(scene: Scene) -> None:
    scene.feed(REACHED, ev.ModelLost("gone", fatal=True))
    assert scene.all(do.CloseStream) == [do.CloseStream("voicemail")]
    assert scene.machine.last_words in MESSAGE_DIRECTION and scene.machine.last_words
    assert not scene.all(do.HangUp)


def test_the_message_takes_the_place_of_a_goodbye_that_is_still_queued(scene: Scene) -> None:
    scene.feed(ev.ModelLost("gone"))
    scene.feed(ev.ModelOpened())
    scene.feed(ev.ResponseCreated("resp_1"))
    scene.call_tool(name="end_call")
    scene.feed(ev.ResponseDone("resp_1", "completed"), REACHED)
    scene.feed(ev.SessionConfigured())
    assert scene.asked()[-1:] == [MESSAGE_DIRECTION]
