"""A model that calls too many tools, or calls tools again and again, is stopped politely."""

from dataclasses import replace

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.exits.built_in_tools import END_CALL
from app.call.model.tool_limits import MOST_CALLS
from tests.call.scene import AGENT, Scene

ROUNDS = 3
PAUSED = prompts.tools_paused(ROUNDS)


@pytest.fixture
def scene() -> Scene:
    limits = replace(AGENT.limits, tool_rounds=ROUNDS)
    return Scene(replace(AGENT, limits=limits)).connect()


def tool_round(scene: Scene, number: int, *names: str) -> list[do.Command]:
    """A response that calls these tools, and their answers. Returns the commands of all of it."""
    before = len(scene.commands)
    response_id = f"resp_{number}"
    scene.feed(ev.ResponseCreated(response_id))
    for index, name in enumerate(names or ("look_up",)):
        call_id = f"call_{number}_{index}"
        scene.feed(
            ev.OutputItemDone(
                response_id, f"f_{call_id}", "function_call", "completed", call_id, name, "{}"
            )
        )
    scene.feed(ev.ResponseDone(response_id, "completed"))
    for _, command in scene.commands[before:]:
        if isinstance(command, do.RunTool):
            scene.feed(ev.ToolReturned(command.call_id, "42"))
    return [command for _, command in scene.commands[before:]]


def replies(commands: list[do.Command]) -> list[str]:
    """The direction of each response that was requested."""
    return [each.direction for each in commands if isinstance(each, do.CreateResponse)]


def ran(commands: list[do.Command]) -> list[str]:
    return [each.name for each in commands if isinstance(each, do.RunTool)]


def outputs(commands: list[do.Command]) -> dict[str, str]:
    return {each.call_id: each.output for each in commands if isinstance(each, do.AddToolOutput)}


def test_calls_past_the_limit_of_a_response_are_answered_and_not_run(scene: Scene) -> None:
    commands = tool_round(scene, 1, *["look_up"] * 200)

    assert len(ran(commands)) == MOST_CALLS
    answers = outputs(commands)
    assert len(answers) == 200  # the model waits for an output to every call
    refused = [text for text in answers.values() if text != "42"]
    assert set(refused) == {prompts.too_many_calls("look_up", MOST_CALLS)}
    assert len(refused) == 200 - MOST_CALLS and str(MOST_CALLS) in refused[0]
    assert replies(commands) == [""]  # one for all of them, which may call the others
    assert len(scene.decisions) == 1


def test_calls_that_only_the_end_of_the_response_lists_are_limited_too(scene: Scene) -> None:
    calls = tuple(
        ev.OutputItemDone("", f"f{n}", "function_call", "completed", f"call_{n}", "look_up", "{}")
        for n in range(MOST_CALLS + 1)
    )
    scene.feed(ev.ResponseCreated("resp_1"))
    commands = scene.feed(ev.ResponseDone("resp_1", "completed", calls=calls))
    assert len(ran(commands)) == MOST_CALLS
    assert list(outputs(commands)) == [f"call_{MOST_CALLS}"]


def test_the_reply_after_the_last_round_may_call_no_tool(scene: Scene) -> None:
    directions = [replies(tool_round(scene, number)) for number in range(1, ROUNDS + 1)]
    assert directions == [[""], [""], [PAUSED]]


def test_the_callers_words_begin_the_rounds_anew(scene: Scene) -> None:
    for number in range(1, ROUNDS):
        tool_round(scene, number)
    scene.finish()
    scene.speak()
    scene.fall_silent()
    assert replies(tool_round(scene, 8)) == [""]


def test_a_key_of_the_callers_begins_the_rounds_anew(scene: Scene) -> None:
    for number in range(1, ROUNDS):
        tool_round(scene, number)
    scene.feed(ev.DigitPressed("4"))
    scene.feed(ev.DigitPressed("#"))
    assert ran(tool_round(scene, 8)) == ["look_up"]
    assert PAUSED not in replies([command for _, command in scene.commands])


def test_what_the_caller_types_may_be_answered_with_tools(scene: Scene) -> None:
    for number in range(1, ROUNDS):
        tool_round(scene, number)
    scene.feed(ev.ResponseCreated("resp_8"))
    scene.call_tool("call_8", response_id="resp_8")
    scene.feed(ev.DigitPressed("4"))
    scene.feed(ev.ToolReturned("call_8", "42"), ev.ResponseDone("resp_8", "completed"))
    scene.feed(ev.DigitPressed("#"))
    assert PAUSED not in replies([command for _, command in scene.commands])


def test_a_model_that_calls_a_tool_all_the_same_gets_an_error(scene: Scene) -> None:
    for number in range(1, ROUNDS + 1):
        tool_round(scene, number)
    commands = tool_round(scene, 8)
    assert ran(commands) == []
    assert outputs(commands) == {"call_8_0": prompts.too_many_rounds("look_up", ROUNDS)}
    assert [type(each) for each in commands] == [do.AddToolOutput, do.CreateResponse]


def test_a_model_that_never_stops_calling_tools_gets_no_more_replies(scene: Scene) -> None:
    rounds = [tool_round(scene, number) for number in range(1, ROUNDS + 10)]
    assert sum(len(replies(commands)) for commands in rounds) == ROUNDS + 2
    assert all(len(outputs(commands)) == 1 for commands in rounds)


def test_the_call_can_end_after_any_number_of_rounds(scene: Scene) -> None:
    for number in range(1, ROUNDS + 1):
        tool_round(scene, number)
    commands = tool_round(scene, 8, END_CALL)
    assert outputs(commands) == {"call_8_0": prompts.END_UNSPOKEN}
    assert scene.machine.leaving
