"""The callers' speech, and how similar a sound is to it."""

import numpy as np

from app.audio import resample_pcm16, ulaw_decode
from app.simulator.speech import speak

MODEL_HZ = 24000
LINE_HZ = 8000
PAUSE = b"\xff" * 8 * 900
"""900 ms of µ-law silence: longer than the silence_duration_ms of every test."""


def said(text: str, voice: str = "en-us") -> bytes:
    """A caller's turn: `text`, and silence after it. µ-law, 8000 Hz."""
    return speak(text, voice=voice) + PAUSE


def as_pcm(ulaw: bytes, hz: int = MODEL_HZ) -> bytes:
    """µ-law as 16-bit PCM at another rate."""
    return resample_pcm16(ulaw_decode(ulaw), LINE_HZ, hz)


def likeness(heard: bytes, spoken: bytes) -> float:
    """How similar µ-law `spoken` is to the best matching part of µ-law `heard`: 1 is identical,
    other speech stays below 0.3. Both must be long enough to have speech."""
    whole, part = (_samples(each) for each in (heard, spoken))
    size = 1 << (len(whole) + len(part)).bit_length()
    spectrum = np.fft.rfft(whole, size) * np.conj(np.fft.rfft(part, size))
    products = np.fft.irfft(spectrum, size)[: max(1, len(whole) - len(part) + 1)]
    energy = np.concatenate(([0.0], np.cumsum(whole * whole)))
    window = energy[len(part) :] - energy[: len(energy) - len(part)]
    return float(np.max(products / np.sqrt(np.maximum(window, 1e-9) * (part @ part))))


def _samples(ulaw: bytes) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return np.frombuffer(ulaw_decode(ulaw), np.int16).astype(np.float64)
