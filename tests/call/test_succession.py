"""Another session takes over before the present one expires: when it is opened and swapped in."""

from collections.abc import Callable

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call.agent import Transcription, TurnTaking
from app.call.model.connection import CONFIGURE_MS
from app.call.model.session_audio import WORDS_MS
from app.call.model_session import PREFIX_MS
from app.call.succession import SETTLE_MS
from tests.call.scene import Scene
from tests.call.succession_scene import (
    EXPIRES_MS,
    OPENS_MS,
    RESUMED,
    added,
    configured,
    connected,
    opens,
    swaps,
    turn,
)

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
        lambda s: s.respond(100),
        lambda s: s.run(200),
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


def test_without_transcription_no_words_are_awaited() -> None:
    scene = connected(transcription=Transcription(model=""))
    opens(scene)
    configured(scene)
    turn(scene)
    scene.answer(200)
    scene.run(300)
    assert scene.machine.awaits_quiet
    assert scene.feed(ev.CallerQuieted())[0] == do.SwapModel(900, PREFIX_MS)


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
