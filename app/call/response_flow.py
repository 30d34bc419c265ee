"""What comes of responses, announced or not: their audio, their text, their end, their tools."""

from dataclasses import replace

from app.call import commands as do
from app.call import events as ev
from app.call.deadlines import NEVER
from app.call.exits.exits import BUILT_IN
from app.call.model.responses import Wish
from app.call.usage import Usage
from app.call.wiring import Parts

# Still to be said when the caller's speech cut it off.
_LASTING = (Wish.WARNING, Wish.ANNOUNCEMENT, Wish.GOODBYE)


class ResponseFlow:
    """`usage`: what the responses and transcriptions of the leg used up."""

    def __init__(self, out: list[do.Command], parts: Parts) -> None:
        self.usage = Usage()
        self._out = out
        self._items = parts.items
        self._responses = parts.responses
        self._speech = parts.speech
        self._tools = parts.tools
        self._answers = parts.answers
        self._exits = parts.exits
        self._floor = parts.floor
        self._owed_answers = parts.owed_answers

    # --- a response ---------------------------------------------------------------------------

    @property
    def _expects_answer(self) -> bool:
        """Whether the model owes the beginning of a response."""
        return self._responses.requested is not None or self._floor.answer_by_ms != NEVER

    def created(self, event: ev.ResponseCreated, now_ms: float) -> None:
        """A response was announced. One of no conversation is not for the caller, unless it is the
        one that is due: some servers never name a conversation."""
        if event.in_conversation or self._expects_answer:
            self._began(event.response_id, now_ms)
        else:
            self._items.mute_response(event.response_id)

    def _began(self, response_id: str, now_ms: float) -> None:
        self._owed_answers.moved(now_ms)
        self._floor.response_began(response_id, answers_all=self._answers.all_taken)

    def moved(self, response_id: str, now_ms: float) -> None:
        """Something came of a response. One that is due need not be announced."""
        if self._responses.expects(response_id) and self._expects_answer:
            self._began(response_id, now_ms)
        self._owed_answers.moved(now_ms)
        self._floor.response_moved(response_id)

    def audio(self, event: ev.AudioReceived, now_ms: float) -> None:
        """A piece of the agent's speech came."""
        self.moved(event.response_id, now_ms)
        self._speech.play(event, now_ms)
        self._owed_answers.sounds(event.response_id)

    def written(self, event: ev.TranscriptReceived | ev.TextReceived, now_ms: float) -> None:
        """More came of what an item says, beside its audio or as text alone."""
        if event.response_id:
            self.moved(event.response_id, now_ms)
        else:
            self._owed_answers.moved(now_ms)
        if isinstance(event, ev.TranscriptReceived):
            self._speech.transcript_delta(event.item_id, event.text, now_ms)
            return
        self._speech.text_delta(event.item_id, event.text, now_ms)
        if self._responses.active_id is not None:
            self._owed_answers.writes(self._responses.active_id)

    def item_began(self, event: ev.OutputItemAdded, now_ms: float) -> None:
        """A response began a message or a tool call."""
        self.moved(event.response_id, now_ms)
        if event.kind == "message":
            self._speech.begin(event.response_id, event.item_id, now_ms)
        elif event.kind == "function_call":
            self._owed_answers.calls_tool(event.response_id, complete=False)

    def item_ended(self, event: ev.OutputItemDone, now_ms: float, *, at_s: float) -> None:
        """An item is complete or was cut. `at_s`: Unix time."""
        self.moved(event.response_id, now_ms)
        if event.kind == "function_call":
            self._call_tool(event, now_ms, at_s)
        else:
            self._speech.finish(event.item_id, now_ms)

    def ended(self, event: ev.ResponseDone, now_ms: float, *, at_s: float) -> None:
        """A response ended. `at_s`: Unix time."""
        response_id, failed = event.response_id, event.status == "failed"
        self.usage += event.usage
        self.moved(response_id, now_ms)
        for call in event.calls:
            self._call_tool(replace(call, response_id=response_id), now_ms, at_s)
        if response_id == self._responses.active_id:
            self._speech.finish_all(now_ms)
        for item_id in event.messages:
            self._speech.lists(response_id, item_id, now_ms)
        empty = self._owed_answers.is_empty(event)
        self._speech.drop_unheard(response_id, now_ms)
        was = self._responses.done(response_id, now_ms, failed=failed, empty=empty)
        self._owed_answers.ended(event, was, empty=empty)
        self._floor.response_ended(now_ms)
        self._answers.want_reply(response_id)
        cut_off = event.status == "cancelled" or self._items.is_muted(response_id)
        if was is not None and not failed and cut_off and was.wish in _LASTING:
            if was.wish in self._exits.allowed_wishes:
                self._responses.want(was.wish, was.direction)
        if failed or cut_off or empty:
            was = None  # it was not said: asked for again, or taken back
        spoke = self._speech.spoke(response_id)
        self._exits.response_ended(response_id, was, now_ms, spoke=spoke)

    # --- the tools that it calls --------------------------------------------------------------

    def _call_tool(self, event: ev.OutputItemDone, now_ms: float, at_s: float) -> None:
        call_id, response_id = event.call_id, event.response_id
        complete = event.status == "completed"
        if not complete or not self._owed_answers.calls_tool(response_id, complete=True):
            # Cut short, so that its arguments may be a fragment, or of a response that was given
            # up: another one was asked for in its place.
            self._items.drop(event.item_id)
            return
        if not self._tools.begin(call_id, event.name, response_id, now_ms):
            return
        if event.name not in BUILT_IN:
            self._out.append(do.RunTool(call_id, event.name, event.arguments))
            return
        self._tools.drop_deadline(call_id)
        cut = self._items.is_cut(response_id, event.item_id)
        self._exits.tool_called(event, now_ms, cut=cut, at_s=at_s)
