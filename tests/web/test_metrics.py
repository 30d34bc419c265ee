"""Metrics are counted from what watchers see, and their labels come from closed lists."""

import random
import string
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.call import commands as do
from app.call import events as ev
from app.call.agent import Agent, ToolSpec, TurnTaking
from app.records.watching import CallEnded, TransferEnded, Watched
from app.web import metrics
from app.web.metrics import Metrics
from app.wires.twilio.call import CallInfo

CALL = CallInfo("CA1", "AC1", "inbound", "+14155550101", "+14155550102")
AGENT = Agent("Ada", "Be kind.", tools=(ToolSpec("look_up", "Looks up.", {"type": "object"}),))
JUDGING = TurnTaking(resume_false_interruptions=True)
PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
NAMES = {
    "phone_agent_live_calls": "gauge",
    "phone_agent_calls": "counter",
    "phone_agent_response_seconds": "histogram",
    "phone_agent_interruptions": "counter",
    "phone_agent_transfers": "counter",
    "phone_agent_model_sessions_lost": "counter",
    "phone_agent_silences": "counter",
    "phone_agent_tool_seconds": "histogram",
    "phone_agent_cost_usd": "counter",
}


class Counted:
    """Metrics that a test feeds, one message after another."""

    def __init__(self, agent: Agent = AGENT) -> None:
        self.metrics = Metrics(agent, lambda: 3)
        self.feed(ev.LegOpened())

    def feed(self, *messages: Watched, at_ms: float = 0.0, call: CallInfo = CALL) -> "Counted":
        for message in messages:
            self.metrics.watch(call, message, at_ms)
        return self

    def values(self, name: str) -> dict[tuple[str, ...], float]:
        """The samples of this name that are not 0, by their labels in the order of their names."""
        return {
            tuple(value for _, value in sorted(each.labels.items())): each.value
            for each in samples(self.metrics)
            if each.name == name and each.value
        }

    def value(self, name: str, **labels: str) -> float:
        (found,) = [
            each.value
            for each in samples(self.metrics)
            if each.name == name and each.labels == labels
        ]
        return float(found)


def samples(of: Metrics) -> list[Any]:
    families = text_string_to_metric_families(of.page().decode())
    return [sample for family in families for sample in family.samples]


def test_the_page_has_every_metric_and_no_other() -> None:
    families = list(text_string_to_metric_families(Counted().metrics.page().decode()))
    ours = [each for each in families if not each.name.startswith("process_")]
    assert {each.name: each.type for each in ours} == NAMES
    assert Counted().value("phone_agent_live_calls") == 3


@pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")
def test_the_page_counts_the_cpu_of_all_threads() -> None:
    (cpu_s,) = (
        s.value for s in samples(Counted().metrics) if s.name == "process_cpu_seconds_total"
    )
    assert cpu_s == pytest.approx(time.process_time(), abs=0.5)


@pytest.mark.parametrize("name", ["phone_agent_response_seconds", "phone_agent_tool_seconds"])
def test_buckets_go_from_a_tenth_of_a_second_to_ten(name: str) -> None:
    found = [s.labels["le"] for s in samples(Counted().metrics) if s.name == f"{name}_bucket"]
    assert found[0] == "0.1" and found[-2:] == ["10.0", "+Inf"]


# --- each metric ----------------------------------------------------------------------------------


def test_a_call_that_ends_is_counted_once_with_its_cost() -> None:
    counted = Counted().feed(do.EndLeg("caller"), CallEnded("caller", 0.25))
    counted.feed(CallEnded("", 0.0), call=CallInfo("CA2", direction="outbound-api"))
    assert counted.values("phone_agent_calls_total") == {
        ("inbound", "caller"): 1,
        ("outbound-api", "unanswered"): 1,
    }
    assert counted.value("phone_agent_cost_usd_total") == 0.25


def answered(counted: Counted, *, item_id: str = "item_1", quiet_ms: int | None = 500) -> None:
    """The caller speaks from 1000 to 2500 ms, and the answer is sent at 3000 ms."""
    counted.feed(ev.SpeechStarted("user_1", 0), at_ms=1000)
    counted.feed(ev.CallerAudioForwarded(75, 12_000, quiet_ms), ev.SpeechStopped("user_1", 0),
                 at_ms=2500)  # fmt: skip
    counted.feed(do.PlayAudio("", "", 2400), at_ms=2800)
    counted.feed(do.PlayAudio(item_id, "", 800), do.PlayAudio(item_id, "", 800), at_ms=3000)


@pytest.mark.parametrize(("quiet_ms", "seconds"), [(500, 1.0), (0, 0.5), (None, 0.5), (9000, 2.0)])
def test_the_response_time_begins_with_the_end_of_the_callers_voice(
    quiet_ms: int | None, seconds: float
) -> None:
    counted = Counted()
    answered(counted, quiet_ms=quiet_ms)
    assert counted.value("phone_agent_response_seconds_count") == 1
    assert counted.value("phone_agent_response_seconds_sum") == pytest.approx(seconds)


