"""Answering machine detection: every verdict after everything that a call may have shown."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.agent import Transcription
from app.call.caller.answering_machine import EFFECTS, Effect, Shown, Verdict, verdict_of
from app.call.detection import HOLD_MS
from app.call.exits.tones import SEND_DIGITS
from tests.call.scene import Scene, agent
from tests.call.transfer_scene import HUMANS, call_transfer, transfer_scene

MESSAGE = "Your table is booked. Goodbye."
MESSAGE_DIRECTION = prompts.voicemail(MESSAGE)
GO_ON = "go on with the conversation"


def says(
    scene: Scene, ms: float, item_id: str = "user_1", text: str | None = "Hello?"
) -> list[do.Command]:
    """The callee says this, and turn detection waits 500 ms for more. `text`: None: no transcript
    comes. Returns the commands of the last event."""
    scene.feed(ev.SpeechStarted(item_id, 1000))
    scene.run(ms + 500)
    commands = scene.feed(
        ev.SpeechStopped(item_id, 1000 + int(ms)), ev.CallerTurnCommitted(item_id, None)
    )
    return commands if text is None else scene.feed(ev.CallerTranscribed(item_id, text))


def answers(scene: Scene, ms: int, number: int = 1, heard_ms: float | None = None) -> None:
    """The agent says so much, and is heard to its end, or for `heard_ms`."""
    scene.answer(ms, f"item_{number}", f"resp_{number}", "So it is.")
    scene.run(ms + 100 if heard_ms is None else heard_ms + 50)


def sends_digits(scene: Scene, digits: str = "1") -> None:
    scene.feed(ev.ResponseCreated("resp_keys"))
    scene.call_tool("call_keys", SEND_DIGITS, "resp_keys", f'{{"digits": "{digits}"}}')
    scene.feed(ev.ResponseDone("resp_keys", "completed"))


def detect(scene: Scene, answered_by: str, message: str = MESSAGE) -> list[do.Command]:
    return scene.feed(ev.CalleeDetected(answered_by, message))


def effect_of(commands: list[do.Command], scene: Scene) -> Effect:
    """What a verdict did."""
    if any(isinstance(command, do.HangUp) for command in commands):
        return Effect.HANG_UP
    if do.MuteCaller() in commands:
        return Effect.LEAVE_MESSAGE
    assert commands == []
    late = scene.machine.hanging_up or MESSAGE_DIRECTION in scene.asked()
    return Effect.NONE if late else Effect.GO_ON


# --- every cell of the table ----------------------------------------------------------------------


def nothing(scene: Scene) -> None:
    scene.run(500)


def a_turn(scene: Scene) -> None:
    says(scene, 800)
    answers(scene, 1500)


def a_key(scene: Scene) -> None:
    scene.press("1")
    scene.run(3000)
    scene.respond()


def digits(scene: Scene) -> None:
    sends_digits(scene)
    scene.run(2000)


def a_message(scene: Scene) -> None:
    detect(scene, "machine_end_beep")


def an_end(scene: Scene) -> None:
    scene.feed(ev.HangUpRequested("operator"))


MOMENTS: dict[Shown, Callable[[Scene], None]] = {
    Shown.ENDING: an_end,
    Shown.MESSAGE: a_message,
    Shown.KEY: a_key,
    Shown.DIGITS: digits,
    Shown.TURN: a_turn,
    Shown.NOTHING: nothing,
}


def test_the_table_has_every_cell() -> None:
    assert EFFECTS.keys() == set(Verdict) and MOMENTS.keys() == set(Shown)
    assert all(row.keys() == set(Shown) for row in EFFECTS.values())


@pytest.mark.parametrize("shown", Shown)
@pytest.mark.parametrize("verdict", Verdict)
def test_a_verdict_does_what_the_table_says(verdict: Verdict, shown: Shown) -> None:
    scene = Scene(agent(), up_ms=20, down_ms=20).connect()
    MOMENTS[shown](scene)
    decided = len(scene.decisions)
    assert effect_of(detect(scene, verdict), scene) is EFFECTS[verdict][shown]
    against = shown in (Shown.KEY, Shown.DIGITS, Shown.TURN) and verdict not in ("human", "unknown")
    assert [d.decision for d in scene.decisions[decided:]] == [GO_ON] * against


@pytest.mark.parametrize("shown", Shown)
@pytest.mark.parametrize("verdict", Verdict)
def test_a_verdict_that_comes_twice_does_nothing_more(verdict: Verdict, shown: Shown) -> None:
    scene = Scene(agent(), up_ms=20, down_ms=20).connect()
    MOMENTS[shown](scene)
    detect(scene, verdict)
    assert detect(scene, verdict) == []


@pytest.mark.parametrize(
    ("word", "verdict"),
    [("machine_end_tone", Verdict.MACHINE_END_OTHER), ("robot", Verdict.UNKNOWN)],
)
def test_a_word_that_twilio_adds_counts_as_the_vaguest(word: str, verdict: Verdict) -> None:
    assert verdict_of(word) is verdict


def test_verdicts_out_of_order_do_not_stop_a_message() -> None:
    scene = Scene(agent(), up_ms=20, down_ms=20).connect()
    detect(scene, "machine_end_other")
    assert detect(scene, "human") == detect(scene, "machine_start") == []
    assert scene.asked() == [MESSAGE_DIRECTION]


# --- what is an answered turn ---------------------------------------------------------------------


def scene_of_greeting(*, transcribes: bool = True) -> Scene:
    """The agent said its greeting, and it was heard."""
    chosen = agent(greeting="Ann?")
    if not transcribes:
        chosen = replace(chosen, transcription=Transcription(model=""))
    scene = Scene(chosen, up_ms=20, down_ms=20).connect()
    answers(scene, 900, 0)
    return scene


def assert_goes_on(scene: Scene) -> None:
    assert detect(scene, "machine_end_other") == []
    assert [d.decision for d in scene.decisions] == [GO_ON]


def assert_leaves_message(scene: Scene) -> None:
    assert do.MuteCaller() in detect(scene, "machine_end_other")


def test_two_answered_turns_outrank_the_verdict() -> None:
    scene = scene_of_greeting()
    for number in (1, 2):
        says(scene, 4000, f"user_{number}")
        answers(scene, 3000, number)
    assert_goes_on(scene)


def test_a_person_who_has_just_answered_the_greeting_is_no_machine() -> None:
    scene = scene_of_greeting()
    says(scene, 900)
    assert_goes_on(scene)


def test_without_transcription_a_short_answer_needs_no_words() -> None:
    scene = scene_of_greeting(transcribes=False)
    says(scene, 900, text=None)
    assert_goes_on(scene)


def test_with_a_transcription_that_the_model_refuses_a_short_answer_needs_no_words() -> None:
    scene = Scene(agent(greeting="Ann?"), up_ms=20, down_ms=20).connect()
    scene.feed(ev.ModelFaulted("model_not_found", "No such model.", setting="transcription"))
    scene.decisions.clear()
    answers(scene, 900, 0)
    says(scene, 900, text=None)
    assert_goes_on(scene)


def test_a_click_that_was_transcribed_before_the_transcription_failed_is_no_answer() -> None:
    scene = scene_of_greeting()
    says(scene, 900, text="")
    scene.feed(ev.ModelFaulted("model_not_found", "No such model.", setting="transcription"))
    assert_leaves_message(scene)


def test_a_beep_after_the_greeting_is_no_answer() -> None:
    scene = scene_of_greeting()
    says(scene, 900, text="")
    assert_leaves_message(scene)


def test_a_callee_who_still_speaks_has_not_answered() -> None:
    scene = scene_of_greeting()
    scene.feed(ev.SpeechStarted("user_1", 0))
    scene.run(900)
    assert_leaves_message(scene)


def test_a_greeting_of_a_machine_is_no_answered_turn() -> None:
    """It waits for nothing, so it is long, though the agent's greeting was heard before it."""
    scene = scene_of_greeting()
    says(scene, 6000)
    answers(scene, 4000, 1, heard_ms=1500)
    assert_leaves_message(scene)


