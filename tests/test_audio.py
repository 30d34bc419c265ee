"""Telephone audio: µ-law, PCM, tones, and their lengths."""

import base64
import math
from array import array
from collections.abc import Sequence

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
    payload = base64.b64encode(data).decode()
    assert audio.base64_size(payload) == len(data)
    assert audio.base64_length(len(data)) == len(payload)


def test_pcm_has_two_bytes_for_each_sample() -> None:
    assert audio.pcm16_size(24000, 20) == 960
    assert audio.pcm16_size(8000, 1) == 16


@given(st.binary(max_size=9))
def test_a_split_sample_is_kept_for_the_next_piece(pcm16: bytes) -> None:
    samples, rest = audio.whole_samples(pcm16)
    assert samples + rest == pcm16 and len(samples) % 2 == 0 and len(rest) < 2


@given(st.binary(max_size=400))
def test_ulaw_survives_a_round_trip_through_pcm(ulaw: bytes) -> None:
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


@pytest.mark.parametrize(("level_dbfs", "heard"), [(-50.0, True), (-60.0, False)])
def test_audio_below_55_dbfs_cannot_be_heard(level_dbfs: float, heard: bool) -> None:
    ulaw = audio.tone((440,), note_ms=400, level_dbfs=level_dbfs)
    assert audio.is_audible(ulaw) is heard


@pytest.mark.parametrize("where", [0, 150, 300])
def test_a_sound_anywhere_in_audio_can_be_heard(where: int) -> None:
    sound = audio.tone((440,), note_ms=100, level_dbfs=-20)
    ulaw = audio.silence(where) + sound + audio.silence(300 - where)
    assert audio.is_audible(ulaw)
    assert not audio.is_audible(b"") and not audio.is_audible(b"\xff")


@given(st.binary(max_size=400), st.integers(0, 255), st.integers(0, 800))
def test_audio_is_as_audible_as_its_rms(few: bytes, byte: int, more: int) -> None:
    ulaw = few + bytes([byte]) * more
    middle = ulaw[len(ulaw) // 2 :][:200]
    loudest = max(audio.ulaw_rms(middle), audio.ulaw_rms(ulaw))
    assert audio.is_audible(ulaw) is (loudest >= audio.AUDIBLE_RMS)


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


def test_resampling_down_reduces_aliasing() -> None:
    samples = [round(8000 * math.sin(2 * math.pi * 7000 * n / 24000)) for n in range(24000)]
    pcm = b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)
    assert audio.pcm16_dbfs(audio.resample_pcm16(pcm, 24000, 8000)) < audio.pcm16_dbfs(pcm) - 4


def test_the_same_rate_changes_nothing() -> None:
    assert audio.resample_pcm16(b"\x01\x02\x03\x04", 8000, 8000) == b"\x01\x02\x03\x04"


# --- the telephone's keys -----------------------------------------------------------------------

KEYS_HZ = {  # ITU-T Q.23, table 1
    "1": (697, 1209), "2": (697, 1336), "3": (697, 1477), "A": (697, 1633),
    "4": (770, 1209), "5": (770, 1336), "6": (770, 1477), "B": (770, 1633),
    "7": (852, 1209), "8": (852, 1336), "9": (852, 1477), "C": (852, 1633),
    "*": (941, 1209), "0": (941, 1336), "#": (941, 1477), "D": (941, 1633),
}  # fmt: skip
KEY_MS, GAP_MS = 100, 100


def heard(digits: str) -> bytes:
    """The µ-law of these keys."""
    return base64.b64decode(audio.dtmf_tones(digits), validate=True)


def level_dbfs(samples: Sequence[int], hz: float) -> float:
    """How loud one frequency is in PCM at 8000 Hz: Goertzel's filter, Hann-windowed."""
    coefficient = 2 * math.cos(2 * math.pi * hz / 8000)
    last = before = weights = 0.0
    for n, sample in enumerate(samples):
        weight = 0.5 - 0.5 * math.cos(2 * math.pi * n / len(samples))
        last, before = weight * sample / 32768 + coefficient * last - before, last
        weights += weight
    power = last * last + before * before - coefficient * last * before
    rms = math.sqrt(max(power, 1e-20)) / weights * math.sqrt(2)
    return 20 * math.log10(rms)


