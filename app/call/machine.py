"""The call: events in, commands out, time as a number.

`CallMachine.handle(event, now_ms)` is told one thing that happened and answers with what is to be
done, in order. Then `next_deadline_ms` says when it wants to be told `TimerFired` if nothing else
happens before. Every rule about who speaks when is in here or in the parts that this file joins:

    agent_speech (what is said: output, playback, session_items, conversation) · responses (what
    the model is asked) · tool_calls · model_link · ending (the goodbye) · patience (idle, hold, the
    longest call)
"""

from app.call import commands as do
from app.call import directions
from app.call import events as ev
from app.call.agent import Agent
from app.call.agent_speech import AgentSpeech
from app.call.conversation import Conversation, Turn
from app.call.ending import Farewell
from app.call.limits import NEVER
from app.call.model_link import ModelLink
from app.call.output import AgentAudio
from app.call.patience import Patience
from app.call.responses import Responses, Wanted, Wish
from app.call.session_items import SessionItems
from app.call.tool_calls import ToolCalls
from app.call.usage import Usage

UNCLAIMED_MS = 30_000.0
STUCK_MS = 30_000.0
ANSWER_MS = 4000.0  # the model's own turn detection asks for an answer well within this
END_CALL = "end_call"

_LASTING = (Wish.WARNING, Wish.GOODBYE)  # still to be said when the caller's speech cut it off
_AT_THE_END = (Wish.GOODBYE,)
_NOT_AT_THE_END = tuple(wish for wish in Wish if wish is not Wish.GOODBYE)


