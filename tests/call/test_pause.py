"""The pause: a cough stops the agent for a moment, an interruption stops it for good."""

from dataclasses import replace

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.destinations import Destination
from tests.call.pause_scene import PauseScene, pausing, spoken
from tests.call.scene import agent
from tests.call.test_barge_in import cuts, kinds

HUMAN = Destination("human", "+15550001111")


@pytest.fixture(params=[0, 20, 120])
def scene(request: pytest.FixtureRequest) -> PauseScene:
    """An agent amid an answer of five seconds, 1230 ms of it heard, on lines of any delay."""
    scene = PauseScene(up_ms=request.param, down_ms=request.param).connect()
    assert isinstance(scene, PauseScene)
    scene.answer(5000, text="We are open from nine to five. On Sundays we are closed, as always.")
    scene.run(1230)
    scene.take()
    return scene


def listen(scene: PauseScene) -> bytes:
    """All that is heard of the answer when nothing more happens."""
    scene.run(10_000)
    return scene.played()


# --- no interruption ---------------------------------------------------------------------------


def test_the_caller_s_sound_clears_twilio_and_truncates_nothing(scene: PauseScene) -> None:
    assert kinds(scene.speak()) == [do.ClearAudio]


@pytest.mark.parametrize("text", ["", "Mm-hmm.", "Okay, okay.", "[cough]", "嗯。"])
def test_without_words_the_agent_goes_on_at_the_byte_where_it_stopped(
    scene: PauseScene, text: str
) -> None:
    scene.cough(text=text)

    assert listen(scene) == spoken("item_1", 5000)
    assert [verdict for verdict, _ in scene.verdicts()] == ["false"]
    assert not scene.all(do.CreateResponse) and not scene.all(do.TruncateItem)
    assert [command.item_id for command in scene.all(do.DeleteItem)] == ["user_1"]


def test_the_transcript_tells_a_false_interruption_as_what_it_was(scene: PauseScene) -> None:
    scene.cough(text="Mm-hmm.")
    scene.run(10_000)

    agent_turn, caller_turn = scene.machine.transcript(scene.now_ms)
    assert not agent_turn.cut
    assert (caller_turn.text, caller_turn.detail) == ("Mm-hmm.", {"interruption": "false"})
    assert [role for role, _ in scene.machine.history(scene.now_ms)] == ["assistant"]


@pytest.mark.parametrize("commit", ["before the verdict", "after it"])
def test_the_transcript_tells_it_also_of_a_sound_without_a_transcript(
    scene: PauseScene, commit: str
) -> None:
    scene.speak()
    scene.run(200)
    if commit == "before the verdict":
        scene.fall_silent()
    scene.run(3000)
    if commit == "after it":
        scene.fall_silent()

    _, caller_turn = scene.machine.transcript(scene.now_ms)
    assert (caller_turn.text, caller_turn.detail) == ("", {"interruption": "false"})

    scene.feed(ev.CallerTranscribed("user_1", "Wait a moment."))
    _, caller_turn = scene.machine.transcript(scene.now_ms)
    assert (caller_turn.text, caller_turn.detail) == ("Wait a moment.", {})


@pytest.mark.parametrize("ends", [None, "failed"])
def test_when_no_words_come_the_clock_alone_decides(scene: PauseScene, ends: str | None) -> None:
    scene.cough()
    if ends:
        scene.feed(ev.CallerTranscriptionFailed("user_1", "no"))
    scene.run(999)
    assert scene.verdicts() == []
    scene.run(1)

    assert scene.verdicts() == [("false", "no words in time")]
    assert listen(scene) == spoken("item_1", 5000)
    assert scene.all(do.DeleteItem) == []  # it may have been a short "No!": the model hears it


def test_without_a_commit_words_are_awaited_from_the_caller_s_quiet_on(scene: PauseScene) -> None:
    scene.speak()
    scene.run(700)
    scene.feed(ev.CallerQuieted())
    scene.run(999)
    assert scene.verdicts() == []
    scene.run(1)
    assert scene.verdicts() == [("false", "no words in time")]


def test_noise_that_holds_turn_detection_open_pauses_for_three_seconds_at_most(
    scene: PauseScene,
) -> None:
    scene.speak()
    scene.run(2999)
    assert scene.verdicts() == []
    scene.run(1)
    assert scene.verdicts() == [("false", "no words in time")]
    assert listen(scene) == spoken("item_1", 5000)


