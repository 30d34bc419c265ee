"""The call: events in, commands out, time as a number.

`CallMachine.handle(event, now_ms)` takes one event and returns the commands to perform, in order.
Afterwards `next_deadline_ms` is the time at which the bridge must pass `TimerFired`, if no other
event comes before. Every rule about who speaks when is here or in the parts that `wiring` creates;
barge-in is in `barge_in`.
"""

from typing import assert_never

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.caller.answering_machine import Shown
from app.call.deadlines import NEVER
from app.call.due import FREQUENT
from app.call.usage import Usage
from app.call.view import CallView


class CallMachine(CallView):
    """One leg of a call. Pure: the same events at the same times give the same commands."""

    def handle(self, event: ev.Event, now_ms: float) -> list[do.Command]:
        """Take an event.

        Args:
            event: What happened.
            now_ms: When, in monotonic milliseconds; never less than in the call before.

        Returns:
            The commands to perform, in order. Then pass `TimerFired` at `next_deadline_ms`.
        """
        if now_ms > self._silences.heard_until_ms:
            self._silences.sound_over(now_ms)
        if not self._over:
            self._take(self._missing.fill(event), now_ms)
        if not self._over:
            self._act(event, now_ms)
        return self._commands.take()

    def _act(self, event: ev.Event, now_ms: float) -> None:
        """Do what is due after this event, and compute the next deadline."""
        if type(event) in FREQUENT:
            next_ms = self._due.amid(event, now_ms, self.next_deadline_ms)
            if next_ms is not None:
                self.next_deadline_ms = next_ms
                if now_ms > self._silences.heard_until_ms:
                    self._silences.look(now_ms)
                return
        if ended_by := self._due.act(now_ms, at_s=self._clock_s(now_ms)):
            self._end_leg(ended_by, now_ms)
            return
        self.next_deadline_ms = self._due.next_ms(now_ms)
        self._silences.look(now_ms)
        self.hears_caller = self._link.ready
        self.awaited_sound = self._floor.pause.awaited_sound
        self.awaits_quiet = self._succession.awaits_quiet
        unreported = self._floor.answers_unreported
        self.voice_awaited_ms = self._waiting.for_caller_from_ms if unreported else NEVER

    # --- events -------------------------------------------------------------------------------

    def _take(self, event: ev.Event, now_ms: float) -> None:
        if type(event) not in FREQUENT:
            self._succession.take(event, now_ms, at_s=self._clock_s(now_ms))
            self._evidence.take(event, now_ms)
        match event:
            case ev.AudioReceived():
                self._flow.audio(event, now_ms)
            case ev.TranscriptReceived() | ev.TextReceived():
                self._flow.written(event, now_ms)
            case ev.VoiceReceived() | ev.VoiceFinished() | ev.VoiceFailed():
                if self._speech.synthesis.take(event, now_ms):
                    self._deadlines.voice_event(audio=isinstance(event, ev.VoiceReceived))
            case ev.VoicePaused() | ev.VoiceTimed() | ev.VoiceQuieted():
                if self._speech.synthesis.take(event, now_ms):
                    self._deadlines.voice_event(audio=False)
            case ev.TranscriptCompleted(item_id, text):
                self._speech.transcript_completed(item_id, text, now_ms)
            case ev.MarkEchoed(name):
                self._mark_echoed(name, now_ms)
            case ev.SpeechStarted(item_id):
                self.conversation.turn("user", item_id, now_ms)
                self._barge_in.speech_started(item_id, now_ms)
                self._caller_acted(now_ms)
            case ev.SpeechStopped():
                self._speech_stopped(now_ms)
            case ev.CallerAudioForwarded(_, _, quiet_ms):
                self._floor.frames_counted(quiet_ms, now_ms)
            case ev.CallerTurnCommitted(item_id, previous_item_id):
                self._speech_stopped(now_ms)
                self.conversation.committed(item_id, previous_item_id, now_ms)
                self._barge_in.turn_committed(item_id, now_ms)
            case ev.CallerTranscribed(item_id, text, audio_ms):
                self._flow.usage += Usage(transcribed_ms=audio_ms, transcripts=1)
                self.conversation.transcribed(item_id, text, now_ms)
                self._barge_in.transcribed(item_id, text, now_ms)
            case ev.CallerVoiced() if now_ms >= self.voice_awaited_ms:
                self._floor.voiced_unreported(now_ms)
            case ev.CallerVoiced():
                self._barge_in.voiced(now_ms)
            case ev.CallerQuieted():
                self._barge_in.quieted(now_ms)
            case ev.ResponseCreated():
                self._flow.created(event, now_ms)
            case ev.OutputItemAdded():
                self._flow.item_added(event, now_ms)
            case ev.OutputItemDone():
                self._flow.item_done(event, now_ms, at_s=self._clock_s(now_ms))
            case ev.ResponseDone():
                self._flow.ended(event, now_ms, at_s=self._clock_s(now_ms))
            case ev.ToolReturned(call_id, output) | ev.ToolFailed(call_id, output):
                self._entries.tool_ended(call_id, now_ms)
                if not self._model.answers.answer(call_id, output, now_ms):
                    self._out_of_place[f"{type(event).__name__} without an open call"] += 1
            case ev.ToolOutputTaken(taken_id) | ev.MessageTaken(taken_id):
                self._model.answers.taken(taken_id)
            case ev.DigitPressed(digit):
                self._key_pressed(digit, now_ms)
            case ev.EntryAsked():
                self._keys.settle(now_ms, at_s=self._clock_s(now_ms))
                self._entries.asked(event, now_ms)
            case ev.LegOpened():
                self._leg_opened(event, now_ms)
            case ev.ModelOpened() if not self._link.ready:
                self._session.opened(now_ms)
            case ev.SessionConfigured():
                self._session.configured(now_ms)
            case ev.ModelLost(reason, fatal):
                self._session.lost(reason, now_ms, fatal=fatal)
            case ev.ModelFaulted():
                if self._session.faulted(event, now_ms):
                    self._flow.refused(now_ms)
            case ev.StreamStarted():
                self._stream.started()
                self._entries.leg_begins(self._opened, now_ms)
                self._idle_and_hold.start(now_ms)
                self._audio.open(now_ms)
                self._silences.begin(now_ms, reports=self._opened.reports_silences)
            case ev.StreamBlocked():
                self._stream.blocked(now_ms)
                self._audio.hold()
            case ev.StreamUnblocked():
                self._stream.unblocked()
                self._audio.open(now_ms)
            case ev.StreamEnded(_, lost):
                # A stream lost during a goodbye or an announcement: the caller may still be there.
                reason = "" if lost and not self._exits.ordered else self._exits.reason
                self._end_leg(reason or ("line" if lost else "caller"), now_ms)
            case ev.CallRedirected():
                self._exits.redirect_accepted(now_ms)
            case ev.RedirectFailed(reason):
                self._exits.redirect_failed(reason, now_ms)
            case ev.TransferRequested(destination):
                self._orders.transfer_by_operator(destination, now_ms, at_s=self._clock_s(now_ms))
            case ev.SayRequested():
                self._orders.words.say(event)
            case ev.CalleeDetected():
                self._detection.detected(event, now_ms)
            case ev.VoicemailReached(message):
                self._barge_in.voicemail_reached(message, now_ms)
            case ev.HangUpRequested(reason):
                self._exits.hang_up(reason, now_ms)
            case ev.HangUpFailed(reason):
                self._exits.hang_up_failed(reason, now_ms)
            case ev.LegFailed():
                self._commands.take()  # of the event that failed: the call goes on without them
                self._end_leg("error", now_ms)
            case ev.ModelOpened():
                self._out_of_place[f"{type(event).__name__} while a session is ready"] += 1
            case (
                ev.TimerFired()
                | ev.HangUpConfirmed()
                | ev.DecisionMade()
                | ev.SessionCreated()
                | ev.SuccessorOpened()
                | ev.SuccessorCreated()
                | ev.SuccessorConfigured()
                | ev.SuccessorLost()
                | ev.CallerTranscriptionFailed()
                | ev.ItemTruncated()
                | ev.ItemDeleted()
            ):
                pass  # the timeline keeps them; `Due` does what is due
            case _:
                assert_never(event)

    def _leg_opened(self, event: ev.LegOpened, now_ms: float) -> None:
        self._opened, self._opened_ms = event, now_ms
        self._evidence.earlier = Shown(event.shown or Shown.NOTHING)
        self._ids.offset(len(event.history) + bool(event.tool))
        if event.paces:
            self._speech.synthesis.paces[:] = event.paces
        self._audio.whole_frames = event.whole_frames
        self._floor.begin(answers_unreported=event.answers_unreported)
        self._stream.opened(now_ms)
        greeting = prompts.greeting(self.agent) if self.agent.greeting else ""
        self._session.leg_opened(event, greeting, now_ms)
        if event.tool:
            self.conversation.tool_answered(event.call_id, event.tool, event.output, now_ms)

    def _mark_echoed(self, name: str, now_ms: float) -> None:
        ledger = self._audio.ledger
        if ledger.echoed(name, now_ms):
            self.conversation.revision += ledger.all_surely_heard  # all of it was heard
            self._audio.forget_heard()
        elif not ledger.flushed(name):
            self._out_of_place["MarkEchoed without its mark"] += 1

    def _clock_s(self, now_ms: float) -> float:
        """Unix time, in seconds."""
        return self._opened.at_s + (now_ms - self._opened_ms) / 1000

    def _key_pressed(self, digit: str, now_ms: float) -> None:
        self._keys.pressed(digit, now_ms, at_s=self._clock_s(now_ms))
        if not self._floor.voicemail:
            self._evidence.key_pressed()
        self._caller_acted(now_ms)

    def _caller_acted(self, now_ms: float) -> None:
        """The caller spoke or pressed a key."""
        self._idle_and_hold.caller_spoke()
        if self._floor.caller_acts:
            self._deadlines.clock.caller_spoke(now_ms)

    def _speech_stopped(self, now_ms: float) -> None:
        self._floor.speech_stopped(now_ms)
        if self._floor.answer_by_ms != NEVER:
            self._deadlines.clock.start(now_ms)

    # --- the end ------------------------------------------------------------------------------

    def _end_leg(self, reason: str, now_ms: float) -> None:
        """End the leg: `EndLeg` is its last command."""
        self.ended_by = reason
        unplayed_bytes = self._speech.end(now_ms)
        self.unfinished_orders = self._orders.end_leg(reason, now_ms)
        for call_id in self._tools.open():
            self._commands.put(do.CancelTool(call_id))
        self._silences.end(now_ms)
        if self._model.successor.open:
            self._commands.put(do.CloseSuccessor())
        self._commands.put(do.CloseModel())
        self._commands.put(do.EndLeg(reason, unplayed_bytes))
        self._over, self.next_deadline_ms, self.awaited_sound = True, NEVER, 0
