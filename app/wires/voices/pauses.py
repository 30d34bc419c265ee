"""Finds the pauses in a sentence's sound while it is received."""

import audioop

#: 10 ms, in bytes of µ-law, which is also the number of samples.
FRAME_BYTES = 80
#: 60 ms. A shorter silence is mostly the closure of a plosive such as "p".
SHORTEST_BYTES = 480
#: A frame is silent if it is quieter than the loudest one so far by 35 dB ...
BELOW_PEAK = 10 ** (-35 / 20)
#: ... or 58 dB below full scale: breath and coding noise.
FLOOR_RMS = 40


class Pauses:
    """The pauses of one sentence. `feed` its sound in order, then `finish`.

    Sound in: mono, signed 16 bits, little-endian, 8000 Hz. Positions out: bytes of µ-law from the
    sentence's start, one per sample, rounded to 10 ms. They depend on the sound alone, not on how
    it is divided into chunks.
    """

    def __init__(self) -> None:
        #: The beginning of a frame that is not complete yet.
        self._rest = b""
        self._frames = 0
        self._peak_rms = 0
        #: The frame in which the current silence began; None during sound.
        self._quiet_from: int | None = 0

    @property
    def voiced(self) -> bool:
        """Whether any frame so far was louder than `FLOOR_RMS`."""
        return self._peak_rms > FLOOR_RMS

    def feed(self, pcm8k: bytes) -> list[tuple[int, int]]:
        """The pauses that end in this chunk, as (start, end). Silence before the first sound is a
        pause that starts at 0."""
        pcm = self._rest + pcm8k if self._rest else pcm8k
        whole = len(pcm) - len(pcm) % (2 * FRAME_BYTES)
        self._rest = pcm[whole:]
        found: list[tuple[int, int]] = []
        peak_rms, frames = self._peak_rms, self._frames
        most_quiet_rms = max(FLOOR_RMS, peak_rms * BELOW_PEAK)
        for at in range(0, whole, 2 * FRAME_BYTES):
            rms = audioop.rms(pcm[at : at + 2 * FRAME_BYTES], 2)
            if rms > peak_rms:
                peak_rms = rms
                most_quiet_rms = max(FLOOR_RMS, peak_rms * BELOW_PEAK)
            if rms <= most_quiet_rms:
                if self._quiet_from is None:
                    self._quiet_from = frames
            elif self._quiet_from is not None:
                found += self._pause_until(frames * FRAME_BYTES)
            frames += 1
        self._peak_rms, self._frames = peak_rms, frames
        return found

    def finish(self) -> list[tuple[int, int]]:
        """The pause at the end of the sentence, if there is one. It includes a last piece shorter
        than a frame."""
        end_byte = self._frames * FRAME_BYTES + len(self._rest) // 2
        self._rest = b""
        return self._pause_until(end_byte)

    def _pause_until(self, end_byte: int) -> list[tuple[int, int]]:
        """End the silence, if there is one. Returns it as a pause, unless it is too short."""
        quiet_from, self._quiet_from = self._quiet_from, None
        if quiet_from is None or end_byte - quiet_from * FRAME_BYTES < SHORTEST_BYTES:
            return []
        return [(quiet_from * FRAME_BYTES, end_byte)]