def test_what_goes_on_after_a_cough_is_no_answer() -> None:
    counted = Counted(Agent("Ada", "", turns=JUDGING)).feed(do.PlayAudio("item_1", "", 800))
    answered(counted)
    counted.feed(do.ReportInterruption("false", "no words", 800), at_ms=3100)
    counted.feed(do.PlayAudio("item_2", "", 800), at_ms=9000)
    assert counted.value("phone_agent_response_seconds_count") == 0
    assert counted.values("phone_agent_interruptions_total") == {("false",): 1}


def test_the_end_of_a_turn_that_was_judged_while_it_was_open_awaits_no_answer() -> None:
    counted = Counted(Agent("Ada", "", turns=JUDGING)).feed(do.PlayAudio("item_1", "", 800))
    counted.feed(ev.SpeechStarted("user_1", 0), at_ms=1000)
    counted.feed(do.ReportInterruption("false", "no words in time", 3000), at_ms=4000)
    counted.feed(ev.SpeechStopped("user_1", 0), at_ms=5000)
    counted.feed(do.PlayAudio("item_2", "", 800), at_ms=9000)
    assert counted.value("phone_agent_response_seconds_count") == 0


def test_a_caller_who_goes_on_is_answered_once() -> None:
    counted = Counted()
    counted.feed(ev.SpeechStarted("user_0", 0), ev.SpeechStopped("user_0", 0), at_ms=500)
    answered(counted)
    counted.feed(do.PlayAudio("item_2", "", 800), at_ms=4000)
    assert counted.value("phone_agent_response_seconds_count") == 1


def test_without_judgement_speech_that_clears_audio_is_an_interruption() -> None:
    counted = Counted()
    counted.feed(ev.SpeechStarted("user_1", 0), do.ClearAudio(800), at_ms=10)
    counted.feed(ev.DigitPressed("1"), do.ClearAudio(800), at_ms=20)
    counted.feed(ev.VoicemailReached("Goodbye."), do.ClearAudio(800), at_ms=30)
    assert counted.values("phone_agent_interruptions_total") == {("confirmed",): 2}


def test_with_judgement_the_verdict_counts_and_not_the_clear() -> None:
    counted = Counted(Agent("Ada", "", turns=JUDGING))
    counted.feed(ev.SpeechStarted("user_1", 0), do.ClearAudio(800), at_ms=10)
    counted.feed(do.ReportInterruption("confirmed", "words", 400), at_ms=410)
    assert counted.values("phone_agent_interruptions_total") == {("confirmed",): 1}


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([ev.ModelLost("the key is wrong", fatal=True)], "refused"),
        ([ev.ModelLost("no answer within 8 s")], "unreachable"),
        ([ev.ModelOpened(), ev.ModelLost("it closed")], "closed"),
        ([ev.ModelOpened(), ev.ModelLost("session_expired")], "expired"),
        ([ev.ModelOpened(), do.ReportDecision("replace the session", "no sound")], "replaced"),
        ([ev.ModelOpened(), do.SwapModel(0, 300), ev.ModelLost("it closed")], "closed"),
    ],
)
def test_a_lost_session_has_one_reason(messages: list[Watched], reason: str) -> None:
    counted = Counted().feed(*messages)
    assert counted.values("phone_agent_model_sessions_lost_total") == {(reason,): 1}


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (ev.ModelLost("it closed"), "closed"),
        (do.ReportDecision("replace the session", "no sound"), "replaced"),
    ],
)
def test_the_successor_of_a_lost_session_is_an_open_session(first: Watched, reason: str) -> None:
    counted = Counted().feed(ev.ModelOpened(), first, do.SwapModel(0, 300))
    counted.feed(ev.ModelLost("session_expired"))
    lost = counted.values("phone_agent_model_sessions_lost_total")
    assert lost == {(reason,): 1, ("expired",): 1}


def test_silences_and_transfers_are_counted() -> None:
    counted = Counted().feed(do.ReportSilence("tool", 4300.0), TransferEnded("no-answer"))
    assert counted.values("phone_agent_silences_total") == {("tool",): 1}
    assert counted.values("phone_agent_transfers_total") == {("no-answer",): 1}


def called(name: str, call_id: str = "call_1") -> ev.OutputItemDone:
    return ev.OutputItemDone("resp_1", "item_1", "function_call", "completed", call_id, name, "{}")


@pytest.mark.parametrize(
    ("name", "messages", "outcome"),
    [
        ("look_up", [do.RunTool("call_1", "look_up", "{}"), ev.ToolReturned("call_1", "")],
         "returned"),
        ("look_up", [do.RunTool("call_1", "look_up", "{}"), ev.ToolFailed("call_1", "")], "failed"),
        ("look_up", [do.CancelTool("call_1"), do.AddToolOutput("e", "call_1", "")], "canceled"),
        ("send_digits", [do.AddToolOutput("e", "call_1", "")], "returned"),
        ("transfer_to_human", [do.TransferCall("call_1", ("desk",), "", "", True),
                               do.CancelTool("call_1")], "returned"),
        ("end_call", [do.HangUp("agent"), do.CancelTool("call_1")], "returned"),
    ],
)  # fmt: skip
def test_a_tool_call_is_timed_to_its_end(name: str, messages: list[Watched], outcome: str) -> None:
    counted = Counted().feed(called(name), at_ms=1000)
    counted.feed(*messages, at_ms=3500)
    assert counted.values("phone_agent_tool_seconds_count") == {(outcome, name): 1}
    assert counted.values("phone_agent_tool_seconds_sum") == {(outcome, name): 2.5}


