"""What the console draws beyond the report: lost sessions, silences, notes, the waveform."""

from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from app.call import commands as do
from app.call import events as ev
from app.records.record import TimelineRow
from app.records.report.call_report import report_of
from app.records.report.levels import read_levels
from app.records.report.view import MOST_PEAKS, CallView, ModelGap, Note, Silence, drawn
from tests.records.report.recorded_call import Sounded, Story, write_wav


def entry(at_ms: float, message: ev.Event | do.Command, **data: Any) -> TimelineRow:
    kind = "command" if type(message).__module__.endswith("commands") else "event"
    order = int(at_ms)
    given = {"order": order, **data}
    return TimelineRow(order, at_ms, kind, type(message).__name__, given)  # type: ignore[arg-type]


LOST = ev.ModelLost("closed 1011")
OPENED, READY, SWAP = ev.ModelOpened(), ev.SessionConfigured(), do.SwapModel(0, 0)


def lost(at_ms: float) -> TimelineRow:
    return entry(at_ms, LOST, reason="closed 1011", fatal=False)


def view(*timeline: TimelineRow) -> CallView:
    story = Story()
    return drawn(report_of(story.call(), (), timeline), timeline, None)


def test_a_lost_session_lasts_until_the_next_one_is_ready() -> None:
    shown = view(
        entry(0, OPENED), entry(50, READY), lost(4000), lost(4200), entry(4500, OPENED),
        entry(4800, READY), entry(5000, READY),
    )  # fmt: skip
    assert shown.model_gaps == [ModelGap(4000, 4800, "closed 1011", resumed=True)]


def test_a_session_that_no_other_follows_is_lost_until_the_leg_or_the_timeline_ends() -> None:
    ended = entry(9000, do.EndLeg("model"), reason="model")
    assert view(lost(4000), ended, entry(9500, READY)).model_gaps == [
        ModelGap(4000, 9000, "closed 1011", resumed=False)
    ]
    assert view(lost(4000), entry(7000, READY)).model_gaps == [
        ModelGap(4000, 7000, "closed 1011", resumed=False)
    ]


def test_a_session_that_is_replaced_as_planned_is_a_moment() -> None:
    shown = view(entry(0, OPENED), entry(50, READY), entry(3000, SWAP, audio_from_ms=0))
    assert shown.model_gaps == []
    assert shown.notes == [Note(3000, "session", "replaced")]


def test_a_silence_is_reported_at_its_end() -> None:
    shown = view(entry(9000, do.ReportSilence("tool", 4500), cause="tool", length_ms=4500))
    assert shown.silences == [Silence(4500, 9000, "tool")]


def test_acts_of_people_and_keys_are_moments() -> None:
    shown = view(
        entry(1000, ev.SayRequested("Hello."), text="Hello."),
        entry(2000, ev.TransferRequested(""), destination=""),
        entry(3000, ev.HangUpRequested("operator"), reason="operator"),
        entry(4000, ev.DigitPressed("0"), digit="0"),
    )
    assert [(note.kind, note.text) for note in shown.notes] == [
        ("operator", "say: Hello."), ("operator", "transfer"), ("operator", "hang up"),
        ("key", "0"),
    ]  # fmt: skip


@pytest.mark.parametrize("length_ms", [3000, 10 * MOST_PEAKS + 5000])
def test_a_waveform_has_as_many_peaks_as_can_be_drawn(tmp_path: Path, length_ms: int) -> None:
    wav = write_wav(tmp_path / "call.wav", [Sounded(1, 1000, 2000)], length_ms)
    story = Story()
    shown = drawn(report_of(story.call(), (), ()), (), read_levels(wav)).waveform
    assert shown is not None
    caller, agent = b64decode(shown.caller), b64decode(shown.agent)
    assert len(caller) == len(agent) <= MOST_PEAKS
    assert len(agent) * shown.cell_ms == pytest.approx(length_ms, abs=shown.cell_ms)
    sounding = [n * shown.cell_ms for n, peak in enumerate(agent) if peak > 30]
    assert min(sounding) == pytest.approx(1000, abs=20) and max(sounding) < 2000
    assert not any(caller)
