"""Barge-in: the caller begins to speak or presses a key while the agent speaks.

The agent falls silent at once. A key, enough voice or words are an interruption: the model learns
how much of the agent's speech the caller heard. A cough or a "mm-hm" is none: the agent goes on
where it was (`caller/pause`, with `[turns] resume_false_interruptions`).
"""

from app.call import prompts
from app.call.caller.floor import ANSWER_MS, Floor
from app.call.caller.pause import BACKCHANNEL, CONFIRMED_MS, LATE_VOICE, LATE_WORDS, Cancelled
from app.call.commands import ReportInterruption, Verdict
from app.call.deadlines import NEVER, next_after
from app.call.exits.exits import Exits
from app.call.model.model import Model
from app.call.model.responses import REPEATED, Wanted, Wish
from app.call.outbox import Outbox
from app.call.prompts import TakenBack
from app.call.speech.agent_speech import AgentSpeech
from app.call.words.backchannels import is_backchannel, normalized


class BargeIn:
    """Everything that happens when the caller barges in, or seems to.

    A key barges in at once. Speech pauses the agent first: `voiced`, `transcribed` and `settle`
    judge it. All of them take the same road, `_barge_in`. While the caller has the floor
    (`Floor.listens`), every response that begins or goes on is muted: `response_created` and
    `response_progressed`.
    """

    def __init__(
        self,
        outbox: Outbox[ReportInterruption],
        floor: Floor,
        speech: AgentSpeech,
        model: Model,
        exits: Exits,
    ) -> None:
        self._outbox = outbox
        self._floor = floor
        self._pause = floor.pause
        self._speech = speech
        self._model = model
        self._requests = model.requests
        self._items = model.items
        self._responses = model.responses
        self._exits = exits
        self._entries = floor.entries
        turns = floor.turns
        self._pauses = turns.interruptible and turns.resume_false_interruptions
        self._backchannels = turns.backchannels
        self._outdated = ""  # the request for a reply that the caller's keys have overtaken

    # --- the caller -----------------------------------------------------------------------------

    def speech_started(self, item_id: str, now_ms: float) -> None:
        """The caller begins to make a sound: it pauses the agent or interrupts it, unless the agent
        may not be interrupted now."""
        self._floor.speech_started(now_ms)
        if self._pause.active:
            self._pause.sounded(item_id)
        elif self._floor.listens and self._pauses and self._may_go_on(now_ms):
            self._speech.pause(now_ms)
            self._pause.begin(item_id, now_ms)
        else:
            self._model.tools.limits.caller_acted()
            self._pause.answered_by_detection()  # what it has not answered by now, it does not
            if self._floor.listens:
                automatic = self._model.settings.automatic  # then it cancels the response itself
                self._barge_in(TakenBack.CALLER_SPOKE, now_ms, cancel=not automatic)

    def _may_go_on(self, now_ms: float) -> bool:
        """Whether there is something that a cough must not stop: the agent's speech; or an exit,
        also just before its last words begin and just after they end."""
        return self._speech.speaks(now_ms) or self._exits.under_way

    def turn_committed(self, item_id: str, now_ms: float) -> None:
        """The caller's turn is over. Request the response to it, if turn detection does not."""
        automatic = self._model.settings.automatic
        if automatic and self._pause.take_late(item_id):  # its words are answered
            self._speech.judged(item_id, interrupts=True)
        if self._pause.awaits(item_id):
            self._pause.committed(now_ms, automatic=automatic)
            return
        if self._pause.is_late(item_id):
            self._speech.judged(item_id, interrupts=False)
        if not automatic and self._floor.answer_by_ms != NEVER:
            self._floor.answer_by_ms = NEVER
            if not self._pause.is_late(item_id):
                self._responses.want(Wish.REPLY)

    def voiced(self, now_ms: float) -> None:
        """The caller's frames hold enough voice: they mean to interrupt, also in a turn that was
        judged and goes on."""
        if self._pause.active:
            self._confirm(TakenBack.CALLER_SPOKE, f"{CONFIRMED_MS} ms of voice", now_ms)
        elif item_id := self._pause.take_open():
            spoke = self._speech.speaks(now_ms)
            self._floor.speech_started(now_ms)
            if spoke and self._floor.may_be_interrupted:
                self._barge_in(TakenBack.CALLER_SPOKE, now_ms, cancel=True)
                self._report("confirmed", LATE_VOICE, 0.0)
            self._speech.judged(item_id, interrupts=True)

    def quieted(self, now_ms: float) -> None:
        """The caller's frames hold no more voice."""
        if self._pause.active:
            self._pause.quieted(now_ms)

    def transcribed(self, item_id: str, text: str, now_ms: float) -> None:
        """The words of the caller's sound came. Without words, or with a backchannel that answers
        no question, it was no interruption, and the model forgets it."""
        words = not is_backchannel(text, self._backchannels)
        if words:
            self._entries.caller_said(item_id, now_ms)
        awaited = self._pause.awaits(item_id)
        asked = self._speech.asked(now_ms) if awaited else self._pause.late_asked(item_id)
        late = self._pause.take_late(item_id)
        if not awaited and not late:
            return
        if not words and not (normalized(text) and asked):
            self._speech.false_interruption(item_id)
            if awaited and self._pause.wordless(item_id):
                self._go_on(BACKCHANNEL if normalized(text) else "no words", now_ms)
        elif awaited:
            self._confirm(TakenBack.CALLER_SPOKE, "words", now_ms)
        else:
            if self._floor.may_be_interrupted:
                self._barge_in(TakenBack.CALLER_SPOKE, now_ms, cancel=True)
                self._report("confirmed", LATE_WORDS, 0.0)
            self._speech.judged(item_id, interrupts=True)
            self._responses.want(Wish.REPLY)

    def drops_keys(self, now_ms: float) -> bool:
        """Whether a key pressed now has no effect: it belongs to no entry. While a transfer is
        announced, only the rest of an entry has one: callers in a hurry press 0 or # for the human
        that they are about to reach."""
        if self._exits.ordered or self._floor.voicemail:
            return True
        return self._exits.transferring and not self._entries.keypad.has_begun(now_ms)

    def key_pressed(self, digit: str, now_ms: float) -> None:
        """The caller presses a key: a barge-in, unless the agent may not be interrupted now or the
        key is the rest of an entry that is over."""
        self._model.tools.limits.caller_acted()
        keypad = self._entries.keypad
        if self.drops_keys(now_ms):
            keypad.dropped(now_ms)
            return
        if self._floor.may_be_interrupted and not keypad.ignores(digit, now_ms):
            requested = self._responses.requested
            if requested is not None and requested.wish is Wish.REPLY:
                self._outdated = self._responses.request_id
            if self._pause.active:
                self._confirm(TakenBack.KEY_PRESSED, "a key", now_ms)
            else:
                if self._pauses and self._speech.speaks(now_ms):
                    self._report("confirmed", "a key", 0.0)
                self._barge_in(TakenBack.KEY_PRESSED, now_ms, cancel=True)
        keypad.pressed(digit, now_ms)

    def settle(self, now_ms: float) -> None:
        """Do what is due: go on when no words came in time."""
        if now_ms >= self._pause.due_ms:
            self._go_on("no words in time", now_ms)

    def keep_turn_detection(self, now_ms: float) -> None:
        """Have turn detection act by itself while the agent listens, and report while it speaks."""
        if self._pauses:
            self._model.settings.detect(automatic=not self._speech.speaks(now_ms))

    def next_ms(self, now_ms: float) -> float:
        """When `settle` or `keep_turn_detection` has something to do next."""
        speaks = self._pauses and not self._model.settings.asked_automatic
        silent_ms = self._speech.plays_until_ms + 1 if speaks else NEVER
        return next_after(now_ms, self._pause.due_ms, silent_ms)

    # --- the verdict ----------------------------------------------------------------------------

    def _confirm(self, why: TakenBack, reason: str, now_ms: float) -> None:
        """The caller means to interrupt: truncate to what they heard before the pause."""
        committed_automatic = self._pause.committed_automatic
        self._report("confirmed", reason, now_ms - self._pause.since_ms)
        self._barge_in(why, now_ms, cancel=True)
        if self._floor.caller_speaks:
            return  # the end of the turn brings the answer
        if committed_automatic is False:
            self._responses.want(Wish.REPLY)
        else:
            self._floor.answer_by_ms = now_ms + ANSWER_MS

    def _go_on(self, reason: str, now_ms: float) -> None:
        """The caller did not mean to interrupt: go on from the byte where the agent stopped."""
        self._report("false", reason, now_ms - self._pause.since_ms)
        cancelled = self._pause.cancelled
        for item_id in self._pause.untranscribed:
            self._speech.judged(item_id, interrupts=False)
        self._pause.end_false(asked=self._speech.asked(now_ms))
        self._floor.sound_was_false()
        self._speech.resume(now_ms)
        if cancelled is not None:
            self._go_on_with(cancelled)

    def _report(self, verdict: Verdict, reason: str, paused_ms: float) -> None:
        self._outbox.put(ReportInterruption(verdict, reason, paused_ms))

    def _barge_in(self, why: TakenBack, now_ms: float, *, cancel: bool) -> None:
        """Interrupt the agent. Takes back a goodbye, and suspends a transfer, whose words were not
        heard out.

        Args:
            cancel: Cancel the active response too. False when turn detection does it.
        """
        self._model.tools.limits.caller_acted()
        cancelled = self._pause.cancelled
        self.interrupt_agent(now_ms, cancel=cancel)
        self._exits.barge_in(why, now_ms)
        if cancelled is not None:
            self._speech.cut_short(cancelled.response_id)
            was = cancelled.was
            if was.wish in REPEATED and self._responses.allows(was.wish):
                self._responses.want(was.wish, was.direction)

    def interrupt_agent(self, now_ms: float, *, cancel: bool = True) -> None:
        """Stop what plays, and tell the model how much of it was heard.

        Clears Twilio's buffer, truncates each interrupted item at its heard length, deletes those
        that were not heard at all, and mutes the active response, so that its late deltas are
        dropped.

        Args:
            cancel: Cancel the active response too.
        """
        self._pause.end()
        active_id = self._responses.active_id
        if cancel and active_id is not None and not self._items.is_muted(active_id):
            self._requests.cancel_response(active_id)
        self._speech.interrupt(active_id, now_ms)

    def voicemail_reached(self, message: str, now_ms: float) -> None:
        """An answering machine records: interrupt the agent, leave the message, ignore its sounds.

        Args:
            message: What the agent says; empty: hang up.
        """
        if not self._exits.hanging_up and not self._floor.voicemail:
            self.interrupt_agent(now_ms)
            self._floor.machine_records()
            self._exits.leave_message(message, now_ms)

    # --- responses that the caller must not hear --------------------------------------------------

    def response_created(self, response_id: str) -> None:
        """A response began. Mute and cancel it if the caller has the floor: it was requested before
        the barge-in and created after it, so turn detection does not cancel it. The same holds for
        a reply that was requested before the caller's keys: they get a reply of their own."""
        requested = self._responses.requested
        answers_pause = requested is None and self._pause.answered_by_detection()
        outdated = bool(self._outdated) and self._responses.request_id == self._outdated
        self._floor.response_created(requested=requested is not None)
        self.response_progressed(response_id)
        self._items.response_created()
        answers_all = self._model.answers.all_taken and not answers_pause
        self._responses.created(response_id, answers_all=answers_all)
        if self._floor.voicemail and (
            requested is None or requested.wish not in (Wish.GOODBYE, Wish.UNSPOKEN)
        ):
            # It answers the answering machine's own words, or something from before them.
            self._items.mute_response(response_id)
            self._requests.cancel_response(response_id)
        elif self._floor.listens or answers_pause or outdated:
            self._items.mute_response(response_id)
            self._requests.cancel_response(response_id)

    def response_progressed(self, response_id: str) -> None:
        """An event of a response came: mute the response while the caller has the floor."""
        if self._floor.listens:
            self._items.mute_response(response_id)

    def response_cancelled(self, response_id: str, was: Wanted | None) -> bool:
        """Turn detection cancelled a response that is not interrupted: request it again, to go on
        after what was generated; during a pause, when that is over.

        Args:
            was: What it was requested for; None: turn detection requested it.

        Returns:
            Whether that is done. False where every sound of the caller interrupts.
        """
        if not self._pauses:
            return False
        was, spoke = was or Wanted(Wish.REPLY), self._speech.spoke(response_id)
        cancelled = Cancelled(response_id, was, spoke)
        if self._pause.active:
            self._pause.cancelled = cancelled
        else:
            self._go_on_with(cancelled)
        return True

    def _go_on_with(self, cancelled: Cancelled) -> None:
        """Request a cancelled response again. What it has said is not said twice."""
        was, spoke = cancelled.was, cancelled.spoke
        if spoke:
            self._requests.add_message("system", prompts.GO_ON)
        if self._responses.allows(was.wish):
            self._responses.want(was.wish, "" if spoke else was.direction)
