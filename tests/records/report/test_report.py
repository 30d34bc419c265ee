import io
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from app.call.caller.pause import BACKCHANNEL
from app.records.record import TimelineRow, TurnRow
from app.records.report.call_report import CallReport, SpokenTurn, read_call, report_of
from app.records.report.call_text import cost_text, ending, tool_text, transcript_text
from app.records.report.levels import read_levels
from app.records.report.terminal import facts, transcript
from app.records.report.trace import FalseInterruption
from app.records.store import Store
from tests.records.report.recorded_call import ROUND_TRIP_MS, SILENCE_MS, Story, pizza_call


def reported(story: Story, wav: Path | None = None) -> CallReport:
    levels = read_levels(wav) if wav else None
    return report_of(story.call(wav), story.turns(), story.timeline(), levels)


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    return tmp_path / "call.wav"


# --- latency ----------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0, 150, 600])
def test_latency_is_from_the_callers_last_sound_to_the_agents_first(wav: Path, noise: int) -> None:
    story = pizza_call()
    report = reported(story, story.write_wav(wav, noise=noise))
    # Turn detection, the tool's 240 ms and 300 ms of thinking; then 240 ms of thinking alone.
    assert report.latencies_ms == pytest.approx([SILENCE_MS + 540, SILENCE_MS + 240], abs=15)
    assert report.by_sound
    assert report.median_ms == pytest.approx(SILENCE_MS + 390, abs=15)
    assert report.worst_ms == pytest.approx(SILENCE_MS + 540, abs=15)


def test_a_turn_that_another_session_heard_again_is_told_once() -> None:
    story = Story()
    story.connect()
    made: list[tuple[str, dict[str, object]]] = [
        ("SpeechStarted", {"item_id": "u1", "audio_start_ms": 0}),
        ("SwapModel", {"audio_from_ms": 0, "audio_most_ms": 30_000}),
        ("SpeechStarted", {"item_id": "u2", "audio_start_ms": 0}),
        ("SpeechStopped", {"item_id": "u2", "audio_end_ms": 900}),
    ]
    entries = [
        TimelineRow(order, 100.0 * order, "event", name, {"order": order, **data})
        for order, (name, data) in enumerate(made)
    ]
    turn = TurnRow(0, "user", "Hello?", item_id="u2", at_ms=200)
    report = report_of(story.call(None), [turn], entries)
    assert [each.item_id for each in report.turns] == ["u2"]


def test_the_callers_ear_waits_a_round_trip_longer(wav: Path) -> None:
    story = pizza_call()
    report = reported(story, story.write_wav(wav))
    assert report.round_trip_ms == ROUND_TRIP_MS
    assert report.at_the_ear_ms(740) == 740 + ROUND_TRIP_MS


def test_without_a_recording_latency_leaves_out_what_turn_detection_waited() -> None:
    report = reported(pizza_call())
    assert not report.by_sound
    assert report.latencies_ms == [540, 240]


def test_silence_at_the_beginning_of_an_answer_is_waited_for(wav: Path) -> None:
    """Some voices begin with silence: the caller does not hear that they were sent."""
    story = Story()
    story.connect()
    story.go(1000)
    story.caller_says("Hello?", 900)
    story.go(story.now_ms + 300)
    begun_ms = story.now_ms
    story.agent_says("Good morning.", 2000)
    story.quiet(500)
    path = story.write_wav(wav, silent=[(begun_ms, begun_ms + 250)])
    (latency_ms,) = reported(story, path).latencies_ms
    assert latency_ms == pytest.approx(SILENCE_MS + 300 + 250, abs=15)


def test_a_turn_without_an_answer_before_the_next_has_no_latency(wav: Path) -> None:
    story = Story()
    story.connect()
    story.go(1000)
    story.caller_says("Hello?", 600)
    story.go(story.now_ms + 100)
    second = story.caller_says("Is anybody there?", 900)
    story.go(story.now_ms + 300)
    story.agent_says("Good morning.", 1000)
    story.quiet(500)
    report = reported(story, story.write_wav(wav))
    assert [answer.caller_item_id for answer in report.answers] == [second]


