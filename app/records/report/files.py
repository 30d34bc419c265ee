"""Writes the files of a kept call: recording, transcript, record, picture."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from app.records.private_files import fresh_private_file, private_folder
from app.records.report.call_report import CallReport
from app.records.report.call_text import transcript_text
from app.records.report.picture import draw
from app.records.store import Store
from app.records.visible import visible_json


async def record_of(store: Store, report: CallReport) -> dict[str, Any]:
    """The contents of call.json: the record, and what was measured in it.

    Raises:
        StoreUnavailable: the database is away.
    """
    call_sid = report.call.call_sid
    turns, timeline = await store.turns(call_sid), await store.timeline(call_sid)
    answers = [{**asdict(answer), "latency_ms": answer.latency_ms} for answer in report.answers]
    measured = {
        "answers": answers,
        "median_ms": report.median_ms,
        "worst_ms": report.worst_ms,
        "round_trip_ms": report.round_trip_ms,
        "interruptions": [asdict(cut) for cut in report.interruptions],
        "false_interruptions": [asdict(each) for each in report.false_interruptions],
        "turns": [asdict(turn) for turn in report.turns],
        "tools": [asdict(tool) for tool in report.tools],
        "absences": [asdict(gap) for gap in report.gaps],
    }
    return {
        **asdict(report.call),
        "transcript": [asdict(row) for row in turns],
        "events": [asdict(row) for row in timeline],
        "measured": measured,
    }


KEPT_SOUND = "call.wav"


def keep_call(report: CallReport, record: dict[str, Any], folder: Path) -> Iterator[Path]:
    """Write the files of a call into `folder`, and yield their paths. The picture is last, since it
    may fail.

    Raises:
        PictureUnavailable: matplotlib is not installed.
        OSError: a file cannot be written.
    """
    private_folder(folder)
    if report.wav is not None:
        sound = _private(folder / KEPT_SOUND)
        shutil.copyfile(report.wav, sound)
        yield sound
    transcript = _private(folder / "transcript.txt")
    transcript.write_text(transcript_text(report), encoding="utf-8", errors="replace")
    yield transcript
    whole = _private(folder / "call.json")
    text = json.dumps(record, ensure_ascii=False, indent=2, default=_iso)
    whole.write_text(visible_json(text) + "\n", encoding="utf-8")
    yield whole
    picture = _private(folder / "timeline.png")
    draw(report, report.wav, picture)
    yield picture


def _private(path: Path) -> Path:
    """An empty file that only its owner may read."""
    fresh_private_file(path)
    return path


def _iso(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
