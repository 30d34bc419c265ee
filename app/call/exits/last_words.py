"""The last words before an exit: a goodbye, or the announcement of a transfer.

The model says them, and the caller hears them to their last mark, before the exit is ordered.
"""

from dataclasses import dataclass

from app.call.deadlines import NEVER
from app.call.heard.agent_audio import AgentAudio
from app.call.model.responses import Responses, Wanted, Wish

#: Deadline for the words to come.
UNSAID_MS = 15_000.0
#: Deadline for the words to end.
LONGEST_MS = 60_000.0
#: Waited after the last mark: the last syllable may still be on its way to the caller.
GUARD_MS = 200.0


@dataclass(slots=True)
class LastWords:
    """Words that the caller has to hear before the call may leave the agent."""

    #: What they are requested for: GOODBYE or ANNOUNCEMENT.
    wish: Wish
    #: When the exit was decided: the deadlines count from then.
    begun_ms: float
    #: The response that may already contain them; empty: none.
    response_id: str = ""
    #: The exit does not wait for them: no model is there to say them.
    waived: bool = False
    #: All of them have come, as audio or as text for a voice; they may still be playing.
    said: bool = False
    #: When nothing of them played any more.
    _heard_ms: float = NEVER
    #: `AgentAudio.drops` when they were expected or requested.
    _drops: int = 0

    def expected(self, audio: AgentAudio) -> None:
        """They are requested, or expected in the response of `response_id`."""
        self._drops = audio.drops

    def response_ended(self, response_id: str, was: Wanted | None, *, spoke: bool) -> bool:
        """A response ended.

        Args:
            was: What it was requested for.
            spoke: Something of it was played, or will be.

        Returns:
            True when it should have contained the words and said nothing: request them.
        """
        if self.said:
            return False
        if was is not None and was.wish is self.wish:
            self.said = spoke  # if not, they are requested again
        elif self.response_id and self.response_id == response_id:
            self.said = spoke
            return not spoke
        return False

    def over_ms(self, audio: AgentAudio, responses: Responses, now_ms: float) -> float:
        """When the exit may be ordered. Changes with every event: call it again after each."""
        heard_to_end_ms = audio.heard_to_end_ms(now_ms)
        pending = not self.waived and responses.pending(self.wish, Wish.UNSPOKEN)
        if not (self.said or self.waived) or responses.in_flight or pending:
            least_ms = max(self.begun_ms + UNSAID_MS, heard_to_end_ms)
            return min(least_ms, self.begun_ms + LONGEST_MS)
        if heard_to_end_ms > now_ms:
            self._heard_ms = NEVER
            return heard_to_end_ms
        self._heard_ms = min(self._heard_ms, now_ms)
        return self._heard_ms + GUARD_MS

    def whole(self, audio: AgentAudio) -> bool:
        """Whether all of them have come, and nothing of them was dropped."""
        return self.said and audio.drops == self._drops

    def heard(self, audio: AgentAudio, now_ms: float) -> bool:
        """Whether the caller heard them to their end."""
        return self.whole(audio) and now_ms >= audio.heard_to_end_ms(now_ms)
