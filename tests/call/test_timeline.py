"""The timeline tells the call, and played again it gives the same commands."""

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call import timeline as timelines
from app.call.timeline import Entry, Timeline, ordered, replay
from app.call.usage import Usage
from tests.call.scene import Scene, agent


def long_story() -> tuple[Scene, list[Entry]]:
    """A call, and its timeline taken in two pieces, as when it is stored while it lasts."""
    scene = Scene(agent(greeting="Hello."), up_ms=30, down_ms=40, jitter_ms=15)
    scene.feed(ev.LegOpened())
    scene.configure()
    scene.begin("greeting", "resp_0")
    scene.feed(ev.TranscriptReceived("greeting", "Hello "))
    scene.audio(700, "greeting", "resp_0")
    scene.feed(ev.StreamStarted("MZ1"), ev.TranscriptReceived("greeting", "there."))
    scene.run(150)
    entries = scene.timeline.take()
    scene.audio(900, "greeting", "resp_0")
    scene.feed(ev.OutputItemDone("resp_0", "greeting", "message", "completed"))
    scene.feed(ev.ResponseDone("resp_0", "completed", "", Usage(input_text=7, output_audio=9)))
    scene.run(700)
    scene.speak()
    scene.fall_silent(text="What day is it?")
    scene.tool_response("call_1", response_id="resp_1")
    scene.run(9000)
    scene.feed(ev.ModelLost("gone"))
    scene.run(100)
    scene.configure()
    scene.feed(ev.ToolReturned("call_1", "friday"))
    scene.respond(1500)
    scene.run(400)
    scene.feed(ev.HangUpRequested("operator"), ev.StreamEnded("stop"))
    return scene, entries + scene.timeline.take()


def test_a_call_played_again_gives_the_same_commands() -> None:
    scene, entries = long_story()
    recorded = ordered(entries)
    assert len(recorded) == len(scene.commands) > 30
    assert replay(scene.agent, entries) == recorded


def test_a_change_in_what_is_done_shows() -> None:
    _, entries = long_story()
    assert replay(agent(greeting="Good evening."), entries) != ordered(entries)


def test_a_run_of_audio_is_one_entry_with_its_pieces() -> None:
    timeline = Timeline()
    for at_ms in (1.0, 2.0, 3.0):
        timeline.event(ev.AudioReceived("resp_1", "item_1", "AAAA", 800), at_ms)
        timeline.command(do.PlayAudio("item_1", "AAAA", 800), at_ms)
        timeline.event(ev.MarkEchoed("0:1"), at_ms)
    received, played, marks = timeline.take()
    assert received.pieces == [(1, 1.0, 800), (4, 2.0, 800), (7, 3.0, 800)]
    assert received.as_data() == {
        "order": 1,
        "response_id": "resp_1",
        "item_id": "item_1",
        "pieces": received.pieces,
    }
    assert [piece[0] for piece in played.pieces] == [2, 5, 8]
    assert [piece[0] for piece in marks.pieces] == [3, 6, 9]


def test_something_else_ends_a_run() -> None:
    timeline = Timeline()
    piece = ev.TranscriptReceived("item_1", "Hel")
    timeline.event(piece, 1.0)
    timeline.event(ev.SpeechStopped("user_1", 5), 2.0)
    timeline.event(piece, 3.0)
    assert [entry.name for entry in timeline.take()] == [
        "TranscriptReceived",
        "SpeechStopped",
        "TranscriptReceived",
    ]


def test_no_audio_is_kept_only_its_size() -> None:
    timeline = Timeline()
    timeline.event(ev.AudioReceived("resp_1", "item_1", "c2VjcmV0", 6), 0.0)
    timeline.command(do.PlayAudio("item_1", "c2VjcmV0", 6), 0.0)
    assert "c2VjcmV0" not in repr(timeline.take())


def test_what_was_taken_is_gone_and_what_follows_stands_alone() -> None:
    timeline = Timeline()
    timeline.event(ev.AudioReceived("resp_1", "item_1", "", 800), 1.0)
    assert len(timeline.take()) == 1 and timeline.take() == []
    timeline.event(ev.AudioReceived("resp_1", "item_1", "", 160), 2.0)
    assert [entry.pieces for entry in timeline.take()] == [[(2, 2.0, 160)]]


def test_a_timeline_that_nobody_takes_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timelines, "MOST_ENTRIES", 3)
    timeline = Timeline()
    for digit in "12345":
        timeline.event(ev.DigitPressed(digit), 0.0)
    assert timeline.dropped == 2
    assert [entry.data["digit"] for entry in timeline.take()] == ["3", "4", "5"]
