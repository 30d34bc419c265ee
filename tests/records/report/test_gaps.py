"""Gaps in which callers are without the agent: the attempts in them, their length, their words."""

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from app.call import events as ev
from app.records.report.call_report import CallReport, report_of
from app.records.report.call_text import ending, transcript_text
from app.records.report.gaps import Attempt
from app.records.report.levels import read_levels
from app.records.report.terminal import facts, transcript
from tests.records.report.recorded_call import Story, transferred_call


def reported(story: Story, wav: Path | None = None) -> CallReport:
    levels = read_levels(wav) if wav else None
    return report_of(story.call(wav), story.turns(), story.timeline(), levels)


def printed(table: object) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(table)
    return " ".join(capture.get().split())


# --- when, and which attempts -----------------------------------------------------------------


def test_a_transfer_that_no_human_accepted_lasts_until_the_next_stream() -> None:
    first = reported(transferred_call()).gaps[0]
    assert first.attempts == (Attempt("Sales", "no-answer"), Attempt("Support", "busy"))
    assert first.returned
    assert first.to_ms - first.from_ms == pytest.approx(5060, abs=1)


def test_a_transfer_that_a_human_accepted_lasts_to_the_end_of_the_call() -> None:
    report = reported(transferred_call())
    first, last = report.gaps
    assert last.attempts == (Attempt("Support", "completed"),)
    assert not last.returned and last.from_ms > first.to_ms
    assert report.ended_ms == last.to_ms
    assert last.to_ms - last.from_ms == pytest.approx(30_000, abs=100)


def test_a_transfer_that_twilio_refused_is_no_gap_and_takes_no_later_outcome() -> None:
    story = Story()
    story.connect()
    story.go(300)
    story.orders_transfer("Sales")
    story.is_refused()
    story.agent_says("That did not work. Once more.", 1000)
    story.quiet(500)
    story.orders_transfer("Support")
    story.stream_ends()
    story.rings("busy", ms=1000)
    story.resumes()
    story.hang_up()
    report = reported(story)
    (gap,) = report.gaps
    assert gap.attempts == (Attempt("Support", "busy"),)
    assert [tool.outcome for tool in report.tools] == ["returned", "returned"]


def test_a_caller_who_hung_up_while_a_human_was_rung() -> None:
    story = Story()
    story.connect()
    story.go(300)
    story.orders_transfer("Support")
    story.stream_ends()
    story.rings("canceled", ms=3000)
    report = reported(story)
    (gap,) = report.gaps
    assert not gap.returned
    assert ending(report.call) == "the caller hung up while Support was rung"
    assert "line    Support: the caller hung up; the call was over after 3." in transcript_text(
        report
    )


def test_a_call_without_a_transfer_has_no_gap() -> None:
    story = Story()
    story.connect()
    story.go(2000)
    story.hang_up()
    assert reported(story).gaps == ()


def test_a_lost_stream_that_reconnected_is_a_gap() -> None:
    story = Story()
    story.connect()
    story.go(2000)
    story.feed(ev.StreamEnded("media socket closed", lost=True))
    story.go(2400)
    story.feed(ev.LegOpened())
    story.feed(ev.StreamStarted("MZ2"))
    report = reported(story)
    (gap,) = report.gaps
    assert (gap.reason, gap.attempts, gap.returned) == ("line", (), True)
    assert "0:02.0  line    the line was lost; back with the agent after 0.4 s\n" in (
        transcript_text(report)
    )


def test_a_stream_that_was_lost_for_good_is_the_end_of_the_call() -> None:
    story = Story()
    story.connect()
    story.go(2000)
    story.feed(ev.StreamEnded("media socket closed", lost=True))
    assert reported(story).gaps == ()


def test_humans_who_were_rung_because_the_model_was_lost_are_listed() -> None:
    """The agent ordered no transfer: the TwiML behind the stream is the fallback."""
    story = Story()
    story.connect()
    story.go(2000)
    story.feed(ev.StreamEnded("media socket closed"))
    call = story.call()
    call = replace(
        call,
        ended_by="model",
        duration_s=20.0,
        transfers=[{"destination": "Support", "outcome": "completed"}],
    )
    report = report_of(call, story.turns(), story.timeline())
    (gap,) = report.gaps
    assert gap.attempts == (Attempt("Support", "completed"),)
    assert gap.to_ms == pytest.approx(20_060)


# --- its words --------------------------------------------------------------------------------


def test_the_tool_has_its_answer_from_the_next_leg_or_from_the_record() -> None:
    """The leg that called the tool ends first, and after an accepted transfer no leg follows."""
    first, second = reported(transferred_call()).tools
    assert first.name == second.name == "transfer_to_human"
    assert first.outcome == "returned"
    assert first.result.startswith("Nobody took the call. Sales: no-answer")
    assert second.result == "Support: took the call"


def test_the_transcript_has_each_attempt_and_its_outcome() -> None:
    text = transcript_text(reported(transferred_call()))
    rung, taken = (line for line in text.splitlines() if "  line    S" in line and ";" in line)
    assert "Sales: no answer, Support: busy; back with the agent after 5.1 s" in rung
    assert "Support: took the call; the call was over after 30.1 s" in taken
    order = [
        text.index(each)
        for each in ("A human, please.", "Sales: no answer", "Nobody is there", "took the call; ")
    ]
    assert order == sorted(order)
    assert text.splitlines()[-1].endswith("line    Support took the call")


def test_the_terminal_lists_every_human_that_was_rung() -> None:
    report = reported(transferred_call())
    listed = printed(facts(report))
    assert "transfer Sales: no answer; a price; told: 40 chairs" in listed
    assert "transfer Support: busy; a price; told: 40 chairs" in listed
    assert "transfer Support: took the call; a price; told: 40 chairs" in listed
    assert "line Sales: no answer, Support: busy; back with the agent" in printed(
        transcript(report)
    )


def test_words_and_latencies_of_both_legs_are_there(tmp_path: Path) -> None:
    story = transferred_call()
    wav = story.write_wav(tmp_path / "call.wav")
    report = reported(story, wav)
    assert [turn.heard for turn in report.turns] == [
        "Pizzeria Bella, this is Mia.",
        "A human, please.",
        "I am connecting you.",
        "Nobody is there just now.",
        "Once more, please.",
        "I am connecting you.",
    ]
    assert report.latencies_ms == pytest.approx([700, 700], abs=20)
