"""The recording of a call: what was heard, when it was heard, and nothing else."""

import asyncio
import base64
import logging
import os
import random
import stat
import threading
import wave
from pathlib import Path

import pytest

from app.audio import ulaw_encode
from app.call import commands as do
from app.call import events as ev
from app.records.recording import CallSound, Recording
from app.simulator.twilio.media.playback import PlaybackClock

FRAME_MS = 20
LOUD = 8000  # a sample's height, well above µ-law's steps


def marked(number: int, size_bytes: int = 160) -> bytes:
    """µ-law that tells by its height which one it is."""
    height = (number % 60 + 1) * 500
    return ulaw_encode(height.to_bytes(2, "little") * size_bytes)


def payload(ulaw: bytes) -> str:
    return base64.b64encode(ulaw).decode()


def sides(pcm: bytes) -> tuple[list[int], list[int]]:
    """The samples of both sides."""
    samples = memoryview(pcm).cast("h").tolist()
    return samples[0::2], samples[1::2]


def height(number: int) -> int:
    """What `marked` sounds like after µ-law."""
    sound = CallSound()
    sound.command(do.PlayAudio("i", payload(marked(number, 8)), 8), 0)
    return sides(sound.take(1))[1][0]


def test_the_callers_frames_are_where_they_arrived() -> None:
    sound = CallSound()
    sound.stream_started(100)
    for number in range(3):
        sound.caller_frame(payload(marked(number)), str(number * FRAME_MS), 100 + number * FRAME_MS)
    left, right = sides(sound.take(200))
    assert left[:800] == [0] * 800
    for number in range(3):
        begins = (100 + number * FRAME_MS) * 8
        assert left[begins : begins + 160] == [height(number)] * 160
    assert left[1280:] == [0] * 320 and right == [0] * 1600


def test_three_minutes_of_late_frames_are_where_they_were_spoken() -> None:
    """Delays from 30 to 70 ms, and the line stuck for half a second now and then."""
    said_from_ms, frames = 1000, 180_000 // FRAME_MS
    rng = random.Random(3)
    sound, pcm = CallSound(), b""
    sound.stream_started(said_from_ms + 70)
    arrived_ms = 0.0
    for number in range(frames):
        said_ms = said_from_ms + (number + 1) * FRAME_MS
        stuck_ms = 500 if number % 1000 > 975 else 0
        arrived_ms = max(arrived_ms, said_ms + rng.uniform(30, 70) + stuck_ms)
        sound.caller_frame(payload(marked(number)), str(number * FRAME_MS), arrived_ms)
        if number % 250 == 0:
            pcm += sound.take(arrived_ms - 10_000)
    left, _ = sides(pcm + sound.take(arrived_ms))
    # a frame leaves when it is full and arrives 30 ms later at best: the timeline knows it then
    for number in range(100, frames - 5):
        middle = round((said_from_ms + (number + 1) * FRAME_MS + 30 + FRAME_MS / 2) * 8)
        assert left[middle] == height(number), f"frame {number} is not within 10 ms of its place"


def test_a_lost_frame_leaves_its_gap() -> None:
    sound = CallSound()
    sound.stream_started(0)
    sound.caller_frame(payload(marked(1)), "0", 0)
    sound.caller_frame(payload(marked(3)), "40", 40)
    left, _ = sides(sound.take(60))
    assert left == [height(1)] * 160 + [0] * 160 + [height(3)] * 160


@pytest.mark.parametrize("timestamp", ["", "soon", None, "9" * 40, "99999999999", -5])
def test_frames_without_a_usable_timestamp_follow_each_other(timestamp: object) -> None:
    sound = CallSound()
    sound.stream_started(0)
    sound.caller_frame(payload(marked(1)), "0", 0)
    sound.caller_frame(payload(marked(2)), timestamp, 25)
    left, _ = sides(sound.take(60))
    assert left[:200] == [height(1)] * 160 + [0] * 40
    assert left[200:360] == [height(2)] * 160


