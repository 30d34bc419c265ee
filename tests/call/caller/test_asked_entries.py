"""Digits that a tool asked for go to that tool; secret ones to that tool alone."""

from collections.abc import Callable

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.agent import Limits
from app.call.caller.digit_entries import PROMPT_MS
from app.call.caller.keypad import ASKED_PAUSE_MS, MASK, STRAY_MS, TAIL_MS
from tests.call.scene import Scene, agent
from tests.call.transfer_scene import transfer_scene

PROMPT = "Please type your PIN."
SAY_PROMPT = prompts.say(PROMPT)
TIMEOUT_MS = 20_000.0


@pytest.fixture
def scene() -> Scene:
    return Scene(up_ms=0, down_ms=0).connect()


def ask(
    scene: Scene,
    length: int = 4,
    *,
    secret: bool = False,
    prompt: str = "",
    call_id: str = "call_1",
    response_id: str = "resp_1",
) -> list[do.Command]:
    """A tool runs and asks for digits."""
    scene.tool_response(call_id, response_id=response_id)
    return scene.feed(ev.EntryAsked(call_id, length, secret, prompt, TIMEOUT_MS))


def given(scene: Scene) -> list[tuple[str, str]]:
    return [(command.call_id, command.digits) for command in scene.all(do.GiveDigits)]


@pytest.mark.parametrize(("length", "typed"), [(4, "1234"), (0, "1234#"), (6, "1234#")])
def test_what_a_tool_asked_for_goes_to_that_tool_alone(
    scene: Scene, length: int, typed: str
) -> None:
    ask(scene, length)
    scene.press(typed, 200)
    assert given(scene) == [("call_1", "1234")]
    scene.run(5000)
    assert scene.messages() == [] and scene.asked() == []
    scene.feed(ev.ToolReturned("call_1", "welcome"))
    assert scene.outputs() == ["welcome"] and scene.asked() == [""]


def test_the_prompt_is_said_when_the_tools_response_is_over(scene: Scene) -> None:
    scene.begin()
    scene.call_tool()
    scene.feed(ev.EntryAsked("call_1", 4, False, PROMPT, TIMEOUT_MS))
    scene.audio(1000)
    assert scene.asked() == []
    scene.finish()
    assert scene.asked() == [SAY_PROMPT]


def test_a_key_interrupts_the_prompt(scene: Scene) -> None:
    ask(scene, prompt=PROMPT)
    scene.begin("item_2", "resp_2")
    scene.audio(2000, "item_2", "resp_2")
    scene.run(300)
    assert do.CancelResponse in {type(command) for command in scene.press("1")}
    scene.finish("item_2", "resp_2", "cancelled")
    scene.press("234")
    assert given(scene) == [("call_1", "1234")]
    scene.run(1000)
    assert scene.asked() == [SAY_PROMPT]


def test_a_prompt_is_not_said_after_the_digits_are_there(scene: Scene) -> None:
    scene.begin()
    scene.call_tool()
    scene.feed(ev.EntryAsked("call_1", 4, False, PROMPT, TIMEOUT_MS))
    scene.press("1234", 100)  # the agent had said it already
    scene.finish(status="cancelled")
    scene.run(1000)
    assert given(scene) == [("call_1", "1234")] and scene.asked() == []


def test_a_prompt_of_a_tool_that_failed_is_not_said(scene: Scene) -> None:
    scene.begin()
    scene.call_tool()
    scene.feed(ev.EntryAsked("call_1", 4, False, PROMPT, TIMEOUT_MS))
    scene.feed(ev.ToolFailed("call_1", "no"))
    scene.finish()
    assert scene.asked() == [""]


def test_the_deadline_of_an_entry_starts_when_the_prompt_was_heard(scene: Scene) -> None:
    ask(scene, prompt=PROMPT)
    scene.run(1500)  # the model takes its time
    scene.answer(6000, "item_2", "resp_2")
    scene.run(6000 + TIMEOUT_MS - 1)
    assert given(scene) == []
    scene.run(1)
    assert given(scene) == [("call_1", "")]


