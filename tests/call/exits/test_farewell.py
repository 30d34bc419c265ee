"""The goodbye is heard to its last mark, then the call is hung up; a barge-in takes it back."""

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.exits.last_words import GUARD_MS
from tests.call.scene import Scene, agent


@pytest.fixture
def scene() -> Scene:
    return Scene(up_ms=50, down_ms=50).connect()


def end_call(scene: Scene, goodbye_ms: int = 2000, call_id: str = "call_1") -> None:
    """The agent says goodbye, or not, and calls end_call in the same response."""
    scene.feed(ev.ResponseCreated("resp_1"))
    if goodbye_ms:
        scene.feed(ev.OutputItemAdded("resp_1", "item_1", "message"))
        scene.audio(goodbye_ms)
        scene.feed(ev.OutputItemDone("resp_1", "item_1", "message", "completed"))
    scene.call_tool(call_id, "end_call")
    scene.feed(ev.ResponseDone("resp_1", "completed"))


def tool_answers(scene: Scene) -> list[str]:
    return [answer.output for answer in scene.all(do.AddToolOutput)]


def asked(scene: Scene) -> list[str]:
    return [request.direction for request in scene.all(do.CreateResponse)]


def test_the_goodbye_is_heard_to_its_last_mark_before_the_hang_up(scene: Scene) -> None:
    begun_ms = scene.now_ms
    end_call(scene)
    assert scene.all(do.RunTool) == [] and tool_answers(scene) == []
    scene.run(2100 + GUARD_MS - 1)
    assert not scene.all(do.HangUp)
    scene.run(1)
    assert scene.when(do.HangUp) == [begun_ms + 2100 + GUARD_MS]
    assert scene.line.heard_bytes("item_1", scene.now_ms) == 16_000
    assert tool_answers(scene) == [prompts.END_DONE]
    scene.feed(ev.HangUpConfirmed())
    assert scene.feed(ev.StreamEnded("stop"))[-1] == do.EndLeg("agent")
    assert scene.machine.ended_by == "agent"


def test_a_last_mark_that_never_comes_is_waited_for_two_seconds_longer(scene: Scene) -> None:
    scene.line.echoes = False
    begun_ms = scene.now_ms
    end_call(scene)
    scene.run(10_000)
    assert scene.when(do.HangUp) == [begun_ms + 2000 + 100 + 2000 + GUARD_MS]


def test_a_goodbye_that_waits_behind_a_blocked_stream_is_not_cut(scene: Scene) -> None:
    scene.feed(ev.StreamBlocked())
    end_call(scene)
    scene.run(8000)
    assert not scene.all(do.HangUp)
    scene.feed(ev.StreamUnblocked())
    scene.run(2100 + GUARD_MS)
    assert len(scene.all(do.HangUp)) == 1
    assert scene.line.heard_bytes("item_1", scene.now_ms) == 16_000


def test_an_agent_that_ends_without_a_word_is_asked_for_a_goodbye(scene: Scene) -> None:
    end_call(scene, goodbye_ms=0)
    assert tool_answers(scene) == [prompts.END_UNSPOKEN]
    assert asked(scene) == [prompts.GOODBYE]
    scene.respond(1000)
    scene.run(1100 + GUARD_MS - 1)
    assert not scene.all(do.HangUp)
    scene.run(1)
    assert len(scene.all(do.HangUp)) == 1
    assert tool_answers(scene) == [prompts.END_UNSPOKEN]


def test_a_barge_in_takes_the_goodbye_back_and_the_call_goes_on(scene: Scene) -> None:
    end_call(scene)
    scene.run(800)
    scene.speak()
    assert tool_answers(scene) == [prompts.end_taken_back()]
    scene.feed(ev.ToolOutputTaken("call_1"))
    scene.fall_silent()
    scene.answer(1000, "item_2", "resp_2")
    scene.run(120_000)
    assert not scene.all(do.HangUp) and asked(scene) == []
    assert tool_answers(scene) == [prompts.end_taken_back()]


def test_a_goodbye_taken_back_can_be_decided_again(scene: Scene) -> None:
    end_call(scene)
    scene.speak()
    scene.fall_silent()
    scene.feed(ev.ResponseCreated("resp_2"))
    scene.audio(500, "item_2", "resp_2")
    scene.call_tool("call_2", "end_call", "resp_2")
    scene.finish("item_2", "resp_2")
    scene.run(700 + GUARD_MS)
    assert len(scene.all(do.HangUp)) == 1
    assert tool_answers(scene) == [prompts.end_taken_back(), prompts.END_DONE]


