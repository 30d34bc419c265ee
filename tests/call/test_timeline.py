"""The timeline records the call, and its replay gives the same commands."""

import json
from typing import Any, get_args

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call import timeline as timelines
from app.call.caller.keypad import MASK
from app.call.exits.transfer import TRANSFER
from app.call.timeline import Timeline, TimelineEntry, ordered, replay
from app.call.usage import Usage
from app.call.words.word_times import Pace
from tests.call.scene import Scene, agent
from tests.call.transfer_scene import HUMANS, MONDAY_NOON_S, call_transfer, transfer_scene


def long_story() -> tuple[Scene, list[TimelineEntry]]:
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


def test_a_replayed_call_gives_the_same_commands() -> None:
    scene, entries = long_story()
    recorded = ordered(entries)
    assert len(recorded) == len(scene.commands) > 30
    assert replay(lambda _: scene.agent, entries) == recorded


def stored(entry: TimelineEntry) -> TimelineEntry:
    """The entry as it comes back from a store that keeps JSON."""
    data = json.loads(json.dumps(entry.as_data()))
    return TimelineEntry.from_data(entry.at_ms, entry.kind, entry.name, data)


def transferred() -> Scene:
    """Two legs: keys, a secret entry, a transfer that fails, one that is accepted, and a resume."""
    scene = transfer_scene()
    scene.feed(ev.SayRequested("Hello."))
    scene.respond()
    scene.press("42#", 200)
    scene.feed(ev.MessageTaken(scene.all(do.AddMessage)[-1].item_id))
    scene.respond()
    scene.tool_response("call_1")
    scene.feed(ev.EntryAsked("call_1", 4, True, "Your PIN, please.", 20_000))
    scene.respond()
    scene.press(MASK * 4, 300)
    scene.feed(ev.ToolReturned("call_1", "welcome"), ev.ToolOutputTaken("call_1"))
    scene.respond()
    scene.run(3000)
    call_transfer(scene, call_id="call_2", item_id="item_2", response_id="resp_2")
    scene.run(3000)
    scene.feed(ev.RedirectFailed("status 503"), ev.ToolOutputTaken("call_2"))
    scene.respond()
    scene.press("0")
    scene.run(2000)
    scene.respond()
    scene.run(3000)
    scene.feed(ev.CallRedirected(), ev.StreamEnded("stop"))
    history = scene.machine.history(scene.now_ms)
    call_id = scene.all(do.TransferCall)[-1].call_id
    scene.machine = type(scene.machine)(HUMANS)
    scene.feed(ev.LegOpened(history, MONDAY_NOON_S + 60, TRANSFER, call_id, "no answer"))
    scene.configure()
    scene.feed(ev.StreamStarted("MZ2"))
    scene.respond()
    scene.tool_response("call_3", response_id="resp_3")
    scene.feed(ev.TransferRequested("Support"))
    scene.feed(ev.VoicemailReached("Goodbye."))
    scene.respond()  # the announcement, which is cancelled
    scene.respond()
    scene.run(3000)
    scene.feed(ev.HangUpConfirmed(), ev.StreamEnded("stop"))
    return scene


def test_a_replayed_call_with_a_transfer_gives_the_same_commands() -> None:
    scene = transferred()
    entries = [stored(entry) for entry in scene.timeline.take()]
    recorded = ordered(entries)
    names = {name for _, name, _ in recorded}
    assert {"TransferCall", "MuteCaller", "UnmuteCaller", "GiveDigits", "HangUp"} <= names
    assert len(recorded) == len(scene.commands) + len(scene.decisions)
    assert replay(lambda _: scene.agent, entries) == recorded


@pytest.mark.parametrize("kind", get_args(ev.Event), ids=lambda kind: kind.__name__)
def test_every_event_comes_back_from_the_store_as_it_was(kind: type[ev.Event]) -> None:
    values: dict[str, Any] = {
        "history": (("user", "Hi."), ("system", "Result of x: y")),
        "usage": Usage(input_text=7),
        "payload": "",
        "messages": ("item_1",),
        "calls": (ev.OutputItemDone("r", "i", "function_call", "completed", "c", "n", "{}"),),
        "entry": ev.OpenEntry("71", "40", 1.5, True),
        "words": (("two", 80, 400),),
        "paces": (Pace(rates=(400.0, 380.5)), Pace()),
    }
    by_type: dict[Any, Any] = {str: "text", int: 7, float: 1.5, bool: True}
    fields = kind.__dataclass_fields__
    event = kind(**{n: values.get(n, by_type.get(of.type, 3)) for n, of in fields.items()})
    timeline = Timeline()
    timeline.event(event, 1.0)
    entries = [stored(entry) for entry in timeline.take()]
    ((_, at_ms, name, data),) = timelines._expand(entries, "event")
    assert (at_ms, timelines._event(name, data)) == (1.0, event)


def test_a_secret_is_in_no_entry() -> None:
    scene = transferred()
    pressed = [e.data["digit"] for e in scene.timeline.take() if e.name == "DigitPressed"]
    assert pressed == [*"42#", *MASK * 4, "0"]


def test_a_replay_shows_a_changed_command() -> None:
    _, entries = long_story()
    assert replay(lambda _: agent(greeting="Good evening."), entries) != ordered(entries)


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


def test_another_event_ends_a_run() -> None:
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


def test_taken_entries_are_gone_and_the_next_run_is_a_new_entry() -> None:
    timeline = Timeline()
    timeline.event(ev.AudioReceived("resp_1", "item_1", "", 800), 1.0)
    assert len(timeline.take()) == 1 and timeline.take() == []
    timeline.event(ev.AudioReceived("resp_1", "item_1", "", 160), 2.0)
    assert [entry.pieces for entry in timeline.take()] == [[(2, 2.0, 160)]]


def test_a_timeline_that_is_never_taken_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timelines, "MOST_ENTRIES", 3)
    timeline = Timeline()
    for digit in "12345":
        timeline.event(ev.DigitPressed(digit), 0.0)
    assert timeline.dropped == 2
    assert [entry.data["digit"] for entry in timeline.take()] == ["3", "4", "5"]
