"""Compatible servers leave out ids, times and whole events: the call goes on without them."""

from typing import Any

import msgspec
import pytest

from app.call import commands as do
from app.call import events as ev
from app.wires.realtime.codec import decode
from tests.call.scene import Scene
from tests.call.voice_scene import VoiceScene

SPEECH = "AAAA" * 800  # base64 of 2400 bytes, loud


def receive(scene: Scene, *messages: dict[str, Any]) -> list[do.Command]:
    """The server sends these events as JSON. Returns the commands that follow."""
    commands: list[do.Command] = []
    for message in messages:
        event = decode(msgspec.json.encode(message))
        if event is not None:
            commands += scene.feed(event)
    return commands


def delta(kind: str, text: str) -> dict[str, Any]:
    return {"type": f"response.{kind}.delta", "delta": text}


@pytest.fixture
def scene() -> Scene:
    return Scene().connect()


def test_a_speech_started_event_without_item_or_time_still_clears_the_line(scene: Scene) -> None:
    scene.answer(5000)
    scene.run(1000)
    cleared = receive(scene, {"type": "input_audio_buffer.speech_started"})
    assert [type(command) for command in cleared] == [do.ClearAudio, do.TruncateItem]


def test_a_turn_without_any_id_is_one_turn_with_its_transcript(scene: Scene) -> None:
    receive(
        scene,
        {"type": "input_audio_buffer.speech_started"},
        {"type": "input_audio_buffer.speech_stopped"},
        {"type": "input_audio_buffer.committed"},
        {
            "type": "conversation.item.input_audio_transcription.completed",
            "transcript": "Are you open?",
        },
    )
    assert scene.heard() == [("user", "Are you open?")]


def test_an_answer_without_any_id_is_heard(scene: Scene) -> None:
    scene.speak()
    scene.fall_silent()
    receive(
        scene,
        {"type": "response.created", "response": {}},
        {"type": "response.output_item.added", "item": {}},
        delta("output_audio_transcript", "Yes, we are."),
        *(delta("output_audio", SPEECH) for _ in range(10)),
        {"type": "response.output_audio_transcript.done", "transcript": "Yes, we are."},
        {"type": "response.output_item.done", "item": {}},
        {"type": "response.done", "response": {}},
    )
    assert len(scene.all(do.PlayAudio)) == 10 and scene.decisions == []
    scene.run(4000)
    assert scene.heard()[-1] == ("assistant", "Yes, we are.")
    assert scene.machine.conversation.latest("assistant")


def test_an_answer_of_audio_deltas_alone_is_one_answer(scene: Scene) -> None:
    scene.speak()
    scene.fall_silent()
    receive(scene, *(delta("output_audio", SPEECH) for _ in range(3)))
    assert len({play.item_id for play in scene.all(do.PlayAudio)}) == 1
    receive(scene, {"type": "response.done", "response": {}})
    scene.run(3900)
    assert scene.asked() == [] and scene.decisions == []


def test_a_cancellation_names_no_response_that_the_server_did_not_name(scene: Scene) -> None:
    from app.wires.realtime.codec import encode

    receive(scene, {"type": "response.created", "response": {}})
    scene.press("1")
    (cancel,) = scene.all(do.CancelResponse)
    assert "response_id" not in encode(cancel, scene.agent)


def test_tools_that_only_the_end_of_a_response_names_are_run_once(scene: Scene) -> None:
    call = {
        "type": "function_call",
        "id": "item_f",
        "call_id": "call_1",
        "name": "look_up",
        "arguments": "{}",
        "status": "completed",
    }
    done = {"id": "resp_1", "status": "completed", "output": [call]}
    receive(scene, {"type": "response.created", "response": {"id": "resp_1"}})
    receive(scene, {"type": "response.done", "response": done})
    assert scene.all(do.RunTool) == [do.RunTool("call_1", "look_up", "{}")]
    receive(scene, {"type": "response.done", "response": done})
    assert len(scene.all(do.RunTool)) == 1 and scene.asked() == []


def test_a_tool_call_that_was_cut_short_is_not_run_from_the_end_of_its_response(
    scene: Scene,
) -> None:
    call = {"type": "function_call", "call_id": "c", "name": "n", "status": "incomplete"}
    receive(scene, {"type": "response.created", "response": {"id": "resp_1"}})
    receive(
        scene,
        {
            "type": "response.done",
            "response": {"id": "resp_1", "status": "cancelled", "output": [call]},
        },
    )
    assert scene.all(do.RunTool) == []


def test_a_text_without_deltas_is_spoken_by_the_voice() -> None:
    scene = VoiceScene()
    scene.connect()
    scene.speak()
    scene.fall_silent()
    receive(
        scene,
        {"type": "response.created", "response": {"id": "resp_1"}},
        {"type": "response.output_text.done", "item_id": "item_1", "text": "We are open."},
        {"type": "response.done", "response": {"id": "resp_1", "status": "completed"}},
    )
    scene.run(3000)
    assert scene.heard_words() == ["We", "are", "open."] and scene.decisions == []


def test_a_response_of_turn_detection_means_that_the_caller_has_stopped(scene: Scene) -> None:
    """Neither `speech_stopped` nor `committed` arrived."""
    scene.speak()
    scene.answer(1000)
    scene.run(2000)
    assert scene.line.heard_bytes("item_1", scene.now_ms) == 8000
    assert not scene.all(do.CancelResponse)


def test_a_response_outside_the_conversation_is_muted_and_not_retried(scene: Scene) -> None:
    receive(
        scene, {"type": "response.created", "response": {"id": "aside", "conversation_id": None}}
    )
    scene.audio(500, "item_aside", "aside")
    receive(scene, {"type": "response.done", "response": {"id": "aside", "status": "completed"}})
    scene.run(20_000)
    assert scene.all(do.PlayAudio) == [] and scene.asked() == [] and scene.decisions == []


def test_a_server_that_names_no_conversation_at_all_is_heard(scene: Scene) -> None:
    scene.feed(ev.SayRequested("Hello."))
    receive(scene, {"type": "response.created", "response": {"id": "r", "conversation_id": None}})
    scene.audio(500, "item_1", "r")
    assert scene.all(do.PlayAudio)
