"""Shortens silence in an utterance's sound: the caller must not wait behind it."""

from app.audio import AUDIBLE_RMS, pcm16_rms

#: 10 ms of PCM, 16 bits at 8000 Hz.
FRAME_BYTES = 160
#: 1 s. As much remains of a longer silence: no sentence has one.
LONGEST_BYTES = 100 * FRAME_BYTES


class DeadAir:
    """The silences of one utterance. `feed` its sound in order, then `finish`.

    Sound in and out: mono, signed 16 bits, 8000 Hz. Nothing comes out before the first sound. A
    silence at the end is left out beyond `LONGEST_BYTES`.
    """

    def __init__(self) -> None:
        #: A silence is longer than `LONGEST_BYTES`, and goes on.
        self.lasts = False
        self._rest = b""  # the beginning of a frame
        self._begun = False
        self._silence_bytes = 0  # of the present one
        self._held = bytearray()  # the silence before the first sound

    def feed(self, pcm8k: bytes) -> bytes:
        """Returns what the caller may hear of it."""
        pcm = self._rest + pcm8k if self._rest else pcm8k
        whole = len(pcm) - len(pcm) % FRAME_BYTES
        self._rest = pcm[whole:]
        frames = [pcm[at : at + FRAME_BYTES] for at in range(0, whole, FRAME_BYTES)]
        sounds = [pcm16_rms(frame) >= AUDIBLE_RMS for frame in frames]
        if all(sounds):  # as nearly always
            return self._sound(pcm[:whole]) if frames else b""
        return b"".join(map(self._frame, frames, sounds))

    def finish(self) -> bytes:
        """The rest of the utterance, less than a frame; empty if no sound was in it."""
        rest, self._rest = self._rest, b""
        return rest if self._begun and not self.lasts else b""

    def _frame(self, frame: bytes, sounds: bool) -> bytes:
        if sounds:
            return self._sound(frame)
        self._silence_bytes += FRAME_BYTES
        self.lasts = self._silence_bytes > LONGEST_BYTES
        if self.lasts:
            return b""
        if not self._begun:
            self._held += frame
            return b""
        return frame

    def _sound(self, pcm: bytes) -> bytes:
        """Frames that can be heard. Returns them, with the silence before the first of all."""
        self._begun, self.lasts, self._silence_bytes = True, False, 0
        if not self._held:
            return pcm
        before, self._held = bytes(self._held), bytearray()
        return before + pcm
