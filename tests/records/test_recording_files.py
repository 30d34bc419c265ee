"""The files of a recording: which there are, and what may be read of them."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.call import events as ev
from app.records.record import CallRow
from app.records.recording import HEADER_BYTES, Recording, wav_header
from app.records.recording_files import RecordingPart, find_file, parts_of
from app.records.store import Store

PART = RecordingPart("/recordings/CA1.wav", "host:/recordings", 1500.5)


async def row(tmp_path: Path) -> CallRow:
    store = await Store.open(f"sqlite:///{tmp_path / 'calls.db'}")
    store.save_call("CA1", recording=PART.path, recordings=[PART.as_data(), PART.as_data()])
    await store.flush()
    found = await store.get_call("CA1")
    await store.aclose()
    assert found is not None
    return found


async def test_the_files_of_a_call_are_stored_in_their_order(tmp_path: Path) -> None:
    stored = await row(tmp_path)
    assert parts_of(stored) == [PART, PART]
    assert (PART.name, PART.from_bytes) == ("CA1.wav", 1500 * 32)
    assert parts_of(replace(stored, recordings=[])) == [RecordingPart(PART.path)]
    last = RecordingPart("/elsewhere/CA1-9.wav")
    assert parts_of(replace(stored, recording=last.path)) == [PART, PART, last]
    unknown = [{"path": 7}, {}, {**PART.as_data(), "more": 1}]
    assert parts_of(replace(stored, recordings=unknown)) == [PART]
    assert parts_of(replace(stored, recordings=[], recording=None)) == []


def test_only_recordings_in_the_folder_are_found(tmp_path: Path) -> None:
    (tmp_path / "CA1.wav").write_bytes(wav_header(8) + bytes(8))
    (tmp_path / "text.wav").write_text("no sound at all, but long enough for a header")
    (tmp_path / "short.wav").write_bytes(b"RIFF")
    found = find_file(tmp_path, "CA1.wav")
    assert found is not None and found.size_bytes == 8
    for name in ("text.wav", "short.wav", "CA2.wav", "", "../CA1.wav", "CA1", "a/CA1.wav"):
        assert find_file(tmp_path / "", name) is None, name
    assert find_file(tmp_path / "other", "CA1.wav", str(tmp_path / "CA1.wav")) is not None


@pytest.mark.parametrize(("in_header", "in_file", "size"), [(8, 9, 8), (80, 10, 8), (7, 7, 4)])
def test_a_file_that_is_being_written_is_read_as_far_as_it_is_whole(
    tmp_path: Path, in_header: int, in_file: int, size: int
) -> None:
    (tmp_path / "CA1.wav").write_bytes(wav_header(in_header) + bytes(range(in_file)))
    found = find_file(tmp_path, "CA1.wav")
    assert found is not None and found.size_bytes == size
    assert found.read(2, 100) == bytes(range(2, size)) and found.read(size, 5) == b""


async def test_what_another_process_recorded_is_a_hole_in_the_file(tmp_path: Path) -> None:
    recording = Recording(tmp_path, "CA1-3")
    recording.event(ev.StreamStarted("MZ1"), 600_000)
    await recording.write(590_000)
    assert recording.path is not None and recording.from_ms == 599_000
    found = find_file(tmp_path, "CA1-3.wav")
    assert found is not None and found.size_bytes == 599_000 * 32
    await recording.write(601_000)
    stat = recording.path.stat()
    assert stat.st_size == HEADER_BYTES + 601_000 * 32
    assert stat.st_blocks * 512 < 200_000
    assert found.read(0, 1000) == bytes(1000)