def test_the_pauses_of_a_machines_greeting_end_no_turn() -> None:
    scene = scene_of_greeting()
    for number, text in enumerate(["Hi, this is Anna.", "I am out."], 1):
        says(scene, 1500, f"user_{number}", text)
        answers(scene, 4000, number, heard_ms=700)
    says(scene, 1500, "user_3", "Leave a message.")
    answers(scene, 1000, 3)  # heard to its end in the silence before the beep
    assert_leaves_message(scene)


def test_a_greeting_that_goes_on_after_a_short_sentence_is_a_machines() -> None:
    """The sentence alone could be a person's answer to what they heard of the agent."""
    scene = scene_of_greeting()
    says(scene, 1800, text="You have reached Bob Smith.")
    scene.run(200)
    says(scene, 3500, "user_2", "Please leave a message after the tone.")
    assert_leaves_message(scene)


def test_a_greeting_that_goes_on_at_the_verdict_is_a_machines() -> None:
    scene = scene_of_greeting()
    says(scene, 1800, text="You have reached Bob Smith.")
    scene.run(200)
    scene.feed(ev.SpeechStarted("user_2", 5000))
    scene.run(400)
    assert_leaves_message(scene)


def test_a_greeting_that_cuts_the_agent_off_after_a_short_sentence_is_a_machines() -> None:
    scene = scene_of_greeting()
    says(scene, 900, text="Hi, this is Anna.")
    answers(scene, 4000, 1, heard_ms=200)
    says(scene, 600, "user_2", "Not in.")
    assert_leaves_message(scene)


