"""Recognizes known phrases in a caller's speech, with PocketSphinx.

Needs the extra `demo`: the package pocketsphinx carries an acoustic model and a dictionary of
American English. It is loaded with the first recognizer.
"""

import audioop
import importlib
import math
import random
import threading
from array import array
from functools import cache
from typing import Any

from app.audio import ULAW_HZ, resample_pcm16, ulaw_decode
from app.simulator.receptionist.ears import HearingUnavailable
from app.simulator.receptionist.grammar import Grammar, Heard
from app.simulator.receptionist.pronunciation import pronunciations

_MODEL_HZ = 16000
_SEARCH = "phrases"
# Found by trying them on synthetic callers through µ-law and noise.
_OPTIONS = {
    "bestpath": False, "topn": 8, "wip": 0.1, "beam": 1e-60, "wbeam": 1e-50, "pbeam": 1e-60,
    "lpbeam": 1e-60, "lponlybeam": 1e-50,
}  # fmt: skip
# The least mean log-likelihood of a frame, silence excluded. One of a hundred spoken phrases is
# below it, and a third of other speech that was matched with a phrase.
_LEAST_FIT = -0.006
# A phone line cuts off at 4 kHz and most of an s is above: further pronunciations of digits.
_ON_THE_TELEPHONE = {
    "zero": ("Z IY R AH",),
    "five": ("F AY",),
    "six": ("F IH K F", "F IH K S", "IH K", "S IH K"),
    "seven": ("F EH V AH N", "EH V AH N", "S EH V AH M"),
    "nine": ("N AY M", "N AY"),
}
_WINDOW_BYTES = 320  # 20 ms at 8000 Hz
_SPEECH_SHARE = 0.056  # of the loudest window: softer windows are not speech (-25 dB)
# Silence to keep around the speech. Another edge shifts the model's frames in the sound: a phrase
# that is not recognized with one is often recognized with another.
_EDGES_MS = (150, 205, 90)
_SPEECH_RMS, _FLOOR_RMS = 2600, 58  # -22 and -55 dBFS


class Recognizer:
    """Recognizes the phrases of one agent's grammar.

    Construction takes a fifth of a second, recognition 20 to 40 ms per second of a turn.
    `recognize` may be called from any thread; one turn is recognized at a time.

    Raises:
        HearingUnavailable: the extra `demo` is not installed.
        SpeechUnavailable: the same, for words that need a pronunciation.
    """

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._lock = threading.Lock()
        self._decoder = _decoder()
        arcs, last = grammar.graph()
        words = {arc.word for arc in arcs if arc.word is not None}
        for word in sorted(words):
            if self._decoder.lookup_word(word) is None:
                for number, phones in enumerate(pronunciations(word), 1):
                    name = word if number == 1 else f"{word}({number})"
                    self._decoder.add_word(name, phones, False)
            for number, phones in enumerate(_ON_THE_TELEPHONE.get(word, ()), 1):
                self._decoder.add_word(f"{word}(telephone{number})", phones, False)
        # Adding a word with an update makes all added words known to the decoder.
        self._decoder.add_word("<unsaid>", "SIL", True)
        transitions = [
            (arc.source, arc.target, arc.weight, *([arc.word] if arc.word else [])) for arc in arcs
        ]
        graph = self._decoder.create_fsg(_SEARCH, 0, last, transitions)
        self._decoder.add_fsg(_SEARCH, graph)
        self._decoder.activate_search(_SEARCH)

    def recognize(self, ulaw: bytes) -> Heard | None:
        """The phrase that was said; None: none was recognized.

        `ulaw`: one turn of a caller, 8000 Hz, with or without noise.
        """
        pcm = ulaw_decode(ulaw)
        by_keyword: Heard | None = None
        with self._lock:
            for edge_ms in _EDGES_MS:
                heard = self._listen(_for_the_model(pcm, edge_ms))
                if heard is not None and heard.phrase in self._grammar.phrases:
                    return heard
                by_keyword = by_keyword or heard
        return by_keyword

    def _listen(self, pcm: bytes) -> Heard | None:
        if not pcm:
            return None
        self._decoder.start_utt()
        try:
            self._decoder.process_raw(pcm, full_utt=True)
        finally:  # otherwise the next start_utt fails
            self._decoder.end_utt()
        segments = self._decoder.seg() if self._decoder.hyp() is not None else ()
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
        # Optional: imported here, so that a service without it starts.
        pocketsphinx = importlib.import_module("pocketsphinx")
    except ImportError as error:
        raise HearingUnavailable(
            "understanding speech needs PocketSphinx; install it with: pip install '.[demo]'"
        ) from error
    return pocketsphinx.Decoder(lm=None, loglevel="FATAL", **_OPTIONS)


def _for_the_model(pcm: bytes, edge_ms: int) -> bytes:
    """PCM of a phone line as the acoustic model expects it: at its rate and level, with soft noise
    up to 8 kHz, and `edge_ms` of the line around the speech."""
    windows = range(0, len(pcm), _WINDOW_BYTES)
    levels = [audioop.rms(pcm[start : start + _WINDOW_BYTES], 2) for start in windows]
    least = max(levels, default=0) * _SPEECH_SHARE
    loud = [number for number, level in enumerate(levels) if level and level >= least]
    if not loud:
        return b""
    edge = 2 * edge_ms * ULAW_HZ // 1000
    speech = pcm[max(0, loud[0] * _WINDOW_BYTES - edge) : (loud[-1] + 1) * _WINDOW_BYTES + edge]
    speech = audioop.mul(speech, 2, _SPEECH_RMS / max(1, audioop.rms(speech, 2)))
    wide = resample_pcm16(speech, ULAW_HZ, _MODEL_HZ)
    return audioop.add(wide, (_floor() * (len(wide) // len(_floor()) + 1))[: len(wide)], 2)


@cache
def _floor() -> bytes:
    """A second of soft white noise."""
    draw = random.Random(1)
    return array("h", (round(draw.gauss(0, _FLOOR_RMS)) for _ in range(_MODEL_HZ))).tobytes()
