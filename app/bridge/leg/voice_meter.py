"""How much voice the caller's frames hold: loud beside the line's own noise."""

from collections.abc import Iterable

from app.audio import ULAW_BYTES_PER_MS, ulaw_rms

#: Quieter frames hold no voice: RMS of 16-bit samples, -48 dBFS. A quiet line is below -55.
LEAST_RMS = 130
#: Voice is at least 9 dB above the noise ...
ABOVE_NOISE = 2.8
#: ... which is followed down at once, and up by 1 dB a second: no talker becomes noise in a turn.
RISE = 1.0023
FALL = 0.1
#: Frames this long without voice end a run of it: longer than the gaps within words.
GAP_BYTES = 250 * ULAW_BYTES_PER_MS
_LEAST_NOISE = 10.0


class VoiceMeter:
    """Takes every frame, several at a time. `run_bytes` and `quiet_bytes` say what it heard."""

    def __init__(self) -> None:
        #: The frames with voice of the present run of it, without the gaps; bytes of µ-law.
        self.run_bytes = 0
        #: Frames without voice since the last one with it.
        self.quiet_bytes = 0
        self._noise = LEAST_RMS / ABOVE_NOISE

    def take(self, frames: Iterable[bytes]) -> None:
        """Frames of µ-law, in their order."""
        noise = self._noise
        for ulaw in frames:
            rms, before = ulaw_rms(ulaw), noise
            if not rms:
                pass  # digital silence: the line is muted, which tells nothing of its noise
            elif rms < before:
                noise = max(_LEAST_NOISE, before + FALL * (rms - before))
            else:
                noise = before * RISE
            if rms >= LEAST_RMS and rms > before * ABOVE_NOISE:
                self.run_bytes += len(ulaw)
                self.quiet_bytes = 0
            else:
                self.quiet_bytes += len(ulaw)
                if self.quiet_bytes >= GAP_BYTES:
                    self.run_bytes = 0
        self._noise = noise
