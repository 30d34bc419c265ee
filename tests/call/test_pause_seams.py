"""The pause beside all else: an open turn, keys, tones, a goodbye, voicemail, orders, tools."""

import json
from dataclasses import replace

import pytest

from app.audio import dtmf_tones
from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.agent import Limits, Transcription
from app.call.destinations import Destination
from app.call.exits.built_in_tools import END_CALL
from app.call.exits.tones import SEND_DIGITS
from app.call.heard.agent_audio import OWN_SOUND
from tests.call.pause_scene import PauseScene, pausing, spoken
from tests.call.scene import agent


def talking(scene: PauseScene | None = None) -> PauseScene:
    """An agent amid a response: a second of speech came, 500 ms of it were heard."""
    scene = scene or PauseScene()
    scene.connect()
    scene.begin()
    scene.audio(1000)
    scene.run(500)
    return scene


def test_an_answer_that_turn_detection_cancelled_is_cut_though_all_of_its_audio_was_heard() -> None:
    scene = talking()
    scene.feed(ev.TranscriptReceived("item_1", "We open at nine.", "resp_1"))
    scene.run(600)
    scene.speak()
    scene.feed(
        ev.OutputItemDone("resp_1", "item_1", "message", "incomplete"),
        ev.ResponseDone("resp_1", "cancelled"),
    )
    scene.run(200)
    scene.fall_silent()
    scene.feed(ev.CallerTranscribed("user_1", "Thanks, bye."))
    said = [turn for turn in scene.machine.transcript(scene.now_ms) if turn.role == "assistant"]
    assert [(turn.item_id, turn.cut, turn.heard_ms) for turn in said] == [("item_1", True, 1000)]


# --- a turn that turn detection holds open --------------------------------------------------------


@pytest.mark.parametrize("quiet", [True, False])
def test_what_is_generated_after_the_verdict_is_heard_while_the_turn_is_still_open(
    *, quiet: bool
) -> None:
    scene = talking()
    scene.speak()
    if quiet:
        scene.feed(ev.CallerQuieted())
    scene.run(3001)
    assert [verdict for verdict, _ in scene.verdicts()] == ["false"]
    scene.audio(1000)
    scene.finish()
    scene.run(5000)
    assert scene.played() == spoken("item_1", 2000)


def test_a_tool_s_answer_is_requested_while_noise_holds_the_turn_open() -> None:
    scene = talking()
    scene.call_tool()
    scene.finish()
    scene.speak()
    scene.run(3001)
    scene.feed(ev.ToolReturned("call_1", "42"), ev.ToolOutputTaken("call_1"))
    scene.run(1000)
    assert scene.asked() == [""]


def test_an_open_turn_that_turn_detection_answers_is_in_the_transcript_as_a_turn() -> None:
    scene = PauseScene().connect()
    scene.answer(1500)
    scene.run(1000)
    scene.speak()
    scene.run(5000)
    scene.fall_silent()
    scene.feed(ev.ResponseCreated("resp_2"), ev.CallerTranscribed("user_1", "No, Sunday."))
    assert [turn.detail for turn in scene.machine.transcript(scene.now_ms)] == [{}]
    assert ("user", "No, Sunday.") in scene.machine.history(scene.now_ms)


def test_voice_in_a_turn_that_is_still_open_interrupts_the_agent_that_went_on() -> None:
    scene = PauseScene().connect()
    scene.answer(9000)
    scene.run(1000)
    scene.speak()
    scene.run(3001)
    assert scene.verdicts() == [("false", "no words in time")]
    assert scene.machine.awaited_sound
    scene.run(1000)
    scene.feed(ev.CallerVoiced())
    assert scene.verdicts()[1:] == [("confirmed", "late voice")]
    assert len(scene.all(do.TruncateItem)) == 1
    scene.run(1000)
    scene.fall_silent(text="Stop, stop, please.")
    assert scene.asked() == []  # turn detection answers
    scene.answer(300, "item_2", "resp_2")
    scene.run(1000)
    assert scene.played("item_2") == spoken("item_2", 300)
    assert [turn.detail for turn in scene.machine.transcript(scene.now_ms)] == [{}]


@pytest.mark.parametrize("ends", ["committed", "lost"])
def test_a_turn_that_is_over_is_not_measured_any_more(ends: str) -> None:
    scene = talking()
    scene.speak()
    scene.run(3001)
    if ends == "committed":
        scene.fall_silent()
    else:
        scene.feed(ev.ModelLost("closed"))
    assert scene.machine.awaited_sound == 0
    scene.feed(ev.CallerVoiced())
    assert [verdict for verdict, _ in scene.verdicts()] == ["false"]


