"""Changes the rate of speech that arrives in pieces, without a trace of where they met.

soxr on float32 gives the same samples for any pieces; on int16 it would add a dither that depends
on them. On the way to 8000 Hz its quality HQ keeps what lies above the band from folding into it,
100 dB down, is flat up to 3600 Hz, and holds the first 75 ms of the sound back. (LQ would hold back
40 ms, and be 8 dB down at 3400 Hz already.)
"""

import numpy as np
import soxr  # type: ignore[import-untyped]

_FULL_SCALE = 32768


class Resampler:
    """One text's way from a rate to another, both in Hz. PCM in and out: mono, signed 16 bits,
    little-endian. Raises ValueError when a rate is not above 0."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        if from_hz <= 0 or to_hz <= 0:
            raise ValueError(f"rates are above 0 Hz, got {from_hz} and {to_hz}")
        self._stream = None
        if from_hz != to_hz:
            self._stream = soxr.ResampleStream(from_hz, to_hz, 1, "float32", "HQ")
        self._odd = b""
        self._finished = False

    def feed(self, pcm: bytes) -> bytes:
        """What can be said of the new rate by now, whole samples; often less than what came in.
        `pcm`: cut anywhere, in mid-sample too. Nothing may be fed after `finish`."""
        if self._finished:
            raise ValueError("the text is finished; take another Resampler for the next one")
        data = self._odd + pcm if self._odd else pcm
        whole = len(data) & ~1
        self._odd = data[whole:]
        return self._changed(data[:whole]) if whole else b""

    def finish(self) -> bytes:
        """What was held back: the text is over. Half a sample at its end is dropped."""
        if self._finished or self._stream is None:
            self._finished = True
            return b""
        self._finished = True
        return self._changed(b"", last=True)

    def _changed(self, pcm: bytes, *, last: bool = False) -> bytes:
        if self._stream is None:
            return pcm
        samples = np.frombuffer(pcm, "<i2").astype(np.float32)
        changed = np.rint(self._stream.resample_chunk(samples, last=last))
        # Speech at full scale overshoots between its samples.
        whole: bytes = changed.clip(-_FULL_SCALE, _FULL_SCALE - 1).astype("<i2").tobytes()
        return whole
