import wave
from pathlib import Path

import pytest

from app.records.report.levels import Levels, read_levels
from app.records.report.recorded_pcm import RecordingUnreadable
from tests.records.report.recorded_call import Sounded, write_wav


def levels(folder: Path, *sounds: Sounded, noise: int = 0, length_ms: int = 3000) -> Levels:
    return read_levels(write_wav(folder / "call.wav", sounds, length_ms, noise))


def found(of: Levels, from_ms: float, to_ms: float) -> tuple[float | None, float | None]:
    level = of.caller.level(from_ms, to_ms, rest_ms=160)
    assert level is not None
    begin = of.caller.first_sound_ms(level, from_ms, to_ms)
    return begin, of.caller.last_sound_ms(level, from_ms, to_ms)


@pytest.mark.parametrize("noise", [0, 30, 300, 1000])
def test_speech_is_found_in_the_noise_of_its_line(tmp_path: Path, noise: int) -> None:
    sound = levels(tmp_path, Sounded(0, 700, 1930, 6000), noise=noise)
    begin, end = found(sound, 400, 2430)
    assert begin == pytest.approx(700, abs=10)
    assert end == pytest.approx(1930, abs=10)


def test_a_whisper_on_a_quiet_line_is_speech(tmp_path: Path) -> None:
    assert found(levels(tmp_path, Sounded(0, 700, 1930, 120)), 400, 2430) == (700, 1930)


def test_a_click_is_no_speech(tmp_path: Path) -> None:
    speech, click = Sounded(0, 700, 1930), Sounded(0, 2200, 2210, 20000)
    assert found(levels(tmp_path, speech, click, noise=100), 400, 2430) == (700, 1930)


def test_a_turn_without_a_pause_ends_where_it_ends(tmp_path: Path) -> None:
    """Quiet is then a small part of the turn; it is known that the end is quiet."""
    tail = Sounded(0, 14_000, 14_100, 1200)  # the last syllable is weaker
    sound = levels(tmp_path, Sounded(0, 500, 14_000), tail, noise=60, length_ms=15_000)
    assert found(sound, 200, 14_600) == (500, 14_100)


def test_the_sides_are_told_apart(tmp_path: Path) -> None:
    sound = levels(tmp_path, Sounded(0, 500, 1000), Sounded(1, 2000, 2500))
    assert [cell for cell, peak in enumerate(sound.caller.peak) if peak] == list(range(50, 100))
    assert [cell for cell, peak in enumerate(sound.agent.peak) if peak] == list(range(200, 250))
    assert sound.length_ms == 3000


def test_in_even_noise_there_is_no_sound(tmp_path: Path) -> None:
    sound = levels(tmp_path, noise=500)
    assert sound.caller.level(0, 3000) is None
    assert sound.agent.level(0, 3000) is None
    assert sound.caller.level(5000, 6000) is None  # behind the end


def test_sound_outside_of_the_stretch_is_not_looked_at(tmp_path: Path) -> None:
    sound = levels(tmp_path, Sounded(0, 0, 500), Sounded(0, 2500, 3000))
    assert sound.caller.first_sound_ms(100, 500, 2500) is None
    assert sound.caller.last_sound_ms(100, 500, 2500) is None


def test_a_file_that_is_not_a_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingUnreadable, match="No such file"):
        read_levels(tmp_path / "gone.wav")
    other = tmp_path / "other.wav"
    other.write_bytes(b"RIFF")
    with pytest.raises(RecordingUnreadable, match="cannot be read"):
        read_levels(other)
    with wave.open(str(other), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
    with pytest.raises(RecordingUnreadable, match="got 1 channels of 16 bits at 16000 Hz"):
        read_levels(other)


def test_a_recording_that_still_grows_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "call.wav", [Sounded(0, 500, 1000)], 2000)
    path.write_bytes(path.read_bytes()[:-3])  # half a frame is not written yet
    sound = read_levels(path)
    assert sound.length_ms == 2000
    assert found(sound, 0, 1990) == (500, 1000)
