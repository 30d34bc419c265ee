"""Record a voice outside a call, sentence by sentence as in a call, and measure how fast it is."""

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
from app.wires.voices.voice import Voice, with_deadlines

_FULL_SCALE = 32768
SAMPLE_BYTES = 2


@dataclass(frozen=True, slots=True)
class Sample:
    """The recording of a text by one voice."""

    label: str
    hz: int
    #: The audio of each sentence: PCM, mono, signed 16 bits, little-endian, at `hz`.
    sentences: tuple[bytes, ...]
    #: Until the line was ready.
    connect_ms: float
    #: From the request for the first sentence until its first audio.
    first_sound_ms: float
    #: From the request for the first sentence until the last audio of the last one.
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
        """`whole_ms` by the playing time; below 1 the audio comes faster than it plays."""
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
        """The recording as a caller hears it: 8000 Hz, encoded as µ-law and decoded again."""
        return replace(self, hz=ULAW_HZ, sentences=tuple(map(self._phoned, self.sentences)))

    def _phoned(self, pcm: bytes) -> bytes:
        phone = PhoneSound()
        return ulaw_decode(phone.feed(pcm, self.hz) + phone.finish())

    def write_wav(self, path: Path) -> None:
        """Write a mono 16-bit WAV. Raises OSError."""
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(SAMPLE_BYTES)
            file.setframerate(self.hz)
            file.writeframes(self.pcm)


def sentences_of(text: str) -> list[str]:
    """The speakable part of a text, in the sentences that a call would send to a voice."""
    cleaner = Cleaner()
    return [said for said in map(cleaner.clean, sentences(text)) if said]


async def record(
    voice: Voice, texts: Sequence[str], on_sound: Callable[[int, float], None]
) -> Sample:
    """Let a voice say these sentences, on a new line.

    `on_sound(sentences, sound_ms)`: called as audio comes, with the number of sentences that are
    complete and the audio so far.

    Raises:
        VoiceError: the voice failed, is too slow for a call, or changed its sample rate.
    """
    line = voice.line()
    spoken: list[bytes] = []
    hz, size_bytes, first_s, last_s = 0, 0, 0.0, 0.0
    try:
        began_s = monotonic()
        await line.prepare()
        requested_s = monotonic()
        for text in texts:
            said = bytearray()
            async with aclosing(with_deadlines(line.say(text))) as sounds:
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
        connect_ms=(requested_s - began_s) * 1000,
        first_sound_ms=(first_s - requested_s) * 1000,
        whole_ms=(last_s - requested_s) * 1000,
    )