def pcm(ulaw: bytes) -> Sequence[int]:
    return array("h", audio.ulaw_decode(ulaw))


@pytest.mark.parametrize("key", KEYS_HZ)
def test_a_key_sounds_its_two_frequencies_and_no_other(key: str) -> None:
    samples = pcm(heard(key))[40:760]  # between its fades
    levels = {hz: level_dbfs(samples, hz) for pair in KEYS_HZ.values() for hz in pair}
    low_hz, high_hz = KEYS_HZ[key]
    assert levels[low_hz] == pytest.approx(-18, abs=0.5)  # both together: -15
    assert abs(levels[low_hz] - levels[high_hz]) < 0.5  # no twist
    others = [level for hz, level in levels.items() if hz not in (low_hz, high_hz)]
    assert max(others) < levels[low_hz] - 25
    for hz in (low_hz, high_hz):  # nor their second harmonics, which a decoder checks
        assert level_dbfs(samples, 2 * hz) < levels[low_hz] - 25


@pytest.mark.parametrize("key", KEYS_HZ)
def test_a_key_is_as_long_and_as_loud_as_a_decoder_wants(key: str) -> None:
    """ITU-T Q.24: 40 ms of sound and 40 ms of silence and more; -3 to -24 dBm a frequency."""
    sound = heard(key)
    assert audio.ulaw_ms(len(sound)) == KEY_MS + GAP_MS == audio.tones_ms(key)
    assert audio.rms_dbfs(sound[40:760]) == pytest.approx(-15, abs=0.3)
    assert audio.rms_dbfs(sound[800:]) == -math.inf
    full_scale_dbm = 3.14  # of a sine in µ-law (ITU-T G.711)
    each_dbm = -18 + 3 + full_scale_dbm
    assert -24 < each_dbm < -3


def test_keys_have_a_silence_between_them() -> None:
    sound = heard("159")
    assert len(sound) == 3 * (KEY_MS + GAP_MS) * 8
    for n, key in enumerate("159"):
        piece = sound[n * 1600 : (n + 1) * 1600]
        assert piece == heard(key)
        assert set(piece[800:]) == {0xFF}


def test_a_key_does_not_click() -> None:
    """It fades in and out, and no step between samples exceeds that of its own waves."""
    for key, pair in KEYS_HZ.items():
        samples = pcm(heard(key))[:810]
        assert samples[0] == 0 and abs(samples[799]) < 300
        peak = 32768 * 10 ** (-15 / 20)
        steepest = sum(peak * 2 * math.pi * hz / 8000 for hz in pair)
        steps = [abs(b - a) for a, b in zip(samples, samples[1:], strict=False)]
        assert max(steps) < 1.05 * steepest


@pytest.mark.parametrize(("pause", "ms"), [("w", 500), ("W", 1000), ("wW", 1500)])
def test_a_pause_between_keys_is_silence(pause: str, ms: int) -> None:
    sound = heard(f"1{pause}2")
    assert audio.tones_ms(f"1{pause}2") == 400 + ms == audio.ulaw_ms(len(sound))
    assert set(sound[800 : 1600 + 8 * ms]) == {0xFF}
    assert sound.endswith(heard("2"))


@given(st.text("0123456789ABCD*#wW", max_size=30))
def test_the_length_of_keys_is_known_without_making_them(digits: str) -> None:
    assert audio.tones_ms(digits) == audio.ulaw_ms(len(heard(digits)))


@pytest.mark.parametrize("digits", ["e", "1 2", "a", "+"])
def test_a_key_that_no_telephone_has_is_refused(digits: str) -> None:
    with pytest.raises(KeyError):
        audio.dtmf_tones(digits)
