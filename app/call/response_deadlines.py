"""Deadlines of the response that the caller waits for: its first sound, and its progress.

A response that ends `completed` is over; that says nothing about sound. A response counts as an
answer when its audio plays, when an external voice synthesizes its text, or when it calls a tool.
`retries` acts when a deadline passes.
"""

from app.call.deadlines import NEVER, next_after
from app.call.events import ResponseDone
from app.call.heard.agent_audio import AgentAudio
from app.call.model.first_sound import FirstSound
from app.call.model.model import Model
from app.call.speech.agent_speech import AgentSpeech

#: Deadline for the next event of a response, from the end of what plays of it.
STALLED_MS = 4000.0
#: Deadline for the arguments of a tool call, whose deltas are no events of the call.
CALLING_MS = 15_000.0


class ResponseDeadlines:
    """Call the methods with the events of a response, and ask `stalled_ms` and `clock` for the time
    at which a deadline passes."""

    def __init__(
        self, audio: AgentAudio, model: Model, speech: AgentSpeech, first_sound_ms: float
    ) -> None:
        """
        Args:
            first_sound_ms: `Limits.first_sound_ms`.
        """
        #: Deadline for the first sound of the response, and the stage of its retries.
        self.clock = FirstSound(first_sound_ms)
        self._audio = audio
        self._items = model.items
        self._responses = model.responses
        self._tools = model.tools
        self._speech = speech
        self._moved_ms = 0.0  # last event of the response in flight
        self._plays_until_ms = 0.0  # the end of its audio, without hold tones
        self._calling = False  # it has begun a tool call

    def progressed(self, now_ms: float) -> None:
        """An event of the response in flight came."""
        self._moved_ms = now_ms

    def requested(self, now_ms: float) -> None:
        """A response was requested."""
        self._moved_ms, self._calling = now_ms, False
        self.clock.requested(now_ms)

    def audio_received(self, response_id: str) -> None:
        """Audio of a response came, and is played unless the response is muted."""
        if not self._items.is_muted(response_id):
            self._plays_until_ms = self._audio.ledger.ends_ms
            if self.clock.running:
                self._heard()

    def text_received(self, response_id: str) -> None:
        """Text of a response came: stop its first deadline where an external voice says it."""
        if not (self._speech.synthesis.model_speaks or self._items.is_muted(response_id)):
            self.clock.stop()

    def voice_event(self, *, audio: bool) -> None:
        """An event of an external voice came. `audio`: it was audio."""
        self._plays_until_ms = self._audio.ledger.ends_ms
        if audio:
            self._heard()

    def _heard(self) -> None:
        self.clock.heard()
        self._responses.sounded()
        self._speech.heard()

    def calls_tool(self, *, complete: bool) -> None:
        """The response in flight calls a tool.

        Args:
            complete: All its arguments are there; False: the call has begun.
        """
        self._calling = not complete
        if complete:
            self._heard()
        else:
            self.clock.stop()

    def is_empty(self, event: ResponseDone) -> bool:
        """Whether a response that ended owed the caller sound and brought none. Ask before
        `Responses.done`."""
        response_id = event.response_id
        given = (
            event.status in ("failed", "cancelled")
            or self._items.is_muted(response_id)
            or self._speech.spoke(response_id)
            or self._tools.has_calls_of(response_id)
        )
        return response_id == self._responses.active_id and not given

    def ended(self) -> None:
        """The response in flight ended."""
        self._calling = False

    def stalled_ms(self) -> float:
        """When the response in flight counts as stalled; NEVER before its first sign."""
        if self.clock.running or not self._responses.in_flight or self._audio.waiting:
            return NEVER  # while audio is held back, reading from the model may be paused
        if self._calling or self._speech.synthesis.busy:
            return self._moved_ms + CALLING_MS
        return max(self._moved_ms, self._plays_until_ms) + STALLED_MS

    def next_ms(self, now_ms: float) -> float:
        """When the next deadline passes."""
        return next_after(now_ms, self.clock.due_ms, self.stalled_ms())
