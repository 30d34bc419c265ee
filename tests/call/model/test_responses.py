"""One response is in flight, the rest in a queue; failed and refused ones are retried."""

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.response_deadlines import STALLED_MS
from app.call.usage import Usage
from tests.call.scene import Scene, agent

BUSY = "conversation_already_has_active_response"
GREETING = prompts.greeting(agent(greeting="Hello."))


@pytest.fixture
def greeted() -> Scene:
    """The greeting is requested, with the event id bridge_2."""
    scene = Scene(agent(greeting="Hello.")).connect()
    assert scene.all(do.CreateResponse) == [do.CreateResponse("bridge_2", GREETING)]
    return scene


def asked(scene: Scene) -> list[str]:
    """The directions of all responses requested."""
    return [request.direction for request in scene.all(do.CreateResponse)]


def test_without_a_greeting_nothing_is_requested() -> None:
    assert Scene().connect().all(do.CreateResponse) == []


def test_a_tool_is_answered_after_the_response_that_is_active() -> None:
    scene = Scene().connect()
    scene.tool_response("call_1")
    scene.begin("item_2", "resp_2")  # turn detection answered the caller meanwhile
    assert scene.feed(ev.ToolReturned("call_1", "42")) == [
        do.AddToolOutput("bridge_2", "call_1", "42")
    ]
    scene.audio(100, "item_2", "resp_2")
    assert scene.finish("item_2", "resp_2")[-1] == do.CreateResponse("bridge_3")


def test_nothing_is_requested_while_a_request_is_pending(greeted: Scene) -> None:
    greeted.tool_response("call_1", response_id="resp_unexpected")
    greeted.feed(ev.ToolReturned("call_1", "42"))
    assert len(asked(greeted)) == 2
    greeted.feed(ev.ToolReturned("call_1", "42"))
    greeted.run(3000)
    assert len(asked(greeted)) == 2


def test_a_request_refused_as_busy_is_repeated_after_the_active_response() -> None:
    scene = Scene().connect()
    scene.tool_response("call_1")
    request = scene.feed(ev.ToolReturned("call_1", "42"))[-1]
    assert isinstance(request, do.CreateResponse)
    scene.begin("item_2", "resp_2")  # turn detection began one first
    assert scene.feed(ev.ModelFaulted(BUSY, "busy", request.event_id, "busy")) == []
    scene.run(1000)
    scene.audio(100, "item_2", "resp_2")
    assert scene.finish("item_2", "resp_2")[-1] == do.CreateResponse("bridge_4")


def test_a_model_busy_with_an_unknown_response_is_asked_again_after_a_pause() -> None:
    scene = Scene().connect()
    scene.tool_response("call_1")
    scene.feed(ev.ToolReturned("call_1", "42"))
    for _ in range(6):
        request = scene.all(do.CreateResponse)[-1]
        assert scene.feed(ev.ModelFaulted(BUSY, "busy", request.event_id, "busy")) == []
        scene.run(400)
    times_ms = scene.when(do.CreateResponse)
    assert len(times_ms) == 7 and not scene.machine.without_model
    assert all(b - a == 400 for a, b in zip(times_ms, times_ms[1:], strict=False))


def test_a_greeting_is_not_requested_again_when_the_caller_spoke_first(greeted: Scene) -> None:
    greeted.begin()
    greeted.feed(ev.ModelFaulted(BUSY, "busy", "bridge_2", "busy"))
    greeted.audio(100)
    greeted.finish()
    greeted.run(5000)
    assert asked(greeted) == [GREETING]


def test_an_error_of_another_event_does_not_free_the_request(greeted: Scene) -> None:
    greeted.feed(ev.ModelFaulted(BUSY, "busy", "bridge_99", "busy"))
    greeted.run(2999)  # requested a second before the caller was connected
    assert asked(greeted) == [GREETING]


def test_a_busy_error_without_an_event_id_is_retried() -> None:
    scene = Scene().connect()
    scene.tool_response("call_1")
    scene.feed(ev.ToolReturned("call_1", "42"), ev.ModelFaulted(BUSY, "busy", refusal="busy"))
    scene.run(400)
    assert asked(scene) == ["", ""]


def test_a_refusal_that_comes_twice_counts_once(greeted: Scene) -> None:
    greeted.feed(ev.ModelFaulted("server_error", "sorry", "bridge_2"))
    greeted.feed(ev.ModelFaulted("server_error", "sorry", "bridge_2"))
    greeted.run(399)
    assert asked(greeted) == [GREETING]
    greeted.run(1)
    assert asked(greeted) == [GREETING] * 2


