"""Each tool call runs once, is answered once, and gets one reply."""

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from tests.call.scene import Scene


@pytest.fixture
def scene() -> Scene:
    return Scene().connect()


def outputs(scene: Scene) -> list[tuple[str, str]]:
    return [(answer.call_id, answer.output) for answer in scene.all(do.AddToolOutput)]


def test_a_tool_runs_and_the_model_is_asked_for_a_reply(scene: Scene) -> None:
    scene.feed(ev.ResponseCreated("resp_1"))
    assert scene.call_tool(arguments='{"day":"friday"}') == [
        do.RunTool("call_1", "look_up", '{"day":"friday"}')
    ]
    scene.feed(ev.ResponseDone("resp_1", "completed"))
    assert scene.feed(ev.ToolReturned("call_1", "42")) == [
        do.AddToolOutput("bridge_2", "call_1", "42"),
        do.CreateResponse("bridge_3"),
    ]
    assert scene.heard() == [("tool", "42")]


def test_a_tool_that_answers_before_its_response_ends_gets_its_reply_after_it(scene: Scene) -> None:
    scene.feed(ev.ResponseCreated("resp_1"))
    scene.call_tool()
    assert scene.feed(ev.ToolReturned("call_1", "42")) == [
        do.AddToolOutput("bridge_2", "call_1", "42")
    ]
    assert scene.feed(ev.ResponseDone("resp_1", "completed")) == [do.CreateResponse("bridge_3")]


def test_a_tool_that_failed_is_answered_too(scene: Scene) -> None:
    scene.tool_response("call_1")
    scene.feed(ev.ToolFailed("call_1", "no such day"))
    assert outputs(scene) == [("call_1", "no such day")]
    assert len(scene.all(do.CreateResponse)) == 1


def test_two_tools_of_one_response_get_one_reply(scene: Scene) -> None:
    scene.tool_response("call_1", "call_2")
    assert len(scene.feed(ev.ToolReturned("call_2", "2"))) == 1
    scene.run(1000)
    assert scene.all(do.CreateResponse) == []
    scene.feed(ev.ToolReturned("call_1", "1"))
    assert outputs(scene) == [("call_2", "2"), ("call_1", "1")]
    assert len(scene.all(do.CreateResponse)) == 1


def test_a_second_answer_to_a_call_is_ignored(scene: Scene) -> None:
    scene.tool_response("call_1")
    scene.feed(ev.ToolReturned("call_1", "42"))
    assert scene.feed(ev.ToolReturned("call_1", "43"), ev.ToolFailed("call_1", "late")) == []
    assert outputs(scene) == [("call_1", "42")]


def test_an_answer_to_an_unknown_call_is_ignored(scene: Scene) -> None:
    assert scene.feed(ev.ToolReturned("call_9", "42"), ev.ToolOutputTaken("call_9")) == []


def test_a_call_that_arrives_twice_runs_once(scene: Scene) -> None:
    scene.feed(ev.ResponseCreated("resp_1"))
    scene.call_tool()
    assert scene.call_tool() == []
    assert len(scene.all(do.RunTool)) == 1


def test_a_tool_that_misses_its_deadline_is_cancelled_and_answered(scene: Scene) -> None:
    scene.tool_response("call_1")
    begun_ms = scene.now_ms
    scene.run(10_000)
    scene.respond()  # the hold
    scene.run_until(begun_ms + 14_999)
    assert outputs(scene) == []
    scene.run(1)
    late = prompts.tool_overdue("look_up", 15_000)
    assert scene.all(do.CancelTool) == [do.CancelTool("call_1")]
    assert outputs(scene) == [("call_1", late)]
    assert scene.feed(ev.ToolReturned("call_1", "42")) == []
    assert ("tool", late) in scene.heard()


def test_an_incomplete_call_is_deleted_and_not_run(scene: Scene) -> None:
    scene.feed(ev.ResponseCreated("resp_1"), ev.OutputItemAdded("resp_1", "f1", "function_call"))
    fragment = ev.OutputItemDone(
        "resp_1", "f1", "function_call", "incomplete", "call_1", "pay", '{"a'
    )
    assert scene.feed(fragment) == [do.DeleteItem("bridge_2", "f1")]
    assert scene.feed(ev.ResponseDone("resp_1", "cancelled")) == []


def test_a_barge_in_does_not_delete_a_call_that_is_being_generated(scene: Scene) -> None:
    scene.begin()
    scene.audio(1000)
    scene.feed(
        ev.OutputItemDone("resp_1", "item_1", "message", "completed"),
        ev.OutputItemAdded("resp_1", "f1", "function_call"),
    )
    scene.run(200)
    cut = scene.speak()
    assert [type(command) for command in cut] == [do.ClearAudio, do.TruncateItem]


def test_a_call_completed_before_the_barge_in_runs_and_is_answered(scene: Scene) -> None:
    scene.begin()
    scene.audio(1000)
    scene.call_tool()
    scene.run(200)
    scene.speak()
    scene.finish(status="cancelled")
    scene.feed(ev.ToolReturned("call_1", "42"))
    assert outputs(scene) == [("call_1", "42")]
    assert scene.all(do.CreateResponse) == []  # the caller speaks
    scene.fall_silent()
    scene.run(4000)
    assert len(scene.all(do.CreateResponse)) == 1


def test_the_call_ends_while_a_tool_runs(scene: Scene) -> None:
    scene.tool_response("call_1")
    assert scene.feed(ev.StreamEnded("stop")) == [
        do.CancelTool("call_1"),
        do.CloseModel(),
        do.EndLeg("caller"),
    ]
    assert scene.feed(ev.ToolReturned("call_1", "42")) == []


def test_ids_of_a_lost_session_may_come_again(scene: Scene) -> None:
    """A server that numbers its responses begins anew with each session."""
    scene.feed(ev.ResponseCreated("resp_1"))
    scene.feed(ev.ModelLost("gone"))
    scene.configure()
    scene.feed(ev.ResponseCreated("resp_1"))
    scene.call_tool("call_2")
    assert [run.call_id for run in scene.all(do.RunTool)] == ["call_2"]
