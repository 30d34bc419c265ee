"""Percentiles, process times, signatures and verdicts."""

import msgspec
import pytest

from bench import line
from bench.load import report
from bench.load.run import Measurement, Plan
from bench.load.series import Series
from bench.process import cpu_seconds
from bench.samples import Samples, Summary, percentile


def test_percentiles_are_values_that_were_measured() -> None:
    ordered = list(range(1, 101))
    assert [percentile(ordered, percent) for percent in (0, 1, 50, 99, 100)] == [1, 1, 50, 99, 100]
    assert percentile([7], 99) == 7
    assert percentile([1, 2, 3], 50) == 2


def test_a_summary_without_values_is_zero() -> None:
    assert Samples().summary() == Summary()
    assert Samples([3, 1, 2]).summary() == Summary(count=3, p50=2, p99=3, p999=3, max=3)


@pytest.mark.parametrize(
    ("clock", "seconds"),
    [("0:01.25", 1.25), ("12:34", 754), ("01:02:03", 3723), ("2-00:00:01", 172_801)],
)
def test_the_processor_time_that_ps_prints_is_understood(clock: str, seconds: float) -> None:
    assert cpu_seconds(clock) == seconds


def test_a_webhook_is_signed_as_twilio_does(monkeypatch: pytest.MonkeyPatch) -> None:
    # The vectors of Twilio's validation library (Twilio: webhooks security).
    monkeypatch.setattr(line, "AUTH_TOKEN", "12345")
    form = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675310",
        "Digits": "1234",
        "From": "+14158675310",
        "To": "+18005551212",
    }
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert line.signature(url, form) == "GvWf1cFY/Q7PnoempGyD5oXAezc="
    handshake = line.signature("wss://voice.example.com/twilio/stream", {})
    assert handshake == "t/8qbLNvETeS9S8Jhtt2tU1aQPg="


def measurement(subject: str, cpu_s: float, p99: float = 1.0, **changes: object) -> Measurement:
    """A run without faults."""
    latency = Summary(count=100, p50=0.2, p99=p99, max=9)
    run = Measurement(
        subject=subject,
        calls=10,
        seconds=2,
        calls_held=10,
        cpu_s_per_call_minute=cpu_s,
        core_percent=10,
        rss_kb_per_call=60,
        rss_mb=40,
        uplink_ms=latency,
        downlink_ms=latency,
        first_audio_ms=latency,
        clear_ms=latency,
        truncation_error_ms=latency,
        frames_sent=1000,
        lost_frames=0,
        lost_deltas=0,
        interruptions=5,
        missing_clears=0,
        needless_clears=0,
        missing_truncates=0,
        needless_truncates=0,
        refused_truncates=0,
        sockets_left_open=0,
        load_core_percent=30,
        others_percent=1,
        load_late_ms=latency,
        faults=[],
    )
    return msgspec.structs.replace(run, **changes)


def failed(*service: Measurement) -> list[str]:
    """The names of the limits that these runs of the service broke."""
    runs = report.Comparison([measurement("relay", 0.1)] * len(service), service)
    rows = report.load_rows(runs) + report.barge_in_rows(runs, 50)
    return [row.name for row in rows if row.kept is False]


def test_a_service_within_its_limits_passes() -> None:
    assert failed(measurement("service", 0.22)) == []


def test_a_service_that_costs_too_much_fails() -> None:
    assert failed(measurement("service", 0.23)) == ["CPU, s per call-minute"]


def test_a_frame_lost_in_any_run_fails() -> None:
    good, bad = measurement("service", 0.2), measurement("service", 0.2, lost_deltas=1)
    assert failed(good, bad, good) == ["frames lost"]


def test_one_slow_run_of_three_is_not_the_median() -> None:
    good, slow = measurement("service", 0.2), measurement("service", 0.2, p99=30)
    assert failed(good, slow, good) == []
    assert failed(slow, good, slow) == [
        "caller to model, p99 ms",
        "model to caller, p99 ms",
        "speech to clear at 50, p99 ms",
    ]


def test_a_late_load_makes_a_run_doubtful() -> None:
    run = measurement("service", 0.2, load_core_percent=81.0, frames_sent=900)
    assert len(report.remarks([run])) == 2
    assert report.remarks([measurement("relay", 0.1)]) == []


def test_the_markdown_has_a_row_for_each_thing() -> None:
    runs = report.Comparison([measurement("relay", 0.1)], [measurement("service", 0.2)])
    rows = report.load_rows(runs)
    lines = report.markdown(rows, "caption").splitlines()
    assert len(lines) == 2 + len(rows) + 2
    assert lines[2] == "| CPU, s per call-minute | 0.100 |  | 0.200 | 2.0 | ≤ 2.2 x relay | PASS |"


def test_a_peer_that_costs_less_fails_the_service() -> None:
    relay, service = [measurement("relay", 0.1)], [measurement("service", 0.2)]
    for cpu_s, broken in ((0.19, ["CPU, over the peer's"]), (0.195, [])):
        runs = report.Comparison(relay, service, [measurement("Node peer", cpu_s)])
        rows = report.load_rows(runs)
        assert [row.name for row in rows if row.kept is False] == broken
        assert rows[0].cells[2] == f"{cpu_s:.3f}"


def test_pages_that_cost_too_much_and_a_full_core_fail() -> None:
    relay, alone = [measurement("relay", 0.1)], [measurement("service", 0.2)]
    for cpu_s, kept in ((0.215, True), (0.225, False)):
        rows = report.watched_rows(relay, alone, [measurement("service", cpu_s, watched=True)])
        assert rows[0].kept is kept
    full = measurement("service", 0.1, p99=21, core_percent=61.0, calls_held=9)
    assert [row.kept for row in report.capacity_rows(full)] == [False] * 3
    assert [row.kept for row in report.capacity_rows(alone[0])] == [True] * 3


def test_the_series_gives_each_run_its_place_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.long_call.rows", list)
    for peer in (False, True):
        series = Series(Plan(10, 1), 2, peer)
        done = [
            measurement(subject.name, 0.1 + 0.1 * plan.watched, calls=plan.calls)
            for subject, plan in series.steps
        ]
        rows = {row.name: row for row in series.rows(done)}
        cpu = rows["CPU, s per call-minute"]
        assert (cpu.relay, cpu.service, cpu.peer) == (0.1, 0.1, 0.1 if peer else None)
        assert rows[
            "3 pages of the console open, metrics scraped: further CPU, times the relay's"
        ].service == pytest.approx(1)
        assert "350 calls: core, %" in rows
