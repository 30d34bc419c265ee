"""Understands what a caller said, when it is one of the phrases that it knows: PocketSphinx.

Needs the extra `demo`: the package pocketsphinx carries an acoustic model and a dictionary of
American English. It is loaded only when somebody listens with it.
"""

import audioop
import importlib
import math
import random
import threading
from array import array
from collections.abc import Sequence
from functools import cache
from typing import Any

from app.audio import ULAW_HZ, resample_pcm16, ulaw_decode
from app.simulator.ears import HearingUnavailable
from app.simulator.grammar import Grammar, Heard
from app.simulator.pronunciation import pronunciations

__all__ = ["Heard", "HearingUnavailable", "Recognizer"]

_MODEL_HZ = 16000
_PADDING = bytes(2 * _MODEL_HZ // 5)  # 200 ms: words at the very edge are heard badly
_SEARCH = "phrases"
# The mean log-likelihood of a frame, without the silences. Phrases that were said come out at -5.2
# and above, other speech forced into a phrase mostly below.
_LEAST_FIT = -5.2
_WINDOW_BYTES = 320  # 20 ms at 8000 Hz
_NOISY = 20  # RMS of a noise that stands out from the steps of µ-law
_FILL = 2.0  # of the line's own noise: that is how it was understood best


class Recognizer:
    """The ears for one agent's phrases: see `Grammar` for what they may be.

    Made in a tenth of a second; a recognition takes about as long. `recognize` may be called from
    any thread, and one turn is listened to at a time.

    Raises HearingUnavailable, SpeechUnavailable (for words that no dictionary has), PhraseError.
    """

    def __init__(
        self, phrases: Sequence[str], *, keywords: Sequence[str] = (), names: Sequence[str] = ()
    ) -> None:
        self._grammar = Grammar(phrases, keywords=keywords, names=names)
        self._lock = threading.Lock()
        self._decoder = _decoder()
        arcs, last = self._grammar.graph()
        words = {arc.word for arc in arcs if arc.word is not None}
        for word in sorted(words):
            if self._decoder.lookup_word(word) is None:
                for number, phones in enumerate(pronunciations(word), 1):
                    name = word if number == 1 else f"{word}({number})"
                    self._decoder.add_word(name, phones, False)
        # Words are taken into account when one is added with an update.
        self._decoder.add_word("<unsaid>", "SIL", True)
        transitions = [
            (arc.source, arc.target, arc.weight, *([arc.word] if arc.word else [])) for arc in arcs
        ]
        graph = self._decoder.create_fsg(_SEARCH, 0, last, transitions)
        self._decoder.add_fsg(_SEARCH, graph)
        self._decoder.activate_search(_SEARCH)

    def recognize(self, ulaw: bytes) -> Heard | None:
        """What was said; None when it was nothing that is known here.

        `ulaw`: one turn of a caller's, 8000 Hz, with the line's noise or without.
        """
        with self._lock:
            self._decoder.start_utt()
            self._decoder.process_raw(_for_the_model(ulaw_decode(ulaw)), full_utt=True)
            self._decoder.end_utt()
            segments = list(self._decoder.seg()) if self._decoder.hyp() is not None else []
        said = [segment for segment in segments if segment.word[0] not in "<[("]
        if not said:
            return None
        frames = sum(segment.end_frame - segment.start_frame + 1 for segment in said)
        fit = sum(math.log(max(segment.ascore, 1e-300)) for segment in said) / frames
        if fit < _LEAST_FIT:
            return None
        return self._grammar.understand([segment.word.partition("(")[0] for segment in said])


def _decoder() -> Any:
    try:
        # optional: looked up only when somebody wants it, so that nobody else must install it
        pocketsphinx = importlib.import_module("pocketsphinx")
    except ImportError as error:
        raise HearingUnavailable(
            "understanding speech needs PocketSphinx; install it with: pip install '.[demo]'"
        ) from error
    return pocketsphinx.Decoder(lm=None, loglevel="FATAL")


def _for_the_model(pcm: bytes) -> bytes:
    """A telephone's PCM at the model's rate. The model learned from full sound, where noise reaches
    up to 8 kHz; a telephone has none above 4, so its own noise is continued there."""
    wide = resample_pcm16(pcm, ULAW_HZ, _MODEL_HZ)
    level = _noise_rms(pcm)
    if level > _NOISY:
        noise = _high_noise() * (len(wide) // len(_high_noise()) + 1)
        wide = audioop.add(wide, audioop.mul(noise[: len(wide)], 2, _FILL * level / _NOISE_RMS), 2)
    return _PADDING + wide + _PADDING


def _noise_rms(pcm: bytes) -> int:
    """How loud it is where it is nearly quietest."""
    windows = [pcm[n : n + _WINDOW_BYTES] for n in range(0, len(pcm), _WINDOW_BYTES)]
    levels = sorted(level for window in windows if (level := audioop.rms(window, 2)))
    return levels[len(levels) // 10] if levels else 0


_NOISE_RMS = 1000


@cache
def _high_noise() -> bytes:
    """A second of noise between 4 and 8 kHz: that of a telephone, turned upside down."""
    draw = random.Random(1)
    low = array("h", (int(draw.gauss(0, _NOISE_RMS)) for _ in range(ULAW_HZ)))
    samples = array("h", resample_pcm16(low.tobytes(), ULAW_HZ, _MODEL_HZ))
    samples[1::2] = array("h", (-sample for sample in samples[1::2]))
    return audioop.mul(samples.tobytes(), 2, _NOISE_RMS / audioop.rms(samples.tobytes(), 2))
