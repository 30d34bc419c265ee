"""Which of the voices says a text: the first one that may, after what became of it with others."""

from dataclasses import dataclass, field

from app.call.deadlines import NEVER

TRIES = 2
REST_MS = 60_000.0  # a voice that failed is left alone for so long


@dataclass(slots=True)
class Attempts:
    """How it went with a text. `voice`: which one was asked last; `tries`: by voice; `unfit`: those
    that cannot say this text."""

    voice: int = 0
    tries: dict[int, int] = field(default_factory=dict)
    unfit: set[int] = field(default_factory=set)


class VoiceChoice:
    """Voices are named by their place, the first before the others."""

    def __init__(self, count: int) -> None:
        self._rested_ms = [0.0] * count  # until then a voice is left alone

    def choose(self, attempts: Attempts, now_ms: float) -> int | None:
        """Who is to say it now; None when nobody may."""
        voices = range(len(self._rested_ms))
        return next((voice for voice in voices if self._may(voice, attempts, now_ms)), None)

    def failed(self, attempts: Attempts, kind: str, now_ms: float, *, began: bool) -> None:
        """The voice that was asked failed, in the way of `kind` (see `VoiceFailed`), or broke off
        what it `began`. It gets another try, if nobody else is there to go on at once."""
        voice, others = attempts.voice, self._others(attempts, now_ms)
        attempts.tries[voice] = attempts.tries.get(voice, 0) + 1
        if kind == "fatal":
            self._rested_ms[voice] = NEVER
        elif kind == "text":
            attempts.unfit.add(voice)
        elif attempts.tries[voice] >= TRIES or (others and (began or kind == "late")):
            self._rested_ms[voice] = now_ms + REST_MS

    def was_slow(self, attempts: Attempts, now_ms: float) -> None:
        """The caller spoke into the silence of the voice that was asked."""
        if self._others(attempts, now_ms):
            self._rested_ms[attempts.voice] = now_ms + REST_MS

    def _may(self, voice: int, attempts: Attempts, now_ms: float) -> bool:
        return now_ms >= self._rested_ms[voice] and voice not in attempts.unfit

    def _others(self, attempts: Attempts, now_ms: float) -> bool:
        """Whether another voice than the one that was asked may say it."""
        voices = range(len(self._rested_ms))
        return any(self._may(each, attempts, now_ms) for each in voices if each != attempts.voice)
