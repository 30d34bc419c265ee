"""Which voice speaks a text: the first one that is neither resting nor unfit for it."""

from dataclasses import dataclass, field

from app.call.deadlines import NEVER

TRIES = 2
REST_MS = 60_000.0  # how long a voice that failed is not used


@dataclass(slots=True)
class Attempts:
    """How voices failed at one text. Voices are named by their place in the agent's list."""

    #: The voice that was asked last.
    voice: int = 0
    #: How many times each voice failed.
    tries: dict[int, int] = field(default_factory=dict)
    #: The voices that refused this text.
    unfit: set[int] = field(default_factory=set)


class VoiceChoice:
    """Chooses among `count` voices, which are named by their place: lower ones are preferred.

    When the chosen voice fails or is slow, call `failed` or `was_slow`, then `choose` again.
    """

    def __init__(self, count: int) -> None:
        self._rested_ms = [0.0] * count  # until when a voice is not used

    def choose(self, attempts: Attempts, now_ms: float) -> int | None:
        """The voice to ask now; None if none is left for this text."""
        voices = range(len(self._rested_ms))
        return next((voice for voice in voices if self._may(voice, attempts, now_ms)), None)

    def failed(self, attempts: Attempts, kind: str, now_ms: float, *, began: bool) -> None:
        """The voice that was asked failed. `kind`: see `VoiceError`. `began`: a part was played.

        It rests after its last try; at once if it was late or a part was played, and another voice
        can take over; and for the whole call if the failure is fatal.
        """
        voice, others = attempts.voice, self._others(attempts, now_ms)
        attempts.tries[voice] = attempts.tries.get(voice, 0) + 1
        if kind == "fatal":
            self._rested_ms[voice] = NEVER
        elif kind == "text":
            attempts.unfit.add(voice)
        elif attempts.tries[voice] >= TRIES or (others and (began or kind == "late")):
            self._rested_ms[voice] = now_ms + REST_MS

    def was_slow(self, attempts: Attempts, now_ms: float) -> None:
        """The caller spoke before the voice made a sound: it rests if there is another voice."""
        if self._others(attempts, now_ms):
            self._rested_ms[attempts.voice] = now_ms + REST_MS

    def _may(self, voice: int, attempts: Attempts, now_ms: float) -> bool:
        return now_ms >= self._rested_ms[voice] and voice not in attempts.unfit

    def _others(self, attempts: Attempts, now_ms: float) -> bool:
        """Whether another voice than the one that was asked can speak this text now."""
        voices = range(len(self._rested_ms))
        return any(self._may(each, attempts, now_ms) for each in voices if each != attempts.voice)
