"""What is said before the caller is let go of: made by the model, then heard to its last mark."""

from dataclasses import dataclass

from app.call.deadlines import NEVER
from app.call.heard.agent_audio import AgentAudio
from app.call.model.responses import Responses, Wanted, Wish

UNSAID_MS = 15_000.0  # for words that never come
LONGEST_MS = 60_000.0  # for words that never end
GUARD_MS = 200.0  # the last syllable is still on its way when its mark comes back


@dataclass(slots=True)
class LastWords:
    """`wish`: what they are asked for with. `response_id`: the response that may hold them, when
    they were not asked for. `waived`: nobody will say them."""

    wish: Wish
    begun_ms: float
    response_id: str = ""
    waived: bool = False
    said: bool = False  # all of it is there; what is left is to hear it
    _heard_ms: float = NEVER

    def response_ended(self, response_id: str, was: Wanted | None, *, spoke: bool) -> bool:
        """A response ended, and `spoke` or not. Returns True when it should have held them and did
        not."""
        if self.said:
            return False
        if was is not None and was.wish is self.wish:
            self.said = spoke  # if not, they are asked for again
        elif self.response_id and self.response_id == response_id:
            self.said = spoke
            return not spoke
        return False

    def over_ms(self, audio: AgentAudio, responses: Responses, now_ms: float) -> float:
        """When nothing more has to be waited for. To be asked again whenever something happened."""
        heard_out_ms = audio.heard_out_ms(now_ms)
        pending = not self.waived and responses.pending(self.wish, Wish.UNSPOKEN)
        if not (self.said or self.waived) or responses.in_flight or pending:
            least_ms = max(self.begun_ms + UNSAID_MS, heard_out_ms)
            return min(least_ms, self.begun_ms + LONGEST_MS)
        if heard_out_ms > now_ms:
            self._heard_ms = NEVER
            return heard_out_ms
        self._heard_ms = min(self._heard_ms, now_ms)
        return self._heard_ms + GUARD_MS

    def heard(self, audio: AgentAudio, now_ms: float) -> bool:
        """Whether the caller heard them to their end."""
        return self.said and now_ms >= audio.heard_out_ms(now_ms)