@pytest.mark.parametrize("quiet", [False, True])
def test_what_is_generated_after_such_a_pause_is_heard(quiet: bool) -> None:
    """Turn detection has not reported the end of the sound: `semantic_vad` may take seconds."""
    scene = PauseScene().connect()
    assert isinstance(scene, PauseScene)
    scene.begin()
    scene.audio(2000)
    scene.run(500)
    scene.speak()
    if quiet:
        scene.feed(ev.CallerQuieted())
    scene.run(3100)
    assert [verdict for verdict, _ in scene.verdicts()] == ["false"]
    scene.audio(1000)
    scene.run(500)
    scene.fall_silent()
    scene.audio(1000)
    scene.finish()
    scene.run(10_000)

    assert scene.played() == spoken("item_1", 4000)
    assert scene.asked() == []


def test_a_second_cough_prolongs_the_pause(scene: PauseScene) -> None:
    scene.cough(item_id="user_1")
    scene.run(800)
    scene.cough(item_id="user_2", text="")
    assert scene.verdicts() == []  # the first one's words may still come
    scene.feed(ev.CallerTranscribed("user_1", ""))

    assert scene.verdicts() == [("false", "no words")]
    assert listen(scene) == spoken("item_1", 5000)
    assert len(scene.all(do.ClearAudio)) == 1


def test_coughs_one_after_the_other_cost_no_byte(scene: PauseScene) -> None:
    for number in range(4):
        scene.cough(100, f"user_{number}", "")
        scene.run(400)

    assert listen(scene) == spoken("item_1", 5000)
    assert len(scene.verdicts()) == 4


def test_what_is_generated_meanwhile_waits(scene: PauseScene) -> None:
    scene = PauseScene().connect()
    scene.begin()
    scene.audio(1000)
    scene.run(500)
    scene.speak()
    scene.take()

    scene.audio(1000)
    scene.finish()
    assert scene.take() == []
    scene.run(100)
    scene.fall_silent()
    scene.feed(ev.CallerTranscribed("user_1", ""))

    assert listen(scene) == spoken("item_1", 2000)


# --- an interruption -----------------------------------------------------------------------------


def test_words_truncate_to_the_moment_of_the_clear(scene: PauseScene) -> None:
    scene.cough(400)
    scene.run(300)
    judged = scene.feed(ev.CallerTranscribed("user_1", "Wait, stop."))

    assert scene.verdicts() == [("confirmed", "words")]
    assert cuts(judged) == [("item_1", 1230)]
    assert scene.asked() == [""]
    assert listen(scene) == spoken("item_1", 1230)


def test_enough_voice_interrupts_before_the_turn_is_over(scene: PauseScene) -> None:
    scene.speak()
    scene.run(450)
    judged = scene.feed(ev.CallerVoiced())

    assert scene.verdicts() == [("confirmed", "600 ms of voice")]
    assert cuts(judged) == [("item_1", 1230)]
    changes = [each.automatic for each in scene.all(do.SetTurnDetection)]
    assert changes[-1]  # turn detection answers this turn without a request of ours
    scene.run(1000)
    scene.fall_silent(text="What about Sundays?")
    assert scene.asked() == []
    scene.run(500)
    scene.answer(300, "item_2", "resp_2")
    assert listen(scene) == spoken("item_1", 1230)
    assert scene.played("item_2") == spoken("item_2", 300)


def test_a_turn_committed_before_turn_detection_acts_again_is_answered_at_once() -> None:
    scene = PauseScene(round_trip_ms=None).connect()
    scene.begin()
    scene.feed(ev.SessionConfigured())
    scene.audio(3000)
    scene.run(500)
    scene.speak()
    scene.run(450)
    scene.feed(ev.CallerVoiced())
    scene.feed(ev.ResponseDone("resp_1", "cancelled"))
    scene.run(300)

    scene.fall_silent(text="What about Sundays?")

    assert scene.asked() == [""]


def test_a_key_interrupts(scene: PauseScene) -> None:
    scene.speak()
    scene.run(100)
    assert cuts(scene.press("5")) == [("item_1", 1230)]
    assert scene.verdicts() == [("confirmed", "a key")]


