"""Idle prompts while the caller is silent, hold tones while they wait, and the longest call."""

import pytest

from app.audio import HOLD_TONE
from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.agent import Limits
from app.call.exits.last_words import GUARD_MS
from tests.call.scene import Scene, agent

TONE_MS = 300


def idle_scene(**limits: int) -> Scene:
    idle = Limits(**{"idle_ms": 15_000, "idle_nudges": 2, "longest_call_ms": 0, **limits})
    return Scene(agent(limits=idle), up_ms=0, down_ms=0).connect()


def asked(scene: Scene) -> list[str]:
    return [request.direction for request in scene.all(do.CreateResponse)]


def tones(scene: Scene) -> list[float]:
    """When the hold tone was sent."""
    return [
        at_ms
        for at_ms, command in scene.commands
        if isinstance(command, do.PlayAudio) and command.item_id == ""
    ]


# --- the caller is silent -----------------------------------------------------------------------


def test_a_silent_caller_is_asked_twice_then_hears_a_goodbye_and_the_hang_up() -> None:
    scene = idle_scene()
    for expected in (prompts.NUDGE, prompts.NUDGE, prompts.GOODBYE_IDLE):
        scene.run(15_000)
        assert asked(scene)[-1] == expected
        scene.respond(1000)
        scene.run(1000)
    assert len(asked(scene)) == 3
    scene.run(GUARD_MS)
    assert scene.all(do.HangUp) == [do.HangUp("idle")]


def test_the_silence_counts_from_the_end_of_what_plays() -> None:
    scene = idle_scene()
    scene.answer(20_000)
    scene.run(20_000 + 14_999)
    assert asked(scene) == []
    scene.run(1)
    assert asked(scene) == [prompts.NUDGE]


def test_a_caller_who_speaks_is_counted_afresh() -> None:
    scene = idle_scene()
    for turn in range(4):
        scene.run(15_000)
        scene.respond(500)
        scene.run(500)
        scene.speak(f"user_{turn}")
        scene.fall_silent(f"user_{turn}")
        scene.answer(500, f"item_{turn}", f"resp_{turn}")
        scene.run(500)
    assert asked(scene) == [prompts.NUDGE] * 4


def test_a_nudge_that_the_model_was_too_busy_for_is_left_out() -> None:
    scene = idle_scene()
    scene.run(15_000)
    request = scene.all(do.CreateResponse)[-1]
    scene.feed(
        ev.ModelFaulted("conversation_already_has_active_response", "", request.event_id, "busy")
    )
    scene.run(14_000)
    assert asked(scene) == [prompts.NUDGE]


def test_a_caller_who_answers_the_goodbye_keeps_the_call() -> None:
    scene = idle_scene(idle_nudges=0)
    scene.run(15_000)
    assert asked(scene) == [prompts.GOODBYE_IDLE]
    scene.begin()
    scene.audio(2000)
    scene.run(300)
    scene.speak()
    scene.finish(status="cancelled")
    scene.fall_silent()
    scene.answer(500, "item_2", "resp_2")
    scene.run(10_000)
    assert not scene.all(do.HangUp) and asked(scene) == [prompts.GOODBYE_IDLE]


def test_an_idle_limit_of_zero_never_asks() -> None:
    scene = idle_scene(idle_ms=0)
    scene.run(600_000)
    assert asked(scene) == [] and tones(scene) == []


def test_the_caller_is_not_asked_while_a_tool_runs() -> None:
    scene = idle_scene(tool_ms=60_000, hold_ms=60_000)
    scene.tool_response("call_1")
    scene.run(50_000)
    assert asked(scene) == []


# --- the caller waits ---------------------------------------------------------------------------


