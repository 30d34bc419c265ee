import pytest

from app.call.timeline import TimelineEntry
from app.records.record import TimelineRow
from app.records.report.trace import CallTrace, FalseInterruption, Span
from app.records.report.trace_reader import read_trace
from tests.records.report.recorded_call import ROUND_TRIP_MS, Story


def traced(rows: list[TimelineRow]) -> CallTrace:
    return read_trace(
        TimelineEntry.from_data(row.at_ms, row.kind, row.name, row.data) for row in rows
    )


def entry(order: int, at_ms: float, name: str, *pieces: object, **data: object) -> TimelineEntry:
    """One command or event as it is stored; `pieces`: what a run of it holds."""
    made = TimelineEntry(order, at_ms, "command", name, data)
    made.pieces = [(order, at_ms, piece) for piece in pieces]
    return made


def answered() -> Story:
    story = Story()
    story.connect()
    story.go(500)
    return story


def test_audio_sounds_one_piece_after_the_other_though_it_came_faster() -> None:
    story = answered()
    item_id = story.agent_says("One two three four.", 2000)
    story.quiet(500)
    speech = traced(story.timeline()).speeches[item_id]
    assert speech.spans == [Span(500, 2500)]
    assert (speech.text, speech.generated_ms) == ("One two three four.", 2000)
    assert not speech.interrupted


def test_audio_that_came_too_late_leaves_a_gap() -> None:
    entries = [
        entry(1, 0, "TranscriptCompleted", item_id="a", text="Well."),
        entry(2, 100, "PlayAudio", 800, item_id="a"),
        entry(3, 500, "PlayAudio", 800, item_id="a"),
    ]
    assert read_trace([*entries, entry(4, 900, "EndLeg")]).speeches["a"].spans == [
        Span(100, 200),
        Span(500, 600),
    ]


def test_what_is_queued_behind_another_item_sounds_after_it() -> None:
    story = answered()
    first = story.agent_says("First.", 2000)
    story.go(1000)  # all of the first has come, and half a second of it has played
    second = story.agent_says("Second.", 1000)
    story.quiet(500)
    speeches = traced(story.timeline()).speeches
    assert speeches[first].spans == [Span(500, 2500)]
    assert speeches[second].spans == [Span(2500, 3500)]


def test_an_interruption_says_what_was_heard_and_what_was_dropped() -> None:
    story = answered()
    item_id = story.agent_says("A very long answer.", 5000)
    story.go(2000)
    story.caller_says("Stop.", 400)
    call = traced(story.timeline())
    (cut,) = call.interruptions
    assert (cut.item_id, cut.at_ms) == (item_id, 2060)
    assert (cut.heard_ms, cut.generated_ms, cut.dropped_ms) == (1560, 5000, 3440)
    assert call.speeches[item_id].spans == [Span(500, 2060)]
    assert call.speeches[item_id].interrupted


def test_an_old_record_without_dropped_bytes_is_cut_by_the_clock() -> None:
    entries = [
        entry(1, 0, "AudioReceived", 16_000, response_id="r", item_id="a"),
        entry(2, 1000, "PlayAudio", 16_000, item_id="a"),
        entry(3, 1500, "ClearAudio"),
        entry(4, 1500, "TruncateItem", event_id="e", item_id="a", audio_end_ms=490),
    ]
    call = read_trace(entries)
    assert call.speeches["a"].spans == [Span(1000, 1500)]
    assert call.interruptions[0].heard_ms == 490  # what the model was told
    assert call.interruptions[0].dropped_ms == 1500


def test_a_clear_of_audio_that_is_not_the_models_is_no_interruption() -> None:
    entries = [
        entry(1, 1000, "PlayAudio", 2400, item_id=""),
        entry(2, 1100, "ClearAudio", dropped_bytes=1600),
    ]
    assert read_trace(entries).interruptions == []


def test_an_unfinished_item_is_cut_even_when_the_buffer_was_empty() -> None:
    entries = [
        entry(1, 0, "AudioReceived", 800, response_id="r", item_id="a"),
        entry(2, 0, "PlayAudio", 800, item_id="a"),
        entry(3, 500, "TruncateItem", event_id="e", item_id="a", audio_end_ms=100),
        entry(4, 600, "TruncateItem", event_id="f", item_id="a", audio_end_ms=90),  # tried again
    ]
    (cut,) = read_trace(entries).interruptions
    assert (cut.at_ms, cut.heard_ms, cut.dropped_ms) == (500, 100, 0)