# --- an answer ------------------------------------------------------------------------------------


def test_a_yes_that_comes_late_answers_the_question() -> None:
    scene = PauseScene().connect()
    scene.answer(1000, text="Shall I book it?")
    scene.run(900)
    scene.cough()
    scene.run(1500)
    assert scene.verdicts() == [("false", "no words in time")]
    scene.feed(ev.CallerTranscribed("user_1", "Yes."))
    assert scene.asked() == [""]
    assert scene.all(do.DeleteItem) == []


def test_the_answer_of_a_tool_is_not_lost_with_turn_detection_s_answer_to_a_cough() -> None:
    scene = PauseScene(round_trip_ms=None).connect()
    scene.begin()
    scene.audio(2000)
    scene.call_tool()
    scene.finish()
    scene.run(500)
    scene.speak()
    scene.feed(ev.ToolReturned("call_1", "42"), ev.ToolOutputTaken("call_1"))
    scene.run(200)
    scene.fall_silent()
    scene.feed(ev.ResponseCreated("resp_2"), ev.ResponseDone("resp_2", "cancelled"))
    scene.feed(ev.CallerTranscribed("user_1", ""))
    scene.run(500)
    assert scene.asked() == [""]


# --- keys that the agent presses ------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "Hold on, please."])
@pytest.mark.parametrize("digits", ["1", "1" * 100])
def test_keys_are_pressed_after_the_pause(text: str, digits: str) -> None:
    scene = talking()
    scene.speak()
    scene.call_tool(name=SEND_DIGITS, arguments=json.dumps({"digits": digits}))
    scene.finish()
    scene.run(200)
    assert not scene.all(do.PlayDigits)
    scene.fall_silent()
    scene.feed(ev.CallerTranscribed("user_1", text))
    scene.run(5000)
    if len(digits) == 1:
        sounds = [each.payload for each in scene.all(do.PlayAudio) if each.item_id == OWN_SOUND]
        assert dtmf_tones(digits) in sounds
        assert prompts.DIGITS_SENT in scene.outputs()
    else:
        assert len(scene.all(do.PlayDigits)) == 1


def test_late_words_do_not_clear_tones() -> None:
    scene = talking()
    scene.cough()
    scene.run(1001)
    scene.call_tool(name=SEND_DIGITS, arguments=json.dumps({"digits": "123456"}))
    scene.finish()
    scene.run(600)
    clears = len(scene.all(do.ClearAudio))
    scene.feed(ev.CallerTranscribed("user_1", "No!"))
    assert len(scene.all(do.ClearAudio)) == clears


# --- exits ----------------------------------------------------------------------------------------


def test_late_words_do_not_interrupt_the_message_for_an_answering_machine() -> None:
    scene = talking()
    scene.answers_ms = 2000
    scene.cough()
    scene.run(1001)
    scene.feed(ev.VoicemailReached("Please call us back."))
    scene.feed(ev.ResponseDone("resp_1", "cancelled"))
    scene.run(500)
    clears = len(scene.all(do.ClearAudio))
    scene.feed(ev.CallerTranscribed("user_1", "Leave a message."))
    assert len(scene.all(do.ClearAudio)) == clears


def test_a_final_goodbye_that_turn_detection_cancelled_is_said_after_words() -> None:
    limits = Limits(idle_ms=0, longest_call_ms=5000, warning_ms=0)
    scene = PauseScene(pausing(agent(limits=limits)), round_trip_ms=None).connect()
    scene.run(4000)
    before = len(scene.asked())
    scene.begin()
    scene.audio(300)
    scene.speak()
    scene.finish(status="cancelled")
    scene.run(200)
    scene.fall_silent(text="Wait, one more thing.")
    scene.run(5000)
    assert len(scene.asked()) == before + 1


def test_a_cough_amid_a_goodbye_delays_the_hang_up() -> None:
    scene = PauseScene().connect()
    scene.begin()
    scene.audio(1000)
    scene.call_tool(name=END_CALL, arguments="{}")
    scene.finish()
    scene.run(500)
    scene.cough(text="")
    scene.run(5000)
    assert scene.played() == spoken("item_1", 1000)
    assert len(scene.all(do.HangUp)) == 1


