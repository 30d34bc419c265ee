"""Another session takes over at a less good moment, as the present one is about to expire."""

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.caller.floor import ANSWER_MS
from app.call.model_session import CARRIED_MS, PREFIX_MS
from app.call.succession import SETTLE_MS
from tests.call.scene import Scene
from tests.call.succession_scene import (
    ANY_MS,
    OPENS_MS,
    RESUMED,
    SPEAKING_MS,
    added,
    configured,
    connected,
    opens,
    swaps,
    turn,
)

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


def test_a_turn_whose_answer_has_only_begun_is_heard_again() -> None:
    """Nothing of the answer was heard, and the next session would not know what was said."""
    scene = connected()
    opens(scene, ANY_MS - 1000)
    configured(scene)
    turn(scene)
    scene.feed(ev.ResponseCreated("resp_1"))
    scene.run_until(ANY_MS)
    assert swaps(scene) == [do.SwapModel(400, CARRIED_MS)]
    assert scene.asked() == []


def test_a_turn_whose_answer_has_called_a_tool_is_not_heard_again() -> None:
    scene = connected()
    opens(scene, ANY_MS - 1000)
    configured(scene)
    turn(scene)
    scene.feed(ev.ResponseCreated("resp_1"))
    scene.call_tool("call_1")
    scene.run_until(ANY_MS)
    assert swaps(scene) == [do.SwapModel(900, PREFIX_MS)]


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