def cough(*after: TimelineEntry) -> CallTrace:
    """An item of 2 s, with a cough after 500 ms of it, at which the agent fell silent for 1 s."""
    entries = [
        entry(1, 0, "AudioReceived", 16_000, response_id="r", item_id="a"),
        entry(2, 0, "PlayAudio", 16_000, item_id="a"),
        entry(3, 500, "SpeechStarted", item_id="u", audio_start_ms=400),
        entry(4, 500, "ClearAudio", dropped_bytes=12_000),
        entry(5, 1000, "SpeechStopped", item_id="u", audio_end_ms=1000),
        entry(6, 1500, "ReportInterruption", verdict="false", reason="no words", paused_ms=1000.0),
        entry(7, 1500, "PlayAudio", 12_000, item_id="a"),
    ]
    return read_trace([*entries, *after])


def test_a_cough_is_no_interruption_and_the_rest_of_the_item_was_heard() -> None:
    call = cough(entry(8, 9000, "EndLeg"))
    assert call.interruptions == [] and not call.speeches["a"].interrupted
    assert call.false_interruptions == [FalseInterruption(500, "no words", 1000)]
    assert call.speeches["a"].spans == [Span(0, 500), Span(1500, 3000)]
    assert call.caller["u"].false_interruption


def test_an_interruption_after_a_cough_counts_what_was_heard_before_it_too() -> None:
    call = cough(
        entry(8, 2000, "SpeechStarted", item_id="v", audio_start_ms=1900),
        entry(9, 2000, "ClearAudio", dropped_bytes=8000),
        entry(10, 2600, "ReportInterruption", verdict="confirmed", reason="words", paused_ms=600.0),
        entry(11, 2600, "TruncateItem", event_id="e", item_id="a", audio_end_ms=1000),
    )
    (cut,) = call.interruptions
    assert (cut.at_ms, cut.heard_ms, cut.dropped_ms) == (2000, 1000, 1000)
    assert call.speeches["a"].interrupted
    assert not call.caller["v"].false_interruption


@pytest.mark.parametrize("reason", ["late words", "late voice"])
def test_what_came_late_makes_a_sound_a_turn_of_the_callers(reason: str) -> None:
    call = cough(
        entry(8, 1800, "ClearAudio", dropped_bytes=9600),
        entry(9, 1800, "ReportInterruption", verdict="confirmed", reason=reason, paused_ms=0.0),
    )
    assert len(call.interruptions) == len(call.false_interruptions) == 1
    assert not call.caller["u"].false_interruption


def test_what_played_when_the_call_ended_was_heard_up_to_there() -> None:
    story = answered()
    item_id = story.agent_says("Goodbye, and thank you for calling.", 3000)
    story.go(1700)
    story.hang_up()
    call = traced(story.timeline())
    assert call.speeches[item_id].spans == [Span(500, 1700)]
    assert not call.speeches[item_id].interrupted
    assert call.interruptions == []
    assert call.ended_ms == 1700


def test_marks_on_an_empty_buffer_measure_the_line() -> None:
    story = answered()
    story.agent_says("One two three four.", 2000)
    story.quiet(500)
    call = traced(story.timeline())
    assert call.round_trip_ms == ROUND_TRIP_MS
    trips = [mark.round_trip_ms for mark in call.marks]
    assert trips[:2] == [ROUND_TRIP_MS, ROUND_TRIP_MS]  # at the start, and before the answer
    assert set(trips[2:]) == {None}  # these waited for audio


def test_marks_echoed_by_a_clear_are_flushed() -> None:
    story = answered()
    story.agent_says("A very long answer.", 5000)
    story.go(2000)
    story.caller_says("Stop.", 400)
    call = traced(story.timeline())
    flushed = [mark for mark in call.marks if mark.flushed]
    assert len(flushed) == 4  # behind the second, third, fourth and fifth second
    assert {mark.echoed_ms for mark in flushed} == {2060 + ROUND_TRIP_MS}
    assert {mark.round_trip_ms for mark in flushed} == {None}


def test_a_mark_that_was_never_echoed_is_listed() -> None:
    story = answered()
    story.agent_says("Goodbye.", 3000)
    story.go(1700)
    story.hang_up()
    lost = [mark for mark in traced(story.timeline()).marks if mark.echoed_ms is None]
    assert lost and not any(mark.flushed for mark in lost)


