"""Where a sentence pauses: the silences in a voice's sound, found as it comes in."""

import audioop

FRAME_BYTES = 80  # of µ-law, which are its samples: 10 ms
SHORTEST_BYTES = 480  # 60 ms: what is shorter is mostly the closed lips of a "p"
BELOW_PEAK = 10 ** (-35 / 20)  # quieter than the loudest frame so far by so much is silence ...
FLOOR_RMS = 40  # ... and so is what lies 58 dB below full scale: breath, and what codecs leave


class Pauses:
    """Feed it a sentence's sound in order: mono, signed 16 bits, little-endian, 8000 Hz. All
    places are in bytes of µ-law from the sentence's beginning, one for each sample, to 10 ms.

    What comes out depends on the sound alone, never on how it was cut into chunks.
    """

    def __init__(self) -> None:
        self._rest = b""  # of a frame that is not whole yet
        self._frames = 0
        self._peak_rms = 0
        self._quiet_from: int | None = 0  # frame; a sentence begins in silence

    @property
    def voiced(self) -> bool:
        """Whether anything could be heard so far."""
        return self._peak_rms > FLOOR_RMS

    def feed(self, pcm8k: bytes) -> list[tuple[int, int]]:
        """The pauses that this chunk brought to an end, each as its start and its end. Silence
        before the first sound is one that starts at 0."""
        pcm = self._rest + pcm8k
        whole = len(pcm) - len(pcm) % (2 * FRAME_BYTES)
        self._rest = pcm[whole:]
        return [
            pause
            for at in range(0, whole, 2 * FRAME_BYTES)
            if (pause := self._frame(audioop.rms(pcm[at : at + 2 * FRAME_BYTES], 2)))
        ]

    def finish(self) -> list[tuple[int, int]]:
        """Nothing more comes: the pause at the very end, if there is one. A last piece shorter
        than a frame belongs to it."""
        end_byte = self._frames * FRAME_BYTES + len(self._rest) // 2
        self._rest = b""
        last = self._pause_until(end_byte)
        return [last] if last else []

    def _frame(self, rms: int) -> tuple[int, int] | None:
        self._peak_rms = max(self._peak_rms, rms)
        quiet = rms <= max(FLOOR_RMS, self._peak_rms * BELOW_PEAK)
        pause = None
        if not quiet:
            pause = self._pause_until(self._frames * FRAME_BYTES)
        elif self._quiet_from is None:
            self._quiet_from = self._frames
        self._frames += 1
        return pause

    def _pause_until(self, end_byte: int) -> tuple[int, int] | None:
        quiet_from, self._quiet_from = self._quiet_from, None
        if quiet_from is None or end_byte - quiet_from * FRAME_BYTES < SHORTEST_BYTES:
            return None
        return quiet_from * FRAME_BYTES, end_byte
