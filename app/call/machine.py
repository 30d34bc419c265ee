"""The call: events in, commands out, time as a number.

`CallMachine.handle(event, now_ms)` is told one thing that happened and answers with what is to be
done, in order. Then `next_deadline_ms` says when it wants to be told `TimerFired` if nothing else
happens before. Every rule about who speaks when is in here or in its `parts`.
"""

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.agent import Agent
from app.call.deadlines import NEVER, next_after
from app.call.destinations import route_to
from app.call.exits.transfer import TRANSFER, TransferRequest
from app.call.heard.conversation import Conversation, Turn
from app.call.model.first_sound import Stage
from app.call.model.responses import Wish
from app.call.response_flow import ResponseFlow
from app.call.usage import Usage
from app.call.wiring import Parts
from app.call.words.pause_alignment import Pace

# More of what is under way brings nothing nearer, so the other clocks can wait.
_MORE = (ev.AudioReceived, ev.TranscriptReceived, ev.TextReceived, ev.VoiceReceived, ev.VoicePaused)

UNCLAIMED_MS = 30_000.0
STUCK_MS = 30_000.0


class CallMachine:
    """One leg of a call. Pure: the same events at the same times give the same commands."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.ended_by = ""  # who or what ended the leg, once it is over
        self.conversation = Conversation()
        self.next_deadline_ms = NEVER
        self._out: list[do.Command] = []
        parts = Parts(agent, self._out, self.conversation, self._request_transfer)
        self._ids = parts.ids
        self._audio = parts.audio
        self._items = parts.items
        self._responses = parts.responses
        self._speech = parts.speech
        self._link = parts.link
        self._tools = parts.tools
        self._answers = parts.answers
        self._exits = parts.exits
        self._entries = parts.entries
        self._floor = parts.floor
        self._session = parts.session
        self._idle_and_hold = parts.idle_and_hold
        self._owed_answers = parts.owed_answers
        self._missing = parts.missing
        self._flow = ResponseFlow(self._out, parts)
        self._opened = ev.LegOpened()
        self._opened_ms = 0.0
        self._claim_by_ms = NEVER
        self._unstick_by_ms = NEVER
        self._connected = False
        self._over = False

    @property
    def usage(self) -> Usage:
        """What the leg used up so far."""
        first, *others = self._speech.synthesis.characters or [0]
        return self._flow.usage + Usage(
            voice_characters=first + sum(others), fallback_characters=sum(others)
        )

    @property
    def connected(self) -> bool:
        """Whether the caller is on the line."""
        return self._connected and not self._over

    @property
    def over(self) -> bool:
        """Whether the leg has ended. Events change nothing any more."""
        return self._over

    @property
    def hears_caller(self) -> bool:
        """Whether the session is there and understands the caller's audio."""
        return self._link.ready

    @property
    def redirecting(self) -> bool:
        """Whether Twilio was told to go on with other TwiML: the stream's end is not the call's."""
        return self._exits.redirecting

    @property
    def leaving(self) -> bool:
        """Whether the caller is being handed over, or let go of."""
        return self._exits.under_way

    @property
    def hanging_up(self) -> bool:
        """Whether the goodbye is past the point where anything could take it back."""
        return self._exits.farewell.hanging_up

    @property
    def without_model(self) -> bool:
        """Whether the caller has to be helped without the model."""
        return bool(self._link.fatal) or self._exits.farewell.reason == "model"

    @property
    def last_words(self) -> str:
        """What Twilio has to say to the caller before it hangs up, because the model did not."""
        return self._exits.farewell.last_words

    @property
    def paces(self) -> list[Pace]:
        """How the agent's voices speak, in their order."""
        return self._speech.synthesis.paces

    def masks_keys(self, now_ms: float) -> bool:
        """Whether the keys that are pressed now are for a tool alone."""
        return self._entries.keypad.secret(now_ms)

    def transcript(self, now_ms: float) -> list[Turn]:
        """What was heard until now."""
        return self.conversation.heard(self._audio.ledger, now_ms)

    def history(self, now_ms: float) -> tuple[tuple[str, str], ...]:
        """What a session that knows nothing of the call has to be told: (role, text)."""
        return (*self._opened.history, *prompts.as_messages(self.transcript(now_ms)))

    def handle(self, event: ev.Event, now_ms: float) -> list[do.Command]:
        """Take what happened at `now_ms` (monotonic, never before the last); returns what to do."""
        if not self._over:
            self._take(self._missing.fill(event), now_ms)
        if not self._over and isinstance(event, _MORE) and now_ms < self.next_deadline_ms:
            due_ms = self._speech.synthesis.next_ms(now_ms)
            self.next_deadline_ms = min(self.next_deadline_ms, due_ms)
        elif not self._over:
            self._settle(now_ms)
        commands = self._out.copy()
        self._out.clear()
        return commands

    # --- what happened ------------------------------------------------------------------------

    def _take(self, event: ev.Event, now_ms: float) -> None:
        match event:
            case ev.AudioReceived():
                self._flow.audio(event, now_ms)
            case ev.TranscriptReceived() | ev.TextReceived():
                self._flow.written(event, now_ms)
            case ev.VoiceReceived() | ev.VoicePaused() | ev.VoiceFinished() | ev.VoiceFailed():
                self._speech.synthesis.take(event, now_ms)
                self._owed_answers.voice_moved(sounds=isinstance(event, ev.VoiceReceived))
            case ev.TranscriptCompleted(item_id, text):
                self._speech.completes(item_id, text, now_ms)
            case ev.MarkEchoed(name):
                if self._audio.ledger.echoed(name, now_ms) and self._audio.ledger.all_surely_heard:
                    self.conversation.revision += 1  # what was said is heard
            case ev.SpeechStarted(item_id):
                self._idle_and_hold.caller_spoke()
                self.conversation.turn("user", item_id, now_ms)
                self._floor.speech_started(now_ms)
                if self._floor.caller_acts:
                    self._owed_answers.clock.caller_spoke(now_ms)
            case ev.SpeechStopped():
                self._speech_stopped(now_ms)
            case ev.CallerTurnCommitted(item_id, previous_item_id):
                self._speech_stopped(now_ms)
                self.conversation.committed(item_id, previous_item_id, now_ms)
            case ev.CallerTranscribed(item_id, text, audio_ms):
                self._flow.usage += Usage(transcribed_ms=audio_ms, transcripts=1)
                self.conversation.transcribed(item_id, text, now_ms)
            case ev.ResponseCreated():
                self._flow.created(event, now_ms)
            case ev.OutputItemAdded():
                self._flow.item_began(event, now_ms)
            case ev.OutputItemDone():
                self._flow.item_ended(event, now_ms, at_s=self._clock_s(now_ms))
            case ev.ResponseDone():
                self._flow.ended(event, now_ms, at_s=self._clock_s(now_ms))
            case ev.ToolReturned(call_id, output) | ev.ToolFailed(call_id, output):
                self._entries.dropped(call_id, now_ms)
                self._answers.answer(call_id, output, now_ms)
            case ev.ToolOutputTaken(taken_id) | ev.MessageTaken(taken_id):
                self._answers.taken(taken_id)
            case ev.DigitPressed(digit):
                self._key_pressed(digit, now_ms)
            case ev.EntryAsked():
                self._settle_entries(now_ms)
                self._entries.asked(event, now_ms)
            case ev.LegOpened():
                self._leg_opened(event, now_ms)
            case ev.ModelOpened() if not self._link.ready:
                self._session.opened(now_ms)
            case ev.SessionConfigured() if self._link.configuring:
                self._session.configured(now_ms)
            case ev.ModelLost(reason, fatal):
                self._session.lost(reason, now_ms, fatal=fatal)
            case ev.ModelFaulted():
                self._session.faulted(event, now_ms)
            case ev.StreamStarted():
                self._connected, self._claim_by_ms = True, NEVER
                self._idle_and_hold.start(now_ms)
                self._audio.open(now_ms)
            case ev.StreamBlocked():
                self._unstick_by_ms = now_ms + STUCK_MS
                self._audio.hold()
            case ev.StreamUnblocked():
                self._unstick_by_ms = NEVER
                self._audio.open(now_ms)
            case ev.StreamEnded(_, lost):
                # A line lost amid a goodbye or an announcement ends nothing: the caller is there.
                reason = "" if lost and not self._exits.decided else self._exits.reason
                self._end_leg(reason or ("line" if lost else "caller"), now_ms)
            case ev.CallRedirected():
                self._exits.redirect.taken(now_ms)
            case ev.RedirectFailed(reason):
                self._exits.redirect.refused(reason, now_ms)
            case ev.TransferRequested(destination):
                self._order_transfer(destination, now_ms)
            case ev.SayRequested(text):
                self._responses.want(Wish.SAY, prompts.say(text))
            case ev.VoicemailReached(message):
                self._floor.voicemail_reached(message, now_ms)
            case ev.HangUpRequested(reason):
                self._exits.hang_up(reason, now_ms)
            case ev.HangUpFailed(reason):
                self._exits.farewell.close(reason, now_ms)
            case _:
                pass  # told for the timeline's sake, or because the clocks want to be looked at

    def _leg_opened(self, event: ev.LegOpened, now_ms: float) -> None:
        self._opened, self._opened_ms = event, now_ms
        self._ids.offset(len(event.history) + bool(event.tool))
        if event.paces:
            self._speech.synthesis.paces[:] = event.paces
        self._claim_by_ms = now_ms + UNCLAIMED_MS
        self._session.leg_opened(event, now_ms)
        if event.tool:
            self.conversation.tool_answered(event.call_id, event.tool, event.output, now_ms)

    def _clock_s(self, now_ms: float) -> float:
        """What time it is, as Unix time."""
        return self._opened.at_s + (now_ms - self._opened_ms) / 1000

    def _key_pressed(self, digit: str, now_ms: float) -> None:
        self._settle_entries(now_ms)  # a key behind a pause is no part of what was before it
        self._idle_and_hold.caller_spoke()
        self._floor.key_pressed(digit, now_ms)

    def _order_transfer(self, destination: str, now_ms: float) -> None:
        """Somebody wants the caller handed over to this one, in its hours or not."""
        destinations, at_s = self.agent.destinations, self._clock_s(now_ms)
        if any(each.name == destination for each in destinations):
            route = dict.fromkeys((destination, *route_to(destination, destinations, at_s)))
            self._request_transfer(TransferRequest(tuple(route)), now_ms)

    def _request_transfer(self, request: TransferRequest, now_ms: float) -> bool:
        """Hand the caller over though no model asked for it. False when that cannot be now."""
        call_id = self._ids.own("transfer")
        self._tools.begin_own(call_id, TRANSFER)
        begun = self._exits.request_transfer(call_id, request, now_ms, announce=self._link.ready)
        if not begun:
            self._tools.forget(call_id)
        return begun

    def _speech_stopped(self, now_ms: float) -> None:
        self._floor.speech_stopped(now_ms)
        if self._floor.answer_by_ms != NEVER:
            self._owed_answers.clock.start(now_ms)

    # --- time ---------------------------------------------------------------------------------

    def _settle(self, now_ms: float) -> None:
        """Do what is due by now, and say when to look again."""
        if now_ms >= min(self._claim_by_ms, self._unstick_by_ms):
            unclaimed = self._claim_by_ms <= now_ms
            why = "no stream came for the call" if unclaimed else "the stream took nothing"
            self._out.append(do.ReportDecision("end the leg", f"{why} in {UNCLAIMED_MS:g} ms"))
            self._end_leg("unclaimed" if unclaimed else "stuck", now_ms)
            return
        self._floor.settle(now_ms)
        self._owed_answers.settle(now_ms, due=self._answer_due)
        gone = self._session.gave_up(now_ms)
        if self._exits.settle(now_ms, model_ready=self._link.ready, model_gone=gone):
            self._end_leg(self._exits.reason, now_ms)
            return
        self._speech.synthesis.settle(now_ms)
        self._settle_entries(now_ms)
        self._session.settle(now_ms, connected=self._connected)
        self._answers.expire_overdue(self.agent.limits.tool_ms, now_ms)
        if now_ms >= self._floor.answer_by_ms:  # turn detection did not ask for it, so we do
            self._floor.answer_by_ms = NEVER
            if not self._exits.under_way:
                self._responses.want(Wish.REPLY)
        if self._connected:
            busy = bool(self._tools.working()) or self._exits.redirect.ordered
            self._idle_and_hold.settle(
                now_ms,
                # Without a model nobody hears what they say or type: they wait.
                caller_acts=self._link.ready and (self._floor.caller_acts or self._is_to_type),
                waits=self._waits(),
                model_can_speak=self._link.ready and busy,
                leaves=self._exits.transfer.under_way,
            )
        self._ask_model(now_ms)
        # What is due already was done above, or waits for something else to happen.
        self.next_deadline_ms = next_after(
            now_ms,
            self._claim_by_ms,
            self._unstick_by_ms,
            self._exits.next_ms(now_ms),
            self._entries.keypad.next_ms(now_ms),
            self._link.next_ms(),
            self._tools.next_due_ms(),
            self._idle_and_hold.next_ms(now_ms),
            self._floor.next_ms(),
            self._owed_answers.next_ms(),
            self._responses.next_ms(),
            self._speech.synthesis.next_ms(now_ms),
        )

    def _settle_entries(self, now_ms: float) -> None:
        self._entries.settle(now_ms, at_s=self._clock_s(now_ms), muted=self._floor.voicemail)

    @property
    def _is_to_type(self) -> bool:
        """Whether the caller was told what to type, and may take their time."""
        told = self._link.ready and self._responses.idle
        return self._entries.keypad.asked and told and not self._exits.under_way

    @property
    def _answer_due(self) -> bool:
        """Whether the caller waits for words of the model's, and for nothing else."""
        if self._floor.caller_acts or self._exits.decided:
            return False
        if not self._link.ready and self._owed_answers.clock.stage is Stage.ASKED:
            return False  # the session is what is waited for
        return not self._responses.idle or self._floor.answer_by_ms != NEVER

    def _waits(self) -> bool:
        """Whether the caller waits for something of ours."""
        return (
            not self._link.ready
            or not self._responses.idle
            or self._audio.synthesizing
            or self._floor.answer_by_ms != NEVER
            or bool(self._tools.working())
            or self._exits.keeps_waiting
        )

    def _ask_model(self, now_ms: float) -> None:
        """Ask for the next response, if one may be asked for now."""
        if not self._link.ready or self._floor.caller_acts or self._exits.farewell.hanging_up:
            return
        if self._floor.answer_by_ms != NEVER:
            return  # turn detection is about to ask for one
        self._responses.keep_only(self._exits.allowed_wishes)
        wanted = self._responses.next(now_ms)
        if wanted is not None:
            event_id = self._ids.event()
            self._responses.asked(event_id)
            self._owed_answers.asked(now_ms)
            self._out.append(do.CreateResponse(event_id, wanted.direction))

    # --- the end ------------------------------------------------------------------------------

    def _end_leg(self, reason: str, now_ms: float) -> None:
        """Let go of everything."""
        self.ended_by = reason
        unplayed_bytes = self._speech.end(now_ms)
        self._out.extend(do.CancelTool(call_id) for call_id in self._tools.open())
        self._out.append(do.CloseModel())
        self._out.append(do.EndLeg(reason, unplayed_bytes))
        self._over, self.next_deadline_ms = True, NEVER