def test_a_prompt_held_back_by_a_blocked_stream_is_waited_for(scene: Scene) -> None:
    scene.feed(ev.StreamBlocked())
    ask(scene, prompt=PROMPT)
    scene.answer(3000, "item_2", "resp_2")
    scene.run(10_000)
    scene.feed(ev.StreamUnblocked())
    scene.run(3000 + TIMEOUT_MS - 1)
    assert given(scene) == []
    scene.run(1)
    assert given(scene) == [("call_1", "")]


def test_a_prompt_that_never_ends_does_not_keep_the_tool_for_ever(scene: Scene) -> None:
    asked_ms = scene.now_ms
    ask(scene, prompt=PROMPT)
    scene.begin("item_2", "resp_2")
    for _ in range(60):
        scene.audio(1500, "item_2", "resp_2")
        scene.run(1000)
    assert scene.when(do.GiveDigits) == [asked_ms + PROMPT_MS + TIMEOUT_MS]


def test_a_caller_who_types_nothing_lets_the_tool_answer(scene: Scene) -> None:
    ask(scene)
    scene.run(TIMEOUT_MS)
    assert given(scene) == [("call_1", "")]
    scene.feed(ev.ToolFailed("call_1", "the caller typed nothing"))
    assert scene.outputs() == ["the caller typed nothing"] and scene.asked() == [""]


def test_the_deadline_of_a_tool_pauses_while_the_caller_types() -> None:
    limits = Limits(idle_ms=5000, longest_call_ms=0, tool_ms=10_000)
    scene = Scene(agent(limits=limits), up_ms=0, down_ms=0).connect()
    ask(scene, 16)
    scene.run(19_000)
    for _ in range(16):
        scene.press("1")
        scene.run(4000)
    assert given(scene) == [("call_1", "1" * 16)]
    assert not scene.all(do.CancelTool) and scene.outputs() == []
    scene.run(10_000 - 4000 - 1)
    assert not scene.all(do.CancelTool)
    scene.run(1)
    assert scene.all(do.CancelTool) == [do.CancelTool("call_1")]
    assert scene.outputs() == [prompts.tool_overdue("look_up", 10_000)]


def test_a_caller_who_is_to_type_is_neither_nudged_nor_put_on_hold() -> None:
    limits = Limits(idle_ms=5000, longest_call_ms=0, tool_ms=60_000)
    scene = Scene(agent(limits=limits), up_ms=0, down_ms=0).connect()
    ask(scene, 4)
    scene.run(TIMEOUT_MS - 1)
    assert scene.asked() == [] and scene.all(do.PlayAudio) == []
    scene.run(1)
    scene.run(6000)  # now the caller waits for the tool again
    assert scene.asked() == [prompts.HOLD]


def test_a_caller_without_a_prompt_hears_hold_tones(
    scene: Scene,
) -> None:
    begun_ms = scene.now_ms
    ask(scene, prompt=PROMPT)
    scene.feed(ev.ModelLost("gone"))
    scene.run(19_000)
    assert given(scene) == []
    assert max(scene.line.silences_ms(begun_ms, scene.now_ms)) <= 8000
    scene.configure()
    assert scene.asked()[-1] == SAY_PROMPT


def test_a_second_tool_that_asks_at_once_gets_nothing(scene: Scene) -> None:
    scene.tool_response("call_1", "call_2")
    scene.feed(ev.EntryAsked("call_1", 4, False, "", TIMEOUT_MS))
    second = scene.feed(ev.EntryAsked("call_2", 4, True, PROMPT, TIMEOUT_MS))
    assert second == [do.GiveDigits("call_2", "")]
    scene.press("1234")
    assert given(scene) == [("call_2", ""), ("call_1", "1234")]
    assert scene.asked() == [] and not scene.all(do.MuteCaller)


@pytest.mark.parametrize("call_id", ["call_unknown", "call_1"])
def test_a_tool_that_is_not_waited_for_gets_no_digits(scene: Scene, call_id: str) -> None:
    scene.tool_response("call_1")
    scene.feed(ev.ToolReturned("call_1", "42"))
    asked = scene.feed(ev.EntryAsked(call_id, 4, True, PROMPT, TIMEOUT_MS))
    assert asked == [do.GiveDigits(call_id, "")]


def test_a_tool_may_ask_twice(scene: Scene) -> None:
    ask(scene, 2)
    scene.press("12")
    scene.feed(ev.EntryAsked("call_1", 2, False, "", TIMEOUT_MS))
    scene.press("#34")  # the # still ends the first
    assert given(scene) == [("call_1", "12"), ("call_1", "34")]


