"""What the page played: put together from its pieces, and compared with what the model sent."""

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.audio import ulaw_decode

Samples = NDArray[np.float64]

QUIET_S = 0.03  # so much silence ends a piece of sound
AUDIBLE = 30 / 32768
HZ = 8000


def samples_of(ulaw: bytes) -> Samples:
    """µ-law as samples from -1 to 1, 8000 Hz."""
    return np.frombuffer(ulaw_decode(ulaw), "<i2").astype(np.float64) / 32768


@dataclass(frozen=True, slots=True)
class Played:
    """The output of the earpiece from its first recorded sample on."""

    samples: Samples
    rate: int
    #: Of the context's clock, at the first sample.
    began_s: float
    #: Samples that the recording itself lost; compare nothing if there are some.
    lost: int

    @classmethod
    def of(cls, read: dict[str, Any]) -> "Played":
        pieces = [
            (began, np.frombuffer(base64.b64decode(data), "<i2")) for began, data in read["tap"]
        ]
        lost = sum(
            after - (before + len(data))
            for (before, data), (after, _) in zip(pieces, pieces[1:], strict=False)
        )
        rate = round(read["rate"])
        joined = np.concatenate([data for _, data in pieces]).astype(np.float64) / 32768
        return cls(joined, rate, pieces[0][0] / rate, lost)

    def spans(self) -> list[tuple[float, float]]:
        """Begin and end of each piece of sound, in seconds of the context's clock."""
        loud = np.flatnonzero(np.abs(self.samples) > AUDIBLE)
        if not len(loud):
            return []
        cuts = np.flatnonzero(np.diff(loud) > QUIET_S * self.rate)
        begins = [loud[0], *loud[cuts + 1]]
        ends = [*loud[cuts], loud[-1]]
        return [
            (self.began_s + begin / self.rate, self.began_s + (end + 1) / self.rate)
            for begin, end in zip(begins, ends, strict=True)
        ]

    def between(self, from_s: float, to_s: float) -> Samples:
        first = max(0, round((from_s - self.began_s) * self.rate))
        return self.samples[first : round((to_s - self.began_s) * self.rate)]


def upsampled(sent: Samples, rate: int) -> Samples:
    """The same sound at another rate, exactly: by its spectrum."""
    size = round(len(sent) * rate / HZ)
    spectrum = np.fft.rfft(sent)
    wide = np.zeros(size // 2 + 1, dtype=complex)
    wide[: len(spectrum)] = spectrum
    return np.fft.irfft(wide, size) * (size / len(sent))


def compare(played: Samples, sent: Samples, rate: int) -> tuple[float, float]:
    """How far a whole play differs from what was sent, in dB of the sound: on average, and at its
    worst 20 ms. A gap, a click or a sample too few shows in both."""
    wanted = upsampled(sent, rate)
    size = 1 << (len(played) + len(wanted)).bit_length()
    product = np.fft.rfft(played, size) * np.conj(np.fft.rfft(wanted, size))
    at = int(np.argmax(np.fft.irfft(product, size)[: max(1, len(played) - len(wanted) + 1)]))
    wanted = wanted[: len(played) - at]
    # The rest of a sample, and the filter's loudness: by the phase of the cross spectrum.
    heard = played[at : at + len(wanted)]
    cross = np.fft.rfft(heard) * np.conj(np.fft.rfft(wanted))
    turn = np.arange(len(cross))
    near = turn[: int(len(turn) * 3000 / (rate / 2))]
    weight = np.abs(cross[near])
    slope = float(np.sum(weight * near * np.angle(cross[near])) / np.sum(weight * near * near))
    moved = np.fft.irfft(np.fft.rfft(wanted) * np.exp(1j * slope * turn), len(wanted))
    rest = heard - moved
    window = rate // 50
    energies = [
        float(np.mean(rest[begin : begin + window] ** 2))
        for begin in range(window, len(rest) - 2 * window, window)
    ]
    power = float(np.mean(moved**2))
    return 10 * np.log10(np.mean(energies) / power), 10 * np.log10(max(energies) / power)
