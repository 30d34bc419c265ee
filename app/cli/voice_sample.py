"""A text said by a voice outside any call, sentence by sentence as a call would, and measured."""

import audioop
import math
import wave
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

from app.audio import ULAW_HZ, pcm16_dbfs, ulaw_decode
from app.bridge.leg.voice_side import PhoneSound
from app.call.words.sentences import sentences
from app.call.words.speakable import Cleaner
from app.errors import VoiceError
from app.wires.voices.voice import Voice, timed

_FULL_SCALE = 32768
SAMPLE_BYTES = 2


@dataclass(frozen=True, slots=True)
class Sample:
    """What a voice made of a text. `sentences`: the sound of each, mono, signed 16 bits,
    little-endian, at `hz`.

    `connect_ms`: until the line was ready. `first_sound_ms`, `whole_ms`: from handing the first
    sentence over until the first and the last sound came.
    """

    label: str
    hz: int
    sentences: tuple[bytes, ...]
    connect_ms: float
    first_sound_ms: float
    whole_ms: float

    @property
    def pcm(self) -> bytes:
        return b"".join(self.sentences)

    @property
    def sound_ms(self) -> float:
        """How long it plays."""
        return sum(map(len, self.sentences)) / SAMPLE_BYTES / self.hz * 1000

    @property
    def real_time_factor(self) -> float:
        """How long it took to make, as a share of how long it plays: below 1 nobody waits."""
        return self.whole_ms / self.sound_ms

    @property
    def peak_dbfs(self) -> float:
        """The loudest sample, in dB below full scale; `-inf` for silence."""
        peak = audioop.max(self.pcm, SAMPLE_BYTES)
        return 20 * math.log10(peak / _FULL_SCALE) if peak else -math.inf

    @property
    def level_dbfs(self) -> float:
        """Its RMS in dB below full scale; `-inf` for silence."""
        return pcm16_dbfs(self.pcm)

    def on_the_phone(self) -> "Sample":
        """The same as a caller hears it: at 8000 Hz, by way of µ-law."""
        return replace(self, hz=ULAW_HZ, sentences=tuple(map(self._phoned, self.sentences)))

    def _phoned(self, pcm: bytes) -> bytes:
        phone = PhoneSound()
        return ulaw_decode(phone.feed(pcm, self.hz) + phone.finish())

    def write_wav(self, path: Path) -> None:
        """Raises OSError."""
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(SAMPLE_BYTES)
            file.setframerate(self.hz)
            file.writeframes(self.pcm)


def sentences_of(text: str) -> list[str]:
    """What of a text is to be said, in the pieces in which a call would have it said."""
    cleaner = Cleaner()
    return [said for said in map(cleaner.clean, sentences(text)) if said]


async def record(
    voice: Voice, texts: Sequence[str], on_sound: Callable[[int, float], None]
) -> Sample:
    """Have a voice say these sentences, on a line of its own. `on_sound` is told how many of them
    are whole and how many ms of sound there are, whenever there is more.

    Raises:
        VoiceError: it failed, or is too slow for a call.
    """
    line = voice.line()
    spoken: list[bytes] = []
    hz, size_bytes, first_s, last_s = 0, 0, 0.0, 0.0
    try:
        began_s = monotonic()
        await line.prepare()
        handed_s = monotonic()
        for text in texts:
            said = bytearray()
            async with aclosing(timed(line.say(text))) as sounds:
                async for sound in sounds:
                    last_s = monotonic()
                    first_s, hz = first_s or last_s, hz or sound.hz
                    if sound.hz != hz:
                        raise VoiceError(f"it went on at {sound.hz} Hz after {hz} Hz")
                    said += sound.pcm
                    size_bytes += len(sound.pcm)
                    on_sound(len(spoken), size_bytes / SAMPLE_BYTES / hz * 1000)
            spoken.append(bytes(said))
            on_sound(len(spoken), size_bytes / SAMPLE_BYTES / hz * 1000)
    finally:
        await line.aclose()
    return Sample(
        voice.label,
        hz,
        tuple(spoken),
        connect_ms=(handed_s - began_s) * 1000,
        first_sound_ms=(first_s - handed_s) * 1000,
        whole_ms=(last_s - handed_s) * 1000,
    )