def test_a_caller_who_waits_for_a_tool_hears_that_it_still_runs() -> None:
    scene = idle_scene(tool_ms=60_000)
    scene.tool_response("call_1")
    scene.run(5799)
    assert asked(scene) == []
    scene.run(1)
    assert asked(scene) == [prompts.HOLD]
    scene.respond(1000)
    scene.run(6799)
    assert len(asked(scene)) == 1 and tones(scene) == []
    scene.run(1)
    assert asked(scene) == [prompts.HOLD] * 2


def test_a_hold_tone_sounds_when_the_model_says_nothing() -> None:
    scene = idle_scene(tool_ms=60_000)
    scene.tool_response("call_1")
    begun_ms = scene.now_ms
    scene.run(15_000)
    assert set(asked(scene)) == {prompts.HOLD}
    assert tones(scene)[0] == begun_ms + 7000
    assert all(b - a <= 8000 for a, b in zip(tones(scene), tones(scene)[1:], strict=False))
    assert scene.all(do.PlayAudio)[0] == do.PlayAudio("", HOLD_TONE, TONE_MS * 8)


@pytest.mark.parametrize("tool_speaks_ms", [0, 400, 3000])
def test_a_waiting_caller_hears_something_every_eight_seconds(tool_speaks_ms: int) -> None:
    scene = idle_scene(tool_ms=60_000)
    begun_ms = scene.now_ms
    scene.tool_response("call_1")
    for second in range(50):
        scene.run(1000)
        if tool_speaks_ms and second % 13 == 5:
            scene.answer(tool_speaks_ms, f"item_{second}", f"resp_{second}")
        if scene.all(do.CloseStream):
            break  # a model that never answers is given up
    assert (tool_speaks_ms == 0) == bool(scene.all(do.CloseStream))
    assert max(scene.line.silences_ms(begun_ms, scene.now_ms)) <= 8000


def test_a_caller_without_a_model_hears_tones() -> None:
    scene = Scene(agent(greeting="Hello."), up_ms=0, down_ms=0)
    scene.feed(ev.LegOpened(), ev.StreamStarted("MZ1"))
    scene.run(19_000)
    assert len(tones(scene)) == 3
    assert max(scene.line.silences_ms(0, 19_000)) <= 8000