def test_a_replaced_session_does_not_lose_the_entry(scene: Scene) -> None:
    ask(scene, 4)
    scene.press("12")
    scene.feed(ev.ModelLost("gone"))
    scene.configure()
    scene.press("34")
    assert given(scene) == [("call_1", "1234")]


def test_a_stream_that_ends_while_a_tool_asks_ends_the_tool(scene: Scene) -> None:
    ask(scene, 4, secret=True)
    ended = scene.feed(ev.StreamEnded("stop"))
    assert do.CancelTool("call_1") in ended
    assert scene.press("1") == []


# --- keys before the tool asked -------------------------------------------------------------------


def test_digits_typed_while_the_tool_is_called_are_the_first_of_its_entry(scene: Scene) -> None:
    """The agent has asked for them in its own words."""
    scene.press("12", 200)
    ask(scene, 4)
    scene.press("34", 200)
    scene.run(10_000)
    assert given(scene) == [("call_1", "1234")] and scene.messages() == []


def test_an_entry_typed_while_the_tool_is_called_is_complete_at_once(scene: Scene) -> None:
    scene.press("1234", 200)
    assert do.GiveDigits("call_1", "1234") in ask(scene, 4)


def test_keys_before_a_prompt_are_told_to_the_model(scene: Scene) -> None:
    scene.press("12", 200)
    ask(scene, 4, prompt=PROMPT)
    assert scene.messages() == [("user", prompts.keys_pressed("12"))]
    assert scene.asked() == [SAY_PROMPT]  # and need no answer
    scene.answer(500, "item_2", "resp_2")
    scene.press("3456", 200)
    assert given(scene) == [("call_1", "3456")]


@pytest.mark.parametrize("prompt", ["", PROMPT])
def test_keys_before_a_secret_entry_are_dropped(scene: Scene, prompt: str) -> None:
    """They may be its first digits, and were not masked."""
    scene.press("12", 200)
    ask(scene, 4, secret=True, prompt=prompt)
    scene.press(MASK * 4, 200)
    assert given(scene) == [("call_1", MASK * 4)] and scene.messages() == []


def test_keys_that_continue_an_entry_of_the_model_are_told_to_it(scene: Scene) -> None:
    scene.press("40")
    scene.run(2000)
    scene.press("7")
    scene.begin()
    scene.finish(status="cancelled")
    ask(scene, 4, response_id="resp_2")
    assert scene.messages()[-1] == ("user", prompts.keys_pressed("407"))
    scene.press("1234", 200)
    assert given(scene) == [("call_1", "1234")]


# --- secrets ------------------------------------------------------------------------------------


def test_a_secret_entry_is_masked_and_the_caller_muted(scene: Scene) -> None:
    assert not scene.machine.masks_keys(scene.now_ms)
    assert ask(scene, 4, secret=True) == [do.MuteCaller()]
    assert scene.machine.masks_keys(scene.now_ms)
    scene.press(MASK * 4, 200)
    assert given(scene) == [("call_1", MASK * 4)]
    assert scene.all(do.UnmuteCaller) == []
    done_ms = scene.now_ms - 200
    scene.run(10_000)
    assert scene.when(do.UnmuteCaller) == [done_ms + 200 + TAIL_MS]
    assert not scene.machine.masks_keys(scene.now_ms)


def test_no_key_of_a_secret_is_in_any_command(scene: Scene) -> None:
    ask(scene, 16, secret=True, prompt="Your card's number, please.")
    for _ in range(16):
        scene.press(MASK)
        scene.run(400)
    scene.press("#")
    scene.run(20_000)
    said = [command for _, command in scene.commands if isinstance(command, do.AddMessage)]
    assert said == [] and given(scene) == [("call_1", MASK * 16)]
    assert "user" not in {role for role, _ in scene.heard()}


