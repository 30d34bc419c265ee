"""What is due at one moment of a call, done in one order, and when something is due next.

The order is the rule here: each part comes before the parts that look at what it changes. So one
`TimerFired` does all that is due at its time, and a second one at the same time changes nothing.
"""

from app.call import events as ev
from app.call.commands import ReportDecision
from app.call.deadlines import NEVER, next_after
from app.call.model.first_sound import Stage
from app.call.model.responses import Wish
from app.call.outbox import Outbox
from app.call.response_deadlines import STALLED_MS
from app.call.response_flow import ResponseFlow
from app.call.succession import Succession
from app.call.wiring import Parts

#: What comes in many pieces, or goes with each piece: see `Due.amid`.
FREQUENT = frozenset(
    (
        ev.CallerAudioForwarded,
        ev.MarkEchoed,
        ev.AudioReceived,
        ev.TranscriptReceived,
        ev.TextReceived,
        ev.VoiceReceived,
        ev.VoicePaused,
        ev.VoiceTimed,
    )
)


class Due:
    """Call `act` after every event, then pass `TimerFired` at `next_ms`.

    Every event asks every part, and what costs most is code that no event before it has just run.
    So parts that are at rest on most calls (exits, keypad, external voices) are not asked.
    """

    def __init__(
        self,
        outbox: Outbox[ReportDecision],
        parts: Parts,
        flow: ResponseFlow,
        succession: Succession,
    ) -> None:
        self._outbox = outbox
        self._stream = parts.stream
        self._link = parts.model.link
        self._keypad = parts.entries.keypad
        self._tools = parts.model.tools
        self._answers = parts.model.answers
        self._responses = parts.model.responses
        self._audio = parts.audio
        self._synthesis = parts.speech.synthesis
        self._has_voices = parts.speech.synthesis.voices
        self._exits = parts.exits
        self._entries = parts.entries
        self._floor = parts.floor
        self._session = parts.session
        self._idle_and_hold = parts.idle_and_hold
        self._deadlines = parts.deadlines
        self._retries = parts.retries
        self._ordered_words = parts.orders.words
        self._keys = parts.keys
        self._detection = parts.detection
        self._waiting = parts.waiting
        self._flow = flow
        self._succession = succession
        self._barge_in = parts.barge_in
        self._paused = False  # the agent was paused when `act` was called last
        self._synthesizing = False  # as `AgentAudio`, at the end of the last `act`
        self._end_awaited = False  # something begins at the end of what plays

    def act(self, now_ms: float, *, at_s: float) -> str:
        """Do what is due.

        Args:
            at_s: Unix time, in seconds.

        Returns:
            Why the leg ends now; empty: it goes on.
        """
        if missed := self._stream.missed(now_ms):
            ended_by, why = missed
            self._outbox.put(ReportDecision("end the leg", why))
            return ended_by
        if self._paused or self._floor.pause.active:
            self._keep_pause(now_ms)
        if self._has_voices:
            self._synthesis.advance(now_ms)
        if not self._exits.at_rest and self._exits.expire(now_ms):
            return self._exits.reason
        if self._detection.due_ms != NEVER:
            self._detection.settle(now_ms)
        if self._keypad.touched or self._floor.voicemail:
            self._keys.settle(now_ms, at_s=at_s)  # while the caller types, no response is late
        if self._floor.end_long_speech(now_ms):
            self._deadlines.clock.start(now_ms)
        retried = self._deadlines.clock.stage is not Stage.ASKED
        late = self._waiting.for_response_alone(retried=retried)
        if self._retries.retry_overdue(now_ms, due=late):
            self._idle_and_hold.comfort(now_ms)
        if not self._exits.at_rest:
            gone = self._session.gave_up(now_ms)
            self._exits.settle(now_ms, model_ready=self._link.ready, model_gone=gone)
        if not self._link.steady or self._responses.gave_up:
            self._session.keep_ready(now_ms, connected=self._stream.connected)
        self._answers.answer_overdue(now_ms)
        if now_ms >= self._floor.answer_by_ms:  # turn detection did not request the response
            self._floor.answer_by_ms = NEVER
            if not self._exits.under_way:
                self._responses.want(Wish.REPLY)
                if self._floor.unended:  # they have waited longer than after a reported end
                    self._idle_and_hold.comfort(now_ms)
        if self._stream.connected:
            waits = self._waiting.for_anything
            self._idle_and_hold.run(
                now_ms,
                caller_acts=self._waiting.caller_acts or self._paused,
                waits=waits,
                model_can_speak=waits and self._waiting.for_tool_or_redirect,
                leaves=self._exits.transferring,
            )
        self._ordered_words.settle(now_ms)
        self._succession.settle(now_ms)
        self._flow.request_next(now_ms)
        if self._link.ready:
            self._barge_in.keep_turn_detection(now_ms)
        self._synthesizing = self._audio.synthesizing
        self._end_awaited = self._exits.caller_waits or self._keypad.asked
        return ""

    def _keep_pause(self, now_ms: float) -> None:
        """End a pause that is over; what is awaited gets its time anew."""
        self._barge_in.settle(now_ms)
        paused, self._paused = self._paused, self._floor.pause.active
        if paused and not self._paused:
            self._deadlines.pause_over(now_ms)

    def next_ms(self, now_ms: float) -> float:
        """When something is due next. Call `act` first: what is due already was done there, or
        waits for an event."""
        return next_after(
            now_ms,
            self._barge_in.next_ms(now_ms),
            self._stream.next_ms(now_ms),
            NEVER if self._exits.at_rest else self._exits.next_ms(now_ms),
            self._entries.next_ms(now_ms) if self._keypad.touched else NEVER,
            NEVER if self._link.ready else self._link.next_ms(now_ms),
            self._tools.next_due_ms(),
            self._idle_and_hold.next_ms(now_ms),
            self._floor.next_ms(now_ms),
            self._detection.due_ms,
            self._deadlines.next_ms(now_ms),
            self._responses.next_ms(),
            self._synthesis.next_ms(now_ms) if self._has_voices else NEVER,
            self._succession.next_ms(now_ms),
        )

    def amid(self, event: ev.Event, now_ms: float, next_ms: float) -> float | None:
        """When something is due next, after one of the `FREQUENT` events.

        A delta of what is under way brings forward no deadline but the voice's, and begins the
        response's, which is `STALLED_MS` away or more. That of a stall moves later and later; the
        timer that fires too early computes it anew. A mark amid what plays, and frames while the
        caller does not speak, change none.

        Args:
            next_ms: When something was due next before the event.

        Returns:
            None when the event may make something due: call `act`.
        """
        if now_ms >= next_ms or self._end_awaited:
            return None
        match event:
            case ev.CallerAudioForwarded():
                return None if self._floor.counts_frames else next_ms
            case ev.MarkEchoed():
                return None if self._audio.ledger.all_surely_heard else next_ms
        if self._responses.next(now_ms) is not None:
            return None
        if self._audio.synthesizing != self._synthesizing:
            return None  # the caller begins to wait for the voice, or stops to
        next_ms = min(next_ms, now_ms + STALLED_MS)
        voice_ms = self._synthesis.next_ms(now_ms)
        return voice_ms if now_ms < voice_ms < next_ms else next_ms
