"""Measures how long callers wait for an answer: from their last sound to its first byte sent.

One clock for each leg. Metrics and the digests of ended calls measure with it, the first on events
as they happen, the second on a stored timeline.
"""

from dataclasses import dataclass

from app.call.heard.agent_audio import OWN_SOUND


@dataclass(slots=True)
class ResponseClock:
    """Call a method for each event that it is named after. Times are ms of the call's clock."""

    #: When the caller began to speak, or pressed a key; negative: their sound gets no answer.
    acted_ms: float = -1.0
    #: The end of the caller's last sound, while the answer to it is awaited.
    last_sound_ms: float | None = None
    #: How long the caller had been quiet when their frames were last counted, and when that was.
    quiet_ms: float = 0.0
    counted_ms: float = 0.0
    #: The item that plays, or played last.
    item_id: str = ""

    def caller_acted(self, now_ms: float) -> None:
        """The caller began to speak, or pressed a key."""
        self.acted_ms, self.last_sound_ms = now_ms, None

    def caller_counted(self, quiet_ms: float | None, now_ms: float) -> None:
        """The caller's frames were counted. `quiet_ms`: since they last held voice."""
        self.quiet_ms, self.counted_ms = quiet_ms or 0.0, now_ms

    def caller_stopped(self, now_ms: float) -> None:
        """Turn detection ended the caller's speech."""
        if self.acted_ms >= 0:
            sounded_ms = self.counted_ms - self.quiet_ms if self.counted_ms else now_ms
            self.last_sound_ms = min(now_ms, max(self.acted_ms, sounded_ms))

    def played(self, item_id: str, now_ms: float) -> float | None:
        """Audio was sent. Returns how long the caller waited, in ms; None: it begins no answer."""
        if item_id in (OWN_SOUND, self.item_id):
            return None  # a tone, or more of what began before the caller stopped
        self.item_id = item_id
        if self.last_sound_ms is None:
            return None
        waited_ms, self.last_sound_ms = now_ms - self.last_sound_ms, None
        return waited_ms

    def not_interrupted(self) -> None:
        """The caller's sound was no interruption, also where its turn is still open."""
        self.acted_ms, self.last_sound_ms = -1.0, None
