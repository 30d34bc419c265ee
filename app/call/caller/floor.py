"""The floor: who may speak now, the caller, the agent, or an answering machine that records."""

from app.call.agent import TurnTaking
from app.call.caller.digit_entries import DigitEntries
from app.call.caller.pause import Pause
from app.call.deadlines import NEVER, next_after
from app.call.exits.exits import Exits

#: Turn detection requests the response to a turn well within this; past it the machine does.
ANSWER_MS = 4000.0
#: Speech that lasts longer has ended, and the model did not report its end.
SPEAKS_MS = 60_000.0
#: So has speech after which the caller's frames hold no voice for so long. With the time that the
#: answer gets, the caller hears something within 8 s.
QUIET_MS = 3500.0
#: Turn detection may report the beginning of speech so much later than the frames held voice.
NOTICED_MS = 1000.0
#: So many turns in a row that the model does not report get an answer: it may be deaf. After more,
#: it is taken to be right in ignoring music or a television.
UNREPORTED_TURNS = 3


class Floor:
    """Keeps who has the floor. `BargeIn` acts on it."""

    def __init__(self, exits: Exits, entries: DigitEntries, turns: TurnTaking) -> None:
        self.entries = entries
        self.keypad = entries.keypad
        self.turns = turns
        #: The agent is silent until it is known whether the caller means to interrupt.
        self.pause = Pause(turns)
        #: Between `SpeechStarted` and `SpeechStopped`.
        self.caller_speaks = False
        #: The caller's turn is over: deadline for turn detection to request the response.
        self.answer_by_ms = NEVER
        #: When the caller's voice ended, as far as is known at the end of their speech.
        self.voice_ended_ms = 0.0
        #: An answering machine records: its sounds are no speech, and cannot interrupt the message.
        self.voicemail = False
        #: Their speech counts as over, and its end was not reported.
        self.unended = False
        self._unreported = False  # they speak, or spoke, and the model did not report it
        self._unreported_turns = 0  # since it reported some
        self._answers = False  # see `begin`
        self._since_ms = 0.0  # when the caller began to speak
        self._speaks_until_ms = NEVER
        self._look_ms = NEVER  # when their frames may have been quiet for `QUIET_MS`
        self._just_ended = False  # since the last `end_long_speech`
        self._counted = NEVER, NEVER  # when the frames were counted, and when they last held voice
        self._answer_pending = False  # the caller spoke again before the response to a turn began
        self._exits = exits

    @property
    def caller_acts(self) -> bool:
        """Whether the caller speaks or types."""
        return not self.voicemail and (self.caller_speaks or self.keypad.typing)

    @property
    def listens(self) -> bool:
        """Whether the caller has the floor: whatever the agent begins now is muted."""
        if not self.caller_speaks and not self.keypad.typing:
            return False  # as at nearly every delta
        return self.caller_acts and self.may_be_interrupted and not self.pause.active

    @property
    def may_be_interrupted(self) -> bool:
        """Whether the caller may barge in now."""
        uninterrupted = self._exits.ordered or self._exits.tones_sounding or self.voicemail
        return self.turns.interruptible and not uninterrupted

    @property
    def owes_answer(self) -> bool:
        """Whether the caller says or said something to which no response began. A sound that paused
        the agent may be a cough: it is answered when it proves to be more."""
        return not self.pause.active and (self.caller_speaks or self.answer_by_ms != NEVER)

    def begin(self, *, answers_unreported: bool) -> None:
        """The leg exists. `answers_unreported`: see `LegOpened`."""
        self._answers = answers_unreported

    @property
    def answers_unreported(self) -> bool:
        """Whether speech that the model does not report gets an answer."""
        return self._answers and self._unreported_turns < UNREPORTED_TURNS

    # --- the caller -----------------------------------------------------------------------------

    def speech_started(self, now_ms: float) -> None:
        """The caller begins to speak."""
        if not self.caller_speaks:
            self._answer_pending = self.answer_by_ms != NEVER
        self.caller_speaks, self.answer_by_ms = True, NEVER
        self._since_ms, self._speaks_until_ms = now_ms, now_ms + SPEAKS_MS
        self._look_ms, self.unended = now_ms + QUIET_MS, False
        self._unreported, self._unreported_turns = False, 0

    def voiced_unreported(self, now_ms: float) -> None:
        """The caller's frames hold enough voice, and the model has not reported it: they speak. The
        frames alone tell when that is over, see `frames_counted`."""
        turns = self._unreported_turns + 1
        self.speech_started(now_ms)
        self._unreported, self._unreported_turns = True, turns

    def speech_stopped(self, now_ms: float) -> None:
        """The caller stopped speaking, or their turn was committed: a response is due, unless the
        agent is paused."""
        self._end_speech()
        counted_ms, quiet_from_ms = self._counted
        voice_ended_ms = quiet_from_ms if counted_ms == now_ms else now_ms
        self.voice_ended_ms = max(self._since_ms, voice_ended_ms)
        self.pause.turn_over()
        due = not self.voicemail and not self.pause.active
        self.answer_by_ms = now_ms + ANSWER_MS if due else NEVER

    def sound_was_false(self) -> None:
        """The caller's sound was no speech: the agent has the floor, also where noise holds turn
        detection open, or a turn ends by what was said."""
        self._end_speech()

    def _end_speech(self) -> None:
        self.caller_speaks = self.unended = False
        self._speaks_until_ms = self._look_ms = NEVER

    def frames_counted(self, quiet_ms: int | None, now_ms: float) -> None:
        """How long the caller's frames have held no voice; None: it was not measured. Ends speech
        that is over though the model does not report it. Voice before the answer is requested
        takes that back, if the model reported the beginning."""
        if quiet_ms is None:
            return
        self._counted = now_ms, now_ms - quiet_ms
        taken_back = self.unended and not self._unreported
        if taken_back and quiet_ms < QUIET_MS and self.answer_by_ms != NEVER:
            self.caller_speaks, self.answer_by_ms, self.unended = True, NEVER, False
            self._speaks_until_ms = now_ms + SPEAKS_MS
        if not self.caller_speaks or self.pause.active:
            return
        self._look_ms = now_ms + max(QUIET_MS - quiet_ms, 0.0)
        # Without any voice since it began, it may be too soft to be measured.
        if QUIET_MS <= quiet_ms <= now_ms - self._since_ms + NOTICED_MS:
            self.speech_stopped(now_ms)
            self.unended = self._just_ended = True

    @property
    def counts_frames(self) -> bool:
        """Whether `frames_counted` may change anything, or has just done so."""
        return self.caller_speaks or self.unended or self._just_ended

    def end_long_speech(self, now_ms: float) -> bool:
        """End speech whose end the model did not report, when it is due. Returns whether
        `frames_counted` has ended some: its answer is awaited from now on. True once."""
        if now_ms >= self._look_ms:  # the frames were not counted, or hold no measurable voice
            self._look_ms = now_ms + QUIET_MS
        if now_ms >= self._speaks_until_ms:
            self.speech_stopped(now_ms)
        ended, self._just_ended = self._just_ended, False
        return ended and self.answer_by_ms != NEVER

    def next_ms(self, now_ms: float) -> float:
        return next_after(now_ms, self._speaks_until_ms, self._look_ms, self.answer_by_ms)

    def machine_records(self) -> None:
        """An answering machine records from now on."""
        self.voicemail, self.answer_by_ms = True, NEVER
        self._end_speech()

    def session_lost(self) -> None:
        """The model's session is gone, and with it the speech that it was hearing."""
        self.answer_by_ms = NEVER
        self._end_speech()
        self.pause.turn_over()

    # --- the agent ------------------------------------------------------------------------------

    def response_created(self, *, requested: bool) -> None:
        """A response began. `requested`: the machine requested it, not turn detection."""
        if not requested and not self._answer_pending and not self.pause.active:
            # Turn detection requests a response when a turn is over: the caller has stopped, even
            # if no end of their speech was reported.
            self._end_speech()
        self.answer_by_ms = NEVER

    def response_ended(self, now_ms: float) -> None:
        """A response ended. Turn detection could not get another one meanwhile: request it soon."""
        if self.answer_by_ms != NEVER:
            self.answer_by_ms = min(self.answer_by_ms, now_ms + ANSWER_MS / 4)
