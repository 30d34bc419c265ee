"""What the bench of replicas judges by, and how its proxy chooses."""

from math import inf
from typing import Any

from bench.replicas.judge import (
    Row,
    back_ms,
    differences,
    growth,
    longest_silence_ms,
    missing,
)
from bench.replicas.proxy import FALLS, RandomProxy
from bench.replicas.resources import AtRest, Resources, kind_of, live_calls
from bench.replicas.script import HELLO, REPLIES, SOUNDS, transcribe
from bench.strangers.gaps import Stalls


def record(**other: Any) -> dict[str, Any]:
    return {
        "status": "completed",
        "ended_by": "caller",
        "direction": "inbound",
        "duration_s": 3.1,
        "transcript": [
            {"role": "assistant", "text": "Hello.", "cut": False, "at_ms": 5.0},
            {"role": "assistant", "text": "Once upon", "cut": True, "at_ms": 9.0},
        ],
        "transfers": [],
        "events": [{"name": "ReportDecision", "at_ms": 1.0, "data": {"decision": "retry"}}],
    } | other


def test_a_row_says_whether_its_limit_is_kept() -> None:
    verdicts = [Row("kill", "", "", "", kept).row[-1] for kept in (None, True, False)]
    assert verdicts == ["", "PASS", "FAIL"]


def test_records_of_the_same_script_differ_in_times_and_cut_words_alone() -> None:
    longer = {"role": "assistant", "text": "Once upon a time", "cut": True, "at_ms": 9.5}
    turns = [record()["transcript"][0], longer]
    assert not differences(record(duration_s=4.0, transcript=turns), record())


def test_what_differs_between_records_is_named() -> None:
    other = record(ended_by=None, transfers=[{"destination": "desk", "outcome": "canceled"}])
    assert differences(other, record()) == [
        "ended_by: None, not caller",
        "transfers: [('desk', 'canceled', False)], not []",
    ]
    assert differences({}, record()) == ["there is no record of its end"]


def test_that_a_call_moved_is_no_difference() -> None:
    moved = [*record()["events"], {"name": "", "data": {"decision": "call taken over"}}]
    assert not differences(record(events=moved), record())


def test_a_silence_is_measured_between_sounds_and_at_the_edges_of_the_window() -> None:
    spans = [(0.0, 100.0), (130.0, 200.0), (200.0, 300.0)]
    assert longest_silence_ms(spans, (50.0, 300.0), Stalls()) == 30.0
    assert longest_silence_ms(spans, (50.0, 350.0), Stalls()) == 50.0
    assert longest_silence_ms(spans, (50.0, 350.0), Stalls(), goes_on=False) == 30.0
    assert longest_silence_ms([], (0.0, 70.0), Stalls()) == 70.0


def test_what_the_bench_itself_stalled_is_no_silence() -> None:
    stalls = Stalls()
    stalls.late(128.0, 20.0)
    assert longest_silence_ms([(0.0, 100.0), (130.0, 200.0)], (0.0, 200.0), stalls) == 10.0


def test_a_caller_is_back_with_the_first_sound_after_the_first_question() -> None:
    assert back_ms([5.0, 100.0, 900.0], [50.0, 1100.0, 1200.0], since_ms=60.0) == 1000.0
    assert back_ms([100.0], [50.0], since_ms=60.0) == inf


def test_growth_compares_a_third_of_the_run_with_its_end() -> None:
    assert growth([50.0, 80.0, 100.0, 100.0, 104.0, 150.0]) == 0.5
    assert growth([100.0]) == 0.0


def test_what_a_model_was_not_told_is_named() -> None:
    assert missing(["Hello.", "I am Ann, and hungry."], ["I am Ann", "Two tables"]) == [
        "Two tables"
    ]


def test_each_replica_is_tried_and_those_that_are_down_last() -> None:
    proxy = RandomProxy([1, 2, 3])
    proxy._fallen[1] = FALLS
    orders = [proxy.order(is_stream=False) for _ in range(50)]
    assert all(sorted(each) == [0, 1, 2] and each[-1] == 1 for each in orders)
    assert {each[0] for each in orders} == {0, 2}


def test_streams_alone_may_be_directed() -> None:
    proxy = RandomProxy([1, 2, 3])
    proxy.for_streams = {2}
    assert {proxy.order(is_stream=True)[0] for _ in range(50)} == {2}
    assert {proxy.order(is_stream=False)[0] for _ in range(50)} == {0, 1, 2}


def test_what_is_left_at_rest_is_named() -> None:
    before = AtRest([Resources(10, 5, 3, 0)], ["phone-agent:replica:1"])
    assert not AtRest([Resources(12, 5, 3, 0)], ["phone-agent:replica:2"]).more_than(before)
    keys = ["phone-agent:replica:1", "phone-agent:owner:7"]
    after = AtRest([Resources(10, 7, 3, 1)], keys, model_sessions=2)
    assert after.more_than(before) == [
        "replica 1: 2 files, 1 live calls",
        "1 Redis keys phone-agent:owner",
        "2 sessions of the model",
    ]


def test_live_calls_are_read_from_the_metrics() -> None:
    page = "# TYPE phone_agent_live_calls gauge\nphone_agent_live_calls 3.0\n"
    assert live_calls(page) == 3
    assert kind_of("phone-agent:ticket:0a") == "phone-agent:ticket"


def test_a_caller_is_understood_by_sound_with_silence_around_it() -> None:
    silence = b"\xff" * 2400
    assert all(transcribe(silence + SOUNDS[text] + silence) == text for text in REPLIES)
    assert transcribe(silence + (HELLO.audio or b"")) == ""
