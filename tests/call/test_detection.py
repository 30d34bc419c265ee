"""Answering machine detection: every verdict after everything that a call may have shown."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.agent import Transcription
from app.call.caller.answering_machine import EFFECTS, Effect, Shown, Verdict, verdict_of
from app.call.exits.tones import SEND_DIGITS
from tests.call.scene import Scene, agent
from tests.call.transfer_scene import HUMANS, call_transfer, transfer_scene

MESSAGE = "Your table is booked. Goodbye."
MESSAGE_DIRECTION = prompts.voicemail(MESSAGE)
GO_ON = "go on with the conversation"


def says(scene: Scene, ms: float, item_id: str = "user_1", text: str = "Hello?") -> None:
    """The callee says this, and turn detection waits 500 ms for more."""
    scene.feed(ev.SpeechStarted(item_id, 1000))
    scene.run(ms + 500)
    scene.feed(ev.SpeechStopped(item_id, 1000 + int(ms)), ev.CallerTurnCommitted(item_id, None))
    if text:
        scene.feed(ev.CallerTranscribed(item_id, text))


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
    says(scene, 900, text="")
    assert_goes_on(scene)


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
    for number in (1, 2, 3):
        says(scene, 1500, f"user_{number}", text="" if number == 1 else "You have reached ...")
        answers(scene, 4000, number, heard_ms=700)
    answers(scene, 1000, 4)  # heard to its end in the silence before the beep
    assert_leaves_message(scene)


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
