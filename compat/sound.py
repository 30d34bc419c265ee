"""What callers say in these tests, and whether what was heard is what was said."""

import numpy as np

from app.audio import resample_pcm16, ulaw_decode
from app.simulator.speech import speak

MODEL_HZ = 24000
LINE_HZ = 8000
PAUSE = b"\xff" * 8 * 900
"""900 ms of µ-law silence: longer than any turn detection here waits."""


def said(text: str, voice: str = "en-us") -> bytes:
    """A caller says `text` and waits for an answer: µ-law, 8000 Hz."""
    return speak(text, voice=voice) + PAUSE


def as_pcm(ulaw: bytes, hz: int = MODEL_HZ) -> bytes:
    """µ-law as 16-bit PCM at another rate."""
    return resample_pcm16(ulaw_decode(ulaw), LINE_HZ, hz)


def likeness(heard: bytes, spoken: bytes) -> float:
    """How well µ-law `spoken` is found again in µ-law `heard`, wherever it lies: 1 is perfect,
    different speech stays below 0.3. Both are long enough to hold speech."""
    whole, part = (_samples(each) for each in (heard, spoken))
    size = 1 << (len(whole) + len(part)).bit_length()
    spectrum = np.fft.rfft(whole, size) * np.conj(np.fft.rfft(part, size))
    products = np.fft.irfft(spectrum, size)[: max(1, len(whole) - len(part) + 1)]
    energy = np.concatenate(([0.0], np.cumsum(whole * whole)))
    window = energy[len(part) :] - energy[: len(energy) - len(part)]
    return float(np.max(products / np.sqrt(np.maximum(window, 1e-9) * (part @ part))))


def _samples(ulaw: bytes) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return np.frombuffer(ulaw_decode(ulaw), np.int16).astype(np.float64)
