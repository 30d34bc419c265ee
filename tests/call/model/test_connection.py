"""The model's session is lost, the call is not: the next one knows what was heard and is due."""

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.agent import Limits
from tests.call.scene import Scene, agent

LOST = ev.ModelLost("closed with code 1006")


@pytest.fixture
def scene() -> Scene:
    scene = Scene(up_ms=0, down_ms=0).connect()
    scene.run(10_000)  # longer than STEADY_MS
    return scene


def messages(commands: list[do.Command]) -> list[tuple[str, str]]:
    return [(c.role, c.text) for c in commands if isinstance(c, do.AddMessage)]


def asked(scene: Scene) -> list[str]:
    return [request.direction for request in scene.all(do.CreateResponse)]


RENEWED = ("system", prompts.SESSION_RENEWED)


def test_a_session_is_opened_with_the_leg_and_configured_before_it_is_used() -> None:
    scene = Scene(agent(greeting="Hello."))
    assert scene.feed(ev.LegOpened()) == [do.OpenModel()]
    assert scene.feed(ev.ModelOpened()) == [do.ConfigureSession("bridge_1")]
    assert not scene.machine.hears_caller
    assert [type(c) for c in scene.feed(ev.SessionConfigured())] == [do.CreateResponse]
    assert scene.machine.hears_caller


def test_a_lost_session_is_replaced_at_once(scene: Scene) -> None:
    assert scene.feed(LOST) == [do.CloseModel(), do.OpenModel()]
    assert not scene.machine.hears_caller
    assert scene.configure() == [do.ConfigureSession("bridge_2")]  # no history, no pending response


def test_a_session_that_cannot_be_opened_is_retried_with_growing_pauses(scene: Scene) -> None:
    lost_ms = scene.now_ms
    scene.feed(LOST)
    for _ in range(6):
        opened = len(scene.all(do.OpenModel))
        scene.feed(ev.ModelLost("refused"))
        while len(scene.all(do.OpenModel)) == opened:
            scene.run(50)
    opened_ms = [at_ms - lost_ms for at_ms in scene.when(do.OpenModel) if at_ms >= lost_ms]
    assert opened_ms == [0, 200, 600, 1400, 3000, 4600, 6200]


def test_a_model_that_is_unreachable_for_twenty_seconds_is_given_up(scene: Scene) -> None:
    lost_ms = scene.now_ms
    scene.feed(LOST)
    scene.run(19_999)
    assert not scene.all(do.CloseStream) and not scene.machine.without_model
    scene.run(1)
    assert scene.all(do.CloseStream) == [do.CloseStream("model")]
    assert scene.machine.without_model
    scene.run(5000)
    assert scene.when(do.EndLeg) == [lost_ms + 25_000]
    assert scene.machine.ended_by == "model"


def test_sessions_that_are_lost_soon_after_opening_count_as_failed_tries(scene: Scene) -> None:
    for _ in range(100):
        scene.feed(LOST)
        scene.run(500)
        if scene.all(do.CloseStream):
            break
        scene.configure()
        scene.run(500)
    assert scene.all(do.CloseStream) == [do.CloseStream("model")]
    assert scene.now_ms < 40_000
    times_ms = scene.when(do.OpenModel)
    assert times_ms[-1] - times_ms[-2] >= 1000  # not a hot loop


def test_a_steady_session_that_is_lost_is_replaced_without_a_pause(scene: Scene) -> None:
    for _ in range(5):
        assert scene.feed(LOST)[-1] == do.OpenModel()
        scene.configure()
        scene.run(60_000)
    assert not scene.all(do.CloseStream)


def test_a_wrong_key_is_not_retried(scene: Scene) -> None:
    assert scene.feed(ev.ModelLost("invalid_api_key", fatal=True)) == [
        do.CloseModel(),
        do.CloseStream("model"),
    ]
    assert scene.machine.without_model


def test_with_a_wrong_key_the_stream_is_closed_once_the_caller_is_connected() -> None:
    scene = Scene()
    scene.feed(ev.LegOpened())
    assert scene.feed(ev.ModelLost("invalid_api_key", fatal=True)) == [do.CloseModel()]
    scene.run(10_000)
    assert scene.all(do.OpenModel) == [do.OpenModel()]
    assert scene.feed(ev.StreamStarted("MZ1"))[-1] == do.CloseStream("model")


def test_a_session_that_refuses_the_settings_is_replaced() -> None:
    scene = Scene()
    scene.feed(ev.LegOpened(), ev.ModelOpened())
    refused = ev.ModelFaulted("invalid_value", "no such format", "bridge_1", setting="required")
    lost = scene.feed(refused)
    assert lost == [do.CloseModel()]
    scene.run(200)
    assert len(scene.all(do.OpenModel)) == 2


def test_a_session_that_misses_the_deadline_for_its_settings_is_replaced() -> None:
    scene = Scene()
    scene.feed(ev.LegOpened(), ev.ModelOpened())
    scene.run(11_999)
    assert not scene.all(do.CloseModel)
    scene.run(1)
    assert len(scene.all(do.CloseModel)) == 1
    scene.run(200)
    assert len(scene.all(do.OpenModel)) == 2
    assert scene.feed(ev.SessionConfigured()) == []  # of the abandoned session
    assert not scene.machine.hears_caller


def test_settings_accepted_twice_send_the_conversation_once(scene: Scene) -> None:
    scene.answer(500, text="Hello.")
    scene.run(1000)
    scene.feed(LOST)
    assert len(messages(scene.configure())) == 2
    assert scene.feed(ev.SessionConfigured()) == []


