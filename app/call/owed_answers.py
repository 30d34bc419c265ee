"""An answer owes sound: it is asked for again when it brings none, or none in time.

The protocol's `completed` says that a response is over, not that anything of it can be heard. So an
answer counts as given when audio of it plays, when a voice is at its text, or when it calls a tool.
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

STALLED_MS = 4000.0  # for an answer that stops coming, from the end of what plays of it
CALLING_MS = 15_000.0  # for the arguments of a tool call, which come without any event of their own


class OwedAnswers:
    """Told what comes of responses. `clock`: how long the present answer is waited for."""

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
        self._moved_ms = 0.0  # when something last came of the response in flight
        self._plays_until_ms = 0.0  # the end of what plays of it; hold tones are no part of it
        self._calling = False  # a tool call of it has begun
        self._abandoned: set[str] = set()

    # --- what comes -----------------------------------------------------------------------------

    def moved(self, now_ms: float) -> None:
        """Something came of the response in flight."""
        self._moved_ms = now_ms

    def asked(self, now_ms: float) -> None:
        """A response was asked for."""
        self._moved_ms, self._calling = now_ms, False
        self.clock.start(now_ms)

    def sounds(self, response_id: str) -> None:
        """Audio of a response came, and was played unless the response is muted."""
        if not self._items.is_muted(response_id):
            self._plays_until_ms = self._audio.ledger.ends_ms
            if self.clock.running:
                self._heard()

    def writes(self, response_id: str) -> None:
        """Text of a response came: a sign of it where a voice says the text."""
        if not (self._speech.synthesis.model_speaks or self._items.is_muted(response_id)):
            self.clock.stop()

    def voice_moved(self, *, sounds: bool) -> None:
        """Something came of a voice, or its utterance is over."""
        self._plays_until_ms = self._audio.ledger.ends_ms
        if sounds:
            self._heard()

    def _heard(self) -> None:
        self.clock.heard()
        self._responses.sounded()
        self._speech.heard()

    def calls_tool(self, response_id: str, *, complete: bool) -> bool:
        """A response calls a tool. False when it is one that was given up: its call is void."""
        if response_id in self._abandoned:
            return False
        self._calling = not complete
        if complete:
            self._heard()
        else:
            self.clock.stop()
        return True

    def is_empty(self, event: ResponseDone) -> bool:
        """Whether a response that ended owed sound and brought none."""
        response_id = event.response_id
        given = (
            event.status in ("failed", "cancelled")
            or self._items.is_muted(response_id)
            or self._speech.spoke(response_id)
            or self._calls.has_calls_of(response_id)
        )
        return response_id == self._responses.active_id and not given

    def ended(self, event: ResponseDone, was: Wanted | None, *, empty: bool) -> None:
        """A response ended. `was`: what it was asked for."""
        self._calling = False
        wish = was.wish if was else Wish.REPLY
        if empty:
            self._report("ask again", f"the {wish} ended {event.status} without sound")
        elif event.status == "failed":
            self._report("ask again", f"the {wish} failed: {event.reason}")

    # --- time -----------------------------------------------------------------------------------

    def settle(self, now_ms: float, *, due: bool) -> None:
        """Do what is due. `due`: whether the caller waits for an answer now, and not for anything
        else, such as their own words."""
        if not due:
            self.clock.stop()
        elif now_ms >= self.clock.due_ms:
            self._escalate(now_ms)
        elif now_ms >= self._stalled_ms():
            self._replace_session("the answer stopped coming", now_ms)

    def next_ms(self) -> float:
        return min(self.clock.due_ms, self._stalled_ms())

    def _stalled_ms(self) -> float:
        """When the response in flight counts as stalled, once it gave a sign."""
        if self.clock.running or not self._responses.in_flight or self._audio.waiting:
            return NEVER  # while audio is held back the model is read no further
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
                self._responses.again(was, now_ms)
        else:
            self._abandon(now_ms)
            self._responses.give_up()

    def _ask_again(self, now_ms: float) -> None:
        was = self._abandon(now_ms)
        if was is not None:
            self._responses.again(was, now_ms)

    def _abandon(self, now_ms: float) -> Wanted | None:
        """Wait no longer for what is said or asked for. Returns what that was."""
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
        if was is not None and was.wish is Wish.NUDGE:  # it was begun: it is owed now
            self._responses.again(was, now_ms)

    def _report(self, decision: str, reason: str) -> None:
        self._out.append(ReportDecision(decision, reason))
