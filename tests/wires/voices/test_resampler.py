"""Resampling in chunks: the same samples as in one call, no aliasing, the documented delay."""

import math
import random

import numpy as np
import pytest
import soxr  # type: ignore[import-untyped]
from numpy.typing import NDArray

from app.simulator.voices.mouth import espeak
from app.wires.voices.resampler import Resampler

WIDE, PHONE = 24000, 8000
TEXT = "Your table for four is booked on Friday at half past seven, under the name of Fisher."


def resampled(pcm: bytes, from_hz: int, to_hz: int, cuts: list[int] | None = None) -> bytes:
    """The PCM resampled in chunks that end at `cuts`, in bytes; without cuts in one chunk."""
    resampler = Resampler(from_hz, to_hz)
    ends = [*(cuts or []), len(pcm)]
    pieces = [resampler.feed(pcm[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
    assert all(len(piece) % 2 == 0 for piece in pieces)
    return b"".join(pieces) + resampler.finish()


def samples(pcm: bytes) -> NDArray[np.int16]:
    return np.frombuffer(pcm, "<i2")


def sine(hz: float, rate_hz: int, seconds: float = 0.5, peak: float = 30000) -> bytes:
    turns = np.arange(int(rate_hz * seconds)) * (2 * math.pi * hz / rate_hz)
    return bytes(np.rint(peak * np.sin(turns)).astype("<i2").tobytes())


def level_db(pcm: bytes) -> float:
    """RMS without the ends, where the tone's onset has other frequencies."""
    middle = samples(pcm).astype(np.float64)
    middle = middle[len(middle) // 10 : -len(middle) // 10]
    return 10 * math.log10(max(float(np.mean(middle**2)), 1e-9))


@pytest.fixture(scope="module")
def speech() -> bytes:
    pcm = espeak(TEXT, WIDE).pcm
    assert len(pcm) > 3 * WIDE * 2  # at least 3 s
    return pcm


def test_200_random_chunkings_give_the_same_samples(speech: bytes) -> None:
    chance = random.Random(5)
    whole = resampled(speech, WIDE, PHONE)

    for longest in (1, 3, 333, 4096, 20000) * 40:
        most = 60 if longest == 1 else 400
        starts = np.cumsum([chance.randint(1, longest) for _ in range(most)])
        cuts = [int(end) for end in starts if end < len(speech)]
        assert resampled(speech, WIDE, PHONE, cuts) == whole


@pytest.mark.parametrize(
    ("from_hz", "to_hz"),
    [(WIDE, PHONE), (16000, 8000), (22050, 8000), (44100, 8000), (48000, 8000), (8000, 48000)],
)
def test_chunks_give_the_samples_of_soxr_in_one_call(
    speech: bytes, from_hz: int, to_hz: int
) -> None:
    floats = samples(speech).astype(np.float32)
    at_once = soxr.resample(floats, from_hz, to_hz, quality="HQ")
    expected = np.rint(at_once).clip(-32768, 32767).astype("<i2").tobytes()
    cuts = [int(end) for end in range(961, len(speech), 961)]

    assert resampled(speech, from_hz, to_hz, cuts) == expected
    assert abs(len(expected) / 2 - len(speech) / 2 * to_hz / from_hz) <= 1


def test_no_aliasing_into_the_telephone_band() -> None:
    for hz in np.arange(4200, 11901, 100):
        tone = sine(float(hz), WIDE)
        assert level_db(tone) - level_db(resampled(tone, WIDE, PHONE)) >= 60, f"{hz} Hz"


@pytest.mark.parametrize("from_hz", [16000, 22050, 44100, 48000])
def test_no_aliasing_from_other_rates(from_hz: int) -> None:
    for hz in np.arange(4200, from_hz / 2 - 100, 400):
        tone = sine(float(hz), from_hz)
        assert level_db(tone) - level_db(resampled(tone, from_hz, PHONE)) >= 60, f"{hz} Hz"


def test_the_telephone_band_keeps_its_level() -> None:
    for hz in range(300, 3601, 100):
        tone = sine(hz, WIDE)
        assert abs(level_db(tone) - level_db(resampled(tone, WIDE, PHONE))) < 0.5, f"{hz} Hz"


def test_sound_at_full_scale_is_clipped_without_wrapping() -> None:
    """The overshoot of a square wave would wrap around from the highest value to the lowest."""
    square = np.where(np.arange(WIDE) % 200 < 100, 32767, -32768).astype("<i2").tobytes()
    changed = samples(resampled(square, WIDE, PHONE)).astype(int)

    assert changed.max() == 32767 and changed.min() == -32768
    middle_of_highs = changed[np.arange(len(changed)) * 3 % 200 == 51]
    assert len(middle_of_highs) > 10 and (middle_of_highs > 25000).all()


def test_the_sound_is_delayed_by_75_ms() -> None:
    resampler = Resampler(WIDE, PHONE)
    made_bytes = sum(len(resampler.feed(bytes(WIDE * 2 // 100))) for _ in range(20))  # 200 ms

    assert made_bytes >= (200 - 75) * PHONE * 2 / 1000


def test_equal_rates_pass_whole_samples_through() -> None:
    resampler = Resampler(PHONE, PHONE)

    assert resampler.feed(b"\x01") == b""
    assert resampler.feed(b"\x02\x03\x04\x05") == b"\x01\x02\x03\x04"
    assert resampler.finish() == b""


@pytest.mark.parametrize("to_hz", [PHONE, WIDE])
def test_no_sound_gives_no_sound(to_hz: int) -> None:
    resampler = Resampler(WIDE, to_hz)

    assert resampler.feed(b"") == b"" and resampler.finish() == b""
    assert resampler.finish() == b""
    with pytest.raises(ValueError, match="take another"):
        resampler.feed(b"\0\0")


def test_a_rate_of_zero_is_rejected() -> None:
    with pytest.raises(ValueError, match="above 0 Hz"):
        Resampler(0, PHONE)
