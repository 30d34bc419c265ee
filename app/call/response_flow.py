"""The flow of a response: its request, audio, text, items and tool calls, until `ResponseDone`.

Some models leave out `ResponseCreated` or an item's announcement: the first event of an unknown
response that is due counts as its beginning.
"""

from dataclasses import replace

from app.call import events as ev
from app.call.commands import ReportDecision, RunTool
from app.call.deadlines import NEVER
from app.call.exits.built_in_tools import BUILT_IN, END_CALL
from app.call.exits.transfer import TRANSFER
from app.call.model.responses import REPEATED
from app.call.outbox import Outbox
from app.call.usage import Usage
from app.call.wiring import Parts

_EXITS = (END_CALL, TRANSFER)


class ResponseFlow:
    """Requests responses, and passes their events on to the parts that they concern."""

    def __init__(self, outbox: Outbox[RunTool | ReportDecision], parts: Parts) -> None:
        #: What the leg's responses and transcriptions used.
        self.usage = Usage()
        self._outbox = outbox
        self._refused_of = ""  # the last response with a call over the limits
        self._model = parts.model
        self._items = parts.model.items
        self._responses = parts.model.responses
        self._speech = parts.speech
        self._exits = parts.exits
        self._floor = parts.floor
        self._barge_in = parts.barge_in
        self._deadlines = parts.deadlines
        self._retries = parts.retries
        self._ordered_words = parts.orders.words

    # --- requests -----------------------------------------------------------------------------

    def request_next(self, now_ms: float) -> None:
        """Request the next response, if one may be requested now."""
        if self._responses.nothing_queued:
            return
        if not self._model.link.ready or self._floor.caller_acts or self._exits.hanging_up:
            return
        if self._floor.pause.active:
            return  # what the agent was saying comes first, or an answer to the caller
        if self._floor.answer_by_ms != NEVER:
            return  # turn detection is about to request one
        self._ordered_words.drop_disallowed()
        wanted = self._responses.next(now_ms)
        if wanted is not None:
            self._responses.asked(self._model.requests.create_response(wanted.direction))
            self._exits.response_requested(wanted.wish)
            self._deadlines.requested(now_ms)

    def refused(self, now_ms: float) -> None:
        """The model refused a request. The response that is active while an answering machine
        records answers the machine's own words: interrupt it."""
        if self._floor.voicemail and self._responses.active_id is not None:
            self._barge_in.interrupt_agent(now_ms)

    # --- a response ---------------------------------------------------------------------------

    @property
    def _expects_answer(self) -> bool:
        """Whether a response is requested, or due from turn detection."""
        return self._responses.requested is not None or self._floor.answer_by_ms != NEVER

    def created(self, event: ev.ResponseCreated, now_ms: float) -> None:
        """A response was announced. One outside the conversation is muted, unless it is the one
        that is due: some servers never name a conversation."""
        if event.in_conversation or self._expects_answer:
            self._begin(event.response_id, now_ms)
        else:
            self._items.mute_response(event.response_id)

    def _begin(self, response_id: str, now_ms: float) -> None:
        self._deadlines.progressed(now_ms)
        self._barge_in.response_created(response_id)

    def progressed(self, response_id: str, now_ms: float, *, heard: bool = True) -> None:
        """An event of a response came. If it is due and was not announced, it begins now.

        Args:
            heard: False: it is audio that cannot be heard, so the caller still waits.
        """
        if response_id != self._responses.active_id:
            if self._responses.expects(response_id) and self._expects_answer:
                self._begin(response_id, now_ms)
        if heard:
            self._deadlines.progressed(now_ms)
        self._barge_in.response_progressed(response_id)

    def audio(self, event: ev.AudioReceived, now_ms: float) -> None:
        """Audio of the agent came."""
        self.progressed(event.response_id, now_ms, heard=not event.quiet)
        self._speech.play(event, now_ms)
        if not event.quiet:
            self._deadlines.audio_received(event.response_id)

    def written(self, event: ev.TranscriptReceived | ev.TextReceived, now_ms: float) -> None:
        """More of an item's transcript came, or of an item that is text alone."""
        if event.response_id:
            self.progressed(event.response_id, now_ms)
        else:
            self._deadlines.progressed(now_ms)
        if isinstance(event, ev.TranscriptReceived):
            self._speech.transcript_delta(event.item_id, event.text, now_ms)
            return
        self._speech.text_delta(event.item_id, event.text, now_ms)
        if self._responses.active_id is not None:
            self._deadlines.text_received(self._responses.active_id)

    def item_added(self, event: ev.OutputItemAdded, now_ms: float) -> None:
        """A response began an item: a message or a tool call."""
        self.progressed(event.response_id, now_ms)
        if event.kind == "message":
            self._speech.begin(event.response_id, event.item_id, now_ms)
        elif event.kind == "function_call":
            if not self._responses.is_abandoned(event.response_id):
                self._deadlines.calls_tool(complete=False)

    def item_done(self, event: ev.OutputItemDone, now_ms: float, *, at_s: float) -> None:
        """An item is complete or was interrupted. `at_s`: Unix time, in seconds."""
        self.progressed(event.response_id, now_ms)
        if event.kind == "function_call":
            self._call_tool(event, now_ms, at_s)
        else:
            self._speech.finish(event.item_id, now_ms)

    def ended(self, event: ev.ResponseDone, now_ms: float, *, at_s: float) -> None:
        """A response ended. `at_s`: Unix time, in seconds."""
        response_id, failed = event.response_id, event.status == "failed"
        self.usage += event.usage
        self.progressed(response_id, now_ms)
        for call in event.calls:
            self._call_tool(replace(call, response_id=response_id), now_ms, at_s)
        active = response_id == self._responses.active_id
        if active:
            self._speech.finish_all(now_ms)
        for item_id in event.messages:
            self._speech.message_listed(response_id, item_id, now_ms)
        empty = self._deadlines.is_empty(event)
        self._speech.drop_unheard(response_id, now_ms)
        was = self._responses.done(response_id, now_ms, failed=failed, empty=empty)
        self._deadlines.ended()
        self._retries.report_ended(event, was, empty=empty)
        self._floor.response_ended(now_ms)
        self._model.answers.want_reply(response_id)
        interrupted = event.status == "cancelled" or self._items.is_muted(response_id)
        by_detection = event.status == "cancelled" and active
        by_detection = by_detection and not self._items.is_muted(response_id)
        if by_detection and self._barge_in.response_cancelled(response_id, was):
            pass
        elif was is not None and not failed and interrupted and was.wish in REPEATED:
            if self._responses.allows(was.wish):
                self._responses.want(was.wish, was.direction)
        if failed or interrupted or empty:
            was = None  # it was not said: requested again, or taken back
        spoke = self._speech.spoke(response_id)
        self._exits.response_ended(response_id, was, now_ms, spoke=spoke)

    # --- its tool calls -----------------------------------------------------------------------

    def _call_tool(self, event: ev.OutputItemDone, now_ms: float, at_s: float) -> None:
        call_id, response_id = event.call_id, event.response_id
        complete = event.status == "completed"
        if not complete or self._responses.is_abandoned(response_id):
            # Interrupted, so its arguments may be a fragment; or its response was abandoned, and
            # another one was requested in its place.
            self._items.drop(event.item_id)
            return
        self._deadlines.calls_tool(complete=True)
        if not self._model.tools.begin(call_id, event.name, response_id, now_ms):
            return
        refusal = self._model.tools.limits.refusal(
            response_id, event.name, is_exit=event.name in _EXITS
        )
        if refusal:
            if response_id != self._refused_of:
                self._refused_of = response_id
                self._outbox.put(ReportDecision("run no more tools", refusal))
            self._model.answers.answer(call_id, refusal, now_ms)
            return
        if event.name not in BUILT_IN:
            self._outbox.put(RunTool(call_id, event.name, event.arguments))
            return
        self._model.tools.drop_deadline(call_id)
        cut = self._items.is_cut(response_id, event.item_id)
        self._exits.tool_called(event, now_ms, cut=cut, at_s=at_s)
