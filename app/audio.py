"""Telephone audio as arithmetic: µ-law, 16-bit PCM, their lengths in bytes and milliseconds.

µ-law (G.711, "PCMU", `audio/x-mulaw` at Twilio, `audio/pcmu` at OpenAI) is mono at 8000 Hz with one
byte per sample. PCM here is mono, signed, 16 bits, in the machine's byte order.
"""

import base64
import math
import warnings
from array import array
from collections.abc import Sequence

import msgspec

with warnings.catch_warnings():  # audioop leaves the standard library; `audioop-lts` is its sequel
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

ULAW_HZ = 8000
ULAW_BYTES_PER_MS = 8

#: RMS of 16-bit samples: -55 dBFS. What is quieter cannot be heard on the telephone.
AUDIBLE_RMS = 58

_PCM_FULL_SCALE = 32768
_ULAW_SILENCE = b"\xff"
_SAMPLE_BYTES = 25 * ULAW_BYTES_PER_MS  # of audio whose loudness is measured


def ulaw_ms(size_bytes: int) -> float:
    """How long this many bytes of µ-law play, in milliseconds."""
    return size_bytes / ULAW_BYTES_PER_MS


def base64_size(payload: str) -> int:
    """How many bytes a base64 text decodes to, without decoding it.

    `payload`: padded base64 without line breaks, as Twilio and OpenAI send it.
    """
    return len(payload) // 4 * 3 - payload.count("=", -2)


def base64_decode(payload: str) -> bytes:
    """The bytes of a base64 text. msgspec takes a fraction of the time of `binascii`.

    Raises:
        ValueError: it is not padded, or holds other characters.
    """
    decoded: bytes = msgspec.convert(payload, bytes)
    return decoded


def base64_length(size_bytes: int) -> int:
    """How many characters of base64 this many bytes become, padding included."""
    return (size_bytes + 2) // 3 * 4


def without_first(payload: str, size_bytes: int) -> str:
    """A base64 text without the first bytes that it decodes to."""
    return base64.b64encode(base64_decode(payload)[size_bytes:]).decode("ascii")


def pcm16_size(hz: int, ms: int) -> int:
    """How many bytes of PCM play for `ms` milliseconds, in whole samples."""
    return hz * ms // 1000 * 2


def whole_samples(pcm16: bytes) -> tuple[bytes, bytes]:
    """PCM that may end within a sample, as its whole samples and the rest: 0 or 1 byte."""
    end = len(pcm16) & ~1
    return pcm16[:end], pcm16[end:]


def ulaw_encode(pcm16: bytes) -> bytes:
    """PCM to µ-law at the same sample rate."""
    return audioop.lin2ulaw(pcm16, 2)


def ulaw_decode(ulaw: bytes) -> bytes:
    """µ-law to PCM at the same sample rate."""
    return audioop.ulaw2lin(ulaw, 2)


def pcm16_rms(pcm16: bytes) -> int:
    """The RMS of PCM, as 16-bit samples: 0 to 32767."""
    return audioop.rms(pcm16, 2)


def pcm16_dbfs(pcm16: bytes) -> float:
    """The RMS level of PCM in dBFS: 0 is full scale, `-inf` is digital silence or no samples."""
    rms = audioop.rms(pcm16, 2) if pcm16 else 0
    return 20 * math.log10(rms / _PCM_FULL_SCALE) if rms else -math.inf


def rms_dbfs(ulaw: bytes) -> float:
    """The RMS level of µ-law in dBFS: 0 is full scale, `-inf` is digital silence or no samples.

    Speech on the telephone is at about -30 to -15 dBFS, a quiet line below -55.
    """
    return pcm16_dbfs(ulaw_decode(ulaw))


def ulaw_rms(ulaw: bytes) -> int:
    """The RMS of µ-law, as 16-bit samples: 0 to 32767."""
    return audioop.rms(audioop.ulaw2lin(ulaw, 2), 2)


def is_audible(ulaw: bytes) -> bool:
    """Whether µ-law can be heard: 25 ms of it, or all of it, reach `AUDIBLE_RMS`.

    Most audio is loud in its middle, so that nothing is measured.
    """
    middle = len(ulaw) // 2
    sample = ulaw[middle : middle + _SAMPLE_BYTES]
    if sample.lstrip(_SOFT):  # something is left: one byte is loud enough for all of the sample
        return True
    return ulaw_rms(sample) >= AUDIBLE_RMS or ulaw_rms(ulaw) >= AUDIBLE_RMS