class CallMachine:
    """One leg of a call. Pure: the same events at the same times give the same commands."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.usage = Usage()
        self.ended_by = ""  # who or what ended the leg, once it is over
        self.conversation = Conversation()
        self.next_deadline_ms = NEVER
        self._out: list[do.Command] = []
        self._audio = AgentAudio(self._out)
        self._items = SessionItems(self._out, self._new_event_id)
        self._speech = AgentSpeech(self._audio, self._items, self.conversation)
        self._responses = Responses()
        self._tools = ToolCalls(agent.limits.tool_ms)
        self._farewell = Farewell(self._out, self._audio, self._responses, self._answer_tool)
        self._link = ModelLink()
        self._patience = Patience(agent.limits, self._audio, self._responses, self._farewell)
        self._history: tuple[tuple[str, str], ...] = ()  # of the call's earlier legs
        self._event_count = 0
        self._claim_by_ms = NEVER
        self._unstick_by_ms = NEVER
        self._connected = False
        self._over = False
        self._caller_speaks = False
        self._answer_by_ms = NEVER  # the caller's turn is over and the model owes an answer
        self._outputs_not_taken: set[str] = set()  # tool answers that the model may not know yet
        self._configuration = ""  # event id of the settings sent last

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
    def without_model(self) -> bool:
        """Whether the caller has to be helped without the model."""
        return bool(self._link.fatal) or self._farewell.reason == "model"

    def transcript(self, now_ms: float) -> list[Turn]:
        """What was heard until now."""
        return self.conversation.heard(self._audio.ledger, now_ms)

    def history(self, now_ms: float) -> tuple[tuple[str, str], ...]:
        """What a session that knows nothing of the call has to be told: (role, text)."""
        return (*self._history, *directions.as_messages(self.transcript(now_ms)))

    def handle(self, event: ev.Event, now_ms: float) -> list[do.Command]:
        """Take what happened at `now_ms` (monotonic, never before the last); returns what to do."""
        if not self._over:
            self._take(event, now_ms)
        # More of what is under way brings nothing nearer, so it can wait for the next look.
        more = isinstance(event, ev.AudioReceived | ev.TranscriptReceived)
        if not self._over and not (more and now_ms < self.next_deadline_ms):
            self._settle(now_ms)
        commands = self._out.copy()
        self._out.clear()
        return commands

    # --- what happened ------------------------------------------------------------------------

    def _take(self, event: ev.Event, now_ms: float) -> None:
        match event:
            case ev.AudioReceived(response_id):
                self._response_moved(response_id, now_ms)
                self._speech.play(event, now_ms)
            case ev.TranscriptReceived(item_id, text):
                self._speech.says(item_id, text, now_ms)
            case ev.TranscriptCompleted(item_id, text):
                self.conversation.turn("assistant", item_id, now_ms).said(text)
            case ev.MarkEchoed(name):
                self._audio.ledger.echoed(name, now_ms)
            case ev.SpeechStarted(item_id):
                self._caller_began(item_id, now_ms)
            case ev.SpeechStopped():
                self._caller_speaks, self._answer_by_ms = False, now_ms + ANSWER_MS
            case ev.CallerTurnCommitted(item_id, previous_item_id):
                self._caller_speaks, self._answer_by_ms = False, now_ms + ANSWER_MS
                self.conversation.committed(item_id, previous_item_id, now_ms)
            case ev.CallerTranscribed(item_id, text, audio_ms):
                self.usage += Usage(transcribed_ms=audio_ms, transcripts=1)
                self.conversation.transcribed(item_id, text, now_ms)
            case ev.ResponseCreated(response_id):
                self._response_began(response_id, now_ms)
            case ev.OutputItemAdded(response_id, item_id, kind):
                self._response_moved(response_id, now_ms)
                if kind == "message":
                    self._speech.begin(response_id, item_id, now_ms)
            case ev.OutputItemDone(kind="function_call"):
                self._tool_called(event, now_ms)
            case ev.OutputItemDone(_, item_id):
                self._speech.finish(item_id, now_ms)
            case ev.ResponseDone():
                self._response_ended(event, now_ms)
            case ev.ToolReturned(call_id, output) | ev.ToolFailed(call_id, output):
                self._answer_tool(call_id, output, now_ms)
            case ev.ToolOutputTaken(call_id):
                self._outputs_not_taken.discard(call_id)
            case ev.LegOpened(history):
                self._history = history
                self._claim_by_ms = now_ms + UNCLAIMED_MS
                self._link.start(now_ms)
            case ev.ModelOpened() if not self._link.ready:
                self._link.opened(now_ms)
                self._configuration = self._new_event_id()
                self._out.append(do.ConfigureSession(self._configuration))
            case ev.SessionConfigured() if self._link.configuring:
                self._session_configured(now_ms)
            case ev.ModelLost(reason, fatal):
                self._model_lost(reason, now_ms, fatal=fatal)
            case ev.ModelFaulted():
                self._model_faulted(event, now_ms)
            case ev.StreamStarted():
                self._connected, self._claim_by_ms = True, NEVER
                self._patience.start(now_ms)
                self._audio.open(now_ms)
            case ev.StreamBlocked():
                self._unstick_by_ms = now_ms + STUCK_MS
                self._audio.hold()
            case ev.StreamUnblocked():
                self._unstick_by_ms = NEVER
                self._audio.open(now_ms)
            case ev.StreamEnded(_, lost):
                whoever = "line" if lost else "caller"
                self._end_leg(self._farewell.reason or whoever, now_ms)
            case ev.HangUpRequested(reason):
                self._farewell.begin(reason, now_ms, final=True)
                self._farewell.hang_up(now_ms)
            case ev.HangUpFailed(reason):
                self._farewell.close(reason, now_ms)
            case _:
                pass  # told for the timeline's sake, or because the clocks want to be looked at

    def _caller_began(self, item_id: str, now_ms: float) -> None:
        self._caller_speaks, self._answer_by_ms = True, NEVER
        self._patience.caller_spoke()
        self.conversation.turn("user", item_id, now_ms)
        if not self._listens:
            return
        # The response itself is cancelled by the model's turn detection (interrupt_response).
        self._speech.interrupt(self._responses.active_id, now_ms)
        self._farewell.caller_spoke(now_ms)

    @property
    def _listens(self) -> bool:
        """Whether nothing of the agent's may begin now: the caller speaks, and may interrupt."""
        may_interrupt = self.agent.turns.interruptible and not self._farewell.hanging_up
        return self._caller_speaks and may_interrupt

    def _response_moved(self, response_id: str, now_ms: float) -> None:
        """Something came of a response."""
        self._responses.moved(now_ms)
        if self._listens:
            self._items.mute_response(response_id)

    def _response_began(self, response_id: str, now_ms: float) -> None:
        self._answer_by_ms = NEVER
        self._response_moved(response_id, now_ms)
        self._items.response_created()
        self._responses.created(response_id, answers_all=not self._outputs_not_taken)
        if self._listens:  # asked for before the caller began, created after: nobody else stops it
            self._out.append(do.CancelResponse(self._new_event_id(), response_id))

    def _response_ended(self, event: ev.ResponseDone, now_ms: float) -> None:
        self.usage += event.usage
        failed = event.status == "failed"
        if event.response_id == self._responses.active_id:
            self._speech.finish_all(now_ms)
        was = self._responses.done(event.response_id, now_ms, failed=failed)
        if self._answer_by_ms != NEVER:  # an answer could not be begun while this one lasted
            self._answer_by_ms = min(self._answer_by_ms, now_ms + ANSWER_MS / 4)
        self._want_reply_to_tools(event.response_id)
        cut_off = event.status == "cancelled" or self._items.is_muted(event.response_id)
        if was is not None and not failed and cut_off and was.wish in _LASTING:
            self._responses.want(was.wish, was.direction)
        if failed or cut_off:
            was = None  # it was not said: asked for again, or taken back
        spoke = self._speech.spoke(event.response_id)
        self._farewell.response_ended(event.response_id, was, now_ms, spoke=spoke)

    # --- tools --------------------------------------------------------------------------------

    def _tool_called(self, event: ev.OutputItemDone, now_ms: float) -> None:
        if event.status != "completed":
            self._items.drop(event.item_id)  # cut short: its arguments may be a fragment
            return
        call_id = event.call_id
        if not self._tools.begin(call_id, event.name, event.response_id, now_ms):
            return
        if event.name != END_CALL:
            self._out.append(do.RunTool(call_id, event.name, event.arguments))
        elif self._items.is_cut(event.response_id, event.item_id):
            self._answer_tool(call_id, directions.END_TAKEN_BACK, now_ms)
        elif self._farewell.under_way:
            self._answer_tool(call_id, directions.END_ALREADY, now_ms)
        else:
            self._tools.keep(call_id)
            self._farewell.begin("agent", now_ms, call_id=call_id, response_id=event.response_id)

    def _answer_tool(self, call_id: str, output: str, now_ms: float) -> None:
        if not self._tools.answer(call_id):
            return
        name = self._tools.name(call_id)
        self.conversation.tool_answered(call_id, name, output, now_ms)
        if not self._link.ready:
            pass  # the next session learns it from the conversation
        elif self._tools.known_to_model(call_id):
            self._outputs_not_taken.add(call_id)
            self._out.append(do.AddToolOutput(self._new_event_id(), call_id, output))
        else:
            self._add_message("system", directions.tool_result(name, output))
        response_id = self._tools.response_id(call_id)
        if response_id != self._responses.active_id:
            self._want_reply_to_tools(response_id)

    def _want_reply_to_tools(self, response_id: str) -> None:
        """One answer for all the tools that a response called, when it is over and they are."""
        if self._tools.settled(response_id) and not self._farewell.under_way:
            self._responses.want(Wish.REPLY)

    # --- the model's session ------------------------------------------------------------------

    def _session_configured(self, now_ms: float) -> None:
        if not self._link.was_ready and self._history:
            self._responses.want(Wish.GREETING, directions.RESUMED)
        elif not self._link.was_ready and self.agent.greeting:
            self._responses.want(Wish.GREETING, directions.greeting(self.agent))
        self._link.configured(now_ms)
        for role, text in self.history(now_ms):
            self._add_message(role, text)
        for name in self._tools.working():
            self._add_message("system", directions.tool_running(name))
        if self._history or self.transcript(now_ms):
            self._add_message("system", directions.SESSION_RENEWED)

    def _add_message(self, role: str, text: str) -> None:
        self._out.append(do.AddMessage(self._new_event_id(), role, text))

    def _model_lost(self, reason: str, now_ms: float, *, fatal: bool) -> None:
        """The caller stays; what plays goes on playing. The next session is told what was heard,
        and goes on with what the lost one owed."""
        self._speech.finish_all(now_ms)
        owes_answer = self._caller_speaks or self._answer_by_ms != NEVER
        response_id = self._responses.active_id or ""
        was = self._responses.lost(now_ms)
        if was is None or was.wish is Wish.NUDGE:
            was = Wanted(Wish.REPLY) if owes_answer else None
        elif was.wish is Wish.GREETING and self.transcript(now_ms):
            was = Wanted(Wish.REPLY)  # a part was heard: go on, don't begin again
        if was is not None and not (was.wish is Wish.REPLY and self._tools.waited_for(response_id)):
            self._responses.want(was.wish, was.direction)
        if response_id:
            spoke = self._speech.spoke(response_id)
            self._farewell.response_ended(response_id, None, now_ms, spoke=spoke)
        self._caller_speaks, self._answer_by_ms = False, NEVER
        self._tools.session_lost()
        self._items.forget()
        self._outputs_not_taken.clear()
        self._out.append(do.CloseModel())
        self._link.lost(reason, now_ms, fatal=fatal)

    def _model_faulted(self, event: ev.ModelFaulted, now_ms: float) -> None:
        """No error of the model's is fatal by itself; some ask for another try."""
        cause = event.cause_event_id or ""
        if cause and cause == self._configuration and not self._link.ready:
            self._model_lost(f"settings refused: {event.message}", now_ms, fatal=False)
        elif not self._items.refused(cause, event.message):
            busy = event.code == "conversation_already_has_active_response"
            self._responses.refused(cause, now_ms, busy=busy)

    # --- time ---------------------------------------------------------------------------------

    def _settle(self, now_ms: float) -> None:
        """Do what is due by now, and say when to look again."""
        if now_ms >= min(self._claim_by_ms, self._unstick_by_ms):
            self._end_leg("unclaimed" if self._claim_by_ms <= now_ms else "stuck", now_ms)
            return
        if self._farewell.settle(now_ms):
            self._end_leg(self._farewell.reason, now_ms)
            return
        self._keep_model(now_ms)
        self._keep_tools(now_ms)
        if now_ms >= self._answer_by_ms:  # turn detection did not ask for it, so we do
            self._answer_by_ms = NEVER
            if not self._farewell.under_way:
                self._responses.want(Wish.REPLY)
        if self._connected:
            self._patience.settle(
                now_ms,
                caller_speaks=self._caller_speaks,
                waits=self._waits(),
                model_can_speak=self._link.ready and bool(self._tools.working()),
            )
        self._ask_model(now_ms)
        deadlines = (
            self._claim_by_ms,
            self._unstick_by_ms,
            self._farewell.next_ms(now_ms),
            self._link.next_ms(),
            self._tools.next_due_ms(),
            self._patience.next_ms(),
            self._answer_by_ms,
            self._responses.next_ms(),
        )
        # What is due already was done above, or waits for something else to happen.
        self.next_deadline_ms = min((d for d in deadlines if d > now_ms), default=NEVER)

    def _keep_model(self, now_ms: float) -> None:
        if self._link.is_stuck(now_ms):
            self._model_lost("settings not taken in time", now_ms, fatal=False)
        if self._responses.is_stalled(now_ms):
            self._responses.stalled()
            self._model_lost("response stalled", now_ms, fatal=False)
        if self._link.must_open(now_ms):
            self._link.opening()
            self._out.append(do.OpenModel())
        if self._connected and not self._farewell.under_way:
            if self._link.gave_up(now_ms) or self._responses.gave_up:
                self._farewell.close("model", now_ms)

    def _keep_tools(self, now_ms: float) -> None:
        for call_id in self._tools.overdue(now_ms):
            self._out.append(do.CancelTool(call_id))
            text = directions.tool_overdue(self._tools.name(call_id), self.agent.limits.tool_ms)
            self._answer_tool(call_id, text, now_ms)

    def _waits(self) -> bool:
        """Whether the caller waits for something of ours."""
        return (
            not self._link.ready
            or not self._responses.idle
            or self._answer_by_ms != NEVER
            or bool(self._tools.working())
            or self._farewell.under_way
        )

    def _ask_model(self, now_ms: float) -> None:
        """Ask for the next response, if one may be asked for now."""
        if not self._link.ready or self._caller_speaks or self._farewell.hanging_up:
            return
        if self._answer_by_ms != NEVER:
            return  # turn detection is about to ask for one
        self._responses.unwant(*(_NOT_AT_THE_END if self._farewell.under_way else _AT_THE_END))
        wanted = self._responses.next(now_ms)
        if wanted is not None:
            event_id = self._new_event_id()
            self._responses.asked(event_id, now_ms)
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

    def _new_event_id(self) -> str:
        self._event_count += 1
        return f"bridge_{self._event_count}"
