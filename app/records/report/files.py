"""Writes the files of a kept call: recording, transcript, record, and the page that shows it."""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path

from app.records.private_files import fresh_private_file, private_folder
from app.records.report.call_text import transcript_text
from app.records.report.whole_call import WholeCall
from app.records.visible import visible_json

KEPT_SOUND = "call.wav"


def keep_call(
    call: WholeCall, folder: Path, page_of: Callable[[WholeCall], Iterable[str]]
) -> Iterator[Path]:
    """Write the files of a call into `folder`, and yield their paths.

    `page_of`: makes the text of call.html, in pieces.

    Raises:
        OSError: a file cannot be written.
    """
    private_folder(folder)
    report = call.report
    if report.wav is not None:
        sound = _private(folder / KEPT_SOUND)
        shutil.copyfile(report.wav, sound)
        yield sound
    transcript = _private(folder / "transcript.txt")
    transcript.write_text(transcript_text(report), encoding="utf-8", errors="replace")
    yield transcript
    whole = _private(folder / "call.json")
    text = json.dumps(call.record(), ensure_ascii=False, indent=2, default=_iso)
    whole.write_text(visible_json(text) + "\n", encoding="utf-8")
    yield whole
    page = _private(folder / "call.html")
    with page.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(page_of(call))
    yield page


def _private(path: Path) -> Path:
    """An empty file that only its owner may read."""
    fresh_private_file(path)
    return path


def _iso(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