def test_the_rest_of_an_incomplete_secret_is_dropped(scene: Scene) -> None:
    ask(scene, 16, secret=True)
    scene.press(MASK * 3)
    scene.run(ASKED_PAUSE_MS)
    assert given(scene) == [("call_1", MASK * 3)]
    scene.feed(ev.ToolFailed("call_1", "too short"))
    scene.begin("item_2", "resp_2")
    scene.audio(3000, "item_2", "resp_2")
    for _ in range(13):
        assert scene.machine.masks_keys(scene.now_ms)
        assert scene.press(MASK) == []  # it does not interrupt either
        scene.run(600)
    scene.finish("item_2", "resp_2")
    scene.run(60_000)
    assert scene.messages() == [] and scene.asked() == [""]
    assert len(scene.all(do.MuteCaller)) == len(scene.all(do.UnmuteCaller)) == 1


def test_a_caller_is_unmuted_by_the_timer_alone(scene: Scene) -> None:
    ask(scene, 4, secret=True)
    scene.press(MASK)
    pressed_ms = scene.now_ms
    scene.run(60_000)
    assert scene.when(do.UnmuteCaller) == [pressed_ms + ASKED_PAUSE_MS + STRAY_MS]


def test_a_secret_whose_tool_failed_does_not_reach_the_agent(scene: Scene) -> None:
    ask(scene, 4, secret=True)
    scene.press(MASK * 2, 200)
    scene.feed(ev.ToolFailed("call_1", "the bank is down"))
    assert scene.machine.masks_keys(scene.now_ms)
    scene.press(MASK * 2, 200)
    scene.run(60_000)
    assert given(scene) == [] and scene.messages() == []
    assert len(scene.all(do.UnmuteCaller)) == 1


def test_the_rest_of_a_secret_that_a_lost_stream_cut_is_dropped_on_the_next_leg() -> None:
    scene = Scene(up_ms=0, down_ms=0)
    scene.feed(ev.LegOpened(secret_entry_open=True))
    scene.configure()
    scene.run(STRAY_MS)  # until Twilio has opened another stream
    scene.feed(ev.StreamStarted("MZ2"))
    assert scene.machine.masks_keys(scene.now_ms) and scene.machine.secret_entry == ""
    for _ in range(4):
        assert scene.press(MASK) == []
        scene.run(1000)
    scene.run(60_000)
    assert given(scene) == [] and scene.messages() == []
    assert len(scene.all(do.MuteCaller)) == len(scene.all(do.UnmuteCaller)) == 1
    assert not scene.machine.masks_keys(scene.now_ms)


def test_the_machine_names_the_tool_that_a_secret_key_belongs_to(scene: Scene) -> None:
    ask(scene, 4)
    assert scene.machine.secret_entry == ""
    scene.press("1234")
    scene.feed(ev.ToolReturned("call_1", "welcome"))
    ask(scene, 4, secret=True, call_id="call_2", response_id="resp_2")
    assert scene.machine.secret_entry == "call_2"
    scene.press(MASK * 4)
    assert scene.machine.secret_entry == ""


def transferred(scene: Scene) -> None:
    scene.feed(ev.TransferRequested("Support"))


def recorded_by_a_machine(scene: Scene) -> None:
    scene.feed(ev.VoicemailReached("Please call back."))


def hung_up(scene: Scene) -> None:
    scene.feed(ev.HangUpRequested("operator"))


def ended(scene: Scene) -> None:
    scene.feed(ev.StreamEnded("stop"))


@pytest.mark.parametrize("drops", [transferred, recorded_by_a_machine, hung_up, ended])
def test_a_secret_key_that_is_dropped_is_masked_and_belongs_to_no_entry(
    drops: Callable[[Scene], None],
) -> None:
    scene = transfer_scene()
    ask(scene, 4, secret=True)
    scene.press(MASK * 2, 200)
    drops(scene)
    assert scene.machine.masks_keys(scene.now_ms) and scene.machine.secret_entry == ""
    scene.press(MASK)
    scene.run(60_000)
    assert given(scene) == [] or given(scene) == [("call_1", MASK * 2)]


def test_a_secret_entry_goes_on_without_the_keys_that_a_transfer_dropped() -> None:
    scene = transfer_scene()
    ask(scene, 4, secret=True)
    counted = []
    for key, before in enumerate([None, transferred, None, Scene.speak, None, None, None, None]):
        if before is not None:
            before(scene)
        if scene.machine.secret_entry:
            counted.append(key)
        scene.press(MASK)
        scene.run(300)
    assert counted[:2] == [0, 3] and given(scene) == [("call_1", MASK * 4)]