def test_tools_that_only_the_response_lists_are_timed_too() -> None:
    counted = Counted().feed(ev.ResponseDone("resp_1", "completed", calls=(called("end_call"),)))
    counted.feed(do.AddToolOutput("e", "call_1", ""), at_ms=100)
    assert counted.values("phone_agent_tool_seconds_count") == {("returned", "end_call"): 1}


def test_a_tool_call_that_its_response_lists_later_is_counted_once() -> None:
    counted = Counted().feed(called("end_call"), do.AddToolOutput("e", "call_1", ""), at_ms=100)
    counted.feed(ev.ResponseDone("resp_1", "completed", calls=(called("end_call"),)), at_ms=200)
    counted.feed(called("end_call", "call_2"), at_ms=9000)
    counted.feed(do.HangUp("agent"), at_ms=10_000)
    assert counted.values("phone_agent_tool_seconds_count") == {("returned", "end_call"): 2}
    assert counted.values("phone_agent_tool_seconds_sum")[("returned", "end_call")] < 2


def test_the_tools_of_a_leg_that_fails_are_canceled() -> None:
    counted = Counted().feed(called("look_up"), ev.LegFailed())
    counted.feed(do.CancelTool("call_1"), do.EndLeg("error"))
    assert counted.values("phone_agent_tool_seconds_count") == {("canceled", "look_up"): 1}


def test_two_calls_do_not_mix() -> None:
    counted, other = Counted(), CallInfo("CA2")
    counted.feed(ev.LegOpened(), called("look_up"), call=other)
    counted.feed(ev.SpeechStarted("user_1", 0), at_ms=1000)
    counted.feed(do.PlayAudio("item_9", "", 800), ev.ToolReturned("call_1", ""), at_ms=2000)
    assert counted.value("phone_agent_response_seconds_count") == 0
    assert counted.values("phone_agent_tool_seconds_count") == {}
    counted.feed(ev.ToolReturned("call_1", ""), at_ms=2000, call=other)
    assert counted.values("phone_agent_tool_seconds_count") == {("returned", "look_up"): 1}


def test_no_leg_is_kept_after_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MOST_LEGS", 2)
    counted = Counted()
    for number in range(5):
        counted.feed(ev.LegOpened(), call=CallInfo(f"CA{number}"))
    assert len(counted.metrics._legs) == 2
    counted.feed(do.EndLeg("caller"), call=CallInfo("CA4"))
    counted.feed(CallEnded("line", 0.0), call=CallInfo("CA3"))
    assert not counted.metrics._legs


# --- labels ---------------------------------------------------------------------------------------

LISTS: Mapping[str, tuple[str, ...]] = {
    "direction": metrics.DIRECTIONS,
    "ended_by": metrics.ENDED_BY,
    "verdict": metrics.VERDICTS,
    "transfers: `outcome`": metrics.OUTCOMES,
    "reason": metrics.REASONS,
    "cause": metrics.CAUSES,
    "tools: `outcome`": metrics.TOOL_OUTCOMES,
}


def test_whatever_a_call_brings_no_label_is_beyond_the_lists() -> None:
    rng = random.Random(5)
    counted = Counted()
    before = {(each.name, *each.labels.values()) for each in samples(counted.metrics)}
    for number in range(300):
        word = "".join(rng.choices(string.ascii_letters + string.digits + '+"\\\n', k=12))
        call_id, call = f"call_{number}", CallInfo(f"CA{number}", direction=word)
        counted.feed(ev.LegOpened(), called(word, call_id), call=call)
        counted.feed(do.RunTool(call_id, word, word), ev.ToolFailed(call_id, word), call=call)
        counted.feed(ev.ModelLost(word), do.ReportDecision(word, word), call=call)
        counted.feed(TransferEnded(f"+1415555{number:04}"), CallEnded(word, 0.01), call=call)
    assert {(each.name, *each.labels.values()) for each in samples(counted.metrics)} == before
    assert counted.values("phone_agent_tool_seconds_count") == {("failed", "other"): 300}
    assert counted.values("phone_agent_calls_total") == {("other", "other"): 300}
    assert counted.values("phone_agent_transfers_total") == {("other",): 300}


def test_the_lists_are_written_down() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for label, values in LISTS.items():
        start = f"| {label} |" if "`" in label else f"| `{label}` |"
        (row,) = [line for line in page.splitlines() if line.startswith(start)]
        assert row == f"{start} {', '.join(f'`{value}`' for value in values)} |"
    for tool in Metrics(Agent("Ada", ""), lambda: 0).tools:
        assert f"`{tool}`" in page
    for name, kind in NAMES.items():
        assert f"`{name}{'_total' if kind == 'counter' else ''}" in page