def test_the_next_session_gets_what_was_heard(scene: Scene) -> None:
    scene.speak()
    scene.fall_silent(text="A table for two, please.")
    scene.answer(4000, text="one two three four five six")
    scene.run(2000)
    scene.feed(LOST)
    told = messages(scene.configure())
    assert told == [
        ("user", "A table for two, please."),
        ("assistant", "one two three"),
        RENEWED,
    ]


def test_the_next_session_gets_the_tool_outputs(scene: Scene) -> None:
    scene.tool_response("call_1")
    scene.feed(ev.ToolReturned("call_1", "42"))
    scene.feed(LOST)
    told = messages(scene.configure())
    assert told == [("system", "Result of look_up: 42"), RENEWED]
    assert asked(scene) == ["", ""]  # the reply that was requested of the lost session


def test_text_without_audio_was_not_heard(scene: Scene) -> None:
    """Transcripts arrive ahead of their audio."""
    scene.speak()
    scene.fall_silent(text="Hello?")
    scene.begin()
    scene.feed(ev.TranscriptReceived("item_1", "Good morning, this is Ada."))
    assert scene.heard() == [("user", "Hello?")]
    scene.feed(LOST)
    assert messages(scene.configure()) == [("user", "Hello?"), RENEWED]
    assert asked(scene) == [""]


def test_a_turn_without_a_transcript_is_answered_by_the_next_session(scene: Scene) -> None:
    scene.speak()
    scene.fall_silent()
    scene.feed(LOST)
    assert messages(scene.configure()) == [RENEWED]
    assert asked(scene) == [""]


def test_a_caller_who_spoke_when_the_session_was_lost_is_answered(scene: Scene) -> None:
    scene.speak()
    scene.feed(LOST)
    scene.configure()
    assert asked(scene) == [""]


def test_a_response_that_was_lost_is_requested_again(scene: Scene) -> None:
    scene.begin()
    scene.audio(1000)
    scene.feed(LOST)
    scene.run(500)
    scene.configure()
    assert asked(scene) == [""]
    scene.run(1000)
    assert scene.line.heard_bytes("item_1", scene.now_ms) == 8000  # what plays goes on playing


def test_a_greeting_of_which_nothing_was_heard_is_requested_again() -> None:
    scene = Scene(agent(greeting="Hello."), up_ms=0, down_ms=0).connect()
    scene.feed(LOST)
    scene.run(200)
    scene.configure()
    assert asked(scene) == [prompts.greeting(scene.agent)] * 2


def test_a_greeting_of_which_a_part_was_heard_is_continued() -> None:
    scene = Scene(agent(greeting="Hello."), up_ms=0, down_ms=0).connect()
    scene.begin()
    scene.feed(ev.TranscriptReceived("item_1", "Hello and welcome to us."))
    scene.audio(2000)
    scene.run(1000)
    scene.feed(LOST)
    scene.run(200)
    scene.configure()
    assert asked(scene)[1:] == [""]


def test_a_nudge_that_was_lost_is_not_repeated() -> None:
    limits = Limits(idle_ms=5000, longest_call_ms=0)
    scene = Scene(agent(limits=limits), up_ms=0, down_ms=0).connect()
    scene.run(5000)
    assert asked(scene) == [prompts.NUDGE]
    scene.feed(LOST)
    scene.configure()
    assert asked(scene) == [prompts.NUDGE]


def test_a_tool_that_answers_without_a_session_reaches_the_next_one(scene: Scene) -> None:
    scene.tool_response("call_1")
    scene.feed(LOST)
    assert scene.feed(ev.ToolReturned("call_1", "42")) == []
    assert messages(scene.configure()) == [("system", "Result of look_up: 42"), RENEWED]
    assert asked(scene) == [""] and scene.all(do.AddToolOutput) == []


def test_a_tool_that_outlives_its_session_answers_the_next_one_by_a_message(scene: Scene) -> None:
    scene.tool_response("call_1")
    scene.feed(LOST)
    assert messages(scene.configure()) == [("system", prompts.tool_running("look_up"))]
    assert asked(scene) == []
    answered = scene.feed(ev.ToolReturned("call_1", "42"))
    assert messages(answered) == [("system", "Result of look_up: 42")]
    assert asked(scene) == [""] and scene.all(do.AddToolOutput) == []


def test_a_tool_whose_response_was_lost_is_not_called_again(scene: Scene) -> None:
    """A reply requested now would call it a second time, and book the table twice."""
    scene.feed(ev.ResponseCreated("resp_1"))
    scene.call_tool()
    scene.feed(LOST)
    scene.configure()
    assert asked(scene) == []
    scene.feed(ev.ToolReturned("call_1", "booked"))
    assert asked(scene) == [""]


def test_ids_of_a_lost_session_are_not_used_in_the_next(scene: Scene) -> None:
    scene.answer(5000, text="one two three four five")
    scene.run(1000)
    scene.feed(LOST)
    scene.configure()
    scene.take()
    scene.run(1000)
    assert [type(command) for command in scene.speak()] == [do.ClearAudio]
    assert scene.heard() == [("assistant", "one two"), ("user", "")]


def test_a_session_lost_while_no_answer_is_due_requests_nothing(scene: Scene) -> None:
    scene.answer(500)
    scene.run(2000)
    scene.feed(LOST)
    scene.configure()
    assert asked(scene) == []