def test_an_answer_in_two_short_sentences_is_a_persons() -> None:
    scene = scene_of_greeting()
    says(scene, 500, text="Hello?")
    scene.run(100)
    says(scene, 600, "user_2", "Anna Smith.")
    assert_goes_on(scene)


def test_a_click_before_the_first_words_is_no_part_of_them() -> None:
    scene = scene_of_greeting()
    says(scene, 60, "click", "")
    scene.run(3000)
    says(scene, 900)
    assert_goes_on(scene)


def test_a_click_is_nothing_that_the_agent_answers() -> None:
    scene = scene_of_greeting()
    says(scene, 60, "click", "")
    answers(scene, 3000)
    assert_leaves_message(scene)


# --- transcripts that are pending -----------------------------------------------------------------


def scene_of_pending_transcript() -> Scene:
    """A verdict came while the transcript of what may be an answer is pending."""
    scene = scene_of_greeting()
    says(scene, 900, text=None)
    scene.run(300)
    assert detect(scene, "machine_end_other") == []
    scene.run(HOLD_MS - 1)
    assert scene.decisions == [] and not scene.all(do.MuteCaller)
    return scene


def test_a_verdict_waits_for_the_transcript_of_an_answer() -> None:
    scene = scene_of_pending_transcript()
    assert scene.feed(ev.CallerTranscribed("user_1", "Hello?")) == []
    assert [d.decision for d in scene.decisions] == [GO_ON]
    scene.run(HOLD_MS)
    assert not scene.all(do.MuteCaller)


def test_an_empty_transcript_lets_the_verdict_take_effect() -> None:
    scene = scene_of_pending_transcript()
    assert do.MuteCaller() in scene.feed(ev.CallerTranscribed("user_1", " "))
    assert scene.decisions == []


def test_an_answer_that_could_not_be_transcribed_is_an_answer() -> None:
    scene = scene_of_pending_transcript()
    assert scene.feed(ev.CallerTranscriptionFailed("user_1", "audio_unintelligible")) == []
    assert [d.decision for d in scene.decisions] == [GO_ON]


def test_a_failed_transcription_of_no_named_item_is_of_the_last_turn() -> None:
    scene = scene_of_pending_transcript()
    scene.feed(ev.CallerTranscriptionFailed("", "audio_unintelligible"))
    assert [d.decision for d in scene.decisions] == [GO_ON]


def test_a_transcript_that_does_not_come_holds_no_verdict_for_long() -> None:
    scene = scene_of_pending_transcript()
    scene.run(1)
    assert len(scene.all(do.MuteCaller)) == 1 and scene.asked()[-1] == MESSAGE_DIRECTION


def test_a_second_verdict_does_not_prolong_the_wait() -> None:
    scene = scene_of_pending_transcript()
    assert detect(scene, "machine_end_beep") == detect(scene, "human") == []
    scene.run(1)
    assert len(scene.all(do.MuteCaller)) == 1


def test_a_call_that_is_hung_up_meanwhile_gets_no_message() -> None:
    scene = scene_of_pending_transcript()
    scene.feed(ev.HangUpRequested("operator"))
    scene.run(HOLD_MS)
    assert MESSAGE_DIRECTION not in scene.asked() and len(scene.all(do.HangUp)) == 1


def test_a_long_greeting_holds_no_verdict_though_its_transcript_is_pending() -> None:
    scene = scene_of_greeting()
    says(scene, 6000, text=None)
    assert_leaves_message(scene)


def test_a_transcript_that_never_came_is_no_matter_once_the_agent_was_heard() -> None:
    """Some compatible servers transcribe nothing."""
    scene = Scene(agent(), up_ms=20, down_ms=20).connect()
    says(scene, 800, text=None)
    answers(scene, 1500)
    scene.run(5000)
    assert detect(scene, "machine_end_other") == []
    scene.run(HOLD_MS)
    assert [d.decision for d in scene.decisions] == [GO_ON]