@pytest.mark.parametrize(
    ("asked", "verdict"), [("Shall I book it?", "confirmed"), ("I book it.", "false")]
)
def test_a_yes_that_answers_a_question_is_an_interruption(asked: str, verdict: str) -> None:
    scene = PauseScene().connect()
    scene.answer(1000, text=asked)
    scene.run(900)
    scene.cough(text="Yes.")

    assert [each for each, _ in scene.verdicts()] == [verdict]
    assert len(scene.asked()) == (verdict == "confirmed")


def test_words_that_come_late_interrupt_then(scene: PauseScene) -> None:
    scene.cough()
    scene.run(1500)
    assert scene.verdicts() == [("false", "no words in time")]
    judged = scene.feed(ev.CallerTranscribed("user_1", "No!"))

    assert kinds(judged)[:2] == [do.ClearAudio, do.TruncateItem]
    assert cuts(judged) == [("item_1", 1230 + 500)]
    assert scene.asked() == [""]
    assert listen(scene) == spoken("item_1", 1730)


def test_a_late_backchannel_is_forgotten(scene: PauseScene) -> None:
    scene.cough()
    scene.run(1500)
    scene.feed(ev.CallerTranscribed("user_1", "Mm-hm."))

    assert listen(scene) == spoken("item_1", 5000)
    assert [command.item_id for command in scene.all(do.DeleteItem)] == ["user_1"]


def test_a_late_turn_that_turn_detection_answers_is_answered_once() -> None:
    """Semantic turn detection may end a turn seconds after the agent has gone on and finished."""
    scene = PauseScene().connect()
    scene.answer(1500)
    scene.run(1000)
    scene.speak()
    scene.run(300)
    scene.feed(ev.CallerQuieted())
    scene.run(3000)
    assert scene.verdicts() == [("false", "no words in time")]
    scene.fall_silent()
    scene.feed(ev.ResponseCreated("resp_2"), ev.CallerTranscribed("user_1", "No, Sunday."))

    assert not scene.asked() and not scene.all(do.CancelResponse)


@pytest.mark.parametrize("text", ["", "[cough]", "..."])
def test_a_cough_answers_no_question(text: str) -> None:
    scene = PauseScene().connect()
    scene.answer(1000, text="Shall I book it?")
    scene.run(900)
    scene.cough(text=text)

    assert scene.verdicts() == [("false", "no words")]


# --- turn detection ------------------------------------------------------------------------------


def test_turn_detection_acts_by_itself_only_while_the_agent_listens() -> None:
    scene = PauseScene().connect()
    assert scene.all(do.SetTurnDetection) == []  # as it was configured
    scene.begin()
    scene.audio(1000)
    scene.finish()
    assert [each.automatic for each in scene.all(do.SetTurnDetection)] == [False]
    scene.run(1000 - 1)
    assert len(scene.all(do.SetTurnDetection)) == 1
    scene.run(100)

    assert [each.automatic for each in scene.all(do.SetTurnDetection)] == [False, True]


def test_where_every_sound_interrupts_turn_detection_is_left_alone() -> None:
    for turns in (
        replace(pausing().turns, resume_false_interruptions=False),
        replace(pausing().turns, interruptible=False),
    ):
        scene = PauseScene(replace(pausing(), turns=turns)).connect()
        scene.answer(1000)
        scene.run(500)
        scene.cough(text="Mm-hm.")
        scene.run(5000)
        assert scene.all(do.SetTurnDetection) == []
        assert scene.verdicts() == []


def test_a_model_that_refuses_the_change_is_asked_once_a_session() -> None:
    scene = PauseScene(round_trip_ms=None).connect()
    for number in range(3):
        scene.answer(500, f"item_{number}", f"resp_{number}")
        for change in scene.all(do.SetTurnDetection)[number:]:
            scene.feed(ev.ModelFaulted("invalid_value", "no", change.event_id))
        scene.run(2000)

    assert len(scene.all(do.SetTurnDetection)) == 1