def test_the_next_stream_has_a_clock_of_its_own() -> None:
    sound = CallSound()
    sound.stream_started(0)
    sound.caller_frame(payload(marked(1)), "0", 0)
    sound.stream_started(5000)
    sound.caller_frame(payload(marked(2)), "0", 5000)
    left, _ = sides(sound.take(5020))
    assert left[40_000:] == [height(2)] * 160


@pytest.mark.parametrize("seed", range(5))
def test_the_agents_side_is_what_the_line_played(seed: int) -> None:
    """Three minutes of answers, faster than they play, cut at any moment."""
    rng = random.Random(seed)
    sound, line, now_ms, pcm = CallSound(), PlaybackClock(), 0.0, b""
    while now_ms < 180_000:
        for _ in range(rng.randint(1, 40)):
            ulaw = marked(rng.randrange(60), rng.randint(1, 1600))
            sound.command(do.PlayAudio("item", payload(ulaw), len(ulaw)), now_ms)
            assert line.play(ulaw, now_ms)
            now_ms += rng.randint(0, 40)
        now_ms += rng.randint(0, 6000)
        if rng.random() < 0.6:
            since = line.clears[-1].at_ms if line.clears else -1.0
            after = [media for media in line.media if media.arrived_ms > since]
            unplayed = sum(media.kept_bytes - media.heard_bytes(now_ms) for media in after)
            sound.command(do.ClearAudio(unplayed), now_ms)
            line.clear(now_ms)
            now_ms += 1
        pcm += sound.take(now_ms - 10_000)
    unplayed = sum(media.kept_bytes - media.heard_bytes(now_ms) for media in line.media)
    sound.command(do.EndLeg("caller", unplayed), now_ms)
    _, right = sides(pcm + sound.take(now_ms))
    expected = [0] * round(now_ms * 8)
    for media in line.media:
        begins, heard = round(media.starts_ms * 8), media.heard_bytes(now_ms)
        expected[begins : begins + heard] = sides_of(media.payload[:heard])
    assert right == expected[: len(right)]


def sides_of(ulaw: bytes) -> list[int]:
    sound = CallSound()
    sound.command(do.PlayAudio("i", payload(ulaw), len(ulaw)), 0)
    return sides(sound.take(len(ulaw) / 8))[1]


def test_a_clear_keeps_what_the_ledger_says_was_heard() -> None:
    sound = CallSound()
    sound.command(do.PlayAudio("item", payload(marked(1, 8000)), 8000), 0)
    sound.command(do.ClearAudio(dropped_bytes=5000), 400)  # the clock alone would say 4800
    _, right = sides(sound.take(1000))
    assert right == [height(1)] * 3000 + [0] * 5000


def test_what_a_lost_stream_never_played_is_removed_however_long_ago_it_was_sent() -> None:
    sound = CallSound()
    sound.command(do.PlayAudio("item", payload(marked(1, 8000)), 8000), 0)
    sound.command(do.PlayAudio("item", payload(marked(2, 8000)), 8000), 3000)
    sound.command(do.EndLeg("line", dropped_bytes=15000), 9000)  # no mark came back
    _, right = sides(sound.take(9000))
    assert right == [height(1)] * 1000 + [0] * 71_000


def test_a_clear_counts_back_from_the_end_whatever_was_cut_before() -> None:
    sound = CallSound()
    sound.command(do.PlayAudio("item", payload(marked(1, 8000)), 8000), 0)
    sound.command(do.PlayAudio("next", payload(marked(2, 8000)), 8000), 5000)  # nothing was cleared
    sound.command(do.ClearAudio(dropped_bytes=4000), 5500)
    _, right = sides(sound.take(6000))
    assert right == [height(1)] * 8000 + [0] * 32_000 + [height(2)] * 4000 + [0] * 4000


def test_a_slow_start_of_a_stream_is_corrected() -> None:
    sound = CallSound()
    sound.stream_started(0)
    for number in range(200):
        late_ms = 300 if number < 70 else 0
        sound.caller_frame(payload(marked(number)), str(number * 20), number * 20 + late_ms)
    left, _ = sides(sound.take(4000))
    for number in range(90, 200):
        assert left[number * 160 + 80] == height(number)