def test_a_tool_has_its_arguments_its_result_and_its_times() -> None:
    story = answered()
    call_id = story.calls_tool("menu", '{"size": "large"}')
    story.go(740)
    story.tool_returns(call_id, '{"margherita": 11.0}')
    other_id = story.calls_tool("place_order", "{}")
    story.go(900)
    story.tool_fails(other_id, "No such pizza.")
    menu, order = traced(story.timeline()).tools
    assert (menu.name, menu.arguments, menu.result) == (
        "menu",
        '{"size": "large"}',
        '{"margherita": 11.0}',
    )
    assert (menu.from_ms, menu.to_ms, menu.outcome) == (500, 740, "returned")
    assert (order.result, order.outcome) == ("No such pizza.", "failed")


def test_a_cancelled_tool_is_given_up() -> None:
    story = answered()
    story.calls_tool("menu", "{}")
    story.go(900)
    story.hang_up()
    (tool,) = traced(story.timeline()).tools
    assert (tool.outcome, tool.to_ms) == ("given up", 900)


def test_the_callers_speech_is_on_the_timelines_clock() -> None:
    """A session that replaced a lost one has heard less of the call than we have."""
    entries = [
        entry(0, 4000, "CallerAudioForwarded", frames=200, size_bytes=32_000),
        entry(1, 5000, "ModelOpened"),
        entry(2, 7000, "CallerAudioForwarded", frames=100, size_bytes=16_000),
        entry(3, 7000, "SpeechStarted", item_id="u", audio_start_ms=1640),
        entry(4, 9000, "CallerAudioForwarded", frames=100, size_bytes=16_000),
        entry(5, 9000, "SpeechStopped", item_id="u", audio_end_ms=3980),
    ]
    speech = read_trace(entries).caller["u"]
    assert (speech.from_ms, speech.noticed_ms, speech.to_ms) == (6640, 7000, 8980)


def test_the_callers_speech_is_on_the_timelines_clock_after_a_swap_of_sessions() -> None:
    """At the swap, 60 s were forwarded, the last 100 ms of them not counted yet; the session that
    takes over gets 300 ms again."""
    entries = [
        entry(0, 0, "ModelOpened"),
        entry(1, 59_900, "CallerAudioForwarded", frames=2995, size_bytes=479_200),
        entry(2, 60_000, "SwapModel", audio_from_ms=0, audio_most_ms=300),
        entry(3, 62_000, "CallerAudioForwarded", frames=120, size_bytes=19_200),
        entry(4, 62_000, "SpeechStarted", item_id="u", audio_start_ms=2000),
        entry(5, 64_000, "CallerAudioForwarded", frames=100, size_bytes=16_000),
        entry(6, 64_000, "SpeechStopped", item_id="u", audio_end_ms=3800),
    ]
    speech = read_trace(entries).caller["u"]
    assert (speech.from_ms, speech.to_ms) == (61_700, 63_500)


def test_a_second_leg_begins_with_an_empty_buffer_and_marks_of_its_own() -> None:
    entries = [
        entry(1, 0, "LegOpened", history=[]),
        entry(2, 0, "TranscriptCompleted", item_id="a", text="One."),
        entry(3, 100, "PlayAudio", 80_000, item_id="a"),
        entry(4, 100, "SendMark", "0:1"),
        entry(5, 600, "EndLeg", reason="line"),
        entry(6, 900, "LegOpened", history=[]),
        entry(7, 900, "TranscriptCompleted", item_id="b", text="Two."),
        entry(8, 1000, "SendMark", "0:1"),
        entry(9, 1000, "PlayAudio", 800, item_id="b"),
        entry(10, 1090, "MarkEchoed", "0:1"),
        entry(11, 1500, "EndLeg", reason="caller"),
    ]
    call = read_trace(entries)
    assert call.speeches["a"].spans == [Span(100, 600)]
    assert call.speeches["b"].spans == [Span(1000, 1100)]
    assert [(mark.sent_ms, mark.echoed_ms) for mark in call.marks] == [(100, None), (1000, 1090)]
    assert call.round_trip_ms == 90


def test_messages_and_entries_that_are_not_known_change_nothing() -> None:
    assert read_trace([entry(1, 5, "SomethingNew", what="ever")]) == CallTrace(ended_ms=5)
    assert read_trace([]) == CallTrace()
