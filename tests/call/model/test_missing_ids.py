"""Compatible servers leave out ids, times and whole events: what is not needed is done without."""

from typing import Any

import msgspec
import pytest

from app.call import commands as do
from app.call import events as ev
from app.wires.realtime.codec import decode
from tests.call.scene import Scene
from tests.call.voice_scene import VoiceScene

SPEECH = "////" * 800  # base64 of 2400 bytes


def told(scene: Scene, *messages: dict[str, Any]) -> list[do.Command]:
    """The server says this, as JSON."""
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


def test_speech_that_started_nowhere_and_never_still_clears_the_line(scene: Scene) -> None:
    scene.answer(5000)
    scene.run(1000)
    cleared = told(scene, {"type": "input_audio_buffer.speech_started"})
    assert [type(command) for command in cleared] == [do.ClearAudio, do.TruncateItem]


def test_a_turn_without_any_id_is_one_turn_with_its_words(scene: Scene) -> None:
    told(
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


def test_an_answer_without_any_id_is_heard_and_cut_where_it_was(scene: Scene) -> None:
    scene.speak()
    scene.fall_silent()
    told(
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


def test_an_answer_of_sound_alone_is_one_answer(scene: Scene) -> None:
    scene.speak()
    scene.fall_silent()
    told(scene, *(delta("output_audio", SPEECH) for _ in range(3)))
    assert len({play.item_id for play in scene.all(do.PlayAudio)}) == 1
    told(scene, {"type": "response.done", "response": {}})
    scene.run(3900)
    assert scene.asked() == [] and scene.decisions == []


def test_a_cancellation_names_no_response_that_the_server_did_not_name(scene: Scene) -> None:
    from app.wires.realtime.codec import encode

    told(scene, {"type": "response.created", "response": {}})
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
    told(scene, {"type": "response.created", "response": {"id": "resp_1"}})
    told(scene, {"type": "response.done", "response": done})
    assert scene.all(do.RunTool) == [do.RunTool("call_1", "look_up", "{}")]
    told(scene, {"type": "response.done", "response": done})
    assert len(scene.all(do.RunTool)) == 1 and scene.asked() == []


def test_a_tool_call_that_was_cut_short_is_not_run_from_the_end_of_its_response(
    scene: Scene,
) -> None:
    call = {"type": "function_call", "call_id": "c", "name": "n", "status": "incomplete"}
    told(scene, {"type": "response.created", "response": {"id": "resp_1"}})
    told(
        scene,
        {
            "type": "response.done",
            "response": {"id": "resp_1", "status": "cancelled", "output": [call]},
        },
    )
    assert scene.all(do.RunTool) == []


def test_a_text_that_comes_in_one_piece_is_said_by_the_voice() -> None:
    scene = VoiceScene()
    scene.connect()
    scene.speak()
    scene.fall_silent()
    told(
        scene,
        {"type": "response.created", "response": {"id": "resp_1"}},
        {"type": "response.output_text.done", "item_id": "item_1", "text": "We are open."},
        {"type": "response.done", "response": {"id": "resp_1", "status": "completed"}},
    )
    scene.run(3000)
    assert scene.heard_words() == ["We", "are", "open."] and scene.decisions == []


def test_turn_detection_that_answers_says_that_the_caller_has_stopped(scene: Scene) -> None:
    """Neither speech_stopped nor committed came."""
    scene.speak()
    scene.answer(1000)
    scene.run(2000)
    assert scene.line.heard_bytes("item_1", scene.now_ms) == 8000
    assert not scene.all(do.CancelResponse)


def test_a_response_of_no_conversation_is_not_heard_and_owes_nothing(scene: Scene) -> None:
    told(scene, {"type": "response.created", "response": {"id": "aside", "conversation_id": None}})
    scene.audio(500, "item_aside", "aside")
    told(scene, {"type": "response.done", "response": {"id": "aside", "status": "completed"}})
    scene.run(20_000)
    assert scene.all(do.PlayAudio) == [] and scene.asked() == [] and scene.decisions == []


def test_a_server_that_names_no_conversation_at_all_is_heard(scene: Scene) -> None:
    scene.feed(ev.SayRequested("Hello."))
    told(scene, {"type": "response.created", "response": {"id": "r", "conversation_id": None}})
    scene.audio(500, "item_1", "r")
    assert scene.all(do.PlayAudio)
