"""Telephone audio as arithmetic."""

import base64
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import audio


def test_eight_bytes_are_one_millisecond() -> None:
    assert audio.ulaw_ms(160) == 20
    assert audio.ulaw_ms(4) == 0.5
    assert audio.ULAW_BYTES_PER_MS == 8


@given(st.binary(max_size=400))
def test_base64_length_is_known_without_decoding(data: bytes) -> None:
    assert audio.base64_size(base64.b64encode(data).decode()) == len(data)


@given(st.binary(max_size=400))
def test_ulaw_survives_the_way_through_pcm(ulaw: bytes) -> None:
    # 0x7f and 0xff are both zero
    assert audio.ulaw_encode(audio.ulaw_decode(ulaw)) == ulaw.replace(b"\x7f", b"\xff")


def test_silence_is_silent_and_as_long_as_asked() -> None:
    quiet = audio.silence(250)
    assert quiet == b"\xff" * 2000
    assert audio.rms_dbfs(quiet) == -math.inf
    assert audio.rms_dbfs(b"") == -math.inf


@pytest.mark.parametrize("level_dbfs", [-12, -24, -40])
def test_a_tone_is_as_loud_as_asked(level_dbfs: float) -> None:
    sound = audio.tone((1000,), note_ms=400, level_dbfs=level_dbfs)
    assert audio.ulaw_ms(len(sound)) == 400
    assert audio.rms_dbfs(sound[800:-800]) == pytest.approx(level_dbfs, abs=0.5)


def test_a_tone_fades_in_and_out() -> None:
    sound = audio.tone((440, 480), note_ms=150, level_dbfs=-24)
    middle = audio.rms_dbfs(sound[400:800])
    for edge in (sound[:16], sound[1184:1216], sound[-16:]):  # start, between the notes, end
        assert audio.rms_dbfs(edge) < middle - 15


def test_the_hold_tone_is_short_and_soft() -> None:
    sound = base64.b64decode(audio.HOLD_TONE, validate=True)
    assert audio.ulaw_ms(len(sound)) == 300
    assert -27 < audio.rms_dbfs(sound) < -23


@pytest.mark.parametrize(("from_hz", "to_hz"), [(8000, 24000), (24000, 8000), (22050, 8000)])
def test_resampling_keeps_length_and_loudness_of_a_low_note(from_hz: int, to_hz: int) -> None:
    samples = [round(8000 * math.sin(2 * math.pi * 300 * n / from_hz)) for n in range(from_hz)]
    pcm = b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)
    resampled = audio.resample_pcm16(pcm, from_hz, to_hz)
    assert len(resampled) == pytest.approx(to_hz * 2, abs=8)
    assert audio.pcm16_dbfs(resampled) == pytest.approx(audio.pcm16_dbfs(pcm), abs=0.5)


def test_resampling_down_softens_what_would_fold_back() -> None:
    samples = [round(8000 * math.sin(2 * math.pi * 7000 * n / 24000)) for n in range(24000)]
    pcm = b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)
    assert audio.pcm16_dbfs(audio.resample_pcm16(pcm, 24000, 8000)) < audio.pcm16_dbfs(pcm) - 4


def test_the_same_rate_changes_nothing() -> None:
    assert audio.resample_pcm16(b"\x01\x02\x03\x04", 8000, 8000) == b"\x01\x02\x03\x04"