def test_an_answer_that_was_cut_before_it_began_is_none() -> None:
    story = Story()
    story.connect()
    story.go(1000)
    story.caller_says("Hello?", 600)
    story.begins_to_say("Good morning.")
    story.caller_says("Are you there?", 600)
    report = reported(story)
    assert report.answers == ()
    (unheard,) = [turn for turn in report.turns if turn.role == "assistant"]
    assert (unheard.heard, unheard.unheard, unheard.cut) == ("", "Good morning.", True)


# --- turns ------------------------------------------------------------------------------------


def test_turns_are_where_they_sounded(wav: Path) -> None:
    story = pizza_call()
    truth = [*story.sounds, *story.agent_spans()]
    report = reported(story, story.write_wav(wav, noise=100))
    spoken = sorted((turn.from_ms, turn.to_ms) for turn in report.turns)
    for found, true in zip(spoken, sorted((s.from_ms, s.to_ms) for s in truth), strict=True):
        assert found == pytest.approx(true, abs=11)


def test_a_cut_turn_says_what_was_heard_and_what_was_not() -> None:
    report = reported(pizza_call())
    (cut,) = report.interruptions
    turn = report.turn(cut.item_id)
    assert turn is not None and turn.cut and turn.interrupted
    assert f"{turn.heard} {turn.unheard}" == (
        "We have two. A large Margherita is eleven euros, and a large Funghi is twelve fifty. "
        "They all come from our wood oven."
    )
    assert turn.heard.startswith("We have two.") and turn.unheard.endswith("our wood oven.")
    assert (turn.heard_ms, turn.generated_ms) == (3360, 9000)


def test_the_call_that_ends_cuts_without_interrupting() -> None:
    story = Story()
    story.connect()
    story.go(500)
    story.agent_says("Goodbye, and thank you for calling.", 3000)
    story.go(1700)
    story.hang_up()
    report = reported(story)
    (turn,) = report.turns
    assert turn.cut and not turn.interrupted and turn.unheard
    assert f"[not heard: {turn.unheard}]" in transcript_text(report)
    assert "interrupted" not in transcript_text(report)


def test_the_greeting_is_timed_from_the_connection(wav: Path) -> None:
    story = pizza_call()
    report = reported(story, story.write_wav(wav))
    assert report.connected_ms == 60
    assert report.greeted_ms == pytest.approx(300, abs=10)


def test_a_caller_who_still_speaks_when_the_call_ends_spoke_until_then() -> None:
    story = Story()
    story.connect()
    story.go(1000)
    story.caller_begins()
    story.go(2500)
    story.hang_up()
    (turn,) = reported(story).turns
    assert (turn.role, turn.heard, turn.to_ms) == ("user", "", 2500)


def test_a_call_that_never_was_answered_is_empty() -> None:
    report = report_of(Story().call(), [], [])
    assert not report.turns and not report.answers and not report.tools
    assert report.median_ms is report.worst_ms is report.greeted_ms is None
    assert (report.ended_ms, report.latencies_ms) == (0, [])


# --- text -------------------------------------------------------------------------------------


def test_the_transcript_reads_like_the_call() -> None:
    assert transcript_text(reported(pizza_call())) == (
        "0:00.3  agent   Pizzeria Bella, this is Mia. What can I get you?\n"
        "0:03.9  caller  Hello! What pizzas do you have?\n"
        '0:06.9  tool    menu(size="large") → {"margherita":11.0,"funghi":12.5}\n'
        "0:07.4  agent   We have two. A large Margherita is [interrupted; not heard: eleven euros, "
        "and a large Funghi is twelve fifty. They all come from our wood oven.]\n"
        "0:10.4  caller  Sorry, stop there. One Margherita please.\n"
        "0:14.4  agent   One large Margherita. Thank you!\n"
        "0:17.4  caller  Goodbye!\n"
        "0:18.9  line    the caller hung up\n"
    )


