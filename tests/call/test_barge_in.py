"""Barge-in: the caller speaks, the agent stops, and the session is truncated to what was heard."""

import pytest

from app.call import commands as do
from app.call import events as ev
from app.wires.realtime.refusals import refusal
from tests.call.scene import Scene, agent


@pytest.fixture
def scene() -> Scene:
    return Scene(up_ms=0, down_ms=0).connect()


def kinds(commands: list[do.Command]) -> list[type[do.Command]]:
    return [type(command) for command in commands]


def cuts(commands: list[do.Command]) -> list[tuple[str, int]]:
    """(item id, heard ms); 0 for a deletion."""
    return [
        (c.item_id, c.audio_end_ms if isinstance(c, do.TruncateItem) else 0)
        for c in commands
        if isinstance(c, do.TruncateItem | do.DeleteItem)
    ]


def test_a_barge_in_clears_twilio_and_truncates_to_what_was_heard(scene: Scene) -> None:
    scene.begin()
    scene.audio(5000)
    scene.run(1230)
    stopped = scene.speak()
    assert kinds(stopped) == [do.ClearAudio, do.TruncateItem]
    assert cuts(stopped) == [("item_1", 1230)]


def test_a_response_is_truncated_long_after_it_was_done(scene: Scene) -> None:
    scene.answer(20_000)
    scene.run(12_345)
    stopped = scene.speak()
    assert kinds(stopped) == [do.ClearAudio, do.TruncateItem]
    assert cuts(stopped) == [("item_1", 12_345)]


def test_each_queued_item_is_truncated_or_deleted(scene: Scene) -> None:
    scene.answer(1000)
    scene.answer(1000, "item_2", "resp_2")
    scene.answer(1000, "item_3", "resp_3")
    scene.run(1500)
    stopped = scene.speak()
    assert kinds(stopped) == [do.ClearAudio, do.TruncateItem, do.DeleteItem]
    assert cuts(stopped) == [("item_2", 500), ("item_3", 0)]


def test_nothing_is_cleared_when_everything_was_heard(scene: Scene) -> None:
    scene.answer(1000)
    scene.run(1500)
    assert scene.speak() == []


def test_an_item_of_which_nothing_was_heard_is_deleted(scene: Scene) -> None:
    scene.answer(1000)
    assert kinds(scene.speak()) == [do.ClearAudio, do.DeleteItem]


def test_audio_that_was_held_back_is_dropped_with_the_rest(scene: Scene) -> None:
    scene.begin()
    scene.audio(500)
    scene.feed(ev.StreamBlocked())
    scene.audio(500)
    scene.run(300)
    assert cuts(scene.speak()) == [("item_1", 300)]
    assert kinds(scene.feed(ev.StreamUnblocked())) == [do.SendMark]  # measures the round trip
    scene.run(5000)
    assert scene.line.heard_bytes("item_1", scene.now_ms) == 300 * 8


def test_late_deltas_of_a_cut_item_are_dropped(scene: Scene) -> None:
    scene.begin()
    scene.audio(1000)
    scene.run(500)
    scene.speak()
    assert scene.audio(1000) == []
    scene.finish(status="cancelled")
    assert scene.audio(1000) == []
    scene.fall_silent()
    scene.answer(1000, "item_2", "resp_2")
    scene.run(3000)
    assert scene.line.heard_bytes("item_1", scene.now_ms) == 500 * 8
    assert scene.line.heard_bytes("item_2", scene.now_ms) == 8000


def test_an_item_that_was_begun_but_has_no_audio_is_deleted(scene: Scene) -> None:
    scene.begin()
    assert scene.speak() == [do.DeleteItem("bridge_2", "item_1")]
    assert scene.audio(300) == []


def test_an_incomplete_item_is_truncated_though_all_its_audio_played(scene: Scene) -> None:
    scene.begin()
    scene.audio(1000)
    scene.run(4000)
    assert cuts(scene.speak()) == [("item_1", 1000)]
    assert scene.all(do.ClearAudio) == []
    assert scene.audio(500) == []


def test_a_second_barge_in_truncates_only_what_came_since(scene: Scene) -> None:
    scene.answer(5000)
    scene.run(1000)
    scene.speak()
    scene.fall_silent()
    scene.answer(5000, "item_2", "resp_2")
    scene.run(700)
    assert cuts(scene.speak("user_2")) == [("item_2", 700)]


def test_a_repeated_speech_started_truncates_once(scene: Scene) -> None:
    scene.answer(5000)
    scene.run(1000)
    scene.speak()
    assert scene.speak() == []


def test_marks_echoed_by_a_clear_are_not_heard() -> None:
    scene = Scene(up_ms=40, down_ms=40).connect()
    scene.answer(10_000)
    scene.run(2000)
    scene.speak()
    scene.fall_silent()
    scene.answer(4000, "item_2", "resp_2")  # on its way before the flushed marks are back
    scene.run(1000)
    assert cuts(scene.speak("user_2")) == [("item_2", 1000)]


