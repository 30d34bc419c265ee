"""A lone 0 transfers to a human: with a model, without one, and not when all are closed."""

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.caller.keypad import ASKED_PAUSE_MS, PAUSE_MS
from app.call.exits.last_words import GUARD_MS
from app.call.exits.transfer import TRANSFER
from app.call.prompts import TakenBack
from tests.call.scene import Scene, agent
from tests.call.transfer_scene import (
    CLERK,
    HUMANS,
    MONDAY_NOON_S,
    NIGHT,
    SUPPORT,
    call_transfer,
    transfer_scene,
)

REASON = "The caller pressed 0."


@pytest.fixture
def scene() -> Scene:
    return transfer_scene()


def pressed_zero(scene: Scene) -> None:
    scene.press("0")
    scene.run(PAUSE_MS)


def test_a_lone_zero_is_announced_and_tries_all_open_destinations(scene: Scene) -> None:
    pressed_zero(scene)
    assert scene.asked() == [prompts.announcement("Sales")]
    scene.respond(1000)
    scene.run(1100 + GUARD_MS)
    (order,) = scene.all(do.TransferCall)
    assert (order.route, order.reason, order.announced) == (("Sales", "Support"), REASON, True)
    assert scene.messages() == []  # it is no text for the agent


def test_a_zero_followed_by_a_key_within_two_seconds_is_no_transfer(scene: Scene) -> None:
    scene.press("01", 1999)
    scene.run(60_000)
    assert scene.messages() == [("user", prompts.keys_pressed("01"))]
    assert not scene.all(do.TransferCall)


def test_a_zero_with_a_hash_is_an_entry(scene: Scene) -> None:
    scene.press("0#", 100)
    assert scene.messages() == [("user", prompts.keys_pressed("0"))]
    scene.run(60_000)
    assert not scene.all(do.TransferCall)


@pytest.mark.parametrize("length", [0, 4])
def test_a_zero_alone_for_five_seconds_reaches_a_human_though_a_tool_asks(
    scene: Scene, length: int
) -> None:
    scene.tool_response("call_1")
    scene.feed(ev.EntryAsked("call_1", length, False, "", 20_000))
    scene.press("0")
    scene.run(ASKED_PAUSE_MS - 1)
    assert scene.asked() == [] and scene.all(do.GiveDigits) == []
    scene.run(1)
    assert scene.all(do.GiveDigits) == [do.GiveDigits("call_1", "")]
    assert scene.asked() == [prompts.announcement("Sales")]


@pytest.mark.parametrize(("length", "keys"), [(1, "0"), (0, "0#"), (4, "0#"), (0, "00")])
def test_a_zero_that_completes_what_a_tool_asked_for_reaches_the_tool(
    scene: Scene, length: int, keys: str
) -> None:
    scene.tool_response("call_1")
    scene.feed(ev.EntryAsked("call_1", length, False, "", 20_000))
    scene.press(keys, 300)
    scene.run(10_000)
    assert scene.all(do.GiveDigits) == [do.GiveDigits("call_1", keys.rstrip("#"))]
    assert prompts.announcement("Sales") not in scene.asked()


def test_a_zero_that_can_reach_no_human_reaches_the_tool_that_asked() -> None:
    scene = transfer_scene(agent())
    scene.tool_response("call_1")
    scene.feed(ev.EntryAsked("call_1", 0, False, "", 20_000))
    scene.press("0")
    scene.run(ASKED_PAUSE_MS)
    assert scene.all(do.GiveDigits) == [do.GiveDigits("call_1", "0")] and scene.messages() == []


def test_a_number_that_is_typed_slowly_is_no_transfer(scene: Scene) -> None:
    scene.answers_ms = 500
    scene.press("4071", 2600)
    scene.run(60_000)
    assert not scene.all(do.TransferCall)


@pytest.mark.parametrize(("pause_ms", "called"), [(4900, False), (5000, True)])
def test_a_zero_soon_after_an_entry_is_no_call_for_a_human(
    scene: Scene, pause_ms: float, called: bool
) -> None:
    scene.answers_ms = 500
    scene.press("42", 300)
    scene.run(pause_ms)
    pressed_zero(scene)
    scene.run(10_000)
    assert bool(scene.all(do.TransferCall)) is called
    assert (scene.messages()[-1] == ("user", prompts.keys_pressed("420"))) is not called


def test_a_zero_is_a_barge_in_first(scene: Scene) -> None:
    scene.answer(8000)
    scene.run(1000)
    pressed_zero(scene)
    assert len(scene.all(do.ClearAudio)) == 1
    assert scene.asked() == [prompts.announcement("Sales")]


def test_a_zero_while_the_model_is_down_reaches_a_human_at_once(scene: Scene) -> None:
    scene.feed(ev.ModelLost("gone"))
    pressed_ms = scene.now_ms
    pressed_zero(scene)
    scene.run(GUARD_MS)
    (order,) = scene.all(do.TransferCall)
    assert not order.announced and order.route == ("Sales", "Support")
    assert scene.when(do.TransferCall) == [pressed_ms + PAUSE_MS + GUARD_MS]