def test_a_turn_without_a_transcript_says_so() -> None:
    story = Story()
    story.connect()
    story.go(1000)
    story.caller_says("", 600)
    assert "caller  [not understood]" in transcript_text(reported(story))


@pytest.mark.parametrize(
    ("heard", "shown"),
    [
        ("", "[a cough] [no interruption: the agent went on]"),
        ("Mm-hm.", "Mm-hm. [no interruption: the agent went on]"),
    ],
)
def test_a_sound_that_did_not_interrupt_is_named(heard: str, shown: str) -> None:
    turn = SpokenTurn("user", "u", 0, 500, heard, false_interruption=True)
    report = replace(reported(Story()), turns=(turn,))
    assert transcript_text(report) == f"0:00.0  caller  {shown}\n"
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(transcript(report))
    assert shown in console.export_text()


@pytest.mark.parametrize(("reason", "sound"), [("no words", "a cough"), (BACKCHANNEL, BACKCHANNEL)])
def test_the_facts_say_that_the_agent_went_on_and_after_how_long(reason: str, sound: str) -> None:
    went_on = FalseInterruption(61_500, reason, 1028.4)
    report = replace(reported(Story()), false_interruptions=(went_on,))
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(facts(report))
    (line,) = (line for line in console.export_text().splitlines() if line.startswith("went on"))
    assert line.split(maxsplit=2)[2].strip() == f"at 1:01.5: {sound}, paused for 1028 ms"


def test_a_tool_call_is_one_line() -> None:
    (tool,) = reported(pizza_call()).tools
    odd = replace(tool, arguments='{"size', result="one\ntwo", outcome="failed")
    assert tool_text(odd) == 'menu({"size) → failed: one two'
    assert tool_text(replace(tool, arguments="", result="", outcome="given up")) == (
        "menu() → given up"
    )
    listed = replace(tool, arguments='["a", {"b": null}]')
    assert tool_text(listed).startswith('menu(["a", {"b": null}]) →')


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        ({"currency": "USD", "model": 0.0123, "line": 0.0085, "total": 0.0208}, "0.0208 USD"),
        (
            {
                "currency": "USD",
                "model": None,
                "line": 0.0085,
                "total": None,
                "unknown": ["model"],
            },
            "0.0085 USD + model, price unknown",
        ),
        ({}, ""),
    ],
)
def test_an_unknown_price_is_not_zero(cost: dict[str, object], text: str) -> None:
    assert cost_text(replace(Story().call(), cost=cost)) == text


def test_the_end_of_a_call_in_words() -> None:
    call = Story().call()
    assert ending(replace(call, ended_by="agent")) == "the agent hung up"
    assert ending(replace(call, ended_by="strange")) == "ended: strange"
    assert ending(replace(call, ended_by=None, ended_at=None)) == "the call goes on"


# --- from the store ---------------------------------------------------------------------------


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(f"sqlite:///{tmp_path}/calls.db")
    yield store
    await store.aclose()


async def test_a_call_is_read_with_its_recording(store: Store, wav: Path) -> None:
    story = pizza_call()
    story.write_wav(wav)
    await story.save(store, wav)
    report = await read_call(store, story.sid)
    assert report is not None
    assert (report.wav, report.recording_fault, report.by_sound) == (wav, "", True)
    assert report.call.call_sid == story.sid
    assert len(report.turns) == 6


async def test_a_missing_recording_is_named_and_the_rest_is_read(store: Store, wav: Path) -> None:
    story = pizza_call()
    await story.save(store, wav)
    report = await read_call(store, story.sid)
    assert report is not None
    assert report.wav is None
    assert str(wav) in report.recording_fault
    assert report.latencies_ms == [540, 240]


async def test_a_call_that_is_not_there_is_none(store: Store) -> None:
    assert await read_call(store, "CA0") is None