def test_a_response_created_after_the_caller_began_is_cancelled() -> None:
    scene = Scene(agent(greeting="Hello."), up_ms=0, down_ms=0).connect()
    scene.speak()
    created = scene.feed(ev.ResponseCreated("resp_1"))
    assert created == [do.CancelResponse("bridge_3", "resp_1")]


def test_what_a_response_says_before_its_cancellation_arrives_is_deleted() -> None:
    """The cancellation is on its way while the first words come: the caller does not hear them."""
    scene = Scene(agent(greeting="Hello."), up_ms=0, down_ms=0).connect()
    scene.speak()
    begun = scene.begin()
    assert kinds(begun) == [do.CancelResponse, do.DeleteItem]
    scene.feed(ev.TranscriptReceived("item_1", "Hello there, I am"))
    assert scene.audio(600) == []
    assert scene.finish(status="cancelled") == []
    scene.fall_silent(text="Hi!")
    assert scene.heard() == [("user", "Hi!")]


def test_audio_of_a_cancelled_response_that_was_not_announced_is_deleted_too(scene: Scene) -> None:
    scene.speak()
    scene.fall_silent()
    scene.speak()
    scene.feed(ev.ResponseCreated("resp_1"))
    assert cuts(scene.audio(300)) == [("item_1", 0)]


def test_a_second_item_of_an_interrupted_response_is_deleted(scene: Scene) -> None:
    scene.begin()
    scene.audio(1000)
    scene.feed(ev.OutputItemDone("resp_1", "item_1", "message", "completed"))
    scene.run(5000)
    assert scene.speak() == []  # the first was heard out
    late = scene.feed(ev.OutputItemAdded("resp_1", "item_2", "message"))
    assert cuts(late) == [("item_2", 0)]
    assert scene.audio(200, "item_2") == []
    assert scene.audio(200, "item_1") == []


def test_an_agent_that_is_not_interruptible_talks_on() -> None:
    scene = Scene(agent(interruptible=False)).connect()
    scene.answer(3000)
    scene.run(1000)
    assert scene.speak() == []
    scene.fall_silent()
    assert scene.begin("item_2", "resp_2") == []
    scene.audio(1000, "item_2", "resp_2")
    scene.run(4000)
    assert scene.line.heard_bytes("item_1", scene.now_ms) == 24_000
    assert scene.line.heard_bytes("item_2", scene.now_ms) == 8000


def test_a_caller_who_cannot_interrupt_is_answered_when_the_agent_has_ended() -> None:
    """Turn detection asked for an answer while another was active, and was refused unheard."""
    scene = Scene(agent(interruptible=False)).connect()
    scene.begin()
    scene.audio(2000)
    scene.speak()
    scene.fall_silent()
    scene.run(500)
    scene.finish()
    assert scene.all(do.CreateResponse) == []
    scene.run(1000)
    assert scene.all(do.CreateResponse) == [do.CreateResponse("bridge_2")]


def refused(message: str, event_id: str) -> ev.ModelFaulted:
    """The refusal of a truncation with this error text."""
    return ev.ModelFaulted("invalid_value", message, event_id, *refusal("invalid_value", message))


def test_a_truncation_beyond_the_audio_is_retried_at_the_length_that_the_error_names(
    scene: Scene,
) -> None:
    scene.answer(5000)
    scene.run(1500)
    truncation = scene.speak()[-1]
    assert isinstance(truncation, do.TruncateItem)
    message = "Audio content of 1200ms is already shorter than 1500ms"
    again = scene.feed(refused(message, truncation.event_id))
    assert again == [do.TruncateItem("bridge_3", "item_1", 1200)]
    assert scene.feed(refused(message, "bridge_3")) == []


@pytest.mark.parametrize(
    "message",
    ["Audio content of 0ms is already shorter than 1500ms", "Only model output audio messages …"],
)
def test_a_truncation_refused_for_another_reason_is_not_retried(scene: Scene, message: str) -> None:
    scene.answer(5000)
    scene.run(1500)
    truncation = scene.speak()[-1]
    assert isinstance(truncation, do.TruncateItem)
    assert scene.feed(refused(message, truncation.event_id)) == []
    assert not scene.machine.over


@pytest.mark.parametrize("cause", [None, "", "bridge_1", "unknown"])
def test_no_error_event_ends_the_call(scene: Scene, cause: str | None) -> None:
    scene.answer(1000)
    assert scene.feed(ev.ModelFaulted("server_error", "sorry", cause)) == []
    assert scene.machine.hears_caller and not scene.machine.over


def test_confirmations_of_the_session_change_nothing(scene: Scene) -> None:
    scene.answer(1000)
    assert scene.feed(ev.ItemTruncated("item_1", 500), ev.ItemDeleted("item_1")) == []
    assert scene.feed(ev.SessionCreated("sess_1", 1), ev.CallerAudioForwarded(50, 8000)) == []
    assert scene.feed(ev.CallerTranscriptionFailed("user_1", "noise")) == []