@pytest.mark.parametrize("every_ms", [1500, 3500, 30_000])
def test_keys_without_a_model_do_not_silence_the_hold_tones(every_ms: int) -> None:
    scene = Scene()
    scene.feed(ev.LegOpened(), ev.StreamStarted("MZ1"))
    begun_ms = scene.now_ms
    for _ in range(18_000 // every_ms + 1):
        scene.feed(ev.DigitPressed("4"))
        scene.run(min(every_ms, 18_000))
        scene.feed(ev.ModelLost("refused"))
    assert max(scene.line.silences_ms(begun_ms, scene.now_ms)) <= 8000


def test_a_caller_whose_answer_takes_long_to_begin_hears_tones() -> None:
    scene = idle_scene()
    scene.speak()
    scene.run(20_000)  # an answer that plays needs no tone
    assert tones(scene) == []
    scene.fall_silent()
    scene.feed(ev.ResponseCreated("resp_1"))
    begun_ms = scene.now_ms
    scene.run(12_000)
    assert max(scene.line.silences_ms(begun_ms, scene.now_ms)) <= 8000


def test_no_tones_pile_up_while_the_stream_is_blocked() -> None:
    scene = idle_scene(tool_ms=60_000)
    scene.feed(ev.StreamBlocked())
    scene.tool_response("call_1")
    scene.run(29_000)
    scene.feed(ev.StreamUnblocked())
    assert len(tones(scene)) <= 1


def test_a_hold_tone_is_no_part_of_the_conversation() -> None:
    scene = idle_scene(tool_ms=60_000)
    scene.tool_response("call_1")
    scene.run(7100)
    stopped = scene.speak()
    assert [type(command) for command in stopped] == [do.ClearAudio]
    assert scene.heard() == [("user", "")]


# --- the longest call ---------------------------------------------------------------------------


def long_scene() -> Scene:
    limits = Limits(idle_ms=0, longest_call_ms=600_000, warning_ms=60_000)
    return Scene(agent(limits=limits), up_ms=0, down_ms=0).connect()


def test_the_longest_call_ends_with_a_warning_a_goodbye_and_a_hang_up() -> None:
    scene = long_scene()
    scene.run_until(539_999)
    assert asked(scene) == []
    scene.run_until(540_000)
    assert asked(scene) == [prompts.warning(60_000)] and "60 seconds" in asked(scene)[0]
    scene.respond(1000)
    scene.run_until(600_000)
    assert asked(scene)[1:] == [prompts.GOODBYE_LIMIT]
    scene.respond(1000)
    scene.run_until(601_000 + GUARD_MS)
    assert scene.all(do.HangUp) == [do.HangUp("limit")]


def test_a_warning_interrupted_by_a_barge_in_is_said_again() -> None:
    scene = long_scene()
    scene.run_until(540_000)
    scene.begin()
    scene.audio(2000)
    scene.speak()
    scene.finish(status="cancelled")
    scene.fall_silent()
    scene.answer(500, "item_2", "resp_2")
    assert asked(scene) == [prompts.warning(60_000)] * 2


def test_a_barge_in_does_not_take_back_the_goodbye_of_the_longest_call() -> None:
    scene = long_scene()
    scene.run_until(540_000)
    scene.respond(500)
    scene.run_until(599_000)
    scene.begin()
    scene.run_until(600_000)  # an answer is under way: the goodbye has to wait
    scene.speak()
    scene.finish(status="cancelled")
    scene.fall_silent()
    scene.answer(500, "item_2", "resp_2")
    assert asked(scene)[-1] == prompts.GOODBYE_LIMIT
    scene.begin("item_3", "resp_3")
    scene.speak("user_2")
    scene.finish("item_3", "resp_3")  # complete before the interruption reached it
    assert not scene.all(do.HangUp)
    scene.fall_silent("user_2")
    scene.answer(500, "item_4", "resp_4")
    assert asked(scene)[-1] == prompts.GOODBYE_LIMIT
    scene.answer(500, "item_5", "resp_5")
    assert not scene.all(do.HangUp)
    scene.run(1000 + GUARD_MS)
    assert scene.all(do.HangUp) == [do.HangUp("limit")]


def test_a_caller_who_never_stops_talking_is_cut_off_in_the_end() -> None:
    scene = long_scene()
    scene.answers_ms = 500
    scene.speak()
    scene.run_until(615_000)
    assert scene.all(do.HangUp) == [do.HangUp("limit")]


def test_noise_that_holds_turn_detection_open_does_not_silence_the_agent_for_ever() -> None:
    scene = idle_scene()
    scene.answers_ms = 500
    scene.speak()
    scene.run(59_999 + 4000)
    assert asked(scene) == []
    scene.run(1)
    assert asked(scene) == [""]


def test_a_goodbye_under_way_is_final_once_the_longest_call_is_over() -> None:
    scene = long_scene()
    scene.run_until(540_000)
    scene.respond(500)
    scene.run_until(599_000)
    scene.begin()
    scene.audio(4000)
    scene.call_tool("call_1", "end_call")
    scene.finish()
    scene.run_until(600_500)
    scene.speak()
    scene.run(GUARD_MS)
    assert scene.all(do.HangUp) == [do.HangUp("agent")]


def test_no_warning_is_given_while_the_call_ends_anyway() -> None:
    scene = long_scene()
    scene.run_until(539_000)
    scene.begin()
    scene.audio(5000)
    scene.call_tool("call_1", "end_call")
    scene.finish()
    scene.run_until(543_000)
    assert asked(scene) == []


def test_a_call_without_a_limit_has_no_end() -> None:
    scene = idle_scene(idle_ms=0)
    scene.run(10_000_000)
    assert scene.commands[-1][0] < 2000 and not scene.machine.over
