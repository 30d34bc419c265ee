"""Another session takes over before the present one expires: when, with what, and what it hears."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.agent import Transcription, TurnTaking
from app.call.caller.floor import ANSWER_MS
from app.call.model.connection import CONFIGURE_MS
from app.call.model.session_audio import WORDS_MS
from app.call.model_session import CARRIED_MS, PREFIX_MS
from app.call.succession import SETTLE_MS
from tests.call.scene import AGENT, Scene

EXPIRES_MS = 3_600_000
OPENS_MS, SPEAKING_MS, ANY_MS = EXPIRES_MS - 300_000, EXPIRES_MS - 60_000, EXPIRES_MS - 10_000
RESUMED = ("system", prompts.SESSION_RESUMED)
CREATED = ev.SessionCreated("sess_1", EXPIRES_MS // 1000)


def connected(
    created: ev.SessionCreated | None = CREATED,
    turns: TurnTaking = AGENT.turns,
    transcription: Transcription = AGENT.transcription,
) -> Scene:
    """A call, one second old, whose session says when it expires."""
    agent = replace(AGENT, turns=turns, transcription=transcription)
    scene = Scene(agent, up_ms=0, down_ms=0)
    scene.feed(ev.LegOpened(), ev.ModelOpened())
    if created is not None:
        scene.feed(created)
    scene.feed(ev.SessionConfigured(), ev.StreamStarted("MZ1"))
    scene.run(1000)
    scene.take()
    return scene


def opens(scene: Scene, at_ms: float = OPENS_MS) -> None:
    """The successor is opened."""
    scene.run_until(at_ms)
    scene.feed(ev.SuccessorOpened(), ev.SuccessorCreated("sess_2", 2 * EXPIRES_MS // 1000))


def configured(scene: Scene) -> list[do.Command]:
    """It takes the settings."""
    return scene.feed(ev.SuccessorConfigured())


def swaps(scene: Scene) -> list[do.SwapModel]:
    return scene.all(do.SwapModel)


def turn(scene: Scene, item_id: str = "user_1", start_ms: int = 400, end_ms: int = 900) -> None:
    """The caller says something; its words follow."""
    scene.feed(ev.SpeechStarted(item_id, start_ms))
    scene.run(end_ms - start_ms)
    scene.feed(ev.SpeechStopped(item_id, end_ms), ev.CallerTurnCommitted(item_id, None))


def added(commands: list[do.Command]) -> list[tuple[str, str]]:
    return [(c.role, c.text) for c in commands if isinstance(c, do.AddMessage)]


# --- opened ---------------------------------------------------------------------------------------


def test_the_successor_is_opened_five_minutes_before_the_session_expires() -> None:
    scene = connected()
    scene.run_until(EXPIRES_MS)
    assert scene.when(do.OpenSuccessor) == [OPENS_MS]
    assert scene.take() == [do.OpenSuccessor()]
    assert scene.feed(ev.SuccessorOpened()) == [do.ConfigureSuccessor("bridge_2")]


@pytest.mark.parametrize("says_s", [None, 86_400, -5, 0])
def test_a_session_lasts_an_hour_if_it_does_not_say_or_its_clock_is_wrong(
    says_s: int | None,
) -> None:
    scene = connected(ev.SessionCreated("sess_1", says_s))
    scene.run_until(OPENS_MS)
    assert scene.when(do.OpenSuccessor) == [OPENS_MS]


def test_a_model_without_sessions_that_are_created_gets_no_successor() -> None:
    scene = connected(None)
    scene.run_until(2 * EXPIRES_MS)
    assert scene.take() == []


def test_the_successor_of_a_short_session_is_opened_half_way() -> None:
    scene = connected(ev.SessionCreated("sess_1", 60))
    scene.run_until(60_000)
    assert scene.when(do.OpenSuccessor) == [30_000]


def test_a_successor_that_fails_is_opened_again_and_the_call_goes_on() -> None:
    scene = connected()
    tries = 0
    while tries < len(scene.when(do.OpenSuccessor)) or scene.now_ms < OPENS_MS:
        tries = len(scene.when(do.OpenSuccessor))
        if tries:
            scene.feed(ev.SuccessorLost("refused"))
        scene.run_until(max(scene.now_ms + 90_000, OPENS_MS))
    waits = [at_ms - OPENS_MS for at_ms in scene.when(do.OpenSuccessor)]
    assert len(waits) == 5
    assert waits[1] == 5000
    assert scene.machine.hears_caller and not scene.machine.over


def test_a_successor_that_takes_no_settings_is_closed_and_opened_again() -> None:
    scene = connected()
    opens(scene)
    scene.run(CONFIGURE_MS)
    assert scene.all(do.CloseSuccessor) == [do.CloseSuccessor()]
    scene.run(5000)
    assert len(scene.all(do.OpenSuccessor)) == 2


def test_the_leg_ends_with_its_successor() -> None:
    scene = connected()
    opens(scene)
    ending = scene.feed(ev.StreamEnded("stopped", lost=False))
    assert ending == [do.CloseSuccessor(), do.CloseModel(), do.EndLeg("caller")]


def test_no_successor_is_opened_while_the_call_hangs_up() -> None:
    scene = connected()
    scene.run_until(OPENS_MS - 10)
    scene.feed(ev.HangUpRequested("operator"))
    scene.run(5000)
    assert scene.all(do.OpenSuccessor) == []


# --- swapped in at a quiet moment -----------------------------------------------------------------


def test_the_sessions_are_swapped_when_the_caller_s_frames_are_quiet() -> None:
    scene = connected()
    turn(scene)
    scene.feed(ev.CallerTranscribed("user_1", "Are you open?"))
    scene.answer(600, text="Yes, until six.")
    opens(scene)
    assert configured(scene) == [] and scene.machine.awaits_quiet
    commands = scene.feed(ev.CallerQuieted())

    assert commands[0] == do.SwapModel(900, PREFIX_MS)
    assert added(commands) == [("user", "Are you open?"), ("assistant", "Yes, until six."), RESUMED]
    assert scene.machine.hears_caller and not scene.machine.awaits_quiet
    assert scene.all(do.OpenModel) == [do.OpenModel()] and scene.all(do.CloseModel) == []
    assert scene.asked() == []


def test_noise_on_the_line_does_not_put_the_swap_off_for_ever() -> None:
    scene = connected()
    opens(scene)
    configured(scene)
    scene.run(SETTLE_MS)
    assert scene.when(do.SwapModel) == [OPENS_MS + SETTLE_MS]


def test_quiet_frames_that_are_reported_late_swap_nothing() -> None:
    scene = connected()
    scene.feed(ev.CallerQuieted())
    opens(scene)
    scene.speak()
    configured(scene)
    scene.feed(ev.CallerQuieted())
    assert swaps(scene) == []


def test_a_session_without_a_conversation_gets_none() -> None:
    scene = connected()
    opens(scene)
    configured(scene)
    assert scene.feed(ev.CallerQuieted()) == [do.SwapModel(0, PREFIX_MS)]


def _awaits_words(scene: Scene) -> None:
    turn(scene)
    scene.answer(200)
    scene.run(1000)


def _plays(scene: Scene) -> None:
    scene.answer(3000)


def _pauses(scene: Scene) -> None:
    scene.answer(3000)
    scene.run(500)
    scene.speak()
    scene.fall_silent()


def _answers(scene: Scene) -> None:
    scene.answer(100)
    scene.run(200)


Step = Callable[[Scene], object]
BUSY: dict[str, tuple[Step, *tuple[Step, ...]]] = {
    "the caller speaks": (lambda s: s.speak(), lambda s: s.fall_silent(text="Hello?"), _answers),
    "the caller types": (lambda s: s.press("1"), lambda s: s.run(3000), _answers),
    "an answer is due": (
        turn,
        lambda s: s.feed(ev.CallerTranscribed("user_1", "Yes.")),
        _answers,
    ),
    "words are awaited": (_awaits_words, lambda s: s.feed(ev.CallerTranscribed("user_1", "Yes."))),
    "words never come": (_awaits_words, lambda s: s.run(WORDS_MS)),
    "words cannot be had": (
        _awaits_words,
        lambda s: s.feed(ev.CallerTranscriptionFailed("user_1", "unclear")),
    ),
    "a response is in flight": (lambda s: s.begin(), lambda s: s.audio(100), lambda s: s.finish()),
    "the agent's words play": (_plays, lambda s: s.run(3000)),
    "the agent is paused": (
        _pauses,
        lambda s: s.feed(ev.CallerTranscribed("user_1", "")),
        lambda s: s.run(3000),
    ),
    "a tool runs": (
        lambda s: s.tool_response("call_1"),
        lambda s: s.feed(ev.ToolReturned("call_1", "42")),
        _answers,
    ),
}


@pytest.mark.parametrize("why", BUSY)
def test_the_swap_waits_while(why: str) -> None:
    begins, *ends = BUSY[why]
    scene = connected(turns=TurnTaking(resume_false_interruptions=True, false_interruption_ms=4000))
    opens(scene)
    begins(scene)
    configured(scene)
    scene.feed(ev.CallerQuieted())
    assert swaps(scene) == [] and not scene.machine.awaits_quiet

    for step in ends:
        step(scene)
    scene.run(SETTLE_MS + 200)
    assert len(swaps(scene)) == 1


def test_each_session_is_followed_by_the_next_one() -> None:
    scene = connected()
    for number in range(1, 21):
        while len(scene.all(do.OpenSuccessor)) < number:
            scene.run(10_000)
        expires_s = int(scene.now_ms + EXPIRES_MS) // 1000
        scene.feed(ev.SuccessorOpened(), ev.SuccessorCreated(f"sess_{number}", expires_s))
        configured(scene)
        before = scene.heard()
        commands = scene.feed(ev.CallerQuieted())
        assert added(commands) == ([*before, RESUMED] if before else [])
        turn(scene, f"user_{number}")
        scene.feed(ev.CallerTranscribed(f"user_{number}", f"question {number}"))
        scene.answer(200, f"item_{number}", f"resp_{number}", f"answer {number}")
        scene.run(1000)
    assert len(swaps(scene)) == len(scene.all(do.OpenSuccessor)) == 20
    assert len(scene.heard()) == 40
    assert scene.all(do.CloseModel) == []


def test_a_swapped_session_that_is_lost_is_retried_like_any_other() -> None:
    scene = connected()
    opens(scene)
    configured(scene)
    scene.feed(ev.CallerQuieted())
    scene.run(1000)
    assert scene.feed(ev.ModelLost("closed")) == [do.CloseModel(), do.OpenModel()]
    assert not scene.machine.over


# --- swapped in at a less good moment -------------------------------------------------------------

LONG = "One two three four five six seven eight nine ten."


def speaking(at_ms: float) -> Scene:
    """The agent says ten seconds, all of them sent, and the successor is ready."""
    scene = connected()
    opens(scene)
    scene.run_until(at_ms)
    scene.answer(10_000, text=LONG)
    configured(scene)
    scene.take()
    return scene


def test_in_the_last_minute_the_agent_may_be_speaking_and_is_heard_to_the_end() -> None:
    scene = speaking(SPEAKING_MS - 3000)
    scene.run_until(SPEAKING_MS + SETTLE_MS)

    assert scene.when(do.SwapModel) == [SPEAKING_MS + SETTLE_MS]
    assert scene.messages() == [("assistant", LONG), RESUMED]
    scene.run(20_000)
    assert scene.heard() == [("assistant", LONG)]
    assert scene.all(do.ClearAudio) == [] and scene.asked() == []
    assert scene.line.heard_bytes("item_1", scene.now_ms) == 80_000


def test_what_the_agent_says_across_the_swap_is_cut_to_what_was_heard() -> None:
    scene = speaking(SPEAKING_MS - 3000)
    scene.run_until(SPEAKING_MS + SETTLE_MS)
    (told,) = [m for m in scene.all(do.AddMessage) if m.text == LONG]
    scene.take()
    commands = scene.speak("user_2")

    (heard,) = [text for role, text in scene.heard() if role == "assistant"]
    assert heard and LONG.startswith(heard) and heard != LONG
    assert added(commands) == [("assistant", heard)]
    assert [c.item_id for c in commands if isinstance(c, do.DeleteItem)] == [told.item_id]
    assert not [c for c in commands if isinstance(c, do.TruncateItem)]


def test_at_the_end_of_the_session_the_next_one_hears_the_caller_s_sentence_whole() -> None:
    scene = connected()
    opens(scene, ANY_MS - 5000)
    scene.feed(ev.SpeechStarted("user_1", 8000))
    configured(scene)
    scene.run_until(ANY_MS - 1)
    assert swaps(scene) == []
    scene.run_until(ANY_MS)

    assert swaps(scene) == [do.SwapModel(8000, CARRIED_MS)]
    assert scene.asked() == []
    scene.feed(ev.SpeechStarted("user_3", 0), ev.SpeechStopped("user_3", 4000))
    scene.feed(ev.CallerTurnCommitted("user_3", None), ev.CallerTranscribed("user_3", "Hello?"))
    assert scene.heard() == [("user", "Hello?")]
    scene.answer(200)
    scene.run(20_000)
    assert scene.asked() == []


def test_an_answer_that_was_due_is_requested_if_the_next_session_hears_no_speech() -> None:
    scene = connected()
    opens(scene, ANY_MS - 1000)
    configured(scene)
    scene.feed(ev.SpeechStarted("user_1", 5000))
    scene.run(900)
    scene.feed(ev.SpeechStopped("user_1", 5900), ev.CallerTurnCommitted("user_1", None))
    scene.run_until(ANY_MS)
    assert swaps(scene) == [do.SwapModel(5000, CARRIED_MS)]
    scene.run(ANSWER_MS)
    assert scene.asked() == [""]


def test_a_turn_that_is_being_answered_is_not_heard_again() -> None:
    scene = connected()
    opens(scene, ANY_MS - 1000)
    configured(scene)
    turn(scene)
    scene.begin()
    scene.audio(2000)
    scene.run_until(ANY_MS)
    assert swaps(scene) == [do.SwapModel(900, PREFIX_MS)]
    assert scene.asked() == [""]  # the rest of the answer


def test_without_transcription_no_words_are_awaited() -> None:
    scene = connected(transcription=Transcription(model=""))
    opens(scene)
    configured(scene)
    turn(scene)
    scene.answer(200)
    scene.run(300)
    assert scene.machine.awaits_quiet
    assert scene.feed(ev.CallerQuieted())[0] == do.SwapModel(900, PREFIX_MS)


def test_an_answer_to_known_words_is_requested_from_the_next_session() -> None:
    scene = connected()
    opens(scene, ANY_MS - 1000)
    configured(scene)
    turn(scene)
    scene.feed(ev.CallerTranscribed("user_1", "Are you open?"))
    scene.run_until(ANY_MS)
    assert swaps(scene) == [do.SwapModel(900, PREFIX_MS)]
    assert scene.messages() == [("user", "Are you open?"), RESUMED]
    assert scene.asked() == [""]


def test_a_tool_that_runs_across_the_swap_is_answered_to_the_next_session() -> None:
    scene = connected()
    opens(scene, SPEAKING_MS)
    scene.tool_response("call_1")
    configured(scene)
    scene.run(SETTLE_MS)
    assert len(swaps(scene)) == 1
    assert scene.messages() == [("system", prompts.tool_running("look_up"))]
    scene.feed(ev.ToolReturned("call_1", "42"))
    assert scene.messages()[-1] == ("system", "Result of look_up: 42")
    assert scene.outputs() == [] and scene.asked() == [""]


# --- the present session is lost ------------------------------------------------------------------


def test_a_successor_that_is_ready_takes_over_at_once_when_the_session_is_lost() -> None:
    scene = speaking(OPENS_MS + 1000)
    commands = scene.feed(ev.ModelLost("closed with code 1001"))
    assert commands[0] == do.SwapModel(0, PREFIX_MS)
    assert added(commands) == [("assistant", LONG), RESUMED]
    assert scene.machine.hears_caller and len(scene.all(do.OpenModel)) == 1


def test_a_successor_that_is_not_ready_is_closed_when_the_session_is_lost() -> None:
    scene = connected()
    opens(scene)
    assert scene.feed(ev.ModelLost("closed")) == [
        do.CloseSuccessor(),
        do.CloseModel(),
        do.OpenModel(),
    ]
    scene.feed(ev.ModelOpened(), ev.SessionCreated("sess_3", 7000), ev.SessionConfigured())
    scene.run_until(7_000_000)
    assert len(scene.all(do.OpenSuccessor)) == 2
