"""The model's session over the length of a leg: configured, seeded, swapped, lost, replaced.

To seed a session is to add the call so far to it, as messages: what was said, as heard, and the
answers of tools.
"""

from app.call import prompts
from app.call.caller.floor import ANSWER_MS, Floor
from app.call.commands import CloseModel, CloseSuccessor, OpenModel, ReportDecision, SwapModel
from app.call.deadlines import NEVER
from app.call.events import LegOpened, ModelFaulted
from app.call.exits.built_in_tools import resumed
from app.call.exits.exits import Exits
from app.call.model.model import Model
from app.call.model.responses import Wanted, Wish
from app.call.model.settings import Refused
from app.call.outbox import Outbox
from app.call.speech.agent_speech import AgentSpeech

#: The decision when the service gives a session up that is still open.
REPLACE_SESSION = "replace the session"
#: The new session gets so much of the quiet before a swap: a word may just begin, and turn
#: detection needs what is before it.
PREFIX_MS = 500
#: The most that it gets of turns of the caller whose words are not known. The bridge keeps so much.
CARRIED_MS = 30_000


class ModelSession:
    """Keeps a session ready. When it is lost, the caller stays and what plays goes on playing."""

    def __init__(
        self,
        outbox: Outbox[OpenModel | CloseModel | CloseSuccessor | SwapModel | ReportDecision],
        model: Model,
        speech: AgentSpeech,
        floor: Floor,
        exits: Exits,
    ) -> None:
        self._outbox = outbox
        self._model = model
        self._requests = model.requests
        self._link = model.link
        self._responses = model.responses
        self._speech = speech
        self._floor = floor
        self._exits = exits
        self._opened = LegOpened()
        self._greeting = ""

    def leg_opened(self, event: LegOpened, greeting: str, now_ms: float) -> None:
        """The leg exists: open a session.

        Args:
            greeting: The direction for the first response; empty: the caller begins.
        """
        self._opened, self._greeting = event, greeting
        self._model.settings.leave_out(event.left_out)
        self._link.start(now_ms)

    def opened(self, now_ms: float) -> None:
        """The socket is open: send the settings."""
        self._link.opened(now_ms)
        self._model.settings.configure(speaks=self._speech.synthesis.model_speaks)

    def configured(self, now_ms: float) -> None:
        """The settings are in force. Those of a new session: request the first response, and seed
        the session."""
        self._model.settings.taken()
        if not self._link.configuring:
            return
        opened, was_ready = self._opened, self._link.was_ready
        if not was_ready and (opened.history or opened.tool):
            self._responses.want(Wish.GREETING, resumed(opened.tool))
        elif not was_ready and self._greeting:
            self._responses.want(Wish.GREETING, self._greeting)
        self._link.configured(now_ms)
        known = opened.tool and not was_ready
        self._seed(prompts.SESSION_RESUMED if known else prompts.SESSION_RENEWED, now_ms)

    def _seed(self, note: str, now_ms: float, *, whole: bool = False) -> None:
        """Add the call so far to the session.

        Args:
            note: The system message behind it.
            whole: See `AgentSpeech.session_history`.
        """
        history = [(role, text, "") for role, text in self._opened.history]
        history += self._speech.session_history(now_ms, whole=whole)
        for role, text, item_id in history:
            self._requests.add_message(role, text, item_id)
        tools, entry = self._model.tools, self._floor.keypad.asked_by
        awaits_digits = [tools.name(entry)] if entry in tools.open() else []
        for name in (*tools.working(), *awaits_digits):
            self._requests.add_message("system", prompts.tool_running(name))
        if history or self._speech.heard_anything(now_ms):
            self._requests.add_message("system", note)

    def lost(self, reason: str, now_ms: float, *, fatal: bool) -> None:
        """The session is lost. The next one is seeded with what was heard, and says what this one
        owed.

        Args:
            reason: For the log and the record.
            fatal: A retry cannot help.
        """
        if self._model.successor.ready:
            self.swap(now_ms, carries=True)
            return
        if self._model.successor.open:
            self._outbox.put(CloseSuccessor())
        self._model.successor.session_lost()
        self._leave(now_ms)
        self._model.caller_audio.forget()
        self._outbox.put(CloseModel())
        self._link.lost(reason, now_ms, fatal=fatal)

    def swap(self, now_ms: float, *, carries: bool) -> None:
        """The successor takes over, which is ready. It is seeded with what was said.

        Args:
            carries: It also hears the turns of the caller that are not answered and whose words are
                not known. False: there are none.
        """
        successor, caller_audio = self._model.successor, self._model.caller_audio
        active_id = self._responses.active_id or ""
        amid_answer = active_id != ""
        begun = self._speech.spoke(active_id) or self._model.tools.has_calls_of(active_id)
        unheard_id = "" if begun else active_id
        unknown = caller_audio.unknown(now_ms, unheard_id=unheard_id) if carries else {}
        owed = self._leave(now_ms, hears_again=bool(unknown))
        if unknown:
            self._speech.heard_again(unknown)
            self._outbox.put(SwapModel(min(unknown.values()), CARRIED_MS))
        else:
            self._outbox.put(SwapModel(caller_audio.end_ms, PREFIX_MS))
        speaks = self._speech.synthesis.model_speaks
        self._model.settings.swapped(successor.settings, speaks=speaks)
        caller_audio.forget()
        successor.swapped(now_ms)
        self._link.swapped(now_ms)
        self._seed(prompts.SESSION_RESUMED, now_ms, whole=not amid_answer)
        if owed and unknown:
            self._floor.answer_by_ms = now_ms + ANSWER_MS  # turn detection answers what it hears

    def _leave(self, now_ms: float, *, hears_again: bool = False) -> bool:
        """The present session is over, with what only it knew.

        Args:
            hears_again: The next one hears the caller's last turn again, and answers that.

        Returns:
            Whether this session owed the caller a response.
        """
        amid_answer = self._responses.active_id is not None
        self._speech.session_lost(now_ms, amid_answer=amid_answer)
        response_id = self._responses.active_id or ""
        was = self._responses.lost(now_ms)
        if was is None or was.wish is Wish.NUDGE:
            was = Wanted(Wish.REPLY) if self._floor.owes_answer else None
        elif was.wish is Wish.GREETING and self._speech.heard_anything(now_ms):
            was = Wanted(Wish.REPLY)  # a part was heard: go on, do not greet again
        waits = self._model.tools.waited_for(response_id)
        if was is not None and not (was.wish is Wish.REPLY and (waits or hears_again)):
            self._responses.want(was.wish, was.direction)
        if response_id:
            spoke = self._speech.spoke(response_id)
            self._exits.response_ended(response_id, None, now_ms, spoke=spoke)
        self._floor.session_lost()
        self._model.answers.session_lost()
        self._model.items.forget()
        self._model.settings.session_lost()
        return was is not None

    def abandon_response(self, now_ms: float) -> Wanted | None:
        """Give up the response in flight or requested. Returns what it was requested for; None if
        there is none."""
        active_id = self._responses.active_id
        if active_id is not None:
            self._requests.cancel_response(active_id)
            self._model.items.mute_response(active_id)
            self._speech.drop_unheard(active_id, now_ms)
        was = self._responses.abandon(now_ms)
        if was is None and self._floor.answer_by_ms != NEVER:
            was = Wanted(Wish.REPLY)
        self._floor.answer_by_ms = NEVER
        return was

    def faulted(self, event: ModelFaulted, now_ms: float) -> bool:
        """The model refused a request: retry where that helps. No error ends the call.

        Returns:
            Whether it refused a request for a response.
        """
        cause = event.cause_event_id or ""
        refused = self._model.settings.refused(event)
        if refused is Refused.SETTINGS:
            self._outbox.put(ReportDecision(REPLACE_SESSION, "it refused the settings"))
            self.lost(f"settings refused: {event.message}", now_ms, fatal=False)
            return False
        if refused is not None or self._model.items.refused(cause, event.length_ms):
            return False
        return self._responses.refused(cause, now_ms, busy=event.refusal == "busy")

    def gave_up(self, now_ms: float) -> bool:
        """Whether the model is given up for this call."""
        return self._link.gave_up(now_ms) or self._responses.gave_up

    def keep_ready(self, now_ms: float, *, connected: bool) -> None:
        """Open the next session when it is due; give the model up when its retries are used up.

        Args:
            connected: The caller is on the line.
        """
        if self._link.is_stuck(now_ms):
            self._outbox.put(ReportDecision(REPLACE_SESSION, "it took no settings in time"))
            self.lost("settings not taken in time", now_ms, fatal=False)
        if self._link.must_open(now_ms):
            self._link.opening()
            self._outbox.put(OpenModel())
        if connected and self.gave_up(now_ms):
            if self._exits.under_way or self._exits.redirect_ordered:
                return
            why = self._link.failure(now_ms) or self._responses.failure
            self._outbox.put(ReportDecision("do without the model", why))
            self._exits.model_gone(now_ms)
