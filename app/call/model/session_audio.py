"""The caller's audio in the present session: where its turns begin, and whose words are not known.

Positions are ms of the audio that was appended to the session, as its events give them.
"""

from dataclasses import dataclass

from app.call import events as ev
from app.call.deadlines import next_after
from app.call.model.settings import SessionSettings

#: How long the words of a turn are awaited, from its end.
WORDS_MS = 5000.0
#: How long a turn whose end was not reported counts as one.
LONGEST_TURN_MS = 60_000.0


@dataclass(slots=True)
class _Turn:
    """A turn of the caller without words."""

    #: Position of its first sound, padding included.
    start_ms: int
    #: Until when its words are awaited, monotonic ms.
    awaited_until_ms: float
    #: Its end was reported.
    over: bool = False
    #: The last response that began after it; empty: none did.
    answered_by: str = ""


class SessionAudio:
    """Pass every event to `take`. Call `forget` when another session takes over."""

    def __init__(self, settings: SessionSettings) -> None:
        #: Position where the last turn ended.
        self.end_ms = 0
        self._settings = settings
        self._turns: dict[str, _Turn] = {}

    def take(self, event: ev.Event, now_ms: float) -> None:
        """Take an event of the session."""
        match event:
            case ev.SpeechStarted(item_id, audio_start_ms):
                self._begin(item_id, audio_start_ms, now_ms)
            case ev.SpeechStopped(item_id, audio_end_ms):
                self.end_ms = max(self.end_ms, audio_end_ms)
                self._end(item_id, now_ms)
            case ev.CallerTurnCommitted(item_id):
                self._end(item_id, now_ms)
            case ev.CallerTranscribed(item_id) | ev.CallerTranscriptionFailed(item_id):
                self._turns.pop(item_id, None)
            case ev.ResponseCreated(response_id):
                for turn in self._turns.values():
                    turn.answered_by = response_id if turn.over else ""

    def _begin(self, item_id: str, audio_start_ms: int, now_ms: float) -> None:
        for known in [*self._turns]:
            if now_ms >= self._turns[known].awaited_until_ms:
                del self._turns[known]
        self._turns[item_id] = _Turn(audio_start_ms, now_ms + LONGEST_TURN_MS)

    def _end(self, item_id: str, now_ms: float) -> None:
        """The turn is over: its words follow."""
        if turn := self._turns.get(item_id):
            turn.over, turn.awaited_until_ms = True, now_ms + WORDS_MS

    def awaits_words(self, now_ms: float) -> bool:
        """Whether the words of a turn that is over are still to come."""
        return self._settings.transcribes and any(
            turn.over and now_ms < turn.awaited_until_ms for turn in self._turns.values()
        )

    def unknown(self, now_ms: float, *, unheard_id: str) -> dict[str, int]:
        """The turns that are not answered and whose words are not known, by item id, with the
        position of each beginning.

        Args:
            unheard_id: The active response, if it has done nothing so far: it is no answer.
        """
        return {
            item_id: turn.start_ms
            for item_id, turn in self._turns.items()
            if turn.answered_by in ("", unheard_id) and now_ms < turn.awaited_until_ms
        }

    def next_ms(self, now_ms: float) -> float:
        """When words stop being awaited next."""
        return next_after(now_ms, *(turn.awaited_until_ms for turn in self._turns.values()))

    def forget(self) -> None:
        """Another session takes over: it counts from 0, and knows none of these turns."""
        self.end_ms = 0
        self._turns.clear()