def test_a_zero_before_the_model_ever_came_reaches_a_human() -> None:
    scene = Scene(HUMANS)
    scene.feed(ev.LegOpened(at_s=MONDAY_NOON_S), ev.StreamStarted("MZ1"))
    scene.run(300)
    pressed_zero(scene)
    scene.run(1000)
    assert [order.announced for order in scene.all(do.TransferCall)] == [False]


def test_a_zero_without_a_model_that_fails_leaves_the_caller_with_the_agent(scene: Scene) -> None:
    scene.feed(ev.ModelLost("gone"))
    pressed_zero(scene)
    scene.run(1000)
    scene.feed(ev.RedirectFailed("status 503"))
    scene.configure()
    failed = prompts.transfer_failed("Sales", "status 503")
    assert ("system", prompts.tool_result(TRANSFER, failed)) in scene.messages()
    assert scene.asked() == [""]


def test_an_agent_without_destinations_gets_the_zero_as_text() -> None:
    scene = transfer_scene(agent())
    pressed_zero(scene)
    assert scene.messages() == [("user", prompts.keys_pressed("0"))]
    assert scene.asked() == [""] and not scene.all(do.TransferCall)


def test_a_zero_when_all_destinations_are_closed_says_when_one_opens() -> None:
    scene = Scene(agent(destinations=(NIGHT, CLERK)), up_ms=0, down_ms=0)
    scene.feed(ev.LegOpened(at_s=MONDAY_NOON_S - 86_400))  # a Sunday
    scene.configure()
    scene.feed(ev.StreamStarted("MZ1"))
    pressed_zero(scene)
    ((role, text),) = scene.messages()
    assert role == "user" and "before Monday, 09:00" in text
    assert scene.asked() == [""] and not scene.all(do.TransferCall)


def test_a_zero_skips_closed_destinations() -> None:
    scene = transfer_scene(agent(destinations=(NIGHT, SUPPORT)))
    pressed_zero(scene)
    assert scene.asked() == [prompts.announcement("Support")]


def test_a_zero_takes_the_agents_goodbye_back(scene: Scene) -> None:
    scene.begin()
    scene.audio(5000)
    scene.call_tool("call_1", "end_call")
    scene.finish()
    scene.run(500)
    pressed_zero(scene)
    scene.feed(ev.ToolOutputTaken("call_1"))
    assert scene.outputs() == [prompts.end_taken_back(TakenBack.KEY_PRESSED)]
    assert scene.asked() == [prompts.announcement("Sales")]


def test_a_zero_during_a_transfer_is_not_another_one(scene: Scene) -> None:
    call_transfer(scene)
    pressed_zero(scene)
    scene.run(60_000)
    assert len(scene.all(do.TransferCall)) == 1 and scene.messages() == []


def test_a_zero_that_waited_for_its_pause_when_the_agent_transferred_is_not_another_one(
    scene: Scene,
) -> None:
    scene.press("0")
    call_transfer(scene, announcement_ms=0)  # interrupted: the caller typed
    scene.run(PAUSE_MS)
    assert scene.outputs() == [prompts.transfer_suspended(TakenBack.KEY_PRESSED)]
    scene.respond(500)
    scene.run(10_000)
    assert len(scene.all(do.TransferCall)) == 1


def test_a_caller_who_speaks_after_the_zero_is_answered_and_may_press_it_again(
    scene: Scene,
) -> None:
    pressed_zero(scene)
    scene.begin()
    scene.audio(1500)
    scene.run(300)
    scene.speak()
    scene.finish(status="cancelled")
    scene.fall_silent()
    scene.answer(500, "item_2", "resp_2")
    scene.run(3000)
    assert not scene.all(do.TransferCall)
    pressed_zero(scene)
    scene.respond(500)
    scene.run(1000)
    first, second = [message.text for message in scene.all(do.AddMessage)], scene.asked()
    assert first == [prompts.tool_result(TRANSFER, prompts.transfer_suspended())]
    assert second == [prompts.announcement("Sales")] * 2
    assert len(scene.all(do.TransferCall)) == 1


def test_a_zero_while_the_agents_own_tones_sound_is_text_for_the_agent() -> None:
    """The agent is in a menu: the key comes from a machine, not from a caller who needs help."""
    scene = transfer_scene()
    scene.feed(ev.ResponseCreated("resp_1"))
    scene.call_tool("call_1", "send_digits", arguments='{"digits": "' + "1" * 40 + '"}')
    scene.feed(ev.ResponseDone("resp_1", "completed"))
    scene.run(1000)
    pressed_zero(scene)
    assert scene.messages() == [("user", prompts.keys_pressed("0"))]
    assert not scene.all(do.TransferCall)


@pytest.mark.parametrize("fatal", [False, True])
def test_a_zero_too_late_for_the_model_is_left_to_the_twiml(scene: Scene, fatal: bool) -> None:
    scene.feed(ev.ModelLost("gone", fatal=fatal))
    scene.run(20_000)
    assert scene.all(do.CloseStream) == [do.CloseStream("model")]
    pressed_zero(scene)
    scene.run(10_000)
    assert not scene.all(do.TransferCall) and scene.machine.without_model