def test_a_refused_response_is_retried_with_growing_pauses_then_given_up(greeted: Scene) -> None:
    pauses_ms: list[float] = []
    while not greeted.all(do.CloseStream):
        request = greeted.all(do.CreateResponse)[-1]
        refused_ms = greeted.now_ms
        greeted.feed(ev.ModelFaulted("rate_limit_exceeded", "wait", request.event_id))
        while greeted.all(do.CreateResponse)[-1] == request and not greeted.all(do.CloseStream):
            greeted.run(100)
        pauses_ms.append(greeted.when(do.CreateResponse)[-1] - refused_ms)
    assert pauses_ms[:3] == [400, 800, 1600] and len(greeted.all(do.CreateResponse)) == 4
    assert greeted.all(do.CloseStream) == [do.CloseStream("model")]
    assert greeted.machine.without_model


def test_a_failed_response_is_retried_with_growing_pauses_then_given_up() -> None:
    scene = Scene().connect()
    pauses_ms: list[float] = []
    scene.speak()
    scene.fall_silent()
    scene.feed(ev.ResponseCreated("resp_0"))
    for number in range(4):
        failed_ms = scene.now_ms
        scene.feed(ev.ResponseDone(f"resp_{number}", "failed", "rate_limit_exceeded"))
        if not scene.all(do.CloseStream):
            asked_before = len(asked(scene))
            while len(asked(scene)) == asked_before:
                scene.run(100)
            pauses_ms.append(scene.when(do.CreateResponse)[-1] - failed_ms)
            scene.feed(ev.ResponseCreated(f"resp_{number + 1}"))
    assert pauses_ms == [400, 800, 1600]
    assert scene.all(do.CloseStream) == [do.CloseStream("model")]


def test_a_completed_response_resets_the_count_of_failures(greeted: Scene) -> None:
    for number in range(10):
        response_id = f"resp_{number}"
        greeted.feed(ev.ResponseCreated(response_id), ev.ResponseDone(response_id, "failed"))
        greeted.run(1000)
        greeted.answer(100, f"item_{number}", f"good_{number}")
        greeted.speak()
        greeted.fall_silent()
    assert not greeted.all(do.CloseStream)


def test_an_unknown_response_that_failed_is_not_retried() -> None:
    scene = Scene().connect()
    scene.feed(ev.ResponseDone("resp_unknown", "failed"))
    scene.run(10_000)
    assert asked(scene) == []


def test_a_response_that_stalls_ends_the_session_and_not_the_call() -> None:
    scene = Scene().connect()
    scene.speak()
    scene.fall_silent()
    scene.begin()
    for _ in range(4):
        scene.audio(1000)
        scene.run(1000 + STALLED_MS - 500)
    assert not scene.all(do.CloseModel)
    scene.run(600)
    assert len(scene.all(do.CloseModel)) == 1 and len(scene.all(do.OpenModel)) == 2
    scene.configure()
    assert asked(scene) == [""]


def test_an_answer_to_the_caller_also_serves_a_pending_reply() -> None:
    scene = Scene().connect()
    scene.tool_response("call_1")
    scene.speak()
    scene.feed(ev.ToolReturned("call_1", "42"), ev.ToolOutputTaken("call_1"))
    scene.fall_silent()
    scene.answer(500, "item_2", "resp_2")
    scene.run(10_000)
    assert asked(scene) == []


def test_an_answer_begun_before_the_tool_output_was_known_does_not_serve_it() -> None:
    scene = Scene().connect()
    scene.tool_response("call_1")
    scene.speak()
    scene.fall_silent()
    scene.feed(ev.ToolReturned("call_1", "42"))  # not confirmed when turn detection begins
    scene.begin("item_2", "resp_2")
    scene.feed(ev.ToolOutputTaken("call_1"))
    scene.audio(500, "item_2", "resp_2")
    assert scene.finish("item_2", "resp_2")[-1] == do.CreateResponse("bridge_3")


def test_a_turn_that_turn_detection_does_not_answer_is_answered_on_request() -> None:
    scene = Scene().connect()
    scene.speak()
    scene.fall_silent()
    scene.run(3999)
    assert asked(scene) == []
    scene.run(1)
    assert asked(scene) == [""]


def test_nothing_is_requested_while_the_caller_speaks() -> None:
    scene = Scene().connect()
    scene.tool_response("call_1")
    scene.speak()
    scene.feed(ev.ToolReturned("call_1", "42"))
    scene.run(60_000)
    assert asked(scene) == []
    scene.fall_silent()
    scene.run(4000)
    assert asked(scene) == [""]


def test_an_incomplete_response_is_not_retried() -> None:
    scene = Scene().connect()
    scene.begin()
    scene.audio(500)
    assert scene.finish(status="incomplete") != []  # the mark at its end
    scene.run(60_000)
    assert asked(scene) == []


def test_the_usage_of_all_responses_is_added_up() -> None:
    scene = Scene().connect()
    for number in range(2):
        usage = Usage(input_audio=10, output_audio=5, output_text=number)
        scene.feed(
            ev.ResponseCreated(f"r{number}"),
            ev.ResponseDone(f"r{number}", "completed", usage=usage),
        )
    assert scene.machine.usage == Usage(input_audio=20, output_audio=10, output_text=1)
