"""The call: events in, commands out, time as a number.

`CallMachine.handle(event, now_ms)` is told one thing that happened and answers with what is to be
done, in order. Then `next_deadline_ms` says when it wants to be told `TimerFired` if nothing else
happens before. Every rule about who speaks when is in here or in the parts that this file joins:

    output (what plays) · responses (what the model is asked) · tool_calls · conversation (what was
    heard) · session_items · model_link · ending (the goodbye) · limits (idle, hold, longest call)
"""

from app.call import commands as do
from app.call import directions
from app.call import events as ev
from app.call.agent import Agent
from app.call.conversation import Conversation, Turn
from app.call.ending import Farewell
from app.call.limits import NEVER
from app.call.model_link import ModelLink
from app.call.output import AgentAudio
from app.call.patience import Patience
from app.call.playback import Cut
from app.call.responses import Responses, Wish
from app.call.session_items import SessionItems
from app.call.tool_calls import ToolCalls
from app.call.usage import Usage

UNCLAIMED_MS = 30_000.0
STUCK_MS = 30_000.0
ANSWER_MS = 4000.0  # the model's own turn detection asks for an answer well within this
END_CALL = "end_call"


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
        self._responses = Responses()
        self._tools = ToolCalls(agent.limits.tool_ms)
        self._farewell = Farewell(self._out, self._audio, self._responses, self._answer_tool)
        self._link = ModelLink()
        self._patience = Patience(agent.limits, self._audio, self._responses, self._farewell)
        self._event_count = 0
        self._claim_by_ms = NEVER
        self._unstick_by_ms = NEVER
        self._connected = False
        self._over = False
        self._caller_speaks = False
        self._answer_by_ms = NEVER  # the caller's turn is over and the model owes an answer
        self._outputs_not_taken: set[str] = set()  # tool answers that the model may not know yet
        self._spoke: set[str] = set()  # responses that had audio
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

    def handle(self, event: ev.Event, now_ms: float) -> list[do.Command]:
        """Take what happened at `now_ms` (monotonic, never before the last); returns what to do."""
        if not self._over:
            self._take(event, now_ms)
        if not self._over:
            self._settle(now_ms)
        commands = self._out.copy()
        self._out.clear()
        return commands

    # --- what happened ------------------------------------------------------------------------

    def _take(self, event: ev.Event, now_ms: float) -> None:
        match event:
            case ev.AudioReceived():
                self._play(event, now_ms)
            case ev.TranscriptReceived(item_id, text):
                self.conversation.turn("assistant", item_id, now_ms).text += text
            case ev.TranscriptCompleted(item_id, text):
                self.conversation.turn("assistant", item_id, now_ms).text = text.strip()
            case ev.MarkEchoed(name):
                self._audio.ledger.echoed(name, now_ms)
            case ev.SpeechStarted(item_id):
                self._caller_began(item_id, now_ms)
            case ev.SpeechStopped():
                self._caller_speaks, self._answer_by_ms = False, now_ms + ANSWER_MS
            case ev.CallerTurnCommitted(item_id, previous_item_id):
                self._caller_speaks, self._answer_by_ms = False, now_ms + ANSWER_MS
                self.conversation.committed(item_id, previous_item_id, now_ms)
            case ev.CallerTranscribed(item_id, text):
                self.conversation.transcribed(item_id, text, now_ms)
            case ev.ResponseCreated(response_id):
                self._response_began(response_id)
            case ev.OutputItemAdded(_, item_id, kind):
                self._items.added(item_id)
                if kind == "message":
                    self.conversation.turn("assistant", item_id, now_ms)
            case ev.OutputItemDone(kind="function_call"):
                self._tool_called(event, now_ms)
            case ev.OutputItemDone(_, item_id):
                self._item_finished(item_id, now_ms)
            case ev.ResponseDone():
                self._response_ended(event, now_ms)
            case ev.ToolReturned(call_id, output) | ev.ToolFailed(call_id, output):
                self._answer_tool(call_id, output, now_ms)
            case ev.ToolOutputTaken(call_id):
                self._outputs_not_taken.discard(call_id)
            case ev.LegOpened():
                self._claim_by_ms = now_ms + UNCLAIMED_MS
                self._link.start(now_ms)
            case ev.ModelOpened():
                self._link.opened(now_ms)
                self._configuration = self._new_event_id()
                self._out.append(do.ConfigureSession(self._configuration))
            case ev.SessionConfigured():
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
            case ev.StreamEnded():
                self._end_leg(self._farewell.reason or "caller", now_ms)
            case ev.HangUpRequested(reason):
                self._farewell.begin(reason, now_ms, final=True)
                self._farewell.hang_up(now_ms)
            case ev.HangUpFailed(reason):
                self._farewell.close(reason, now_ms)
            case _:
                pass  # told for the timeline's sake, or because the clocks want to be looked at

    def _play(self, event: ev.AudioReceived, now_ms: float) -> None:
        turn = self.conversation.turn("assistant", event.item_id, now_ms)
        if self._items.is_cut(event.response_id, event.item_id):
            turn.generated_bytes += event.size_bytes  # keeps the share of the text true
            return
        self._items.added(event.item_id)
        self._spoke.add(event.response_id)
        self._audio.play(event.item_id, event.payload, event.size_bytes, now_ms)

    def _item_finished(self, item_id: str, now_ms: float) -> None:
        self._audio.finish(item_id, now_ms)
        self.conversation.was_finished(item_id, self._audio.ledger.generated_bytes(item_id))

    def _caller_began(self, item_id: str, now_ms: float) -> None:
        self._caller_speaks, self._answer_by_ms = True, NEVER
        self._patience.caller_spoke()
        self.conversation.turn("user", item_id, now_ms)
        if not self.agent.turns.interruptible or self._farewell.hanging_up:
            return
        # The response itself is cancelled by the model's turn detection (interrupt_response).
        cuts = self._audio.interrupt(now_ms)
        if self._responses.active_id is not None:
            self._items.mute_response(self._responses.active_id)
            cut_ids = {cut.item_id for cut in cuts}
            cuts += [
                Cut(item_id, 0, 0)  # begun, but no audio of it came yet
                for item_id in self._items.of_active
                if item_id not in cut_ids and self._is_unfinished(item_id)
            ]
        self._items.cut(cuts)
        for cut in cuts:
            self.conversation.was_cut(cut.item_id, cut.heard_bytes, cut.generated_bytes)
        self._farewell.caller_spoke(now_ms)

    def _is_unfinished(self, item_id: str) -> bool:
        """Whether a spoken item was begun and is not complete."""
        turn = self.conversation.find(item_id)
        return turn is not None and not turn.finished

    def _response_began(self, response_id: str) -> None:
        self._answer_by_ms = NEVER
        self._items.response_created()
        self._responses.created(response_id, answers_all=not self._outputs_not_taken)
        if self._caller_speaks and self.agent.turns.interruptible:
            # Asked for before the caller began, created after: nobody else stops it.
            self._items.mute_response(response_id)
            self._out.append(do.CancelResponse(self._new_event_id(), response_id))

    def _response_ended(self, event: ev.ResponseDone, now_ms: float) -> None:
        self.usage += event.usage
        failed = event.status == "failed"
        if event.response_id == self._responses.active_id:
            for item_id in self._items.of_active:
                if self._is_unfinished(item_id):
                    self._item_finished(item_id, now_ms)
        was = self._responses.done(event.response_id, now_ms, failed=failed)
        if self._answer_by_ms != NEVER:  # an answer could not be begun while this one lasted
            self._answer_by_ms = min(self._answer_by_ms, now_ms + ANSWER_MS / 4)
        self._want_reply_to_tools(event.response_id)
        if failed:
            return
        if was is not None and event.status == "cancelled" and self._lasts(was.wish):
            self._responses.want(was.wish, was.direction)
        else:
            spoke = event.response_id in self._spoke
            self._farewell.response_ended(event.response_id, was, now_ms, spoke=spoke)
        self._spoke.discard(event.response_id)

    def _lasts(self, wish: Wish) -> bool:
        """Whether this is still to be said when the caller's speech cut it off."""
        return wish is Wish.WARNING or (wish is Wish.GOODBYE and self._farewell.under_way)

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
        first = not self._link.was_ready
        self._link.configured()
        if first and self.agent.greeting:
            self._responses.want(Wish.GREETING, directions.greeting(self.agent))
        heard = self.transcript(now_ms)
        if not heard:
            return
        for turn in heard:
            if turn.role == "tool":
                text = directions.tool_result(turn.detail["name"], turn.text)
                self._add_message("system", text)
            elif turn.text:
                self._add_message(turn.role, turn.heard_text)
        self._add_message("system", directions.SESSION_RENEWED)

    def _add_message(self, role: str, text: str) -> None:
        self._out.append(do.AddMessage(self._new_event_id(), role, text))

    def _model_lost(self, reason: str, now_ms: float, *, fatal: bool) -> None:
        """The caller stays; what plays goes on playing. The next session is told what was heard,
        and goes on with what the lost one owed."""
        for item_id in self._items.of_active:
            if self._is_unfinished(item_id):
                self._item_finished(item_id, now_ms)
        owes_answer = self._caller_speaks or self._answer_by_ms != NEVER
        was = self._responses.lost(now_ms)
        if was is not None and was.wish is Wish.GREETING and self.transcript(now_ms):
            self._responses.want(Wish.REPLY)  # a part was heard: go on, don't begin again
        elif was is not None and was.wish is not Wish.NUDGE:
            self._responses.want(was.wish, was.direction)
        elif owes_answer:
            self._responses.want(Wish.REPLY)
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
                model_can_speak=self._link.ready and self._tools.working(),
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
        if self._link.must_open(now_ms):
            self._link.opening()
            self._out.append(do.OpenModel())
        if (self._link.gave_up(now_ms) or self._responses.gave_up) and self._connected:
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
            or self._tools.working()
            or self._farewell.under_way
        )

    def _ask_model(self, now_ms: float) -> None:
        """Ask for the next response, if one may be asked for now."""
        if not self._link.ready or self._caller_speaks or self._farewell.hanging_up:
            return
        if self._answer_by_ms != NEVER:
            return  # turn detection is about to ask for one
        wanted = self._responses.next(now_ms)
        if wanted is not None:
            event_id = self._new_event_id()
            self._responses.asked(event_id, now_ms)
            self._out.append(do.CreateResponse(event_id, wanted.direction))

    # --- the end ------------------------------------------------------------------------------

    def _end_leg(self, reason: str, now_ms: float) -> None:
        """Let go of everything. What still plays was heard up to here."""
        self.ended_by = reason
        for cut in self._audio.ledger.cleared(now_ms):
            if cut.heard_bytes < cut.generated_bytes:
                self.conversation.was_cut(cut.item_id, cut.heard_bytes, cut.generated_bytes)
        self._out.extend(do.CancelTool(call_id) for call_id in self._tools.open())
        self._out.append(do.CloseModel())
        self._out.append(do.EndLeg(reason))
        self._over, self.next_deadline_ms = True, NEVER

    def _new_event_id(self) -> str:
        self._event_count += 1
        return f"bridge_{self._event_count}"