@pytest.mark.parametrize("text", ["", "No, wait."])
@pytest.mark.parametrize("after_ms", [20, 2100])
def test_a_cough_just_before_or_after_an_announcement_suspends_no_transfer(
    text: str, after_ms: int
) -> None:
    destination = Destination("human", "+15550001111")
    scene = PauseScene(pausing(agent(destinations=(destination,)))).connect()
    scene.answers_ms = 2000
    scene.feed(ev.TransferRequested("human"))
    scene.run(after_ms)
    scene.cough(text=text)
    scene.run(5000)
    assert len(scene.all(do.TransferCall)) == (not text)


# --- what turn detection cancelled ----------------------------------------------------------------


def test_a_greeting_that_turn_detection_cancelled_is_not_said_twice() -> None:
    scene = PauseScene(replace(pausing(), greeting="Good morning, this is Ada."), round_trip_ms=500)
    scene.connect()
    assert len(scene.asked()) == 1
    scene.begin()
    scene.audio(1000)
    scene.run(200)
    scene.speak()
    scene.finish(status="cancelled")
    scene.run(200)
    scene.fall_silent()
    scene.feed(ev.CallerTranscribed("user_1", ""))
    assert ("system", prompts.GO_ON) in scene.messages()
    assert scene.asked()[1:] == [""]


def test_ordered_words_that_turn_detection_cancelled_are_not_said_twice() -> None:
    scene = PauseScene(round_trip_ms=500).connect()
    scene.feed(ev.SayRequested("The taxi is here."))
    scene.begin()
    scene.audio(1000)
    scene.run(200)
    scene.speak()
    scene.finish(status="cancelled")
    scene.run(200)
    scene.fall_silent()
    scene.feed(ev.CallerTranscribed("user_1", ""))
    scene.run(100)
    assert scene.asked()[1:] == [""]


def test_whole_frames_go_on_after_a_pause() -> None:
    scene = PauseScene()
    scene.feed(ev.LegOpened(whole_frames=True))
    scene.configure()
    scene.feed(ev.StreamStarted("MZ1"))
    scene.run(1000)
    scene.begin()
    scene.audio(1000)
    scene.run(333.3)
    scene.speak()
    scene.run(100)
    scene.audio(1000)
    scene.fall_silent()
    scene.take()
    scene.feed(ev.CallerTranscribed("user_1", ""))
    sent = [c.size_bytes for c in scene.take() if isinstance(c, do.PlayAudio)]
    scene.finish()
    scene.run(5000)
    assert scene.played() == spoken("item_1", 2000)
    assert [size for size in sent if size % 160] == []


def test_a_cough_does_not_count_the_rounds_of_tools_anew() -> None:
    scene = PauseScene(pausing(agent(limits=replace(agent().limits, tool_rounds=2)))).connect()
    for number in range(4):
        response_id, call_id = f"resp_{number}", f"call_{number}"
        scene.begin(f"item_{number}", response_id)
        scene.audio(500, f"item_{number}", response_id)
        scene.call_tool(call_id, response_id=response_id)
        scene.finish(f"item_{number}", response_id)
        scene.cough(100, f"user_{number}", "")
        scene.feed(ev.ToolReturned(call_id, "42"), ev.ToolOutputTaken(call_id))
        scene.run(1000)
    assert len(scene.all(do.RunTool)) == 2


# --- evidence about a callee ----------------------------------------------------------------------


@pytest.mark.parametrize("text", [None, "", "[beep]", "(cough)", "..."])
@pytest.mark.parametrize("model", ["gpt-transcribe", ""])
def test_a_beep_that_did_not_interrupt_the_agent_is_no_person(text: str | None, model: str) -> None:
    scene = PauseScene(replace(pausing(), transcription=Transcription(model))).connect()
    scene.answer(3000, text="Your table is booked.")
    scene.run(1000)
    scene.cough(text=text if model else None)
    scene.run(5000)
    scene.answer(3000, "item_2", "resp_2", "Is anyone there?")
    scene.run(3500)
    scene.feed(ev.CalleeDetected("machine_end_beep", "Please call us back."))
    scene.run(2000)
    assert prompts.voicemail("Please call us back.") in scene.asked()


@pytest.mark.parametrize("text", ["[beep]", "*click*", "..."])
def test_a_transcript_without_words_is_no_answer_of_a_person(text: str) -> None:
    scene = PauseScene().connect()
    scene.answer(2500, text="Your table is booked.")
    scene.run(3000)
    scene.cough(text=text)
    scene.feed(ev.CalleeDetected("machine_end_beep", "Please call us back."))
    scene.run(2000)
    assert prompts.voicemail("Please call us back.") in scene.asked()