def test_timestamps_that_jump_ahead_do_not_place_frames_in_the_future() -> None:
    sound = CallSound()
    sound.stream_started(0)
    for number in range(100):
        jumped_ms = 8000 if number > 60 else 0
        sound.caller_frame(payload(marked(number)), str(number * 20 + jumped_ms), number * 20)
    left, _ = sides(sound.take(2000))
    assert [left[number * 160 + 80] for number in range(100)] == [height(n) for n in range(100)]


def test_what_had_not_played_when_the_call_ended_is_removed() -> None:
    sound = CallSound()
    sound.command(do.PlayAudio("item", payload(marked(1, 8000)), 8000), 0)
    sound.command(do.EndLeg("caller", dropped_bytes=6000), 250)
    _, right = sides(sound.take(1000))
    assert right == [height(1)] * 2000 + [0] * 6000


# --- the file -------------------------------------------------------------------------------------


def read(path: Path | None) -> tuple[list[int], list[int]]:
    assert path is not None
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 8000)
        return sides(file.readframes(file.getnframes()))


def started(folder: Path, call_sid: str = "CA1") -> Recording:
    """Of a call whose stream has started."""
    recording = Recording(folder, call_sid)
    recording.event(ev.StreamStarted("MZ1"), 0)
    return recording


def play(recording: Recording, number: int, now_ms: float, size_bytes: int = 800) -> None:
    audio = do.PlayAudio("item", payload(marked(number, size_bytes)), size_bytes)
    recording.command(audio, now_ms)


async def test_the_file_is_valid_after_every_write(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "kept" / "here", "CA1")
    recording.event(ev.StreamStarted("MZ1"), 0)
    play(recording, 1, 0)
    recording.caller_frame(payload(marked(2)), "0", 0)
    await recording.write(50)
    assert read(recording.path)[1] == [height(1)] * 400
    await recording.write(120)
    left, right = read(recording.path)
    assert right == [height(1)] * 800 + [0] * 160
    assert left == [height(2)] * 160 + [0] * 800


async def test_a_call_without_a_stream_leaves_no_file(tmp_path: Path) -> None:
    recording = Recording(tmp_path, "CA1")
    await recording.write(30_000)
    assert recording.path is None and os.listdir(tmp_path) == []


async def test_a_cancelled_write_spoils_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = threading.Event()
    append = Recording._append_alone

    def append_slowly(self: Recording, pcm: bytes) -> None:
        slow.wait(5)
        append(self, pcm)

    monkeypatch.setattr(Recording, "_append_alone", append_slowly)
    recording = started(tmp_path)
    play(recording, 1, 0)
    given_up = asyncio.create_task(recording.write(50))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.wait({given_up})
    rest = asyncio.create_task(recording.write(100))
    slow.set()
    await rest
    assert read(recording.path)[1] == [height(1)] * 800


async def test_others_cannot_read_what_was_said(tmp_path: Path) -> None:
    recording = started(tmp_path / "recordings")
    await recording.write(20)
    assert recording.path is not None and recording.path.is_absolute()
    assert stat.S_IMODE(recording.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(recording.path.parent.stat().st_mode) == 0o700


async def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / "CA1.wav").write_text("another")
    recording = started(tmp_path)
    await recording.write(20)
    assert recording.path == tmp_path / "CA1-2.wav"
    assert (tmp_path / "CA1.wav").read_text() == "another"


async def test_a_call_sid_cannot_leave_the_folder(tmp_path: Path) -> None:
    recording = started(tmp_path / "in", "../../etc/CA1")
    await recording.write(20)
    assert recording.path is not None and recording.path.parent == tmp_path / "in"


async def test_a_folder_that_cannot_be_created_ends_the_recording_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    recording = started(tmp_path / "file")
    with caplog.at_level(logging.ERROR, "app.records.recording"):
        for number in range(3):
            play(recording, number, number * 100.0)
            await recording.write(number * 100 + 50)
    assert recording.path is None
    assert len(caplog.records) == 1


async def test_writes_at_the_same_time_keep_their_order(tmp_path: Path) -> None:
    recording = started(tmp_path)
    play(recording, 1, 0)
    await asyncio.gather(recording.write(40), recording.write(80), recording.write(100))
    assert read(recording.path)[1] == [height(1)] * 800
