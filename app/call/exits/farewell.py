"""The goodbye: said by the model, heard to its last mark, then the hang-up over REST."""

from dataclasses import dataclass

from app.call import prompts
from app.call.commands import CloseStream, Command, HangUp, ReportDecision
from app.call.deadlines import NEVER
from app.call.exits.answer_tool import AnswerTool
from app.call.exits.last_words import LastWords
from app.call.heard.agent_audio import AgentAudio
from app.call.model.responses import Responses, Wanted, Wish
from app.call.outbox import Outbox

#: Deadline for the stream to end after a hang-up, REST retries included.
HANG_UP_MS = 12_000.0
#: Deadline for the stream to end after its socket was closed.
CLOSE_MS = 5000.0


@dataclass(slots=True)
class _PendingGoodbye:
    """A goodbye that is under way."""

    #: Becomes `CallMachine.ended_by`.
    reason: str
    words: LastWords
    #: The end_call that is not answered yet; empty: none, or answered.
    call_id: str
    #: A barge-in does not take it back.
    final: bool
    #: What Twilio says if the model does not.
    in_text: str
    #: When the hang-up was ordered.
    hung_up_ms: float = NEVER
    #: When the stream was closed.
    closed_ms: float = NEVER


class Farewell:
    """Ends the call: goodbye, last mark, hang-up over REST.

    If the hang-up has no effect, it closes the stream, and Twilio requests the `<Connect>` action
    URL. The same when the model does not say the goodbye: then TwiML says `last_words`.
    """

    def __init__(
        self,
        outbox: Outbox[Command],
        language: str,
        audio: AgentAudio,
        responses: Responses,
        answer_tool: AnswerTool,
    ) -> None:
        self._outbox = outbox
        self._audio = audio
        self._responses = responses
        self._answer_tool = answer_tool
        self._language = language
        self._pending: _PendingGoodbye | None = None
        #: The goodbye that TwiML has to say before it hangs up; empty: none.
        self.last_words = ""

    @property
    def under_way(self) -> bool:
        return self._pending is not None

    @property
    def reason(self) -> str:
        return self._pending.reason if self._pending else ""

    @property
    def hanging_up(self) -> bool:
        """Whether the hang-up or the close is ordered: nothing takes it back."""
        pending = self._pending
        return pending is not None and min(pending.hung_up_ms, pending.closed_ms) != NEVER

    def begin(
        self,
        reason: str,
        now_ms: float,
        *,
        direction: str = "",
        call_id: str = "",
        response_id: str = "",
        final: bool = False,
        in_text: str = "",
    ) -> None:
        """Decide to end the call. Next: `settle` hangs up when the goodbye was heard.

        Args:
            reason: Becomes `CallMachine.ended_by`.
            direction: Request a goodbye with this direction; empty: expect it in `response_id`.
            call_id: The end_call to answer.
            response_id: The response that calls end_call. If it says nothing, a goodbye is
                requested.
            final: A barge-in does not take it back.
            in_text: What Twilio says if the model does not; empty: a plain goodbye.
        """
        if self.hanging_up:
            return
        if self._pending is not None:  # the first end_call still needs its answer
            call_id = call_id or self._pending.call_id
        words = LastWords(Wish.GOODBYE, now_ms, response_id)
        in_text = in_text or prompts.goodbye_in(self._language)
        self._pending = _PendingGoodbye(reason, words, call_id, final, in_text)
        self._responses.unwant(Wish.NUDGE, Wish.HOLD, Wish.WARNING, Wish.REPLY)
        if direction:
            self._responses.want(Wish.GOODBYE, direction)

    def make_final(self) -> None:
        """From now on a barge-in does not take the goodbye back."""
        if self._pending is not None:
            self._pending.final = True

    def response_ended(
        self, response_id: str, was: Wanted | None, now_ms: float, *, spoke: bool
    ) -> None:
        """A response ended. If it should have been the goodbye and said nothing, request one."""
        pending = self._pending
        if pending is not None and pending.words.response_ended(response_id, was, spoke=spoke):
            self._answer(pending, prompts.END_UNSPOKEN, now_ms)
            self._responses.want(Wish.GOODBYE, prompts.GOODBYE)

    def take_back(self, now_ms: float) -> None:
        """Barge-in before the goodbye was heard: the call goes on, unless the goodbye is final."""
        pending = self._pending
        if pending is None or pending.final or self.hanging_up:
            return
        self._pending = None
        self._responses.unwant(Wish.GOODBYE)
        self._answer(pending, prompts.END_TAKEN_BACK, now_ms)

    def hang_up(self, now_ms: float) -> None:
        """End the call now."""
        pending = self._pending
        if pending is not None and not self.hanging_up:
            heard = pending.words.heard(self._audio, now_ms)
            answer = prompts.END_DONE if heard else prompts.END_FORCED
            self._answer(pending, answer, now_ms)
            pending.hung_up_ms = now_ms
            self._outbox.put(HangUp(pending.reason))

    def leave_to_twilio(self, why: str, now_ms: float) -> None:
        """The model does not say the goodbye: close the stream, and have TwiML say it."""
        pending = self._pending
        if pending is not None and not self.hanging_up:
            self.last_words = pending.in_text
            self._answer(pending, prompts.END_FORCED, now_ms)
            self._outbox.put(ReportDecision("let Twilio say the goodbye", why))
            self.close(pending.reason, now_ms)

    def close(self, reason: str, now_ms: float) -> None:
        """Close the stream: the hang-up failed, or TwiML has to help the caller."""
        if self._pending is None:
            self.begin(reason, now_ms, final=True)
        if self._pending is not None and self._pending.closed_ms == NEVER:
            self._pending.closed_ms = now_ms
            self._outbox.put(CloseStream(reason))

    def settle(self, now_ms: float, *, model_gone: bool) -> bool:
        """Do what is due.

        Args:
            model_gone: The model is given up for this call.

        Returns:
            True when the stream should have ended by now: end the leg.
        """
        pending = self._pending
        if pending is None:
            return False
        if self.hanging_up:
            if now_ms >= pending.hung_up_ms + HANG_UP_MS and pending.closed_ms == NEVER:
                self._outbox.put(ReportDecision("close the stream", "hang-up without effect"))
                self.close("hang-up without effect", now_ms)
            return now_ms >= pending.closed_ms + CLOSE_MS
        if model_gone:
            if not pending.words.said or not self._responses.idle:
                self.leave_to_twilio("the model answers nothing that can be heard", now_ms)
                return False
        if now_ms >= pending.words.over_ms(self._audio, self._responses, now_ms):
            if pending.words.said:
                self.hang_up(now_ms)
            else:
                self.leave_to_twilio("the model did not say it in time", now_ms)
        return False

    def next_ms(self, now_ms: float) -> float:
        pending = self._pending
        if pending is None:
            return NEVER
        if pending.closed_ms != NEVER:
            return pending.closed_ms + CLOSE_MS
        if pending.hung_up_ms != NEVER:
            return pending.hung_up_ms + HANG_UP_MS
        return pending.words.over_ms(self._audio, self._responses, now_ms)

    def _answer(self, pending: _PendingGoodbye, output: str, now_ms: float) -> None:
        if pending.call_id:
            call_id, pending.call_id = pending.call_id, ""
            self._answer_tool(call_id, output, now_ms)