def test_a_response_that_turn_detection_cancelled_for_a_cough_goes_on() -> None:
    """The cough comes before the session has heard that turn detection must only report."""
    scene = PauseScene(round_trip_ms=500).connect()
    scene.begin()
    scene.audio(1000)
    scene.run(200)
    scene.speak()
    scene.finish(status="cancelled")
    scene.run(200)
    scene.fall_silent()
    scene.feed(ev.ResponseCreated("resp_2"))  # turn detection answers the cough
    assert [command.response_id for command in scene.all(do.CancelResponse)] == ["resp_2"]
    scene.feed(ev.ResponseDone("resp_2", "cancelled"))
    scene.feed(ev.CallerTranscribed("user_1", ""))

    assert scene.verdicts() == [("false", "no words")]
    assert ("system", prompts.GO_ON) in scene.messages()
    assert scene.asked() == [""]
    assert listen(scene) == spoken("item_1", 1000)


def test_a_thought_that_a_cough_cancelled_is_thought_again() -> None:
    scene = PauseScene(round_trip_ms=500).connect()
    scene.feed(ev.ResponseCreated("resp_1"))
    scene.speak()
    scene.feed(ev.ResponseDone("resp_1", "cancelled"))
    scene.run(200)
    scene.fall_silent()
    scene.feed(ev.CallerTranscribed("user_1", ""))

    assert scene.asked() == [""]
    assert scene.messages() == []


# --- meanwhile -----------------------------------------------------------------------------------


def test_a_tool_runs_and_its_answer_waits_for_the_verdict(scene: PauseScene) -> None:
    scene = PauseScene().connect()
    scene.begin()
    scene.audio(2000)
    scene.call_tool()
    scene.finish()
    scene.run(500)
    scene.speak()
    assert len(scene.all(do.RunTool)) == 1
    scene.feed(ev.ToolReturned("call_1", "42"), ev.ToolOutputTaken("call_1"))
    scene.run(200)
    assert scene.asked() == []
    scene.fall_silent()
    scene.feed(ev.CallerTranscribed("user_1", ""))

    assert scene.asked() == [""]
    assert listen(scene) == spoken("item_1", 2000)


def test_a_hang_up_counts_what_was_heard_before_the_pause(scene: PauseScene) -> None:
    scene.speak()
    scene.run(300)
    scene.feed(ev.StreamEnded("stop"))

    (turn, _) = scene.machine.transcript(scene.now_ms)
    assert (turn.cut, turn.heard_ms) == (True, 1230)


def test_a_lost_session_leaves_the_verdict_to_the_clock(scene: PauseScene) -> None:
    scene.speak()
    scene.feed(ev.ModelLost("closed"))
    scene.run(200)
    scene.configure()
    scene.feed(ev.CallerQuieted())
    scene.run(1000)

    assert scene.verdicts() == [("false", "no words in time")]
    assert listen(scene) == spoken("item_1", 5000)
    assert scene.asked() == []  # a cough is not answered


def test_a_stream_that_blocks_amid_the_pause_gets_the_rest_when_it_takes_it(
    scene: PauseScene,
) -> None:
    scene.speak()
    scene.feed(ev.StreamBlocked())
    scene.fall_silent()
    scene.feed(ev.StreamUnblocked())
    scene.run(200)
    assert scene.played() == spoken("item_1", 1230)
    scene.feed(ev.StreamBlocked())
    scene.feed(ev.CallerTranscribed("user_1", ""))
    scene.run(100)
    scene.feed(ev.StreamUnblocked())

    assert listen(scene) == spoken("item_1", 5000)


def test_an_answering_machine_ends_the_pause(scene: PauseScene) -> None:
    scene.speak()
    scene.feed(ev.VoicemailReached("Please call us back."))
    scene.run(5000)

    assert scene.played() == spoken("item_1", 1230)
    assert scene.verdicts() == []


def test_an_announcement_is_not_suspended_by_a_cough() -> None:
    scene = PauseScene(pausing(agent(destinations=(HUMAN,)))).connect()
    scene.answers_ms = 2000
    scene.feed(ev.TransferRequested("human"))
    scene.run(500)
    scene.cough(text="")
    scene.run(10_000)

    assert [verdict for verdict, _ in scene.verdicts()] == ["false"]
    assert len(scene.all(do.TransferCall)) == 1


def test_words_suspend_an_announcement() -> None:
    scene = PauseScene(pausing(agent(destinations=(HUMAN,)))).connect()
    scene.answers_ms = 2000
    scene.feed(ev.TransferRequested("human"))
    scene.run(500)
    scene.cough(text="No, wait.")
    scene.run(10_000)

    assert scene.all(do.TransferCall) == []