def test_a_requested_goodbye_is_not_said_after_a_barge_in(scene: Scene) -> None:
    end_call(scene, goodbye_ms=0)
    scene.feed(ev.ResponseCreated("resp_2"))
    scene.speak()
    scene.feed(ev.ResponseDone("resp_2", "failed", "server_error"))
    scene.fall_silent()
    scene.answer(500, "item_3", "resp_3")
    scene.run(60_000)
    assert asked(scene) == [prompts.GOODBYE] and not scene.all(do.HangUp)


def test_a_goodbye_decided_while_the_caller_speaks_is_taken_back_at_once(scene: Scene) -> None:
    scene.begin()
    scene.audio(2000)
    scene.speak()
    scene.call_tool("call_1", "end_call")
    assert tool_answers(scene) == [prompts.end_taken_back()]
    scene.finish(status="cancelled")
    scene.fall_silent()
    scene.run(60_000)
    assert not scene.all(do.HangUp)


def test_two_calls_of_end_call_are_one_goodbye(scene: Scene) -> None:
    scene.begin()
    scene.audio(1000)
    scene.call_tool("call_1", "end_call")
    scene.call_tool("call_2", "end_call")
    scene.finish()
    assert tool_answers(scene) == [prompts.END_ALREADY]
    scene.run(1100 + GUARD_MS)
    assert tool_answers(scene) == [prompts.END_ALREADY, prompts.END_DONE]
    assert len(scene.all(do.HangUp)) == 1


def test_speech_after_the_hang_up_changes_nothing(scene: Scene) -> None:
    end_call(scene)
    scene.run(2100 + GUARD_MS)
    assert scene.speak() == []
    assert scene.fall_silent() == []
    scene.run(5000)
    assert asked(scene) == []


def test_a_goodbye_in_a_response_that_failed_was_still_a_goodbye(scene: Scene) -> None:
    scene.begin()
    scene.audio(1000)
    scene.call_tool("call_1", "end_call")
    scene.finish(status="failed")
    scene.run(1100 + GUARD_MS)
    assert len(scene.all(do.HangUp)) == 1 and asked(scene) == []


def test_a_goodbye_that_fails_is_asked_for_again(scene: Scene) -> None:
    end_call(scene, goodbye_ms=0)
    scene.feed(ev.ResponseCreated("resp_2"), ev.ResponseDone("resp_2", "failed"))
    scene.run(400)
    assert asked(scene) == [prompts.GOODBYE] * 2 and not scene.all(do.HangUp)


def test_a_goodbye_that_never_comes_is_said_by_twilio_within_fifteen_seconds(
    scene: Scene,
) -> None:
    begun_ms = scene.now_ms
    end_call(scene, goodbye_ms=0)
    scene.run(14_000)
    assert scene.all(do.CloseStream) == [do.CloseStream("agent")] and not scene.all(do.HangUp)
    assert scene.when(do.CloseStream)[0] - begun_ms < 14_000
    assert scene.machine.last_words == "Goodbye."
    assert max(scene.line.silences_ms(begun_ms, scene.now_ms)) <= 8000


def test_a_goodbye_that_never_ends_is_cut_off_after_a_minute(scene: Scene) -> None:
    begun_ms = scene.now_ms
    end_call(scene, goodbye_ms=0)
    scene.begin("item_2", "resp_2")
    for _ in range(70):
        scene.audio(1500, "item_2", "resp_2")
        scene.run(1000)
    assert scene.when(do.CloseStream) == [begun_ms + 60_000] and not scene.all(do.HangUp)
    assert scene.machine.last_words == "Goodbye."


def test_an_operator_ends_the_call_at_once(scene: Scene) -> None:
    scene.answer(5000)
    assert scene.feed(ev.HangUpRequested("operator")) == [do.HangUp("operator")]
    assert scene.feed(ev.HangUpRequested("shutdown")) == []  # requested twice, done once
    assert scene.feed(ev.StreamEnded("stop"))[-1] == do.EndLeg("operator", 40000)


def test_an_operator_who_is_faster_than_the_goodbye_leaves_end_call_answered(
    scene: Scene,
) -> None:
    end_call(scene)
    ordered = scene.feed(ev.HangUpRequested("operator"))
    assert [type(command) for command in ordered] == [do.AddToolOutput, do.HangUp]
    assert tool_answers(scene) == [prompts.END_FORCED]


