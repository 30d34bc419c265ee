"""A call that resumes: the agent knows what was said, and what became of the transfer."""

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.exits import built_in_tools
from app.call.exits.transfer import TRANSFER
from app.call.heard.conversation import Turn
from tests.call.scene import Scene, agent
from tests.call.transfer_scene import HUMANS, MONDAY_NOON_S

NO_ANSWER = "Sales: no answer. Support: busy. Nobody took the call."
SAID = (("assistant", "Hello."), ("user", "A human, please."), ("assistant", "One moment."))


def resumed(
    *,
    tool: str = TRANSFER,
    output: str = NO_ANSWER,
    history: tuple[tuple[str, str], ...] = SAID,
    greeting: str = "Hello.",
    call_id: str = "call_1",
) -> Scene:
    """The leg that resumes after a failed transfer: its stream has started, its model is not up."""
    scene = Scene(agent(greeting=greeting, destinations=HUMANS.destinations), up_ms=0, down_ms=0)
    scene.feed(ev.LegOpened(history, MONDAY_NOON_S, tool, call_id, output))
    scene.feed(ev.StreamStarted("MZ2"))
    return scene


def turns(scene: Scene) -> list[Turn]:
    return scene.machine.transcript(scene.now_ms)


def test_a_resumed_call_seeds_the_session_with_its_history_and_the_transfer() -> None:
    scene = resumed()
    scene.configure()
    result = ("system", prompts.tool_result(TRANSFER, NO_ANSWER))
    assert scene.messages() == [*SAID, result, ("system", prompts.SESSION_RESUMED)]
    assert scene.asked() == [built_in_tools.resumed(TRANSFER)]
    order = [type(command) for _, command in scene.commands]
    assert order.index(do.CreateResponse) > order.index(do.AddMessage)


def test_the_agent_speaks_first_and_once_when_the_call_resumes() -> None:
    scene = resumed()
    scene.configure()
    scene.respond(1500)
    scene.run(60_000)
    assert len(scene.asked()) == 1


def test_what_became_of_the_transfer_is_a_turn_of_the_transcript() -> None:
    scene = resumed()
    scene.configure()
    scene.answer(500, text="Nobody is there right now.")
    scene.run(1000)
    first, second = turns(scene)
    assert (first.role, first.item_id, first.text) == ("tool", "call_1", NO_ANSWER)
    assert first.detail == {"name": TRANSFER}
    assert second.heard_text == "Nobody is there right now."


def test_the_history_goes_on_with_what_became_of_the_transfer() -> None:
    scene = resumed()
    scene.configure()
    scene.answer(500, text="Nobody is there right now.")
    scene.run(1000)
    assert scene.machine.history(scene.now_ms) == (
        *SAID,
        ("system", prompts.tool_result(TRANSFER, NO_ANSWER)),
        ("assistant", "Nobody is there right now."),
    )


@pytest.mark.parametrize("greeting", ["Hello.", ""])
def test_a_caller_who_had_said_nothing_before_is_not_greeted_as_new(greeting: str) -> None:
    """They pressed 0 while the model was down: nothing was said, but they waited for a human."""
    scene = resumed(history=(), greeting=greeting)
    scene.configure()
    assert scene.asked() == [built_in_tools.resumed(TRANSFER)]


def test_a_model_that_comes_late_still_says_what_became_of_the_transfer() -> None:
    scene = resumed()
    begun_ms = scene.now_ms
    for _ in range(4):
        scene.feed(ev.ModelLost("refused"))
        scene.run(3500)
    assert max(scene.line.silences_ms(begun_ms, scene.now_ms)) <= 8000
    scene.configure()
    assert scene.asked() == [built_in_tools.resumed(TRANSFER)]


def test_a_session_lost_before_its_first_word_was_heard_is_asked_again() -> None:
    scene = resumed()
    scene.configure()
    scene.feed(ev.ModelLost("gone"))
    scene.configure()
    assert scene.asked()[-1] == built_in_tools.resumed(TRANSFER)


def test_a_resumed_call_may_be_transferred_again() -> None:
    scene = resumed(call_id="bridge_transfer_0_1")
    scene.configure()
    scene.respond(100)
    scene.run(1000)
    scene.feed(ev.TransferRequested("Support"))
    scene.respond(100)
    scene.run(1000)
    (order,) = scene.all(do.TransferCall)
    assert order.call_id != "bridge_transfer_0_1"  # that one has its answer


def test_ids_of_the_bridge_differ_from_leg_to_leg_though_nothing_was_said() -> None:
    first = Scene(HUMANS)
    first.feed(ev.LegOpened(), ev.StreamStarted("MZ1"), ev.TransferRequested("Support"))
    first.run(1000)
    (order,) = first.all(do.TransferCall)
    second = resumed(history=(), call_id=order.call_id)
    second.feed(ev.TransferRequested("Support"))
    second.run(1000)
    assert second.all(do.TransferCall)[0].call_id != order.call_id


def test_an_agent_that_resumes_after_twilio_pressed_keys_goes_on() -> None:
    scene = resumed(tool="send_digits", output=prompts.DIGITS_SENT)
    scene.configure()
    assert scene.asked() == [built_in_tools.resumed("send_digits")]
    assert ("system", prompts.tool_result("send_digits", prompts.DIGITS_SENT)) in (scene.messages())


def test_an_agent_that_resumes_after_a_lost_stream_says_only_that() -> None:
    scene = resumed(tool="", output="", call_id="")
    scene.configure()
    assert scene.asked() == [built_in_tools.resumed("")]
    assert [role for role, _ in scene.messages()] == ["assistant", "user", "assistant", "system"]
    assert turns(scene) == []
