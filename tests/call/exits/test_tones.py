"""send_digits: tones are heard to their end, then the tool is answered; many keys go to Twilio."""

import json

import pytest

from app.audio import dtmf_tones, tones_ms
from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.exits.last_words import GUARD_MS
from app.call.exits.tones import LONGEST_TONES_MS, SEND_DIGITS
from app.call.exits.transfer import TRANSFER
from app.call.exits.transitions import ORDER_MS, STOP_MS, UNANSWERED
from app.call.heard.agent_audio import MARK_GRACE_MS
from tests.call.scene import Scene
from tests.call.transfer_scene import transfer_scene

LONG = "1" * (LONGEST_TONES_MS // 200 + 1)


@pytest.fixture
def scene() -> Scene:
    return transfer_scene()


def press(
    scene: Scene, digits: object, *, call_id: str = "call_1", response_id: str = "resp_1"
) -> None:
    """The agent presses these keys, and says nothing."""
    scene.feed(ev.ResponseCreated(response_id))
    scene.call_tool(call_id, SEND_DIGITS, response_id, json.dumps({"digits": digits}))
    scene.feed(ev.ResponseDone(response_id, "completed"))


def tones(scene: Scene) -> list[str]:
    """The tones that were played."""
    return [played.payload for played in scene.all(do.PlayAudio) if not played.item_id]


def test_keys_are_played_as_tones_and_answered_when_they_were_heard(scene: Scene) -> None:
    begun_ms = scene.now_ms
    press(scene, "12#")
    assert tones(scene) == [dtmf_tones("12#")] and scene.outputs() == []
    heard_ms = tones_ms("12#") + 100
    scene.run(heard_ms - 1)
    assert scene.outputs() == []
    scene.run(1)
    assert scene.outputs() == [prompts.DIGITS_SENT] and scene.asked() == [""]
    assert scene.line.heard_bytes("", begun_ms + heard_ms) == tones_ms("12#") * 8
    assert not scene.all(do.PlayDigits)


def test_keys_sound_after_what_the_agent_says(scene: Scene) -> None:
    scene.begin()
    scene.audio(1000)
    scene.call_tool("call_1", SEND_DIGITS, arguments='{"digits": "5"}')
    scene.finish()
    assert [played.item_id for played in scene.all(do.PlayAudio)][-1] == ""
    scene.run(1000 + 200 + 99)
    assert scene.outputs() == []
    scene.run(1)
    assert scene.outputs() == [prompts.DIGITS_SENT]


def test_tones_whose_mark_never_comes_are_answered_two_seconds_later(scene: Scene) -> None:
    scene.line.echoes = False
    press(scene, "5")
    scene.run(200 + 100 + MARK_GRACE_MS - 1)
    assert scene.outputs() == []
    scene.run(1)
    assert scene.outputs() == [prompts.DIGITS_SENT]


def test_speech_does_not_interrupt_the_tones(scene: Scene) -> None:
    press(scene, "123456")
    scene.run(300)
    scene.speak()
    scene.fall_silent(text="For opening hours, press one.")
    scene.run(1000)
    assert not scene.all(do.ClearAudio) and scene.outputs() == [prompts.DIGITS_SENT]
    assert scene.line.heard_bytes("", scene.now_ms) == 6 * 200 * 8


def test_keys_do_not_interrupt_the_tones(scene: Scene) -> None:
    press(scene, "123456")
    scene.run(300)
    scene.press("9")
    scene.run(1000)
    assert not scene.all(do.ClearAudio) and scene.outputs() == [prompts.DIGITS_SENT]


def test_speech_after_the_tones_is_a_barge_in_again(scene: Scene) -> None:
    press(scene, "1")
    scene.run(400)
    scene.feed(ev.ToolOutputTaken("call_1"))
    scene.begin("item_2", "resp_2")
    scene.audio(3000, "item_2", "resp_2")
    scene.run(500)
    scene.speak()
    assert len(scene.all(do.ClearAudio)) == 1


def test_a_second_row_of_keys_has_to_wait(scene: Scene) -> None:
    scene.feed(ev.ResponseCreated("resp_1"))
    for call_id in ("call_1", "call_2"):
        scene.call_tool(call_id, SEND_DIGITS, arguments='{"digits": "1"}')
    scene.feed(ev.ResponseDone("resp_1", "completed"))
    assert scene.outputs() == [prompts.DIGITS_BUSY]
    scene.run(1000)
    assert scene.outputs() == [prompts.DIGITS_BUSY, prompts.DIGITS_SENT]
    assert len(tones(scene)) == 1 and scene.asked() == [""]
    scene.feed(ev.ToolOutputTaken("call_1"), ev.ToolOutputTaken("call_2"))
    press(scene, "2", call_id="call_3", response_id="resp_3")
    scene.run(1000)
    assert len(tones(scene)) == 2 and scene.outputs()[-1] == prompts.DIGITS_SENT


@pytest.mark.parametrize(
    "digits", ["", "12a", "1 2", "+49", "1,2", "e", None, 12, ["1"], "1" * 201, "١", "1\n"]
)
def test_keys_that_no_telephone_has_are_not_pressed(scene: Scene, digits: object) -> None:
    scene.answers_ms = 300
    press(scene, digits)
    assert scene.outputs() == [prompts.DIGITS_UNREADABLE]
    scene.run(5000)
    assert tones(scene) == [] and scene.asked() == [""] and not scene.all(do.PlayDigits)


@pytest.mark.parametrize(
    "arguments", ["", "12", "[]", '"1"', "null", "{}", '{"digits"', '{"digit": "1"}', "[" * 100_000]
)
def test_arguments_without_keys_are_answered_with_the_reason(scene: Scene, arguments: str) -> None:
    scene.feed(ev.ResponseCreated("resp_1"))
    scene.call_tool("call_1", SEND_DIGITS, arguments=arguments)
    scene.feed(ev.ResponseDone("resp_1", "completed"))
    assert scene.outputs() == [prompts.DIGITS_UNREADABLE] and scene.asked() == [""]


@pytest.mark.parametrize("digits", ["0123456789*#ABCD", "1w2W3", "w" * 20, "1" * 50])
def test_every_key_and_pause_can_be_pressed(scene: Scene, digits: str) -> None:
    press(scene, digits)
    scene.run(tones_ms(digits) + 200)
    assert scene.outputs() == [prompts.DIGITS_SENT] and tones(scene) == [dtmf_tones(digits)]


def test_a_caller_is_not_asked_whether_they_are_there_while_keys_are_pressed() -> None:
    scene = transfer_scene()
    press(scene, "w" * 19)
    scene.run(9000)
    assert scene.asked() == [] and len(tones(scene)) == 1


def test_tones_before_the_stream_starts_are_answered_when_they_were_heard() -> None:
    scene = Scene(up_ms=0, down_ms=0)
    scene.feed(ev.LegOpened())
    scene.configure()
    press(scene, "1")
    scene.run(5000)
    assert scene.outputs() == []
    scene.feed(ev.StreamStarted("MZ1"))
    scene.run(200)
    assert scene.outputs() == [prompts.DIGITS_SENT]


def test_a_model_lost_while_the_tones_sound_learns_of_them(scene: Scene) -> None:
    press(scene, "1234")
    scene.feed(ev.ModelLost("gone"))
    scene.configure()
    scene.run(1000)
    told = prompts.tool_result(SEND_DIGITS, prompts.DIGITS_SENT)
    assert ("system", told) in scene.messages() and scene.asked() == [""]


def test_a_goodbye_behind_the_tones_lets_them_sound(scene: Scene) -> None:
    scene.begin()
    scene.audio(500)
    scene.call_tool("call_1", SEND_DIGITS, arguments='{"digits": "1234"}')
    scene.call_tool("call_2", "end_call")
    scene.finish()
    scene.run(500 + 800 + 100 + GUARD_MS)
    (at_ms,) = scene.when(do.HangUp)
    assert scene.line.heard_bytes("", at_ms) == 800 * 8


def test_tones_that_an_answering_machine_cuts_off_were_not_pressed(scene: Scene) -> None:
    press(scene, "1234")
    scene.run(300)
    scene.feed(ev.VoicemailReached("Your table is booked."))
    scene.respond(1000)
    scene.run(3000)
    assert scene.all(do.ClearAudio) and len(scene.all(do.HangUp)) == 1
    assert scene.outputs() == [prompts.DIGITS_CUT]


# --- many keys ----------------------------------------------------------------------------------


def test_many_keys_are_left_to_twilio(scene: Scene) -> None:
    press(scene, LONG)
    assert scene.all(do.PlayDigits) == [do.PlayDigits("call_1", LONG)] and tones(scene) == []
    assert scene.machine.redirecting
    scene.feed(ev.CallRedirected())
    scene.run(300)
    scene.feed(ev.StreamEnded("stop"))
    assert scene.machine.ended_by == SEND_DIGITS and scene.outputs() == []


def test_a_stream_that_does_not_stop_for_many_keys_ends_the_leg(scene: Scene) -> None:
    press(scene, LONG)
    scene.feed(ev.CallRedirected())
    scene.run(STOP_MS)
    assert scene.machine.over and scene.machine.ended_by == SEND_DIGITS


def test_many_keys_that_twilio_refuses_are_answered_and_the_call_goes_on(scene: Scene) -> None:
    press(scene, LONG)
    scene.feed(ev.RedirectFailed("status 503"))
    assert scene.outputs() == [prompts.digits_failed("status 503")] and scene.asked() == [""]
    scene.feed(ev.ToolOutputTaken("call_1"))
    scene.respond()
    scene.run(60_000)
    assert not scene.machine.over and not scene.machine.redirecting
    press(scene, "1", call_id="call_2", response_id="resp_2")
    scene.run(1000)
    assert scene.outputs()[-1] == prompts.DIGITS_SENT


def test_many_keys_whose_redirect_expires_are_answered(scene: Scene) -> None:
    press(scene, LONG)
    ordered_ms, answered = scene.now_ms, 0
    while scene.now_ms < ordered_ms + ORDER_MS:
        scene.run(100)
        if len(scene.asked()) > answered and scene.asked()[-1] == prompts.HOLD:
            scene.respond(500)
        answered = len(scene.asked())
    assert scene.outputs() == [prompts.digits_failed(UNANSWERED)]
    assert max(scene.line.silences_ms(ordered_ms, scene.now_ms)) <= 8000


def test_a_goodbye_while_twilio_presses_keys_is_not_the_end_of_the_call(scene: Scene) -> None:
    """The stream stops for the keys, and the call resumes with another."""
    press(scene, LONG)
    scene.begin("item_2", "resp_2")
    scene.audio(2000, "item_2", "resp_2")
    scene.call_tool("call_2", "end_call", "resp_2")
    scene.finish("item_2", "resp_2")
    scene.run(500)
    scene.feed(ev.CallRedirected())
    assert scene.machine.redirecting
    scene.feed(ev.StreamEnded("stop"))
    assert scene.machine.ended_by == SEND_DIGITS and not scene.all(do.HangUp)


def test_a_transfer_while_twilio_presses_keys_waits_for_them_to_fail(scene: Scene) -> None:
    press(scene, LONG)
    scene.begin("item_2", "resp_2")
    scene.audio(500, "item_2", "resp_2")
    scene.call_tool("call_2", TRANSFER, "resp_2", '{"destination": "Sales"}')
    scene.finish("item_2", "resp_2")
    scene.run(3000)
    assert not scene.all(do.TransferCall)  # one order at a time
    scene.feed(ev.RedirectFailed("status 503"))
    scene.run(GUARD_MS)
    assert len(scene.all(do.TransferCall)) == 1


def test_an_operator_who_hangs_up_meanwhile_is_not_followed_by_a_transfer(scene: Scene) -> None:
    press(scene, LONG)
    scene.feed(ev.TransferRequested("Sales"))  # not while keys are pressed
    scene.begin("item_2", "resp_2")
    scene.call_tool("call_2", TRANSFER, "resp_2", '{"destination": "Sales"}')
    scene.finish("item_2", "resp_2")
    scene.feed(ev.HangUpRequested("operator"), ev.RedirectFailed("status 404"))
    scene.run(16_000)
    assert scene.all(do.HangUp) == [do.HangUp("operator")] and not scene.all(do.TransferCall)


def test_a_model_that_does_not_reconnect_while_twilio_presses_keys_is_not_given_up(
    scene: Scene,
) -> None:
    """Closing the stream now would have Twilio go on with the old TwiML."""
    press(scene, LONG)
    scene.feed(ev.ModelLost("no money left", fatal=True))
    scene.run(5000)
    assert not scene.all(do.CloseStream)
    scene.feed(ev.RedirectFailed("status 503"))
    assert scene.all(do.CloseStream) == [do.CloseStream("model")]