def test_a_hang_up_that_fails_closes_the_stream_and_then_the_leg(scene: Scene) -> None:
    end_call(scene)
    scene.run(2100 + GUARD_MS)
    assert scene.feed(ev.HangUpFailed("no credentials")) == [do.CloseStream("no credentials")]
    assert scene.feed(ev.HangUpFailed("no credentials")) == []
    scene.run(4999)
    assert not scene.machine.over
    scene.run(1)
    assert scene.take()[-1] == do.EndLeg("agent")


def test_a_hang_up_without_effect_closes_the_stream(scene: Scene) -> None:
    scene.feed(ev.HangUpRequested("operator"), ev.HangUpConfirmed())
    scene.take()
    scene.run(11_999)
    assert scene.take() == []
    scene.run(1)
    assert scene.take() == [do.CloseStream("hang-up without effect")]
    scene.run(5000)
    assert scene.take()[-1] == do.EndLeg("operator")


def test_no_response_is_requested_once_the_call_is_hung_up(scene: Scene) -> None:
    scene.tool_response("call_1")
    scene.feed(ev.HangUpRequested("operator"), ev.ToolReturned("call_1", "42"))
    scene.run(8000)
    assert asked(scene) == []


def test_a_goodbye_whose_session_is_lost_is_still_heard(scene: Scene) -> None:
    scene.begin()
    scene.audio(2000)
    scene.call_tool("call_1", "end_call")
    scene.feed(ev.ModelLost("closed"))
    scene.configure()
    scene.run(2100 + GUARD_MS)
    assert len(scene.all(do.HangUp)) == 1 and asked(scene) == []
    assert scene.line.heard_bytes("item_1", scene.now_ms) == 16_000


def test_a_goodbye_that_a_lost_session_owed_is_requested_from_the_next(scene: Scene) -> None:
    scene.feed(ev.ResponseCreated("resp_1"))
    scene.call_tool("call_1", "end_call")
    scene.feed(ev.ModelLost("closed"))
    scene.configure()
    assert asked(scene) == [prompts.GOODBYE]
    scene.respond(500)
    scene.feed(ev.ModelLost("closed"))  # it was said: it plays to its end
    scene.run(600 + GUARD_MS)
    assert len(scene.all(do.HangUp)) == 1


def test_a_model_that_is_gone_for_good_does_not_cut_the_goodbye(scene: Scene) -> None:
    end_call(scene)
    scene.feed(ev.ModelLost("no money left", fatal=True))
    scene.run(2100 + GUARD_MS)
    assert len(scene.all(do.HangUp)) == 1 and not scene.all(do.CloseStream)


def test_a_stream_that_ends_during_the_goodbye_ends_the_leg(scene: Scene) -> None:
    end_call(scene)
    scene.run(500)
    assert scene.feed(ev.StreamEnded("stop"))[-1] == do.EndLeg("agent", 12000)
    assert scene.machine.transcript(scene.now_ms) == []


def test_an_agent_that_is_not_interruptible_keeps_its_goodbye() -> None:
    scene = Scene(agent(interruptible=False), up_ms=0, down_ms=0).connect()
    end_call(scene)
    scene.run(500)
    scene.speak()
    scene.run(1500 + GUARD_MS)
    assert len(scene.all(do.HangUp)) == 1 and tool_answers(scene) == [prompts.END_DONE]


# --- the stream is lost ---------------------------------------------------------------------------


def test_a_stream_lost_during_the_goodbye_does_not_end_the_call(scene: Scene) -> None:
    end_call(scene)
    scene.run(800)
    scene.feed(ev.StreamEnded("the socket broke", lost=True))
    assert scene.machine.ended_by == "line" and not scene.machine.hanging_up


def test_a_stream_lost_after_the_goodbye_was_heard_ends_the_call(scene: Scene) -> None:
    end_call(scene)
    scene.run(2100 + GUARD_MS)
    assert scene.all(do.HangUp) and scene.machine.hanging_up
    scene.feed(ev.StreamEnded("the socket broke", lost=True))
    assert scene.machine.ended_by == "agent"


def test_a_caller_who_hangs_up_during_the_goodbye_ends_the_call(scene: Scene) -> None:
    end_call(scene)
    scene.run(800)
    scene.feed(ev.StreamEnded("stop"))
    assert scene.machine.ended_by == "agent"