def test_a_long_first_turn_counts_once_the_callee_answers_again() -> None:
    """A business answers with a long sentence."""
    scene = scene_of_greeting()
    says(scene, 5000)
    answers(scene, 2500, 1)
    says(scene, 3000, "user_2")
    assert_goes_on(scene)


@pytest.mark.parametrize(("heard_ms", "goes_on"), [(1900.0, False), (2050.0, True)])
def test_an_answer_counts_when_two_seconds_of_it_were_heard(heard_ms: float, goes_on: bool) -> None:
    scene = Scene(agent(), up_ms=0, down_ms=0).connect()
    says(scene, 800)
    scene.answer(8000, text="So it is, as far as I know.")
    scene.run(heard_ms)
    (assert_goes_on if goes_on else assert_leaves_message)(scene)


def test_a_person_who_was_interrupted_by_a_lost_stream_is_still_a_person() -> None:
    scene = Scene(agent(), up_ms=20, down_ms=20)
    scene.feed(ev.LegOpened((("user", "Hello?"), ("assistant", "Yes?")), shown=Shown.TURN))
    scene.configure()
    scene.feed(ev.StreamStarted("MZ2"))
    assert_goes_on(scene)


def test_a_message_that_a_lost_stream_cuts_is_left_on_the_next_leg() -> None:
    """It was heard after the machine's words, and is no answer to them."""
    scene = Scene(agent(), up_ms=20, down_ms=20).connect()
    says(scene, 800)
    detect(scene, "machine_end_beep")
    answers(scene, 6000, 9, heard_ms=3000)
    scene.feed(ev.StreamEnded("closed", lost=True))
    shown = scene.machine.shown(scene.now_ms)
    scene = Scene(agent(), up_ms=20, down_ms=20)
    scene.feed(ev.LegOpened(shown=shown))
    scene.configure()
    assert do.MuteCaller() in detect(scene, "machine_end_beep")


# --- menus ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("after_ms", [0.0, 100.0, 5000.0])
def test_a_menu_that_the_agent_presses_keys_in_is_not_hung_up_on(after_ms: float) -> None:
    scene = Scene(agent(), up_ms=20, down_ms=20).connect()
    sends_digits(scene, "12")
    scene.run(after_ms)
    assert detect(scene, "machine_end_silence", "") == []


def test_keys_that_twilio_pressed_count_on_the_next_leg() -> None:
    scene = Scene(agent(), up_ms=20, down_ms=20)
    scene.feed(ev.LegOpened((), 0.0, SEND_DIGITS, "call_1", prompts.DIGITS_SENT))
    scene.configure()
    assert detect(scene, "machine_end_other") == []


def test_digits_that_were_refused_are_no_evidence() -> None:
    scene = Scene(agent(), up_ms=20, down_ms=20).connect()
    sends_digits(scene, "star")
    assert_leaves_message(scene)


# --- late -----------------------------------------------------------------------------------------


def test_a_transfer_of_a_person_goes_on_after_a_verdict() -> None:
    scene = transfer_scene(HUMANS)
    says(scene, 800)
    answers(scene, 1500, 8)
    call_transfer(scene)
    assert detect(scene, "machine_end_beep") == []
    scene.run(20_000)
    assert len(scene.all(do.TransferCall)) == 1
    assert detect(scene, "machine_end_beep") == []
    assert not scene.all(do.HangUp)


def test_a_goodbye_to_a_person_is_said_to_its_end_after_a_verdict() -> None:
    scene = Scene(agent(), up_ms=20, down_ms=20).connect()
    a_turn(scene)
    scene.begin("item_2", "resp_2")
    scene.audio(2000, "item_2", "resp_2")
    scene.call_tool("call_1", "end_call", "resp_2")
    scene.finish("item_2", "resp_2")
    scene.run(500)
    assert detect(scene, "machine_end_beep") == []
    scene.run(3000)
    assert scene.all(do.HangUp) == [do.HangUp("agent")] and scene.asked() == []


def test_an_older_timelines_verdict_is_carried_out_as_it_was() -> None:
    scene = Scene(agent(), up_ms=20, down_ms=20).connect()
    a_turn(scene)
    assert do.MuteCaller() in scene.feed(ev.VoicemailReached(MESSAGE))
