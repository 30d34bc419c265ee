"""The model refuses a setting that a call can do without: it is left out, and the call goes on."""

from dataclasses import replace
from typing import Any, get_args

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call.agent import ModelOptions, Transcription, TurnTaking
from app.call.optional_settings import GROUPS, PART_OF, Setting
from tests.call.pause_scene import PauseScene
from tests.call.scene import AGENT, Scene, agent
from tests.call.voice_scene import VoiceScene, Way

SETTINGS: tuple[Setting, ...] = get_args(Setting)
PLAIN = ("transcription", "noise_reduction", "reasoning_effort")
FIRST = tuple(name for name in SETTINGS if name in GROUPS[0])
ALL = tuple(name for name in SETTINGS if name in GROUPS[0] + GROUPS[1])
OWNERS = replace(
    AGENT,
    turns=TurnTaking(noise_reduction="far_field", noise_reduction_strength=0.5),
    model=ModelOptions("high", 2000, False, 0.8),
    transcription=Transcription(keywords=("Margherita",), languages=("en", "it")),
)


def opened(scene: Scene | None = None, **leg: Any) -> Scene:
    """A session is open, and the settings are sent."""
    scene = scene or Scene(OWNERS)
    scene.feed(ev.LegOpened(**leg), ev.ModelOpened())
    return scene


def sent(scene: Scene) -> do.ConfigureSession:
    """The settings that were sent last."""
    return scene.all(do.ConfigureSession)[-1]


def refuses(scene: Scene, setting: Any = "", message: str = "No.") -> list[do.Command]:
    """The model refuses the settings that were sent last."""
    cause = sent(scene).event_id
    return scene.feed(ev.ModelFaulted("invalid_value", message, cause, setting=setting))


def decided(scene: Scene) -> list[tuple[str, str]]:
    return [(each.decision, each.reason) for each in scene.decisions]


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_refused_setting_is_left_out_and_the_session_goes_on(setting: Setting) -> None:
    scene = opened()
    commands = refuses(scene, setting, "Not supported.")

    assert commands == [do.ConfigureSession("bridge_2", without=(setting,))]
    assert decided(scene) == [(f"go on without {setting}", "Not supported.")]
    assert not scene.machine.hears_caller
    scene.feed(ev.SessionConfigured())
    assert scene.machine.hears_caller
    assert scene.all(do.CloseModel) == []
    assert scene.machine.left_out == (setting,)


def test_one_refusal_after_the_other_is_left_out() -> None:
    scene = opened()
    for setting in PLAIN:
        refuses(scene, setting)
    scene.feed(ev.SessionConfigured())

    assert sent(scene).without == PLAIN
    assert [decision for decision, _ in decided(scene)] == [f"go on without {x}" for x in PLAIN]
    assert scene.machine.hears_caller


def test_later_sessions_do_not_send_what_was_refused() -> None:
    scene = opened()
    refuses(scene, "truncation")
    scene.feed(ev.SessionConfigured(), ev.StreamStarted("MZ1"))
    scene.run(10_000)
    scene.feed(ev.ModelLost("closed with code 1006"), ev.ModelOpened())

    assert sent(scene).without == ("truncation",)
    assert len(scene.decisions) == 1


def test_a_leg_does_not_send_what_was_refused_before_it() -> None:
    scene = opened(left_out=("transcription", "keywords"))

    assert sent(scene).without == ("transcription", "keywords")
    assert decided(scene) == []


@pytest.mark.parametrize("part", PART_OF)
def test_a_part_that_is_refused_again_is_left_out_with_its_whole(part: Setting) -> None:
    """Such as a server that demands the strength which it refuses."""
    scene = opened()
    refuses(scene, part)
    refuses(scene, part)

    assert set(sent(scene).without) == {part, PART_OF[part]}


def test_without_a_name_all_settings_of_the_owner_are_left_out_then_the_voice_and_turns() -> None:
    scene = opened()
    refuses(scene)
    assert sent(scene).without == FIRST
    refuses(scene)
    assert sent(scene).without == ALL

    assert [decision for decision, _ in decided(scene)] == [
        "go on without transcription, noise_reduction, reasoning_effort, max_output_tokens, "
        "parallel_tool_calls, truncation",
        "go on without voice, detection",
    ]


def test_the_decision_names_what_the_agent_file_sets() -> None:
    scene = opened(Scene(agent()))
    refuses(scene)

    assert sent(scene).without == FIRST
    assert decided(scene) == [("go on without transcription", "No.")]

    scene = opened(Scene(replace(agent(), transcription=Transcription(model=""))))
    refuses(scene)

    assert sent(scene).without == FIRST
    assert decided(scene) == [("go on without optional settings", "No.")]


def test_a_session_that_takes_nothing_at_all_is_replaced() -> None:
    scene = opened()
    refuses(scene)
    refuses(scene)

    assert refuses(scene) == [do.CloseModel()]
    assert decided(scene)[-1] == ("replace the session", "it refused the settings")
    scene.run(200)
    scene.feed(ev.ModelOpened())
    assert sent(scene).without == ALL


@pytest.mark.parametrize("after", [0, 1])
def test_a_setting_that_no_call_can_do_without_replaces_the_session(after: int) -> None:
    scene = opened()
    for _ in range(after):
        refuses(scene, "keywords")

    assert refuses(scene, "required") == [do.CloseModel()]


# --- servers that do not say which command they refuse -------------------------------------------


