"""The settings across a swap: what the successor refuses, and what the session before it did."""

from typing import Any

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call.optional_settings import GROUPS, Setting
from app.call.timeline import ordered, replay
from tests.call.scene import Scene
from tests.call.succession_scene import (
    OPENS_MS,
    RESUMED,
    added,
    configured,
    connected,
    opens,
    turn,
)
from tests.call.test_timeline import stored


def refuses(scene: Scene, setting: Any = "", wait_ms: float = 100_000) -> None:
    """The successor refuses its settings; then the next one is opened."""
    scene.feed(ev.SuccessorLost("settings refused: No.", refused=True, setting=setting))
    scene.run(wait_ms)
    scene.feed(ev.SuccessorOpened(), ev.SuccessorCreated("sess_3", None))


def got(scene: Scene) -> tuple[Setting, ...]:
    """What the successor's settings leave out."""
    return scene.all(do.ConfigureSuccessor)[-1].without


def decided(scene: Scene) -> list[str]:
    return [each.decision for each in scene.decisions if each.decision.startswith("go on")]


def test_the_next_successor_does_not_get_what_one_refused() -> None:
    scene = connected()
    opens(scene)
    refuses(scene, "keywords")
    assert got(scene) == ("keywords",)
    assert decided(scene) == ["go on without keywords"]
    assert scene.machine.refused_settings == {"keywords"}
    assert scene.all(do.ConfigureSession) == [do.ConfigureSession("bridge_1")]

    configured(scene)
    assert [type(each) for each in scene.feed(ev.CallerQuieted())] == [do.SwapModel]


def test_a_successor_that_names_nothing_is_tried_again_then_gets_fewer_settings() -> None:
    scene = connected()
    opens(scene)
    refuses(scene)
    assert got(scene) == () and decided(scene) == []
    refuses(scene)
    assert set(got(scene)) == {*GROUPS[0]}
    refuses(scene)
    assert set(got(scene)) == {*GROUPS[0], *GROUPS[1]}
    assert len(decided(scene)) == 2
    assert scene.machine.refused_settings == set()


def test_what_a_successor_refuses_the_session_before_it_still_has() -> None:
    """The words of the caller's last turn are awaited: the next session gets them as text."""
    scene = connected()
    opens(scene)
    refuses(scene, "transcription")
    turn(scene)
    scene.answer(200)
    scene.run(300)
    configured(scene)
    assert scene.feed(ev.CallerQuieted()) == [] and not scene.machine.awaits_quiet
    scene.feed(ev.CallerTranscribed("user_1", "Are you open?"))
    commands = scene.feed(ev.CallerQuieted())
    assert added(commands) == [("user", "Are you open?"), RESUMED]


def test_an_error_after_it_took_the_settings_costs_none() -> None:
    scene = connected()
    opens(scene)
    refuses(scene)
    scene.speak()
    configured(scene)
    refuses(scene)
    assert got(scene) == () and decided(scene) == []


def test_a_setting_that_no_call_can_do_without_is_not_left_out() -> None:
    scene = connected()
    opens(scene)
    refuses(scene, "required")
    refuses(scene, "required")
    assert got(scene) == () and decided(scene) == []


def test_what_the_session_refuses_meanwhile_is_named_once() -> None:
    scene = connected()
    opens(scene)
    scene.feed(ev.ModelFaulted("invalid_value", "No.", setting="keywords"))
    refuses(scene, "keywords")
    assert got(scene) == ("keywords",)
    assert decided(scene) == ["go on without keywords"]


def test_a_successor_with_older_settings_gets_the_new_ones_at_the_swap() -> None:
    scene = connected()
    opens(scene)
    scene.speak()
    configured(scene)
    scene.feed(ev.ModelFaulted("invalid_value", "No.", setting="keywords"))
    scene.feed(ev.SessionConfigured())
    scene.take()
    commands = scene.feed(ev.ModelLost("closed"))
    assert [each.without for each in commands if isinstance(each, do.ConfigureSession)] == [
        ("keywords",)
    ]
    assert len(decided(scene)) == 1


def test_a_voice_that_is_fixed_in_one_session_is_the_next_one_s_as_well() -> None:
    """It was refused because the session had spoken: callers must not hear another voice."""
    scene = connected()
    scene.feed(ev.ModelFaulted("invalid_value", "No.", setting="keywords"))
    cause = scene.all(do.ConfigureSession)[-1].event_id
    scene.feed(ev.ModelFaulted("cannot_update_voice", "It has spoken.", cause, setting="voice"))
    assert scene.all(do.ConfigureSession)[-1].without == ("keywords", "voice")
    scene.feed(ev.SessionConfigured())
    assert scene.machine.left_out == ("keywords",)

    opens(scene)
    assert got(scene) == ("keywords",)
    configured(scene)
    assert not [
        each for each in scene.feed(ev.CallerQuieted()) if isinstance(each, do.ConfigureSession)
    ]


def test_a_voice_that_is_fixed_in_a_session_is_sent_again_when_that_is_lost() -> None:
    scene = connected()
    scene.feed(ev.ModelFaulted("cannot_update_voice", "It has spoken.", setting="voice"))
    scene.feed(ev.ModelLost("closed"))
    scene.run(1000)
    scene.feed(ev.ModelOpened())
    assert scene.all(do.ConfigureSession)[-1].without == ()


@pytest.mark.parametrize("setting", ["", "required"])
def test_a_session_goes_on_with_the_settings_that_it_has_if_it_refuses_new_ones(
    setting: Any,
) -> None:
    """Such as one that has spoken, and refuses any update that holds a voice."""
    scene = connected()
    scene.feed(ev.ModelFaulted("invalid_value", "No.", setting="keywords"))
    cause = scene.all(do.ConfigureSession)[-1].event_id
    assert scene.feed(ev.ModelFaulted("invalid_value", "No.", cause, setting=setting)) == []
    scene.run(1000)
    assert scene.machine.hears_caller
    assert scene.machine.left_out == ("keywords",)


def test_a_replayed_call_with_a_successor_gives_the_same_commands() -> None:
    scene = connected()
    opens(scene)
    refuses(scene, "keywords")
    configured(scene)
    scene.feed(ev.CallerQuieted())
    entries = [stored(entry) for entry in scene.timeline.take()]
    assert replay(lambda _: scene.agent, entries) == ordered(entries)


def test_no_swap_while_a_tool_waits_for_digits() -> None:
    scene = connected()
    opens(scene)
    configured(scene)
    scene.tool_response("call_1")
    scene.feed(ev.EntryAsked("call_1", 4, False, "", 20_000))
    scene.run(5000)
    assert scene.now_ms < OPENS_MS + 20_000
    assert scene.all(do.SwapModel) == []


def test_the_next_session_knows_of_the_tool_that_waits_for_digits() -> None:
    scene = connected()
    opens(scene)
    configured(scene)
    scene.tool_response("call_1")
    scene.feed(ev.EntryAsked("call_1", 4, False, "", 20_000))
    commands = scene.feed(ev.ModelLost("closed"))
    (running,) = [text for role, text in added(commands) if (role, text) != RESUMED]
    assert running.startswith("look_up was called and still runs")
