"""Retries: a response that brings no sound, or none in time, is requested again.

A response that ends `completed` is over; that says nothing about sound. A response counts as an
answer when its audio plays, when an external voice synthesizes its text, or when it calls a tool.
"""

from app.call.caller.floor import Floor
from app.call.caller.idle_and_hold import IdleAndHold
from app.call.commands import CancelResponse, Command, ReportDecision
from app.call.deadlines import NEVER
from app.call.events import ResponseDone
from app.call.heard.agent_audio import AgentAudio
from app.call.ids import Ids
from app.call.model.first_sound import FirstSound, Stage
from app.call.model.responses import Responses, Wanted, Wish
from app.call.model.session_items import SessionItems
from app.call.model.tool_calls import ToolCalls
from app.call.model_session import ModelSession
from app.call.speech.agent_speech import AgentSpeech

#: Deadline for the next event of a response, from the end of what plays of it.
STALLED_MS = 4000.0
#: Deadline for the arguments of a tool call, whose deltas are no events of the call.
CALLING_MS = 15_000.0


class ResponseDeadlines:
    """The deadlines of the response that the caller waits for, and what to do when one passes.

    Call the methods of the first section with the events of a response, and `settle` with the time.
    """

    def __init__(
        self,
        out: list[Command],
        audio: AgentAudio,
        items: SessionItems,
        speech: AgentSpeech,
        responses: Responses,
        calls: ToolCalls,
        floor: Floor,
        session: ModelSession,
        idle_and_hold: IdleAndHold,
        ids: Ids,
        *,
        limit_ms: float,
    ) -> None:
        """
        Args:
            limit_ms: `Limits.first_sound_ms`.
        """
        #: Deadline for the first sound of the response, and the stage of its retries.
        self.clock = FirstSound(limit_ms)
        self._out = out
        self._audio = audio
        self._items = items
        self._speech = speech
        self._responses = responses
        self._calls = calls
        self._floor = floor
        self._session = session
        self._idle_and_hold = idle_and_hold
        self._ids = ids
        self._limit_ms = limit_ms
        self._moved_ms = 0.0  # last event of the response in flight
        self._plays_until_ms = 0.0  # the end of its audio, without hold tones
        self._calling = False  # it has begun a tool call
        self._abandoned: set[str] = set()  # responses that were given up

    # --- events of a response -------------------------------------------------------------------

    def progressed(self, now_ms: float) -> None:
        """An event of the response in flight came."""
        self._moved_ms = now_ms

    def requested(self, now_ms: float) -> None:
        """A response was requested."""
        self._moved_ms, self._calling = now_ms, False
        self.clock.start(now_ms)

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

    def calls_tool(self, response_id: str, *, complete: bool) -> bool:
        """A response calls a tool.

        Args:
            complete: All its arguments are there; False: the call has begun.

        Returns:
            False when the response was given up: ignore its call.
        """
        if response_id in self._abandoned:
            return False
        self._calling = not complete
        if complete:
            self._heard()
        else:
            self.clock.stop()
        return True

    def is_empty(self, event: ResponseDone) -> bool:
        """Whether a response that ended owed the caller sound and brought none."""
        response_id = event.response_id
        given = (
            event.status in ("failed", "cancelled")
            or self._items.is_muted(response_id)
            or self._speech.spoke(response_id)
            or self._calls.has_calls_of(response_id)
        )
        return response_id == self._responses.active_id and not given

    def ended(self, event: ResponseDone, was: Wanted | None, *, empty: bool) -> None:
        """A response ended: report that it is requested again, if it is.

        Args:
            was: What it was requested for; None: turn detection requested it.
            empty: `is_empty(event)`, called before `Responses.done`.
        """
        self._calling = False
        wish = was.wish if was else Wish.REPLY
        if empty:
            self._report("ask again", f"the {wish} ended {event.status} without sound")
        elif event.status == "failed":
            self._report("ask again", f"the {wish} failed: {event.reason}")

    # --- time -----------------------------------------------------------------------------------

    def settle(self, now_ms: float, *, due: bool) -> None:
        """Retry, if a deadline has passed.

        Args:
            due: Whether the caller waits for a response now. False while the caller acts.
        """
        if not due:
            self.clock.stop()
        elif now_ms >= self.clock.due_ms:
            self._escalate(now_ms)
        elif now_ms >= self._stalled_ms():
            self._replace_session("the answer stopped coming", now_ms)

    def next_ms(self) -> float:
        return min(self.clock.due_ms, self._stalled_ms())

    def _stalled_ms(self) -> float:
        """When the response in flight counts as stalled; NEVER before its first sign."""
        if self.clock.running or not self._responses.in_flight or self._audio.waiting:
            return NEVER  # while audio is held back, reading from the model may be paused
        if self._calling or self._speech.synthesis.busy:
            return self._moved_ms + CALLING_MS
        return max(self._moved_ms, self._plays_until_ms) + STALLED_MS

    def _escalate(self, now_ms: float) -> None:
        stage = self.clock.next_stage(now_ms)
        reason = f"no sound of an answer within {self._limit_ms / 1000:g} s"
        if stage is Stage.SECOND_TRY:
            self._report("ask again", reason)
            self._ask_again(now_ms)
            self._idle_and_hold.comfort(now_ms)
        elif stage is Stage.FRESH_SESSION:
            was = self._abandon(now_ms)
            self._replace_session(f"{reason}, nor of the second try", now_ms)
            if was is not None:
                self._responses.retry(was, now_ms)
        else:
            self._abandon(now_ms)
            self._responses.give_up()

    def _ask_again(self, now_ms: float) -> None:
        was = self._abandon(now_ms)
        if was is not None:
            self._responses.retry(was, now_ms)

    def _abandon(self, now_ms: float) -> Wanted | None:
        """Give up the response in flight or requested. Returns what it was requested for; None if
        there is none."""
        active_id = self._responses.active_id
        if active_id is not None:
            self._abandoned.add(active_id)
            self._out.append(CancelResponse(self._ids.event(), active_id))
            self._items.mute_response(active_id)
            self._speech.drop_unheard(active_id, now_ms)
        was = self._responses.abandon(now_ms)
        if was is None and self._floor.answer_by_ms != NEVER:
            was = Wanted(Wish.REPLY)
        self._floor.answer_by_ms = NEVER
        return was

    def _replace_session(self, reason: str, now_ms: float) -> None:
        self._report("replace the session", reason)
        was = self._responses.active
        self._responses.stalled()
        self._session.lost(reason, now_ms, fatal=False)
        if was is not None and was.wish is Wish.NUDGE:  # a nudge that has begun is owed
            self._responses.retry(was, now_ms)

    def _report(self, decision: str, reason: str) -> None:
        self._out.append(ReportDecision(decision, reason))
