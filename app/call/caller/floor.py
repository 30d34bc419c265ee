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
        #: An answering machine records: its sounds are no speech, and cannot interrupt the message.
        self.voicemail = False
        self._speaks_until_ms = NEVER
        self._answer_pending = False  # the caller spoke again before the response to a turn began
        self._exits = exits

    @property
    def caller_acts(self) -> bool:
        """Whether the caller speaks or types."""
        return not self.voicemail and (self.caller_speaks or self.keypad.typing)

    @property
    def listens(self) -> bool:
        """Whether the caller has the floor: whatever the agent begins now is muted."""
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

    # --- the caller -----------------------------------------------------------------------------

    def speech_started(self, now_ms: float) -> None:
        """The caller begins to speak."""
        if not self.caller_speaks:
            self._answer_pending = self.answer_by_ms != NEVER
        self.caller_speaks, self.answer_by_ms = True, NEVER
        self._speaks_until_ms = now_ms + SPEAKS_MS

    def speech_stopped(self, now_ms: float) -> None:
        """The caller stopped speaking, or their turn was committed: a response is due, unless the
        agent is paused."""
        self.caller_speaks, self._speaks_until_ms = False, NEVER
        self.pause.turn_over()
        due = not self.voicemail and not self.pause.active
        self.answer_by_ms = now_ms + ANSWER_MS if due else NEVER

    def sound_was_false(self) -> None:
        """The caller's sound was no speech: the agent has the floor, also where noise holds turn
        detection open, or a turn ends by what was said."""
        self.caller_speaks, self._speaks_until_ms = False, NEVER

    def end_long_speech(self, now_ms: float) -> None:
        """End speech whose end the model did not report, when it is due."""
        if now_ms >= self._speaks_until_ms:
            self.speech_stopped(now_ms)

    def next_ms(self, now_ms: float) -> float:
        return next_after(now_ms, self._speaks_until_ms, self.answer_by_ms)

    def machine_records(self) -> None:
        """An answering machine records from now on."""
        self.voicemail, self.caller_speaks, self.answer_by_ms = True, False, NEVER

    def session_lost(self) -> None:
        """The model's session is gone, and with it the speech that it was hearing."""
        self.caller_speaks, self.answer_by_ms = False, NEVER
        self._speaks_until_ms = NEVER
        self.pause.turn_over()

    # --- the agent ------------------------------------------------------------------------------

    def response_created(self, *, requested: bool) -> None:
        """A response began. `requested`: the machine requested it, not turn detection."""
        if not requested and not self._answer_pending and not self.pause.active:
            # Turn detection requests a response when a turn is over: the caller has stopped, even
            # if no end of their speech was reported.
            self.caller_speaks, self._speaks_until_ms = False, NEVER
        self.answer_by_ms = NEVER

    def response_ended(self, now_ms: float) -> None:
        """A response ended. Turn detection could not get another one meanwhile: request it soon."""
        if self.answer_by_ms != NEVER:
            self.answer_by_ms = min(self.answer_by_ms, now_ms + ANSWER_MS / 4)