@pytest.mark.parametrize(
    ("setting", "without"),
    [("speed", ("speed",)), ("", FIRST)],
)
def test_before_the_settings_are_taken_a_refusal_without_a_cause_is_theirs(
    setting: Any, without: tuple[Setting, ...]
) -> None:
    scene = opened()
    scene.feed(ev.ModelFaulted("invalid_value", "No.", setting=setting))

    assert sent(scene).without == without


def test_an_id_of_the_server_s_own_is_no_cause() -> None:
    scene = opened()
    scene.feed(ev.ModelFaulted("invalid_value", "No.", "event_77", setting="speed"))

    assert sent(scene).without == ("speed",)


def test_a_mode_that_is_refused_without_a_cause_costs_no_setting() -> None:
    scene = PauseScene(round_trip_ms=None)
    scene.feed(ev.LegOpened(), ev.ModelOpened(), ev.SessionConfigured(), ev.StreamStarted("MZ1"))
    scene.run(1000)
    scene.answer(500)
    assert [each.automatic for each in scene.all(do.SetTurnDetection)] == [False]
    scene.feed(ev.ModelFaulted("invalid_value", "No.", setting="detection"))
    scene.run(2000)
    scene.answer(500, "item_2", "resp_2")

    assert len(scene.all(do.SetTurnDetection)) == 1
    assert scene.machine.left_out == ()


def test_afterwards_an_error_without_cause_and_name_is_no_refusal_of_the_settings() -> None:
    scene = opened()
    scene.feed(ev.SessionConfigured())

    for setting in ("", "required"):
        assert scene.feed(ev.ModelFaulted("server_error", "Sorry.", setting=setting)) == []
    assert decided(scene) == []


def test_the_refusal_of_another_command_leaves_the_settings_alone() -> None:
    scene = opened(Scene(agent(greeting="Hello.")))
    scene.feed(ev.SessionConfigured(), ev.StreamStarted("MZ1"))
    (request,) = scene.all(do.CreateResponse)
    cause = request.event_id
    scene.feed(ev.ModelFaulted("invalid_value", "No.", cause, setting="max_output_tokens"))

    assert len(scene.all(do.ConfigureSession)) == 1
    assert scene.machine.left_out == ()


# --- a session that has taken the settings -------------------------------------------------------


@pytest.mark.parametrize("names_cause", [True, False])
def test_a_setting_may_be_refused_after_it_was_taken(names_cause: bool) -> None:
    scene = opened()
    scene.feed(ev.SessionConfigured(), ev.StreamStarted("MZ1"))
    cause = sent(scene).event_id if names_cause else None
    fault = ev.ModelFaulted("model_not_found", "No such model.", cause, setting="transcription")

    assert scene.feed(fault) == [do.ConfigureSession("bridge_2", without=("transcription",))]
    assert scene.feed(fault) == []
    assert scene.feed(ev.SessionConfigured()) == []
    assert decided(scene) == [("go on without transcription", "No such model.")]
    assert scene.machine.hears_caller


def test_of_two_settings_that_are_refused_for_one_reason_one_follows() -> None:
    """The voices failed before the session took the settings, so they were sent twice."""
    scene = VoiceScene(way=lambda _: Way(fails="fatal"))
    scene.feed(ev.LegOpened(), ev.StreamStarted("MZ1"), ev.ModelOpened())
    scene.write("Good evening.")
    scene.run(100)
    for each in scene.all(do.ConfigureSession):
        scene.feed(ev.ModelFaulted("invalid_value", "No.", each.event_id, setting="keywords"))

    sent = [(each.speaks, each.without) for each in scene.all(do.ConfigureSession)]
    assert sent == [(False, ()), (True, ()), (True, ("keywords",))]
    assert scene.all(do.CloseModel) == []


# --- what follows --------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", ["transcription", "keywords"])
def test_what_the_model_names_is_known_for_later_calls(setting: Setting) -> None:
    scene = opened()
    refuses(scene, setting)

    assert scene.machine.refused_settings == {setting}


def test_what_it_does_not_name_is_tried_again_on_the_next_call() -> None:
    scene = opened()
    refuses(scene)

    assert scene.machine.refused_settings == set()


def test_a_voice_that_cannot_change_any_more_is_not_held_against_later_calls() -> None:
    scene = opened()
    scene.feed(ev.SessionConfigured())
    refuses(scene, "voice")

    assert scene.machine.refused_settings == set()


def test_without_transcription_the_clock_decides_about_a_cough() -> None:
    scene = PauseScene()
    scene.feed(ev.LegOpened(), ev.ModelOpened())
    refuses(scene, "transcription")
    scene.feed(ev.SessionConfigured(), ev.StreamStarted("MZ1"))
    scene.run(1000)
    scene.answer(2000)
    scene.run(500)
    scene.cough()
    scene.run(5000)

    assert [(each.verdict, each.reason) for each in scene.all(do.ReportInterruption)] == [
        ("false", "no words in time")
    ]
    assert scene.line.heard_bytes("item_1", scene.now_ms) == 2000 * 8


def test_without_its_detection_the_session_always_acts_by_itself() -> None:
    scene = PauseScene()
    scene.feed(ev.LegOpened(), ev.ModelOpened())
    refuses(scene, "detection")
    scene.feed(ev.SessionConfigured(), ev.StreamStarted("MZ1"))
    scene.run(1000)
    scene.answer(500)
    scene.run(1000)

    assert scene.all(do.SetTurnDetection) == []


def test_a_name_that_cannot_be_meant_does_not_spoil_later_calls() -> None:
    """The second refusal names what was not sent: what is left out then is a guess."""
    scene = opened()
    refuses(scene, "speed")
    refuses(scene, "speed")

    assert set(sent(scene).without) == {"speed", *FIRST}
    assert scene.machine.refused_settings == {"speed"}