# The bytes of µ-law of which a single one does not bring `_SAMPLE_BYTES` to `AUDIBLE_RMS`.
_SOFT = bytes(
    byte
    for byte in range(256)
    if pcm16_rms(ulaw_decode(bytes([byte]))) < AUDIBLE_RMS * math.sqrt(_SAMPLE_BYTES) + 1
)


def resample_pcm16(pcm: bytes, from_hz: int, to_hz: int) -> bytes:
    """Convert PCM from one sample rate to another. Good enough for speech, not for music.

    When the rate gets lower, a one-pole low-pass filter comes first, to reduce aliasing.
    """
    if from_hz == to_hz:
        return pcm
    weights = (2, 1) if to_hz < from_hz else (1, 0)
    return audioop.ratecv(pcm, 2, 1, from_hz, to_hz, None, *weights)[0]


def fade_out(ulaw: bytes, ms: int) -> bytes:
    """Fade out the last `ms` milliseconds of µ-law, so that audio cut short does not click."""
    samples = array("h", ulaw_decode(ulaw))
    length = min(len(samples), ms * ULAW_BYTES_PER_MS)
    for n in range(length):
        samples[-1 - n] = samples[-1 - n] * n // length
    return ulaw_encode(samples.tobytes())


def silence(ms: int) -> bytes:
    """µ-law silence of `ms` milliseconds."""
    return _ULAW_SILENCE * (ms * ULAW_BYTES_PER_MS)


def tone(notes_hz: Sequence[float], *, note_ms: int, level_dbfs: float, fade_ms: int = 20) -> bytes:
    """Sine notes, one after another, as µ-law. Each is faded in and out so that it does not click.

    `note_ms`: the length of each note. `level_dbfs`: its RMS level between the fades.
    """
    peak = _PCM_FULL_SCALE * 10 ** (level_dbfs / 20) * math.sqrt(2)
    length = note_ms * ULAW_BYTES_PER_MS
    fade = max(1, fade_ms * ULAW_BYTES_PER_MS)
    samples = array("h")
    for hz in notes_hz:
        for n in range(length):
            gain = min(1.0, n / fade, (length - n) / fade)
            samples.append(round(peak * gain * math.sin(2 * math.pi * hz * n / ULAW_HZ)))
    return ulaw_encode(samples.tobytes())


# ITU-T Q.23: each key has a low and a high frequency.
_LOW_HZ, _HIGH_HZ = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
_KEYS = {
    key: (_LOW_HZ[row], _HIGH_HZ[column])
    for row, keys in enumerate(("123A", "456B", "789C", "*0#D"))
    for column, key in enumerate(keys)
}
_KEY_MS, _KEY_GAP_MS = 100, 100  # ITU-T Q.24 requires at least 40 of each
_KEY_DBFS = -15.0  # both tones together
_PAUSES_MS = {"w": 500, "W": 1000}


def tones_ms(digits: str) -> int:
    """The length of the audio that `dtmf_tones` makes for these keys, in milliseconds."""
    return sum(_PAUSES_MS.get(key, _KEY_MS + _KEY_GAP_MS) for key in digits)


def dtmf_tones(digits: str) -> str:
    """The DTMF tones of these keys, as base64 of µ-law.

    `digits`: 0-9 A-D * #, and w or W for a pause of 500 or 1000 ms, as in Twilio's <Play digits>.

    Raises:
        KeyError: `digits` holds another character.
    """
    pieces = []
    for key in digits:
        if key in _PAUSES_MS:
            pieces.append(silence(_PAUSES_MS[key]))
        else:
            pieces += [_key(*_KEYS[key]), silence(_KEY_GAP_MS)]
    return base64.b64encode(b"".join(pieces)).decode("ascii")


def _key(low_hz: int, high_hz: int) -> bytes:
    peak = _PCM_FULL_SCALE * 10 ** (_KEY_DBFS / 20)
    length = _KEY_MS * ULAW_BYTES_PER_MS
    fade = 5 * ULAW_BYTES_PER_MS
    samples = array("h")
    for n in range(length):
        gain = min(1.0, n / fade, (length - n) / fade)
        turn = 2 * math.pi * n / ULAW_HZ
        samples.append(round(peak * gain * (math.sin(low_hz * turn) + math.sin(high_hz * turn))))
    return ulaw_encode(samples.tobytes())


HOLD_TONE = base64.b64encode(tone((440, 480), note_ms=150, level_dbfs=-24)).decode("ascii")
"""The tone that a waiting caller hears: two soft notes, 300 ms in all, as base64 of µ-law."""
